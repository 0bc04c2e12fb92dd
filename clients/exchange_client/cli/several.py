"""Doing the same with several envelopes or recipients: counted, and each failure told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    NotPermitted,
    Unauthenticated,
)
from exchange_client.cli.command import DONE, PARTLY, Settings, report
from exchange_client.files import NameTaken

if TYPE_CHECKING:
    from document_exchange.verification import VerifiedReceipt
    from exchange_client.evidence import Statement

ENDING = (ConfigurationError, Unauthenticated, NotPermitted)
"""Errors that the next one would meet just the same; but a name is taken for one alone."""


@dataclass(slots=True)
class Tally:
    """What became of several of them."""

    settings: Settings
    done: int = 0
    first_failure: int = DONE

    @property
    def exit_code(self) -> int:
        """0, or 1 if some failed, or the first failure's if all did."""
        return PARTLY if self.done and self.first_failure else self.first_failure

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Around one of them: a failure that concerns it alone is told, and the next may follow.

        That just this had been recorded before is none: then it is shown, and done.
        """
        try:
            yield
        except ExchangeError as error:
            if isinstance(error, ENDING) and not isinstance(error, NameTaken):
                raise
            if (before := recorded_before(error)) is not None:
                self._show(before, repeated=True)
                return
            exit_code = report(self.settings.output, error)
            self.first_failure = self.first_failure or exit_code

    def recorded(self, statement: Statement) -> None:
        """One of them was recorded: show it."""
        self._show(statement, repeated=False)

    def _show(self, recorded: Statement | VerifiedReceipt, *, repeated: bool) -> None:
        self.done += 1
        row = recorded_row(recorded) | {"repeated": repeated}
        self.settings.output.row(row, "recorded_before" if repeated else "recorded")


def recorded_before(error: ExchangeError) -> VerifiedReceipt | None:
    """What the own unit had recorded before, if ``error`` is that it can't be said twice."""
    from exchange_client.decided import Decided

    return error.won if isinstance(error, Decided) and error.repeated else None


def recorded_row(recorded: Statement | VerifiedReceipt) -> dict[str, Any]:
    """A statement as the verbs show it, by field name, without what it has not."""
    receipt = recorded.receipt
    effect = recorded.admission or receipt
    row = {
        "envelope_id": receipt.envelope_id,
        "recipient": receipt.recipient,
        "type": receipt.type.value,
        "state": effect.state_after.value if effect.state_after is not None else None,
        "seq": effect.seq,
        "by": receipt.by,
        "recorded_at": recorded.recorded_at,
        "reason_code": receipt.reason_code.value if receipt.reason_code is not None else None,
        "reason": receipt.reason,
    }
    return {name: value for name, value in row.items() if value is not None}
