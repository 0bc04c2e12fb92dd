"""Document identifiers for those who do not number their documents themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from document_exchange.errors import InvalidRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Serials:
    """Gives out serials that grow with the clock, never one twice in this process."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._last = 0

    def code_of(self, unit_id: str) -> str | None:
        """The organisation or credit code of a unit, if it was learnt."""
        return self._codes.get(unit_id)

    def learn(self, unit_id: str, code: str) -> str:
        """Remember a unit's code.

        Raises:
            InvalidRequest: the unit has none.
        """
        if not code:
            raise InvalidRequest(
                f"{unit_id} has neither organisation code nor credit code to make a doc_id from:"
                " give doc_id",
                field="doc_id",
                unit=unit_id,
            )
        self._codes[unit_id] = code
        return code

    def next(self, code: str, at: datetime) -> str:
        """code - year - milliseconds since 1970, or one more than the last."""
        self._last = max(self._last + 1, (at - _EPOCH) // timedelta(milliseconds=1))
        return f"{code}-{at.astimezone().year}-{self._last}"
