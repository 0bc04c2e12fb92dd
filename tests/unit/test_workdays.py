"""Workdays: known years of the Chinese calendar, the edges of office hours, other time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_server.workdays import OfficeHours, Period, national_workdays, parse_period

SHANGHAI = ZoneInfo("Asia/Shanghai")
IS_WORKDAY = national_workdays("CN")
HOURS = OfficeHours(SHANGHAI, time(9), time(17), IS_WORKDAY)


def at(text: str) -> datetime:
    """A moment in Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def days(first: str, last: str) -> list[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2025-01-28", "2025-02-04"),  # Spring Festival
        ("2025-10-01", "2025-10-08"),  # National Day and Mid-Autumn
        ("2024-10-01", "2024-10-07"),
        ("2025-05-01", "2025-05-05"),
        ("2026-01-01", "2026-01-03"),  # over the weekend
        ("2026-02-15", "2026-02-23"),
        ("2009-10-01", "2009-10-08"),
        ("2021-01-01", "2021-01-03"),  # a year that begins on a Friday
        ("2022-12-31", "2023-01-02"),  # a holiday that begins in the year before
    ],
)
def test_a_whole_holiday_is_off_and_the_days_around_it_are_not(first: str, last: str) -> None:
    found = {day: IS_WORKDAY(day) for day in days(first, last)}
    assert not any(found.values()), found
    assert IS_WORKDAY(date.fromisoformat(last) + timedelta(days=1))


@pytest.mark.parametrize(
    "day",
    [
        "2025-01-26", "2025-02-08",  # for the Spring Festival
        "2025-04-27", "2025-09-28", "2025-10-11",
        "2024-02-04", "2024-02-18", "2024-09-14", "2024-10-12",
        "2026-01-04", "2026-02-14", "2026-02-28",
        "2009-10-10", "2011-12-31", "2009-01-04",  # for a day of the year after, or before
    ],
)  # fmt: skip
def test_a_working_weekend_is_worked(day: str) -> None:
    assert date.fromisoformat(day).weekday() >= 5
    assert IS_WORKDAY(date.fromisoformat(day))


def test_it_does_not_matter_which_years_were_asked_for_before() -> None:
    fresh = national_workdays("CN")
    assert fresh(date(2011, 12, 31))
    assert not fresh(date(2022, 12, 31))


def test_a_centre_has_days_of_its_own() -> None:
    holiday, sunday, monday = date(2025, 10, 1), date(2025, 6, 15), date(2025, 6, 16)
    own = national_workdays("CN", days_off=[monday, sunday], workdays=[holiday, sunday])
    assert (own(holiday), own(sunday), own(monday)) == (True, True, False)


def test_far_beyond_what_is_known_weekends_are_left() -> None:
    for year in (1, 1900, 2200, 9999):
        week = [date(year, 6, 1) + timedelta(days=number) for number in range(7)]
        assert [IS_WORKDAY(day) for day in week] == [day.weekday() < 5 for day in week]


@pytest.mark.parametrize("country", ["XX", "", "China", "cn"])
def test_an_unknown_country_is_refused(country: str) -> None:
    with pytest.raises(ValueError, match="not known"):
        national_workdays(country)


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2025-11-19T08:59:59.999", "2025-11-19T09:00"),
        ("2025-11-19T09:00", "2025-11-19T09:00"),
        ("2025-11-19T16:59:59.999", "2025-11-19T16:59:59.999"),
        ("2025-11-19T17:00", "2025-11-20T09:00"),
        ("2025-11-21T18:00", "2025-11-24T09:00"),  # Friday evening
        ("2025-11-22T12:00", "2025-11-24T09:00"),
        ("2025-09-27T12:00", "2025-09-28T09:00"),  # a Saturday before a working Sunday
        ("2025-09-30T17:00", "2025-10-09T09:00"),
        ("2025-12-31T20:00", "2026-01-04T09:00"),  # the year begins with a holiday
    ],
)
def test_the_next_opening(moment: str, opened: str) -> None:
    assert HOURS.open_at(at(moment)) == at(opened)


@pytest.mark.parametrize(
    ("moment", "workdays", "end"),
    [
        ("2025-11-19T10:30", 1, "2025-11-20T10:30"),
        ("2025-11-21T16:59", 1, "2025-11-24T16:59"),
        ("2025-11-21T17:00", 1, "2025-11-25T09:00"),
        ("2025-09-30T10:00", 1, "2025-10-09T10:00"),
        ("2025-09-30T10:00", 3, "2025-10-11T10:00"),  # the third is a Saturday
        ("2025-01-24T15:00", 2, "2025-01-27T15:00"),  # over the working Sunday
        ("2025-12-31T10:00", 1, "2026-01-04T10:00"),
        ("2025-10-04T10:00", 5, "2025-10-15T09:00"),  # from within the holiday
    ],
)
def test_so_many_workdays_later(moment: str, workdays: int, end: str) -> None:
    assert HOURS.later(at(moment), workdays) == at(end)


@pytest.mark.parametrize(
    ("moment", "workdays", "before"),
    [
        ("2025-11-20T17:00", 1, "2025-11-19T17:00"),
        ("2025-11-24T17:00", 1, "2025-11-21T17:00"),
        ("2025-10-09T17:00", 1, "2025-09-30T17:00"),
        ("2025-10-05T17:00", 1, "2025-09-30T17:00"),  # a day that is not worked itself
        ("2025-10-13T17:00", 1, "2025-10-11T17:00"),
    ],
)
def test_so_many_workdays_before(moment: str, workdays: int, before: str) -> None:
    assert HOURS.earlier(at(moment), workdays) == at(before)


def test_the_day_is_that_of_the_offices() -> None:
    late = datetime(2025, 9, 30, 16, 30, tzinfo=UTC)
    assert HOURS.day_of(late) == date(2025, 10, 1)
    assert HOURS.closing(date(2025, 10, 1)) == datetime(2025, 10, 1, 9, tzinfo=UTC)
    assert HOURS.open_at(late).tzinfo is UTC


def test_where_clocks_are_put_forward_the_time_of_day_stays() -> None:
    berlin = OfficeHours(ZoneInfo("Europe/Berlin"), time(9), time(17), lambda day: True)
    before = datetime(2025, 3, 29, 9, tzinfo=UTC)  # 10:00, the day before
    assert berlin.later(before, 1) == datetime(2025, 3, 30, 8, tzinfo=UTC)
    assert berlin.earlier(berlin.later(before, 1), 1) == before


MOMENTS = st.datetimes(
    datetime(2005, 1, 1), datetime(2027, 12, 1), timezones=st.just(SHANGHAI)
) | st.datetimes(datetime(2005, 1, 1), datetime(2027, 12, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS, st.integers(0, 30), st.integers(0, 30))
def test_later_is_later(one: datetime, other: datetime, few: int, many: int) -> None:
    (one, other), (few, many) = sorted((one, other)), sorted((few, many))
    assert one <= HOURS.open_at(one) <= HOURS.later(one, few) <= HOURS.later(one, many)
    assert HOURS.later(one, few) <= HOURS.later(other, few)
    assert HOURS.earlier(one, many) <= HOURS.earlier(one, few) <= one


@given(MOMENTS, st.integers(1, 30))
def test_exactly_so_many_workdays_lie_between(moment: datetime, workdays: int) -> None:
    begin, end = HOURS.open_at(moment), HOURS.later(moment, workdays)
    first, last = HOURS.day_of(begin), HOURS.day_of(end)
    between = days(first.isoformat(), last.isoformat())[1:]
    assert sum(map(IS_WORKDAY, between)) == workdays
    assert IS_WORKDAY(last)
    assert HOURS.open_at(end) == end
    assert begin.astimezone(SHANGHAI).time() == end.astimezone(SHANGHAI).time()


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("45 s", Period(lapse=timedelta(seconds=45))),
        ("30 min", Period(lapse=timedelta(minutes=30))),
        ("2 h", Period(lapse=timedelta(hours=2))),
        ("1 workday", Period(workdays=1)),
        ("12 workdays", Period(workdays=12)),
    ],
)
def test_a_period_is_read(text: str, period: Period) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 s",
        "-1 h",
        "30",
        "30min",
        "1 day",
        "1.5 h",
        "1000 workdays",
        "100000 s",
        "２ h",
        "2 h\n",
    ],
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no period"):
        parse_period(text)
