"""Many tokens at once: one JSON object a line in, one a line out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Self

import msgspec

from document_exchange.errors import ExchangeError, InvalidRequest, NotFound, Refused
from exchange_pki import batch
from exchange_pki.service.tokens import Holder, NewToken, Tokens
from exchange_runtime.values import Caller

DEFAULT_SEAL = "main"


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    unit: str = ""
    system: str = ""
    seal: str | None = None
    staff: str = ""
    lifetime_s: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A token that is wanted, and for how many seconds; 0 is the default."""

    holder: Holder
    lifetime_s: int = 0

    @classmethod
    def of(cls, unit: str, system: str, seal: str | None, staff: str, lifetime_s: int) -> Self:
        """As an operator says it: a unit's seal is ``main`` unless said; ``""`` is none."""
        if seal is None:
            seal = "" if staff else DEFAULT_SEAL
        return cls(Holder(unit, system, seal, staff), lifetime_s)


def wishes(text: bytes) -> list[Wish]:
    """What the lines ask for: ``{"unit", "system", "seal"?, "lifetime_s"?}`` or ``{"staff"}``.

    Raises:
        InvalidRequest: a line is malformed; ``line`` says which.
    """
    return [
        Wish.of(line.unit, line.system, line.seal, line.staff, line.lifetime_s)
        for _, line in batch.lines(text, _Line)
    ]


async def issue_each(
    tokens: Tokens, caller: Caller, wanted: Iterable[Wish]
) -> AsyncIterator[tuple[Wish, NewToken | ExchangeError]]:
    """The token for each wish, or why there is none, as soon as it is known.

    Errors other than a refusal of one wish end it: see ``Tokens``.
    """
    for wish in wanted:
        try:
            yield wish, await tokens.issue(caller, wish.holder, wish.lifetime_s)
        except (InvalidRequest, NotFound, Refused) as error:
            yield wish, error
