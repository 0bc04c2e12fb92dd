"""The one spelling of instants and dates in everything that is signed.

An instant is ``YYYY-MM-DDTHH:MM:SS.mmmZ``: UTC, exactly three decimals, never a leap second
(a profile of RFC 3339). A date is ``YYYY-MM-DD``. Both must exist in the calendar.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = DATE + r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"

_TIME = re.compile(TIME, re.ASCII)
_DATE = re.compile(DATE, re.ASCII)


def format_time(at: datetime) -> str:
    """``at`` in UTC as ``YYYY-MM-DDTHH:MM:SS.mmmZ``, cut (not rounded) to the millisecond.

    Raises:
        ValueError: ``at`` is naive, or leaves the years 1 to 9999 when turned into UTC.
    """
    if at.tzinfo is None:
        raise ValueError("a time without a time zone can't be written: give it one")
    try:
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    except OverflowError as error:
        raise ValueError(f"{at.isoformat()} has no year of four digits in UTC") from error


def parse_time(text: str) -> datetime:
    """The aware instant, in UTC, that ``YYYY-MM-DDTHH:MM:SS.mmmZ`` names.

    Raises:
        ValueError: another spelling, or no such instant (30 February, second 60).
    """
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"{text[:60]!r} is not a time written as YYYY-MM-DDTHH:MM:SS.mmmZ")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no instant of the calendar: {error}") from error


def is_time(text: str) -> bool:
    """Whether ``parse_time`` would accept this."""
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def is_date(text: str) -> bool:
    """Whether this is ``YYYY-MM-DD`` and a day of the calendar."""
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
