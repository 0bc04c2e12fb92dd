"""Reading what a caller gives where one of a few values is expected."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import date
from typing import Any, TypeVar

from document_exchange.errors import InvalidRequest

E = TypeVar("E", bound=enum.StrEnum)

_SHOWN = 100
"""Characters of a wrong value that a message repeats."""


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


def one_or_more(given: object, kinds: tuple[type, ...], field: str) -> tuple[Any, ...]:
    """``given`` as elements; one alone, of ``kinds``, stands for itself (a text is no list).

    Raises:
        InvalidRequest: neither one of ``kinds`` nor several of them.
    """
    if isinstance(given, kinds):
        return (given,)
    elements = tuple(given) if isinstance(given, Iterable) else (given,)
    for element in elements:
        if not isinstance(element, kinds):
            raise InvalidRequest(
                f"{field} holds {str(element)[:_SHOWN]!r}, of type {type(element).__name__}:"
                f" expected {' or '.join(kind.__name__ for kind in kinds)}, one or several",
                field=field,
            )
    return elements
