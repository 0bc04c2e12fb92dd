"""By when: the deadlines of a document by its urgency, its reply date, and the settings."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from document_exchange.document import Urgency
from document_exchange.errors import ConfigurationError
from document_exchange.manifest import Manifest
from exchange_server import config
from exchange_server.config import Deadlines
from exchange_server.deadlines import DeadlineRules
from exchange_server.values import Due
from tests.real_centre import document, envelope, part
from tests.unit.test_settings import MINIMAL
from tests.unit.test_workdays import SHANGHAI, at

RULES = Deadlines().rules()
WEDNESDAY = at("2025-11-19T10:30")


def about(**changes: Any) -> Manifest:
    return envelope([part(b"x")], document=msgspec.structs.replace(document(), **changes))


def rules(**settings: Any) -> DeadlineRules:
    return Deadlines(**settings).rules()


@pytest.mark.parametrize(
    ("urgency", "accepted", "remind", "due"),
    [
        ("EXTRA_URGENT", "2025-11-19T10:30", "2025-11-19T10:50", "2025-11-19T11:00"),
        ("URGENT", "2025-11-19T10:30", "2025-11-19T12:00", "2025-11-19T12:30"),
        ("NORMAL", "2025-11-19T10:30", "2025-11-20T06:30", "2025-11-20T10:30"),
        ("EXTRA_URGENT", "2025-10-03T02:00", "2025-10-03T02:20", "2025-10-03T02:30"),
        ("NORMAL", "2025-10-03T02:00", "2025-10-10T05:00", "2025-10-10T09:00"),
    ],
)
def test_time_to_sign_goes_by_urgency(urgency: str, accepted: str, remind: str, due: str) -> None:
    found = RULES.dues(about(urgency=Urgency(urgency)), at(accepted))
    assert found.sign == Due(at(remind), at(due))
    assert found.reply is None


@pytest.mark.parametrize(
    ("urgency", "remind", "due"),
    [
        ("EXTRA_URGENT", "2025-11-19T22:30", "2025-11-20T10:30"),  # half-way, it is that close
        ("URGENT", "2025-11-20T10:30", "2025-11-21T10:30"),
        ("NORMAL", "2025-11-25T10:30", "2025-11-26T10:30"),
    ],
)
def test_time_to_reply_goes_by_urgency(urgency: str, remind: str, due: str) -> None:
    found = RULES.dues(about(urgency=Urgency(urgency), reply_required=True), WEDNESDAY)
    assert found.reply == Due(at(remind), at(due))


@pytest.mark.parametrize(
    ("wanted", "due"),
    [
        ("2025-12-05", "2025-12-05T17:00"),
        ("2025-11-19", "2025-11-19T17:00"),  # the same day, before the offices close
        ("2025-11-23", "2025-11-23T17:00"),  # a Sunday, if the sender says so
        ("2025-11-18", "2025-11-26T10:30"),  # over already: as if none was given
        ("0001-01-01", "2025-11-26T10:30"),
    ],
)
def test_a_date_in_the_document_goes_before(wanted: str, due: str) -> None:
    found = RULES.dues(about(reply_required=True, reply_due=wanted), WEDNESDAY)
    assert found.reply is not None
    assert found.reply.due_at == at(due)


def test_after_the_offices_closed_that_day_is_over() -> None:
    evening = at("2025-11-19T17:00")
    found = RULES.dues(about(reply_required=True, reply_due="2025-11-19"), evening)
    assert found.reply is not None
    assert found.reply.due_at == at("2025-11-27T09:00")


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_end_of_the_calendar_is_no_fault(zone: str) -> None:
    last = about(reply_required=True, reply_due="9999-12-31")
    found = rules(time_zone=zone, closes="23:59").dues(last, WEDNESDAY)
    assert found.reply is not None
    assert found.reply.due_at > datetime(9998, 12, 31, tzinfo=UTC)


def test_a_reply_is_due_only_where_one_is_required() -> None:
    assert RULES.dues(about(reply_due="2025-12-05"), WEDNESDAY).reply is None


def test_emergencies_wait_for_the_offices_where_that_is_wanted() -> None:
    night = at("2025-11-19T22:00")
    urgent = about(urgency=Urgency.URGENT)
    waiting = rules(around_the_clock=False).dues(urgent, night)
    assert waiting.sign == Due(at("2025-11-20T10:30"), at("2025-11-20T11:00"))
    assert RULES.dues(urgent, night).sign == Due(at("2025-11-19T23:30"), at("2025-11-20T00:00"))


def test_there_may_be_no_deadline_or_no_reminder() -> None:
    none = rules(sign_normal="", remind_reply="").dues(about(reply_required=True), WEDNESDAY)
    assert none.sign is None
    assert none.reply == Due(at("2025-11-26T10:30"), at("2025-11-26T10:30"))


def test_days_of_the_centre_count() -> None:
    closed = rules(days_off=["2025-11-20"], workdays=["2025-11-22"], remind_sign_normal="1 h")
    on_friday = closed.dues(about(), at("2025-11-21T12:00"))
    assert on_friday.sign == Due(at("2025-11-22T11:00"), at("2025-11-22T12:00"))
    assert closed.dues(about(), WEDNESDAY).sign == Due(
        at("2025-11-21T09:30"), at("2025-11-21T10:30")
    )


LENGTHS = st.sampled_from(["1 s", "30 min", "99999 h", "1 workday", "40 workdays"])


@given(
    st.datetimes(datetime(2005, 1, 1), datetime(2027, 12, 1), timezones=st.just(UTC)),
    st.sampled_from(Urgency),
    st.none() | st.dates().map(lambda day: day.isoformat()),
    LENGTHS,
    LENGTHS,
    st.booleans(),
)
def test_no_deadline_lies_before_its_beginning(
    accepted_at: datetime,
    urgency: Urgency,
    reply_due: str | None,
    within: str,
    remind: str,
    around_the_clock: bool,
) -> None:
    accepted_at = accepted_at.replace(microsecond=accepted_at.microsecond // 1000 * 1000)
    chosen = rules(
        sign_normal=within,
        remind_sign_normal=remind,
        remind_reply=remind,
        around_the_clock=around_the_clock,
    )
    made = about(urgency=urgency, reply_required=True, reply_due=reply_due)
    found = chosen.dues(made, accepted_at)
    later = chosen.dues(made, accepted_at + timedelta(minutes=7))
    for due, after in ((found.sign, later.sign), (found.reply, later.reply)):
        assert due is not None
        assert after is not None
        assert accepted_at < due.remind_at < due.due_at
        assert due.due_at <= after.due_at


@pytest.mark.parametrize(
    "setting",
    [
        'sign_normal = "1 day"',
        'time_zone = "Asia/Qingdao"',
        'time_zone = "../../etc/passwd"',
        'country = "XX"',
        'opens = "9:00"',
        'opens = "25:00"',
        'opens = "17:00"',
        'days_off = ["2025-02-30"]',
        "interval_s = 0",
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f"{MINIMAL}[deadlines]\n{setting}\n")
    with pytest.raises(ConfigurationError) as caught:
        config.load(path)
    assert caught.value.attributes["field"].startswith("deadlines")


def test_a_host_that_knows_no_time_zones_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.toml"
    path.write_text(MINIMAL)
    monkeypatch.setattr(config, "ZoneInfo", zoneinfo.ZoneInfo.no_cache)
    zoneinfo.reset_tzpath(())
    try:
        found = config.load(path).deadlines.rules().dues(about(), WEDNESDAY)
        assert found.sign is not None
    finally:
        zoneinfo.reset_tzpath()


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        f'{MINIMAL}[deadlines]\nsign_normal = "5 s"\nremind_sign_normal = "3 s"\n'
        'days_off = ["2026-05-20"]\n'
    )
    found = config.load(path).deadlines.rules().dues(about(), WEDNESDAY)
    assert found.sign == Due(WEDNESDAY + timedelta(seconds=2), WEDNESDAY + timedelta(seconds=5))
    assert SHANGHAI.key == config.load(path).deadlines.time_zone
