"""Workdays: on which days offices work, from when until when, and what n workdays later is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

import holidays

IsWorkday = Callable[[date], bool]

_PERIOD = re.compile(r"([1-9][0-9]{0,4}) (s|min|h)|([1-9][0-9]{0,2}) workdays?")
_UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1)}
_YEARS_AT_HAND = 16
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """So long by the clock, or so many workdays; the other of the two is zero."""

    lapse: timedelta = timedelta()
    workdays: int = 0


def parse_period(text: str) -> Period:
    """A period as it is written in settings: ``45 s``, ``30 min``, ``2 h``, ``1 workday``.

    Raises:
        ValueError: it is written otherwise, is zero, or longer than 99999 units or 999 workdays.
    """
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no period: write it as 45 s, 30 min, 2 h or 1 workday")
    count, unit, days = found.groups()
    return Period(workdays=int(days)) if days else Period(lapse=int(count) * _UNITS[unit])


def national_workdays(
    country: str, *, days_off: Iterable[date] = (), workdays: Iterable[date] = ()
) -> IsWorkday:
    """Whether a day is worked, by the public holidays and working weekends of a country.

    China announces each year's working weekends in the autumn before. Until the library has them,
    a coming year has its holidays by law alone; what it lacks can be given here.

    Args:
        country: ISO 3166-1, two letters.
        days_off: further days that are not worked.
        workdays: further days that are; they go before everything else.

    Raises:
        ValueError: nothing is known of this country.
    """
    if country not in holidays.list_supported_countries():
        raise ValueError(f"the holidays of country {country!r} are not known")
    off, on = frozenset(days_off), frozenset(workdays)

    # By the year, so that a document due in the year 9000 makes nothing grow; and with the years
    # around it, whose holidays reach over.
    @lru_cache(maxsize=_YEARS_AT_HAND)
    def around(year: int) -> holidays.HolidayBase:
        years = range(year - 1, year + 2)
        return holidays.country_holidays(country, years=years, expand=False)

    def is_workday(day: date) -> bool:
        if day in on or day in off:
            return day in on
        return around(day.year).is_working_day(day)

    return is_workday


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """When offices are at work. Moments go in with any zone, and come out in UTC."""

    zone: tzinfo
    opens: time
    closes: time
    """Later than ``opens``, on the same day; from then on they are closed."""
    is_workday: IsWorkday

    def day_of(self, moment: datetime) -> date:
        """The day that a moment falls on, by the calendar of the offices."""
        return moment.astimezone(self.zone).date()

    def open_at(self, moment: datetime) -> datetime:
        """The moment itself if offices are open then, else the next opening."""
        local = moment.astimezone(self.zone)
        day, at = local.date(), local.time()
        if not self.is_workday(day) or at >= self.closes:
            return self._moment(self._step(day, 1, _DAY), self.opens)
        return self._moment(day, max(at, self.opens))

    def later(self, moment: datetime, workdays: int) -> datetime:
        """The same time so many workdays on, counted from when offices are open."""
        local = self.open_at(moment).astimezone(self.zone)
        return self._moment(self._step(local.date(), workdays, _DAY), local.time())

    def earlier(self, moment: datetime, workdays: int) -> datetime:
        """The same time so many workdays before, whether offices are open at the moment or not."""
        local = moment.astimezone(self.zone)
        return self._moment(self._step(local.date(), workdays, -_DAY), local.time())

    def closing(self, day: date) -> datetime:
        """The end of office hours of a day, whether it is worked or not."""
        return self._moment(day, self.closes)

    def _step(self, day: date, workdays: int, step: timedelta) -> date:
        while workdays:
            day += step
            workdays -= self.is_workday(day)
        return day

    def _moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self.zone).astimezone(UTC)
