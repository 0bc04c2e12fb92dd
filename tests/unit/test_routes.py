"""Routes: the most specific rule decides, whatever the order; without a rule the answer is no."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from document_exchange import identity
from document_exchange.errors import ManifestRefused, NotPermitted, RecipientsRefused
from document_exchange.manifest import Genre
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.registry import Registry, Unit
from exchange_server.routes import ALLOW, DENY, SELF, Party, Route, RouteTable
from tests.real_centre import SENDER, document, envelope, part, recipients

NOW = datetime(2026, 11, 20, tzinfo=UTC)
UNITS, GROUPS = ("a1", "a2", "a3"), ("g1", "g2", "g3")
BUSINESSES, GENRES, DIRECTIONS = ("DOCUMENT", "DATA"), ("NOTICE", "NONE"), ("UP", "DOWN")

patterns = st.sampled_from(
    ["*", *(f"unit:{unit}" for unit in UNITS), *(f"group:{group}" for group in GROUPS)]
)
parties = st.builds(
    Party,
    st.sampled_from(UNITS),
    st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
)
kinds = st.tuples(*map(st.sampled_from, (BUSINESSES, GENRES, DIRECTIONS)))


def one_of(names: Sequence[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(("*", *names))


rule = st.builds(
    Route,
    route_id=st.just(""),
    effect=st.sampled_from([ALLOW, DENY]),
    sender=patterns,
    recipient=patterns,
    business=one_of(BUSINESSES),
    genre=one_of(GENRES),
    direction=one_of(DIRECTIONS),
    note=st.just(""),
)


@st.composite
def rules(draw: st.DrawFn) -> list[Route]:
    """Some rules, named in any order."""
    drawn = draw(st.lists(rule, max_size=25))
    names = draw(st.permutations([f"r{number:02d}" for number in range(len(drawn))]))
    return [replace(each, route_id=name) for each, name in zip(drawn, names, strict=True)]


def rank(pattern: str, party: Party) -> int | None:
    """How specific a pattern names a party; None: not at all."""
    kind, _, name = pattern.partition(":")
    if kind == "unit":
        return 2 if name == party.unit_id else None
    if kind == "group":
        return 1 if name in party.groups else None
    return 0


def expected(
    routes: Sequence[Route], sender: Party, recipient: Party, kind: tuple[str, ...]
) -> Route | None:
    """The definition, word by word, looking at every rule."""
    best: list[tuple[tuple[object, ...], str, Route]] = []
    for route in routes:
        ranks = rank(route.sender, sender), rank(route.recipient, recipient)
        named = (route.business, route.genre, route.direction)
        if None in ranks or any(n not in ("*", k) for n, k in zip(named, kind, strict=True)):
            continue
        key = (*ranks, *(name != "*" for name in named), route.effect == DENY)
        best.append((key, route.route_id, route))
    if not best:
        return None
    most = max(key for key, _, _ in best)
    return min((name, route) for key, name, route in best if key == most)[1]


@given(routes=rules(), sender=parties, recipient=parties, kind=kinds)
def test_the_most_specific_rule_decides(
    routes: list[Route], sender: Party, recipient: Party, kind: tuple[str, str, str]
) -> None:
    decision = RouteTable(routes).decide(sender, recipient, *kind)
    if sender.unit_id == recipient.unit_id:
        assert (decision.allowed, decision.route_id) == (True, SELF)
        return
    rule = expected(routes, sender, recipient, kind)
    if rule is None:
        assert (decision.allowed, decision.route_id) == (False, "")
    else:
        assert (decision.allowed, decision.route_id) == (rule.effect == ALLOW, rule.route_id)
    assert decision.route_id in decision.reason


@given(data=st.data(), routes=rules(), sender=parties, recipient=parties, kind=kinds)
def test_the_order_of_rules_and_groups_never_matters(
    data: st.DataObject,
    routes: list[Route],
    sender: Party,
    recipient: Party,
    kind: tuple[str, str, str],
) -> None:
    shuffled = data.draw(st.permutations(routes))
    turned = Party(sender.unit_id, tuple(reversed(sender.groups)))
    one, other = RouteTable(routes), RouteTable(shuffled)
    assert one.decide(sender, recipient, *kind) == other.decide(turned, recipient, *kind)
    assert one.between(sender, recipient) == other.between(turned, recipient)


@given(routes=rules(), sender=parties, recipient=parties)
def test_the_rules_between_two_are_those_that_can_decide(
    routes: list[Route], sender: Party, recipient: Party
) -> None:
    """In an order in which the first that fits is the one that decides."""
    table = RouteTable(routes)
    between = table.between(sender, recipient)
    for kind in product(BUSINESSES, GENRES, DIRECTIONS):
        fits = (
            route
            for route in between
            if all(
                n in ("*", k)
                for n, k in zip((route.business, route.genre, route.direction), kind, strict=True)
            )
        )
        assert next(fits, None) == expected(routes, sender, recipient, kind)


def test_without_rules_a_unit_writes_to_itself_alone() -> None:
    table = RouteTable([])
    one, other = Party("a1", ("g1",)), Party("a2", ("g1",))
    assert table.decide(one, one, "DOCUMENT", "LETTER", "PARALLEL").allowed
    denied = table.decide(one, other, "DOCUMENT", "LETTER", "PARALLEL")
    assert not denied.allowed
    assert denied.reason == "no rule lets a1 send DOCUMENT LETTER PARALLEL to a2"


def test_no_rule_forbids_a_unit_to_write_to_itself() -> None:
    everything = Route("no", DENY, "*", "*", "*", "*", "*", "")
    assert RouteTable([everything]).decide(Party("a1", ()), Party("a1", ()), "X", "Y", "Z").allowed


def test_a_decision_about_500_recipients_takes_less_than_a_tenth_of_a_second() -> None:
    """Under hundreds of rules, with units in several groups: 0.2 ms a recipient would be slow."""
    names = [f"u-{number}" for number in range(500)]
    groups = [f"group:g-{number}" for number in range(10)]
    sides = ["*", *groups, *(f"unit:{name}" for name in names[:10])]
    routes = [
        Route(f"r-{n}", ALLOW, sender, recipient, "DATA", "NONE", "UP", "")
        for n, (sender, recipient) in enumerate(product(sides, sides))
    ]
    assert len(routes) > 400
    table = RouteTable(routes)
    party = [
        Party(name, tuple(f"g-{(n + k) % 10}" for k in range(4))) for n, name in enumerate(names)
    ]
    start = time.perf_counter()
    allowed = [table.decide(party[0], each, "DOCUMENT", "NOTICE", "DOWN").allowed for each in party]
    seconds = time.perf_counter() - start
    assert sum(allowed) == 1, "itself"
    assert seconds < 0.1, f"{seconds / len(party) * 1e6:.0f} us for each of {len(party)} recipients"


# -- what policy makes of it


def unit(unit_id: str, *groups: str, status: str = "ACTIVE", successor: str = "") -> Unit:
    return Unit(
        unit_id, "", "", "", "DEPARTMENT", "", "", "", (), groups, (), status, "", successor
    )


def registry(*routes: Route) -> Registry:
    units = [
        unit(SENDER, "departments"),
        unit("qd-jiaoyu", "departments"),
        unit("qd-laoshan", "districts"),
        unit("qd-jiaonan", "districts", status="CLOSED", successor="qd-huangdao"),
        unit("qd-sifang", "districts", status="CLOSED"),
        unit("qd-shinan", "districts", status="SUSPENDED"),
    ]
    return Registry(
        1, {each.unit_id: each for each in units}, {}, frozenset({"DOCUMENT"}), routes=routes
    )


LETTERS = Route("letters", ALLOW, "*", "*", "*", "LETTER", "*", "")
NOT_TO_DISTRICTS = Route(
    "not-to-districts", DENY, "group:departments", "group:districts", "*", "*", "*", "ask"
)
PRINCIPAL = Principal(
    identity.parse(f"spiffe://exchange.example/unit/{SENDER}/system/oa"), b"", NOW, NOW, ""
)


def faults(known: Registry, *to: str, genre: Genre = Genre.LETTER) -> dict[str, str]:
    """What is said of each recipient that is refused."""
    sent = envelope(
        [part(b"x")],
        recipients=recipients(to),
        document=msgspec.structs.replace(document(), genre=genre),
    )
    try:
        policy.check_submission(known, PRINCIPAL, sent)
    except RecipientsRefused as error:
        return dict(error.attributes)
    return {}


def test_each_recipient_that_is_refused_has_its_reason() -> None:
    known = registry(LETTERS, NOT_TO_DISTRICTS)
    assert faults(known, "qd-jiaoyu") == {}
    found = faults(known, "qd-jiaoyu", "qd-laoshan", "qd-jiaonan", "qd-sifang", "qd-nowhere")
    assert found == {
        "qd-laoshan": "rule not-to-districts denies group:departments to group:districts: ask",
        "qd-jiaonan": "the unit is closed; write to its successor qd-huangdao",
        "qd-sifang": "the unit is closed",
        "qd-nowhere": "there is no such unit",
    }
    assert faults(known, "qd-jiaoyu", genre=Genre.NOTICE) == {
        "qd-jiaoyu": f"no rule lets {SENDER} send DOCUMENT NOTICE PARALLEL to qd-jiaoyu"
    }


def test_a_suspended_recipient_is_refused_by_rules_alone() -> None:
    assert faults(registry(LETTERS), "qd-shinan") == {}
    assert set(faults(registry(LETTERS, NOT_TO_DISTRICTS), "qd-shinan")) == {"qd-shinan"}


def test_a_rule_is_about_who_sends_and_not_for_whom() -> None:
    """Whoever acts for an issuer sends by its own routes."""
    own = Route("own", DENY, f"unit:{SENDER}", "*", "*", "*", "*", "")
    known = registry(LETTERS, own)
    acting = replace(known.units[SENDER], acts_for=("qd-jiaoyu",))
    known = replace(known, units={**known.units, SENDER: acting})
    sent = envelope(
        [part(b"x")], recipients=recipients(["qd-laoshan"]), document=document(["qd-jiaoyu"])
    )
    with pytest.raises(RecipientsRefused, match="rule own denies"):
        policy.check_submission(known, PRINCIPAL, sent)
    policy.check_submission(replace(known, routes=(LETTERS,)), PRINCIPAL, sent)


def test_other_refusals_come_before_routes() -> None:
    sent = envelope([part(b"x")], document=document(["qd-jiaoyu"]))
    with pytest.raises(NotPermitted, match="does not act for qd-jiaoyu"):
        policy.check_submission(registry(), PRINCIPAL, sent)
    with pytest.raises(ManifestRefused, match="not in the registry"):
        policy.check_submission(replace(registry(), businesses=frozenset()), PRINCIPAL, sent)
