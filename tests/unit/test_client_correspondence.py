"""Threads as trees, circulations as tables: what is worked out on the client's side."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from exchange_client import (
    Circulation,
    CirculationEntry,
    DeliveryStatus,
    Link,
    LinkKind,
    State,
    ThreadItem,
)
from exchange_client.cli.circulation import table_row
from exchange_client.cli.thread import DEEPEST, arranged, table_rows
from exchange_client.cli.words import Words
from hypothesis import given
from hypothesis import strategies as st

from document_exchange.errors import InternalError
from document_exchange.manifest import RecipientKind
from document_exchange.v1 import correspondence_pb2

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def status(recipient: str, state: State = State.PENDING, **more: object) -> DeliveryStatus:
    return DeliveryStatus(recipient=recipient, state=state, seq=0, updated_at=NOW, **more)  # type: ignore[arg-type]


def item(name: str, *earlier: str, kind: LinkKind = LinkKind.REPLY_TO) -> ThreadItem:
    return ThreadItem(
        envelope_id=name,
        sender="qd-caizheng",
        business="DOCUMENT",
        genre="LETTER",
        title=f"函{name}",
        doc_id="",
        number="",
        accepted_at=NOW,
        links=tuple(Link(kind, each) for each in earlier),
        standing={State.PENDING: 1},
        deliveries=(status("qd-jiaoyu"),),
    )


def drawn(*items: ThreadItem) -> list[str]:
    return [branches + each.envelope_id for branches, each in arranged(items)]


def test_each_answer_hangs_below_what_it_answers() -> None:
    thread = [
        item("a"),
        item("b", "a"),
        item("c", "a"),
        item("d", "b"),
        item("e", "b"),
        item("f", "c"),
        item("g", "elsewhere"),
    ]
    assert drawn(*thread) == [
        "a",
        "├─ b",
        "│  ├─ d",
        "│  └─ e",
        "└─ c",
        "   └─ f",
        "g",
    ]


def test_what_refers_to_several_hangs_below_the_latest() -> None:
    both = item("d", "c", "a")
    assert drawn(item("a"), item("b", "a"), item("c", "a"), both) == [
        "a",
        "├─ b",
        "└─ c",
        "   └─ d",
    ]


def test_a_deep_thread_stays_on_the_screen() -> None:
    chain = [item("0"), *(item(str(n), str(n - 1)) for n in range(1, 500))]
    tree = arranged(chain)
    assert [each.envelope_id for _, each in tree] == [str(n) for n in range(500)]
    assert max(len(branches) for branches, _ in tree) == 2 + 3 * DEEPEST
    assert tree[-1][0].startswith("… ")


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), max_size=30))
def test_every_envelope_is_drawn_once_and_after_what_it_refers_to(links: list[list[int]]) -> None:
    thread = [
        item(str(place), *(str(earlier) for earlier in set(named) if earlier < place))
        for place, named in enumerate(links)
    ]
    order = [each.envelope_id for _, each in arranged(thread)]
    assert sorted(order) == sorted(each.envelope_id for each in thread)
    for each in thread:
        named = [link.envelope_id for link in each.links]
        if named:
            assert order.index(max(named, key=int)) < order.index(each.envelope_id)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_links_are_said_by_number_inside_the_thread(language: str) -> None:
    words = Words(language)
    for kind in LinkKind:
        first, second = table_rows([item("a"), item("b", "a", "outside", kind=kind)], words)
        assert (first["place"], first["links"]) == (1, [])
        (inside, outside) = second["links"]
        assert inside == outside.replace("outside", "1") != "1"
        assert "link_" not in inside


def test_many_recipients_are_counted() -> None:
    units = [f"unit-{n}" for n in range(5)]
    several = replace(item("a"), deliveries=tuple(map(status, units)), standing={State.PENDING: 5})
    (row,) = table_rows([several], Words("en"))
    assert row["parties"] == "qd-caizheng -> unit-0, unit-1, unit-2 and 2 more"
    (row,) = table_rows([several], Words("zh"))
    assert row["parties"] == "qd-caizheng -> unit-0, unit-1, unit-2 等 5 个单位"
    (row,) = table_rows([replace(several, deliveries=())], Words("en"))
    assert row["parties"] == "qd-caizheng -> 5 units"


def test_a_link_of_a_later_version_is_named() -> None:
    with pytest.raises(InternalError, match="link 99"):
        Link.of(correspondence_pb2.Link(kind=99, envelope_id="x"))  # type: ignore[arg-type]


def test_kinds_of_links_are_those_of_the_wire() -> None:
    wire = correspondence_pb2.LinkKind.DESCRIPTOR
    names = {name.removeprefix("LINK_KIND_") for name in wire.values_by_name}
    assert {kind.value for kind in LinkKind} == names - {"UNSPECIFIED"}


SIGN, REPLY = NOW + timedelta(days=1), NOW + timedelta(days=9)


def entry(state: State, *, answered: bool = False, **more: object) -> CirculationEntry:
    return CirculationEntry(
        status=status("qd-jiaoyu", state, sign_due=SIGN, reply_due=REPLY, **more),
        recipient_kind="TO",
        signed_for_at=NOW if state in (State.SIGNED_FOR, State.COMPLETED) else None,
        answered_at=NOW if answered else None,
        answered_by="x" if answered else "",
    )


@pytest.mark.parametrize(
    ("shown", "due"),
    [
        (entry(State.PENDING), SIGN),
        (entry(State.DELIVERED), SIGN),
        (entry(State.SIGNED_FOR), REPLY),
        (entry(State.SIGNED_FOR, answered=True), None),
        (entry(State.DELIVERED, answered=True), SIGN),
        (entry(State.COMPLETED), None),
        (entry(State.REFUSED), None),
        (entry(State.PENDING, replaced_by="y"), None),
    ],
)
def test_due_is_what_is_still_to_be_done(shown: CirculationEntry, due: datetime | None) -> None:
    assert shown.due == due


def test_a_circulation_is_counted() -> None:
    entries = (
        entry(State.SIGNED_FOR, answered=True),
        entry(State.COMPLETED),
        entry(State.PENDING, overdue=True),
        entry(State.DELIVERED, answered=True),
    )
    found = Circulation("e", "qd-caizheng", "函", entries)
    assert (found.signed, found.answered, found.late) == (2, 2, 1)
    assert [table_row(each, "late")["late"] for each in entries] == ["", "", "late", ""]


@pytest.mark.parametrize("kind", list(RecipientKind))
def test_kinds_of_recipients_have_words(kind: RecipientKind) -> None:
    assert Words("zh")(kind.value) in ("主送", "抄送")
    assert Words("en")(kind.value) != kind.value
