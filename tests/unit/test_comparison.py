"""What changes would make of the registry, and what is refused whoever asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from document_exchange.entries import (
    BusinessEntry,
    Entry,
    GroupEntry,
    QuotaEntry,
    RegionEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.entry_changes import MOST_MEMBERS, Verb
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Refused,
    RoleConflict,
)
from exchange_server.administration import Comparer
from exchange_server.changes import Change, Entries, put
from exchange_server.comparison import compare


def unit(unit_id: str, code: str, **more: Any) -> UnitEntry:
    values: dict[str, Any] = {"kind": "OFFICE", "status": "ACTIVE", **more}
    return UnitEntry(
        unit_id=unit_id,
        name_zh="名",
        name_en="Name",
        short_zh="名",
        organisation_code=code,
        **values,
    )


def staff(name: str, person: str, role: Any = "security", status: str = "ACTIVE") -> StaffEntry:
    return StaffEntry(name=name, person=person, full_name="某", role=role, status=status)


OFFICE = unit("office", "900000014", groups=("all",), issuer_marks=("青办",))
COURT = unit("court", "900000022", groups=("all", "courts"))
GONE = unit("gone", "900000030", status="CLOSED", groups=("all",))
LI, WANG = staff("li", "S-1"), staff("wang", "S-2", "operator")
RULE = RouteEntry(route_id="courts", effect="DENY", sender="group:courts", recipient="*")
REGION = RegionEntry(code="370200", name_zh="青岛", name_en="Qingdao")
DOCUMENT = BusinessEntry(code="DOCUMENT", name_zh="公文", name_en="Documents")
ALL = GroupEntry(group_id="all", name_zh="全体", name_en="All")


def registry(*more: Entry) -> Entries:
    found = (OFFICE, COURT, GONE, LI, WANG, RULE, REGION, DOCUMENT, ALL, *more)
    return Entries(1, {(each.family, each.key): each for each in found})


def change(verb: Verb, kind: str, key: str, successor: str = "") -> Change:
    return Change(verb=verb, kind=kind, key=key, successor=successor)


def told(before: Entries, changes: Sequence[Change]) -> list[str]:
    return [str(each) for each in compare(before, changes)]


def with_(entry: Entry, **fields: Any) -> Change:
    return put(msgspec.structs.replace(entry, **fields))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ([put(OFFICE), put(ALL), put(LI)], []),
        ([with_(OFFICE, contact="王")], ["unit office: contact none -> 王"]),
        ([with_(OFFICE, contact="王"), put(OFFICE)], []),
        ([with_(OFFICE, groups=("zz", "all", "zz"))], ["unit office: groups all -> all zz"]),
        ([with_(OFFICE, status="")], []),
        ([change(Verb.SUSPEND, "unit", "office")], ["unit office: status ACTIVE -> SUSPENDED"]),
        ([change(Verb.RESUME, "unit", "office")], []),
        ([change(Verb.CLOSE, "unit", "gone")], []),
        (
            [change(Verb.CLOSE, "unit", "gone", successor="office")],
            ["unit gone: successor none -> office"],
        ),
        (
            [change(Verb.CLOSE, "unit", "court", successor="office")],
            ["unit court: status ACTIVE -> CLOSED, successor none -> office"],
        ),
        ([change(Verb.SUSPEND, "system", "office/oa")], ["system office/oa: new"]),
        ([change(Verb.SUSPEND, "staff", "wang")], ["staff wang: status ACTIVE -> SUSPENDED"]),
        ([change(Verb.REMOVE, "route", "courts")], ["route courts: removed"]),
        (
            [with_(ALL, members=("court",))],
            ["unit office: groups all -> none"],
        ),
        ([with_(ALL, name_en="Everybody")], ["group all: name_en All -> Everybody"]),
        (
            [change(Verb.REMOVE, "group", "all")],
            [
                "unit court: groups all courts -> courts",
                "unit gone: groups all -> none",
                "unit office: groups all -> none",
                "group all: removed",
            ],
        ),
        # A person may change roles, by another name and once the first one is closed.
        (
            [change(Verb.CLOSE, "staff", "wang"), put(staff("wang-2", "S-2"))],
            ["staff wang: status ACTIVE -> CLOSED", "staff wang-2: new"],
        ),
        (
            [put(staff("zhao", "S-3")), change(Verb.CLOSE, "staff", "li")],
            ["staff li: status ACTIVE -> CLOSED", "staff zhao: new"],
        ),
    ],
)
def test_what_differs_is_told(changes: list[Change], lines: list[str]) -> None:
    assert told(registry(), changes) == lines


@pytest.mark.parametrize(
    ("changes", "refusal", "named"),
    [
        # 1. closed for ever
        ([change(Verb.RESUME, "unit", "gone")], Refused, "closed"),
        ([change(Verb.SUSPEND, "unit", "gone")], Refused, "closed"),
        ([with_(GONE, status="ACTIVE")], Refused, "closed"),
        (
            [change(Verb.CLOSE, "staff", "wang"), change(Verb.RESUME, "staff", "wang")],
            Refused,
            "closed",
        ),
        # 2. nobody holds two roles
        ([with_(WANG, role="security")], RoleConflict, "never becomes security"),
        ([with_(WANG, person="S-9")], RoleConflict, "passes to nobody else"),
        ([put(staff("wang-2", "S-2", "auditor"))], RoleConflict, "nobody has two names"),
        ([put(staff("wang-2", "s-2", "operator"))], RoleConflict, "nobody has two names"),
        ([put(staff("x", "S-7")), put(staff("y", "S-7"))], RoleConflict, "nobody has two names"),
        (
            [put(staff("x", "S-2", "auditor", "SUSPENDED"))],
            RoleConflict,
            "nobody has two names",
        ),
        # 3. the last of security staff
        ([change(Verb.SUSPEND, "staff", "li")], Refused, "last active"),
        ([change(Verb.CLOSE, "staff", "li")], Refused, "last active"),
        ([with_(LI, status="SUSPENDED")], Refused, "last active"),
        # 4. what is named is there
        ([with_(OFFICE, region="370299")], InvalidRequest, "370299"),
        ([with_(OFFICE, acts_for=("nobody",))], InvalidRequest, "nobody"),
        ([with_(OFFICE, acts_for=("office",))], InvalidRequest, "itself"),
        ([with_(OFFICE, successor="court")], InvalidRequest, "is for a unit that is closed"),
        ([change(Verb.CLOSE, "unit", "court", successor="gone")], InvalidRequest, "closed itself"),
        ([change(Verb.CLOSE, "unit", "court", successor="nobody")], InvalidRequest, "no unit"),
        ([put(unit("twin", "900000014"))], InvalidRequest, "office"),
        (
            [put(unit("twin", "", credit_code="11370200QD0010790B")), put(unit("t2", "QD0010790"))],
            InvalidRequest,
            "QD0010790",
        ),
        ([put(SystemEntry(unit_id="nobody", name="oa"))], InvalidRequest, "nobody"),
        ([put(QuotaEntry(unit_id="nobody"))], InvalidRequest, "nobody"),
        ([with_(RULE, sender="unit:nobody")], InvalidRequest, "nobody"),
        ([with_(RULE, recipient="group:nobody")], InvalidRequest, "nobody"),
        ([with_(RULE, business="DATA")], InvalidRequest, "DATA"),
        ([with_(ALL, members=("nobody",))], InvalidRequest, "nobody"),
        ([with_(ALL, members=("gone",))], InvalidRequest, "closed"),
        # verbs and keys
        ([change(Verb.SUSPEND, "route", "courts")], InvalidRequest, "SUSPEND"),
        ([change(Verb.CLOSE, "group", "all")], InvalidRequest, "CLOSE"),
        ([change(Verb.REMOVE, "unit", "office")], InvalidRequest, "REMOVE"),
        ([change(Verb.REMOVE, "staff", "li")], InvalidRequest, "REMOVE"),
        ([change(Verb.SUSPEND, "unit", "nobody")], NotFound, "nobody"),
        ([change(Verb.RESUME, "system", "office/oa")], NotFound, "office/oa"),
        ([change(Verb.CLOSE, "system", "nobody/oa")], InvalidRequest, "nobody"),
        ([change(Verb.REMOVE, "quota", "office")], NotFound, "office"),
    ],
)
def test_what_must_not_be_is_refused(
    changes: list[Change], refusal: type[ExchangeError], named: str
) -> None:
    with pytest.raises(refusal, match=named):
        compare(registry(), changes)


def test_a_group_that_a_rule_names_stays() -> None:
    """Else the rule would say less than it seems to."""
    courts = GroupEntry(group_id="courts", name_zh="法院", name_en="Courts")
    remove = change(Verb.REMOVE, "group", "courts")
    with pytest.raises(InvalidRequest, match="courts"):
        compare(registry(courts), [remove])
    rule = change(Verb.REMOVE, "route", "courts")
    assert told(registry(courts), [rule, remove])[-1] == "route courts: removed"


def test_a_refusal_says_which_change_is_at_fault() -> None:
    with pytest.raises(NotFound) as refused:
        compare(registry(), [put(OFFICE), change(Verb.SUSPEND, "unit", "nobody")])
    assert refused.value.attributes["change"] == "1"


def test_events_tell_of_each_field_before_and_after() -> None:
    (renamed,) = compare(registry(), [with_(OFFICE, name_en="Court", contact="王")])
    assert renamed.detail() == {
        "kind": "unit",
        "key": "office",
        "name_en_before": "Name",
        "name_en_after": "Court",
        "contact_before": "",
        "contact_after": "王",
    }
    (made,) = compare(registry(), [put(QuotaEntry(unit_id="*", open_streams=3))])
    assert made.detail() == {
        "kind": "quota",
        "key": "*",
        "unit_id_after": "*",
        "calls_per_minute_after": "0",
        "submissions_per_minute_after": "0",
        "bytes_per_minute_after": "0",
        "bytes_in_flight_after": "0",
        "open_streams_after": "3",
    }
    (removed,) = compare(registry(), [change(Verb.REMOVE, "route", "courts")])
    assert removed.detail()["sender_before"] == "group:courts"
    assert not any(name.endswith("_after") for name in removed.detail())


def test_a_change_is_the_same_after_json() -> None:
    """As proposals keep it."""
    changes = [put(each) for each in registry().by_key.values()]
    changes.append(change(Verb.CLOSE, "unit", "court", successor="office"))
    assert msgspec.json.decode(msgspec.json.encode(changes), type=list[Change]) == changes


@pytest.mark.parametrize("entry", [OFFICE, SystemEntry(unit_id="office", name="oa"), WANG])
def test_staff_change_a_status_by_verbs_alone(entry: Entry) -> None:
    """So that what was read before a suspension and is put back does not lift it."""
    suspended = msgspec.structs.replace(entry, status="SUSPENDED")
    before = registry(suspended)
    for role in ("operator", "security"):
        for status in ("ACTIVE", "CLOSED"):
            with pytest.raises(Refused, match="is SUSPENDED: a put does not change that"):
                compare(before, [with_(entry, status=status)], role)
        for status in ("", "SUSPENDED"):
            assert compare(before, [with_(entry, status=status)], role) == []
    # The owner's file says what it says.
    assert len(compare(before, [with_(entry, status="ACTIVE")])) == 1
    new = unit("new", "900000049", status="SUSPENDED")
    assert [str(each) for each in compare(registry(), [put(new)], "operator")] == ["unit new: new"]


def test_members_follow_each_change_of_the_same_call() -> None:
    """What a group's members are is known at every step, not only at the first."""
    courts = GroupEntry(group_id="courts", name_zh="法院", name_en="Courts", members=("office",))
    changes = [
        put(courts),
        with_(OFFICE, groups=("courts", "all")),
        with_(courts, members=("court", "office")),
        with_(COURT, groups=("courts",)),
        with_(courts, members=("court",)),
        with_(OFFICE, groups=("all", "new")),
        put(GroupEntry(group_id="new", name_zh="新", name_en="New", members=("court",))),
    ]
    assert told(registry(), changes) == [
        "unit court: groups all courts -> courts new",
        "group courts: new",
        "group new: new",
    ]


def test_members_are_limited_in_all() -> None:
    whole = with_(ALL, members=("office",) * (MOST_MEMBERS // 2))
    compare(registry(), [whole] * 2)
    with pytest.raises(LimitExceeded, match="20001 members together"):
        compare(registry(), [*[whole] * 2, with_(ALL, members=("office",))])


class Waiting(list[Change]):
    """Changes that are compared no further until they may be."""

    def __init__(self, *changes: Change) -> None:
        super().__init__(changes)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __iter__(self) -> Iterator[Change]:
        self.begun.set()
        assert self.go_on.wait(10), "whoever waits for this was held up by it"
        return super().__iter__()


async def test_a_large_comparison_holds_up_nobody_else() -> None:
    """And one that comes meanwhile waits for its turn."""
    comparer = Comparer()
    first, second = Waiting(put(OFFICE)), Waiting(with_(OFFICE, contact="王"))
    async with asyncio.TaskGroup() as group:
        one = group.create_task(comparer.compare(registry(), first, "operator"))
        two = group.create_task(comparer.compare(registry(), second, "operator"))
        assert await asyncio.to_thread(first.begun.wait, 10)
        second.go_on.set()
        assert not second.begun.wait(0.05)
        first.go_on.set()
    assert one.result() == ([], ())
    assert [each.field for each in two.result()[1]] == ["contact"]
