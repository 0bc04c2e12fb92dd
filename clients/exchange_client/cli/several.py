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

if TYPE_CHECKING:
    from exchange_client.evidence import Statement

ENDING = (ConfigurationError, Unauthenticated, NotPermitted)
"""Errors that the next one would meet just the same."""


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
        """Around one of them: a failure that concerns it alone is told, and the next may follow."""
        try:
            yield
        except ENDING:
            raise
        except ExchangeError as error:
            exit_code = report(self.settings.output, error)
            self.first_failure = self.first_failure or exit_code

    def recorded(self, statement: Statement) -> None:
        """One of them was recorded: show it."""
        self.done += 1
        self.settings.output.row(recorded_row(statement), "recorded")


def recorded_row(statement: Statement) -> dict[str, Any]:
    """A statement as the verbs show it, by field name, without what it has not."""
    receipt, state = statement.receipt, statement.state_after
    row = {
        "envelope_id": receipt.envelope_id,
        "recipient": receipt.recipient,
        "type": statement.type.value,
        "state": state.value if state is not None else None,
        "seq": statement.seq,
        "by": statement.by,
        "recorded_at": statement.recorded_at,
        "reason_code": receipt.reason_code.value if receipt.reason_code is not None else None,
        "reason": receipt.reason,
    }
    return {name: value for name, value in row.items() if value is not None}
