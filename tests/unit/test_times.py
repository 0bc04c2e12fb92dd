"""Times and dates: one spelling, and only what the calendar has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from document_exchange import times

BEIJING = timezone(timedelta(hours=8))


def test_times_are_written_in_utc_and_cut_to_the_millisecond() -> None:
    at = datetime(2009, 6, 1, 7, 59, 59, 999_999, tzinfo=BEIJING)
    assert times.format_time(at) == "2009-05-31T23:59:59.999Z"
    assert times.format_time(datetime(987, 1, 2, tzinfo=UTC)) == "0987-01-02T00:00:00.000Z"


def test_times_are_read_as_aware() -> None:
    at = times.parse_time("2009-06-01T09:30:00.123Z")
    assert at == datetime(2009, 6, 1, 9, 30, 0, 123_000, tzinfo=UTC)
    assert at.utcoffset() == timedelta()


@pytest.mark.parametrize("at", [datetime(2009, 6, 1), datetime(1, 1, 1, tzinfo=BEIJING)])
def test_what_cannot_be_written(at: datetime) -> None:
    with pytest.raises(ValueError, match=r"time zone|four digits"):
        times.format_time(at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2009-06-01",
        "2009-06-01T09:30:00Z",
        "2009-06-01T09:30:00.12Z",
        "2009-06-01T09:30:00.1234Z",
        "2009-06-01T09:30:00,123Z",
        "2009-06-01 09:30:00.123Z",
        "2009-06-01t09:30:00.123z",
        "2009-06-01T09:30:00.123+00:00",
        "2009-06-01T09:30:00.123",
        "2009-06-01T09:30:00.123Z\n",
        "2009-06-01T24:00:00.000Z",
        "2009-06-01T23:60:00.000Z",
        "2008-12-31T23:59:60.000Z",  # a leap second that there was
        "2009-02-30T00:00:00.000Z",
        "2009-02-29T00:00:00.000Z",
        "2009-13-01T00:00:00.000Z",
        "0000-01-01T00:00:00.000Z",
        "２００９-06-01T09:30:00.123Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert not times.is_time(text)
    with pytest.raises(ValueError, match=r"is not? "):
        times.parse_time(text)


@pytest.mark.parametrize("text", ["2008-02-29", "0001-01-01", "9999-12-31"])
def test_dates(text: str) -> None:
    assert times.is_date(text)


@pytest.mark.parametrize(
    "text", ["", "2009-02-29", "2009-2-1", "20090201", "2009-06-31", "2009-06-01\n", "2009-W01-1"]
)
def test_what_is_no_date(text: str) -> None:
    assert not times.is_date(text)
