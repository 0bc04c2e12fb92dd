"""CheckRoute: each step that a submission has to pass, and to whom which side is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from document_exchange import identity
from document_exchange.errors import InvalidRequest, NotFound, NotPermitted
from exchange_runtime.values import Principal
from exchange_server.quotas import Standing
from exchange_server.registry import Certificate, Registry, RegistryFollower, System, Unit
from exchange_server.route_check import Answer, Question, RouteChecker
from exchange_server.routes import Route

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
HERE, THERE, CLOSED = "qd-caizheng", "qd-jiaoyu", "qd-jiaonan"


def unit(unit_id: str, status: str = "ACTIVE", successor: str = "") -> Unit:
    return Unit(
        unit_id, "", "", "", "DEPARTMENT", "", "", "", (), ("g",), (), status, "", successor
    )


def certificate(path: str, end: timedelta = DAY, *, revoked: bool = False) -> Certificate:
    return Certificate(f"spiffe://exchange.example/unit/{path}", "", NOW - DAY, NOW + end, revoked)


START = Registry(
    version=1,
    units={
        each.unit_id: each
        for each in (unit(HERE), unit(THERE), unit(CLOSED, "CLOSED", successor="qd-huangdao"))
    },
    certificates={
        b"1": certificate(f"{HERE}/system/oa"),
        b"2": certificate(f"{HERE}/seal/main"),
        b"3": certificate(f"{THERE}/system/archive"),
        b"4": certificate(f"{HERE}/seal/old", -timedelta(hours=1)),
        b"5": certificate(f"{HERE}/seal/lost", revoked=True),
    },
    businesses=frozenset({"DOCUMENT"}),
    routes=(Route("letters", "ALLOW", "group:g", "group:g", "DOCUMENT", "LETTER", "*", "at ease"),),
)


def principal(path: str = f"unit/{HERE}/system/oa") -> Principal:
    holder = identity.parse(f"spiffe://exchange.example/{path}")
    return Principal(holder, b"", NOW - DAY, NOW + DAY, "")


STAFF = principal("staff/wang")
LETTER = Question(THERE, genre="LETTER")


@dataclass
class Centre:
    """A registry and what is left of the sender's quotas."""

    registry: Registry = START
    left: list[Standing] = field(default_factory=list)

    async def registry_version(self) -> tuple[int, datetime]:
        return 1, datetime.now(UTC)

    async def load_registry(self) -> Registry:
        return self.registry

    async def standing(self, unit_id: str) -> Sequence[Standing]:
        assert unit_id == HERE
        return self.left

    async def check(self, who: Principal, question: Question) -> Answer:
        follower = RegistryFollower(self, interval_s=3600)
        await follower.start()
        try:
            return await RouteChecker(follower, lambda: NOW, self.standing).check(who, question)
        finally:
            await follower.stop()


@pytest.fixture
def centre() -> Centre:
    return Centre()


def steps(answer: Answer) -> dict[str, tuple[bool, str]]:
    return {step.name: (step.passed, step.detail) for step in answer.steps}


async def test_what_is_allowed_names_its_rule(centre: Centre) -> None:
    answer = await centre.check(principal(), LETTER)
    assert answer.allowed
    assert answer.route_id == "letters"
    assert answer.reason == "rule letters allows group:g to group:g: at ease"
    until = f"until {NOW + DAY:%Y-%m-%d %H:%M} UTC"
    assert steps(answer) == {
        "sender": (True, f"{HERE} is active"),
        "certificates": (True, f"valid system certificates: oa {until}; valid seals: main {until}"),
        "quota": (True, "there are no limits"),
        "business": (True, "DOCUMENT is in the registry"),
        "recipient": (True, f"{THERE} can be addressed"),
        "rule": (True, answer.reason),
    }


async def test_what_is_denied_names_the_rules_that_there_are(centre: Centre) -> None:
    answer = await centre.check(principal(), Question(THERE, genre="NOTICE", direction="DOWN"))
    assert not answer.allowed
    assert answer.route_id == ""
    assert answer.reason == (
        f"no rule lets {HERE} send DOCUMENT NOTICE DOWN to {THERE}. Rules between the two: "
        "letters (ALLOW group:g to group:g: DOCUMENT, LETTER, any direction (at ease))"
    )


@pytest.mark.parametrize(
    ("change", "failed", "why"),
    [
        ({"units": {**START.units, HERE: unit(HERE, "SUSPENDED")}}, "sender", "is suspended"),
        (
            {"systems": {(HERE, "oa"): System(HERE, "oa", "", "", "SUSPENDED")}},
            "sender",
            "system oa is suspended",
        ),
        (
            {"certificates": {k: v for k, v in START.certificates.items() if k != b"2"}},
            "certificates",
            "valid seals: none",
        ),
        ({"businesses": frozenset({"DATA"})}, "business", "DOCUMENT is not in the registry"),
        (
            {"units": {**START.units, THERE: unit(THERE, "CLOSED")}},
            "recipient",
            f"{THERE} can't be addressed: the unit is closed",
        ),
    ],
)
async def test_each_step_can_fail(
    centre: Centre, change: dict[str, Any], failed: str, why: str
) -> None:
    centre.registry = replace(START, **change)
    answer = await centre.check(principal(), LETTER)
    assert not answer.allowed
    assert why in answer.reason
    assert steps(answer)[failed] == (False, answer.reason)


async def test_another_system_that_is_shut_out_is_not_the_callers_matter(centre: Centre) -> None:
    systems = {(HERE, "archive"): System(HERE, "archive", "", "", "CLOSED")}
    centre.registry = replace(START, systems=systems)
    assert (await centre.check(principal(), LETTER)).allowed
    told = steps(await centre.check(STAFF, replace(LETTER, sender=HERE)))
    assert told["sender"] == (True, f"{HERE} is active; system archive is closed")


async def test_a_quota_that_is_used_up_fails_unless_it_is_of_streams(centre: Centre) -> None:
    centre.left = [Standing("open_streams", 4, 0), Standing("bytes_per_minute", 1000, 1)]
    answer = await centre.check(principal(), LETTER)
    assert steps(answer)["quota"] == (
        True,
        "0 of 4 open_streams left; 1 of 1000 bytes_per_minute left",
    )
    centre.left = [Standing("bytes_per_minute", 1000, 0)]
    answer = await centre.check(principal(), LETTER)
    assert (answer.allowed, answer.reason) == (False, "0 of 1000 bytes_per_minute left")


async def test_a_unit_learns_of_a_recipient_only_whether_it_can_be_addressed(
    centre: Centre,
) -> None:
    centre.registry = replace(
        START,
        units={**START.units, THERE: unit(THERE, "SUSPENDED")},
        systems={(THERE, "oa"): System(THERE, "oa", "", "", "CLOSED")},
    )
    own = steps(await centre.check(principal(), LETTER))
    assert own["recipient"] == (True, f"{THERE} can be addressed")
    passed, told = steps(await centre.check(STAFF, replace(LETTER, sender=HERE)))["recipient"]
    assert passed
    assert told == (
        f"{THERE} can be addressed; it is suspended, so what is sent waits; system oa is closed; "
        f"valid system certificates: archive until {NOW + DAY:%Y-%m-%d %H:%M} UTC; "
        "valid seals: none"
    )


async def test_who_does_not_exist_or_is_closed_can_not_be_addressed(centre: Centre) -> None:
    unknown = steps(await centre.check(principal(), Question("qd-nowhere")))
    closed = steps(await centre.check(principal(), Question(CLOSED)))
    assert unknown["recipient"] == (
        False,
        "qd-nowhere can't be addressed: there is no such unit",
    )
    assert closed["recipient"] == (
        False,
        f"{CLOSED} can't be addressed: the unit is closed; write to its successor qd-huangdao",
    )
    assert unknown["rule"] == closed["rule"]
    assert not unknown["rule"][0]


@pytest.mark.parametrize(
    ("who", "question", "error", "field"),
    [
        (principal(), replace(LETTER, sender=THERE), NotPermitted, "sender"),
        (principal(), replace(LETTER, sender="qd-nowhere"), NotPermitted, "sender"),
        (STAFF, LETTER, InvalidRequest, "sender"),
        (STAFF, replace(LETTER, sender="qd-nowhere"), NotFound, "unit"),
        (principal(), Question("QD-X"), InvalidRequest, "recipient"),
        (principal(), replace(LETTER, business="document"), InvalidRequest, "business"),
        (principal(), replace(LETTER, genre="POEM"), InvalidRequest, "genre"),
        (principal(), replace(LETTER, direction="SIDEWAYS"), InvalidRequest, "direction"),
    ],
)
async def test_other_questions_are_refused(
    centre: Centre, who: Principal, question: Question, error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as refused:
        await centre.check(who, question)
    assert field in {*refused.value.attributes, refused.value.attributes.get("field")}  # type: ignore[attr-defined]


async def test_a_unit_may_name_itself_and_reaches_itself(centre: Centre) -> None:
    answer = await centre.check(principal(), Question(HERE, sender=HERE))
    assert (answer.allowed, answer.route_id) == (True, "self")
