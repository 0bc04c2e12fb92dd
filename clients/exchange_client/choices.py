"""Reading what a caller gives where one of a few values is expected."""

from __future__ import annotations

import enum
from datetime import date
from typing import TypeVar

from document_exchange.errors import InvalidRequest

E = TypeVar("E", bound=enum.StrEnum)


def chosen(kind: type[E], given: E | str, field: str) -> E:
    """``given`` as a member of ``kind``; capitals do not matter.

    Raises:
        InvalidRequest: with all that could have been given.
    """
    try:
        return kind(given.upper())
    except ValueError as error:
        choices = ", ".join(member.value for member in kind)
        raise InvalidRequest(
            f"{field} is {given!r}: it must be one of {choices}", field=field, value=str(given)
        ) from error


def date_text(given: date | str) -> str:
    """A date as the formats write it; a text is passed on for the manifest's own checks."""
    return given.isoformat() if isinstance(given, date) else given
