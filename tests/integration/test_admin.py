"""Administration on a real centre: who may change what, at once or by two, and what is recorded."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    Refused,
    RoleConflict,
    SecondPersonNeeded,
    StaffNotActive,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    exchange_pb2,
)
from document_exchange.v1.admin_pb2 import (
    VERB_CLOSE,
    VERB_PUT,
    VERB_REMOVE,
    VERB_RESUME,
    VERB_SUSPEND,
)
from tests.admin_desk import (
    Desk,
    a_person,
    a_route,
    a_unit,
    answer,
    change,
    denied,
    desk,
    identity_of,
    name_of,
    of_staff,
    of_system,
    of_unit,
    put,
    recorded,
    with_,
)
from tests.pki_for_tests import Holder
from tests.real_centre import CentreInside, admitted, now

AT_ONCE_S = 2.0


@pytest.fixture(scope="module")
async def operator(local_centre: LocalCentre) -> AsyncIterator[Desk]:
    async with desk(CentreInside(local_centre), "operator") as found:
        yield found


@pytest.fixture(scope="module")
async def security(local_centre: LocalCentre) -> AsyncIterator[Desk]:
    async with desk(CentreInside(local_centre), "security") as found:
        yield found


@pytest.fixture(scope="module")
async def second(local_centre: LocalCentre) -> AsyncIterator[Desk]:
    async with desk(CentreInside(local_centre), "security") as found:
        yield found


# ---------------------------------------------------------------- changing entries


async def test_a_change_is_an_event_with_who_why_before_and_after(
    inside: CentreInside, operator: Desk
) -> None:
    unit = a_unit(contact="张")
    made = await operator.apply(put(unit=unit), reason="新设单位")
    assert made.applied
    assert not made.proposal_id
    assert {(d.field, d.before, d.after) for d in made.differences} >= {
        ("unit_id", "", unit.unit_id),
        ("status", "", "ACTIVE"),
    }
    unit.contact = "李"
    unit.groups.append("all-departments")
    await operator.apply(put(unit=unit))
    await operator.apply(of_unit(VERB_SUSPEND, unit.unit_id), reason="印章遗失")
    new, changed, suspended = await recorded(inside, unit.unit_id)
    assert new.actor == identity_of(operator.holder)
    assert new.address == "127.0.0.1"
    assert new.detail == {
        "kind": "unit",
        "key": unit.unit_id,
        "unit_id_after": unit.unit_id,
        "name_zh_after": "新单位",
        "name_en_after": "New unit",
        "short_zh_after": "新",
        "kind_after": "OFFICE",
        "organisation_code_after": unit.organisation_code,
        "contact_after": "张",
        "status_after": "ACTIVE",
        "reason": "新设单位",
    }
    assert changed.detail == {
        "kind": "unit",
        "key": unit.unit_id,
        "groups_before": "",
        "groups_after": "all-departments",
        "contact_before": "张",
        "contact_after": "李",
    }
    assert suspended.detail == {
        "kind": "unit",
        "key": unit.unit_id,
        "status_before": "ACTIVE",
        "status_after": "SUSPENDED",
        "reason": "印章遗失",
    }


async def test_a_dry_run_only_tells_and_what_changes_nothing_is_no_event(
    inside: CentreInside, operator: Desk
) -> None:
    unit = a_unit()
    told = await operator.apply(put(unit=unit), dry_run=True)
    assert not told.applied
    assert told.differences
    assert not (await operator.entries("UNIT", unit_id=unit.unit_id)).entries
    assert (await operator.apply(put(unit=unit))).differences == told.differences
    again = await operator.apply(put(unit=unit))
    assert again.applied
    assert not again.differences
    assert len(await recorded(inside, unit.unit_id)) == 1


async def test_all_changes_are_made_or_none(inside: CentreInside, operator: Desk) -> None:
    good, bad = a_unit(), a_unit(region="999999")
    with pytest.raises(InvalidRequest, match="999999"):
        await operator.apply(put(unit=good), put(unit=bad))
    assert not (await operator.entries("UNIT", unit_id=good.unit_id)).entries
    assert await recorded(inside, good.unit_id) == []


async def test_every_kind_of_entry_is_put_listed_and_removed(
    operator: Desk, security: Desk, second: Desk
) -> None:
    unit = a_unit()
    code = f"{secrets.randbelow(10**6):06}"
    kept: dict[str, Any] = {
        "UNIT": unit,
        "SYSTEM": admin_pb2.SystemEntry(unit_id=unit.unit_id, name="oa", description="办公系统"),
        "GROUP": directory_pb2.Group(
            group_id=f"g{secrets.token_hex(4)}", name_zh="组", name_en="G", members=[unit.unit_id]
        ),
        "REGION": admin_pb2.RegionEntry(
            code=code, name_zh="区", name_en="R", valid_from="2012-12-01"
        ),
        "BUSINESS": admin_pb2.BusinessEntry(
            code=f"B{secrets.token_hex(4).upper()}", name_zh="业务", name_en="B"
        ),
        "QUOTA": admin_pb2.QuotaEntry(unit_id=unit.unit_id, calls_per_minute=6000),
    }
    await operator.apply(*(put(**{kind.lower(): entry}) for kind, entry in kept.items()))
    kept["ROUTE"], kept["STAFF"] = a_route(note="不报"), a_person()
    proposed = await security.apply(put(route=kept["ROUTE"]), put(staff=kept["STAFF"]))
    await second.decide(proposed.proposal_id, approve=True)
    for kind, entry in kept.items():
        found = await _all_entries(operator, kind)
        for each in found:
            for field in ("status", "groups", "genre", "direction"):
                if field in each.DESCRIPTOR.fields_by_name and field not in _fields(entry):
                    each.ClearField(field)
        assert entry in found, kind
    group, quota = kept["GROUP"], kept["QUOTA"]
    gone = await operator.apply(
        change(VERB_REMOVE, group=directory_pb2.Group(group_id=group.group_id)),
        change(VERB_REMOVE, quota=admin_pb2.QuotaEntry(unit_id=quota.unit_id)),
    )
    assert {(d.field, d.before) for d in gone.differences} >= {
        ("groups", group.group_id),
        ("calls_per_minute", "6000"),
    }
    left = await operator.entries("UNIT", unit_id=unit.unit_id)
    assert not left.entries[0].unit.groups
    assert not (await operator.entries("QUOTA", unit_id=unit.unit_id)).entries


def _fields(message: Any) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


async def _all_entries(at: Desk, kind: str) -> list[Any]:
    found: list[Any] = []
    token = ""
    while True:
        page = await at.entries(kind, page_size=2, page_token=token)
        assert len(page.entries) <= 2
        found += [getattr(each, kind.lower()) for each in page.entries]
        if not (token := page.next_page_token):
            return found


async def test_two_administrators_at_once_lose_no_update(
    inside: CentreInside, operator: Desk
) -> None:
    """Each event tells of the state that was really replaced: the chain has no gap."""
    unit = a_unit(contact="0")
    await operator.apply(put(unit=unit))

    async def contact(at: Desk, value: str) -> None:
        await at.apply(put(unit=with_(unit, contact=value)))

    async with desk(inside, "operator") as other:
        await asyncio.gather(*(contact((operator, other)[n % 2], f"第{n}个") for n in range(1, 13)))
    told = [each.detail or {} for each in await recorded(inside, unit.unit_id)]
    assert len(told) == 13
    assert [each["contact_before"] for each in told[1:]] == [
        each["contact_after"] for each in told[:-1]
    ]


# ---------------------------------------------------------------- roles

SOMEBODY: dict[str, Any] = {
    "name": "somebody",
    "person": "S-99",
    "full_name": "某",
    "role": "auditor",
}
OF_OPERATORS: Sequence[admin_pb2.Change] = (
    put(unit=directory_pb2.Unit(unit_id="qd-tongji", name_zh="改", name_en="x", short_zh="x",
                                kind="OFFICE", organisation_code="900000030")),
    put(system=admin_pb2.SystemEntry(unit_id="qd-tongji", name="oa")),
    put(group=directory_pb2.Group(group_id="all-departments", name_zh="改", name_en="x")),
    put(region=admin_pb2.RegionEntry(code="370200", name_zh="改", name_en="x")),
    put(business=admin_pb2.BusinessEntry(code="DATA", name_zh="改", name_en="x")),
    put(quota=admin_pb2.QuotaEntry(unit_id="*", calls_per_minute=1)),
    change(VERB_REMOVE, group=directory_pb2.Group(group_id="all-departments")),
)  # fmt: skip
OF_SECURITY: Sequence[admin_pb2.Change] = (
    put(staff=admin_pb2.StaffEntry(**SOMEBODY)),
    of_staff(VERB_SUSPEND, "somebody"),
    of_staff(VERB_CLOSE, "somebody"),
    put(route=a_route()),
    change(VERB_REMOVE, route=admin_pb2.RouteEntry(route_id="anything")),
)
OF_BOTH: Sequence[admin_pb2.Change] = (
    of_unit(VERB_SUSPEND, "qd-tongji"),
    of_unit(VERB_CLOSE, "qd-tongji"),
    of_system(VERB_SUSPEND, "qd-tongji", "oa"),
)


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("operator", OF_SECURITY),
        ("security", OF_OPERATORS),
        ("auditor", (*OF_OPERATORS, *OF_SECURITY, *OF_BOTH)),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_nobody_changes_what_another_role_keeps(
    inside: CentreInside, role: str, refused: Sequence[admin_pb2.Change], dry_run: bool
) -> None:
    async with desk(inside, role) as at:
        for each in refused:
            with pytest.raises(NotPermitted):
                await at.apply(each, dry_run=dry_run)
        (first,) = await denied(inside, at.holder, "NOT_PERMITTED")
        assert first["method"] == "/document_exchange.v1.AdminService/ApplyChanges"


@pytest.mark.parametrize("role", ["operator", "security"])
async def test_both_may_suspend_units_and_systems(inside: CentreInside, role: str) -> None:
    async with desk(inside, role) as at:
        assert len((await at.apply(*OF_BOTH, dry_run=True)).differences) >= 2


async def test_auditors_read_everything(inside: CentreInside) -> None:
    async with desk(inside, "auditor") as auditor:
        for kind in ("UNIT", "SYSTEM", "STAFF", "GROUP", "REGION", "BUSINESS", "ROUTE", "QUOTA"):
            await auditor.entries(kind)
        await auditor.proposals()
        with pytest.raises(NotPermitted):
            await auditor.decide(codes.new_id(now()), approve=True)


async def test_nobody_holds_two_roles(inside: CentreInside, security: Desk, operator: Desk) -> None:
    """Neither under the one name, nor the same person under a second one; it is recorded."""
    clerk = name_of(operator.holder)
    for wanted in (
        a_person("security", name=clerk, person=clerk[:40]),
        a_person("security", person=clerk[:40].upper()),
    ):
        with pytest.raises(RoleConflict):
            await security.apply(put(staff=wanted))
    (first,) = await denied(inside, security.holder, "ROLE_CONFLICT")
    assert first["method"].endswith("/ApplyChanges")
    assert first["field"] == "staff.role"


async def test_a_certificate_of_another_role_opens_nothing(inside: CentreInside) -> None:
    """Whatever the authority was made to issue: the registry's role counts."""
    holder = await inside.staff("operator")
    raised = inside.issue("staff", None, name_of(holder), "security")
    unregistered = inside.issue("staff", None, f"x-{secrets.token_hex(4)}", "security")
    await inside.publish()
    await admitted(inside, await inside.staff("auditor"))  # so that both are known by now
    for each in (raised, unregistered):
        async with inside.channel(each) as channel:
            stub: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
            with pytest.raises(StaffNotActive):
                await answer(stub.ListUnits(directory_pb2.ListUnitsRequest(), timeout=5))


# ---------------------------------------------------------------- suspending and closing


@pytest.fixture
async def member(inside: CentreInside, operator: Desk) -> tuple[directory_pb2.Unit, Holder]:
    """A unit of the test's own, and its system ``oa``."""
    unit = a_unit(contact="张三")
    await operator.apply(put(unit=unit))
    holder = inside.issue("system", unit.unit_id, "oa")
    await inside.publish()
    await admitted(inside, holder)
    return unit, holder


@pytest.mark.parametrize("what", ["unit", "system", "closed unit", "closed system"])
async def test_suspending_works_at_once_also_on_open_streams(
    inside: CentreInside,
    member: tuple[directory_pb2.Unit, Holder],
    security: Desk,
    what: str,
) -> None:
    unit, holder = member
    verb = VERB_CLOSE if "closed" in what else VERB_SUSPEND
    is_unit = what.endswith("unit")
    made = of_unit(verb, unit.unit_id) if is_unit else of_system(verb, unit.unit_id, "oa")
    kind = UnitNotActive if is_unit else SystemNotActive
    async with inside.stub(holder) as stub, inside.channel(holder) as channel:
        documents: Any = stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest())
        directory: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        certificates = directory.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        for watch in (documents, certificates):
            while (await watch.read()).WhichOneof("event") != "caught_up":
                pass
        await security.apply(made)
        async with asyncio.timeout(AT_ONCE_S):
            for watch in (documents, certificates):
                with pytest.raises(kind):
                    await answer(watch.read())
            while await inside.admits(holder):
                pass
    back = of_unit(VERB_RESUME, unit.unit_id)
    if not is_unit:
        back = of_system(VERB_RESUME, unit.unit_id, "oa")
    if verb == VERB_SUSPEND:
        await security.apply(back)
        await admitted(inside, holder)
    else:
        with pytest.raises(Refused, match="closed"):
            await security.apply(back)


async def test_a_closed_unit_names_its_successor(
    inside: CentreInside, member: tuple[directory_pb2.Unit, Holder], operator: Desk
) -> None:
    unit, _ = member
    await operator.apply(of_unit(VERB_CLOSE, unit.unit_id, successor="qd-zhengfu"), reason="合并")
    (told,) = (await recorded(inside, unit.unit_id))[1:]
    assert told.detail == {
        "kind": "unit",
        "key": unit.unit_id,
        "status_before": "ACTIVE",
        "status_after": "CLOSED",
        "successor_before": "",
        "successor_after": "qd-zhengfu",
        "reason": "合并",
    }
    async with inside.channel(operator.holder) as channel:
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        async with asyncio.timeout(10):
            request = directory_pb2.GetUnitRequest(unit_id=unit.unit_id)
            while not (found := (await stub.GetUnit(request)).unit).successor:
                pass
    assert (found.successor, found.contact) == ("qd-zhengfu", "张三")
    assert found.status == directory_pb2.UNIT_STATUS_CLOSED


# ---------------------------------------------------------------- the second person


async def test_staff_and_routes_need_a_second_person(
    inside: CentreInside, security: Desk, second: Desk, operator: Desk
) -> None:
    person = a_person()
    proposed = await security.apply(put(staff=person), reason="新任审计员")
    assert not proposed.applied
    assert proposed.proposal_id
    assert {d.field for d in proposed.differences} >= {"name", "role", "status"}
    assert await recorded(inside, person.name) == []
    # Repeating the call, as when no answer came, is the same proposal.
    assert (await security.apply(put(staff=person), reason="新任审计员")) == proposed
    (shown,) = (p for p in await operator.proposals() if p.proposal_id == proposed.proposal_id)
    assert shown.standing == admin_pb2.PROPOSAL_STANDING_OPEN
    assert shown.changes[0].entry.staff.name == person.name

    with pytest.raises(SecondPersonNeeded):
        await security.decide(proposed.proposal_id, approve=True)
    with pytest.raises(NotPermitted):
        await operator.decide(proposed.proposal_id, approve=True)
    decided = await second.decide(proposed.proposal_id, approve=True, reason="已核实")
    assert decided.proposal.standing == admin_pb2.PROPOSAL_STANDING_APPLIED
    assert decided.proposal.decided_by == identity_of(second.holder)
    assert decided.differences == proposed.differences
    assert (await second.decide(proposed.proposal_id, approve=True)) == decided
    with pytest.raises(Refused):
        await second.decide(proposed.proposal_id, approve=False)

    made, approved = await recorded(
        inside, proposed.proposal_id, "PROPOSAL_MADE", "PROPOSAL_APPROVED"
    )
    assert made.actor == identity_of(security.holder)
    assert made.detail is not None
    assert made.detail["reason"] == "新任审计员"
    assert made.detail["changes"] == f"PUT staff {person.name}"
    assert approved.actor == identity_of(second.holder)
    assert approved.detail == made.detail | {
        "proposed_by": identity_of(security.holder),
        "reason": "已核实",
    }
    (changed,) = await recorded(inside, person.name)
    assert changed.actor == identity_of(second.holder)
    assert changed.detail is not None
    assert changed.detail["proposal"] == proposed.proposal_id
    assert changed.detail["proposed_by"] == identity_of(security.holder)
    assert changed.detail["role_after"] == "auditor"


async def test_who_proposed_may_take_it_back(
    inside: CentreInside, security: Desk, second: Desk
) -> None:
    route = a_route()
    proposed = await security.apply(put(route=route))
    rejected = await security.decide(proposed.proposal_id, approve=False, reason="写错了")
    assert rejected.proposal.standing == admin_pb2.PROPOSAL_STANDING_REJECTED
    (told,) = await recorded(inside, proposed.proposal_id, "PROPOSAL_REJECTED")
    assert told.detail is not None
    assert told.detail["reason"] == "写错了"
    with pytest.raises(Refused, match="rejected"):
        await second.decide(proposed.proposal_id, approve=True)
    assert await recorded(inside, route.route_id) == []


async def test_a_proposal_is_approved_as_it_was_made_or_not_at_all(
    security: Desk, second: Desk
) -> None:
    """Meanwhile the entry became another: what the proposer saw is not what would happen now."""
    route = a_route()
    one = await security.apply(put(route=route))
    other = await security.apply(put(route=with_(route, note="又一说")))
    await second.decide(one.proposal_id, approve=True)
    with pytest.raises(Refused, match="has changed"):
        await second.decide(other.proposal_id, approve=True)
    await second.decide(other.proposal_id, approve=False)


async def test_a_proposal_falls_with_who_made_it(inside: CentreInside, second: Desk) -> None:
    """And staff are suspended at once, by one person; their streams end."""
    proposer = await inside.staff("security")
    async with inside.channel(proposer) as channel:
        at = Desk(proposer, admin_pb2_grpc.AdminServiceStub(channel))
        proposed = await at.apply(put(route=a_route()))
        directory: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        watch = directory.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        while (await watch.read()).WhichOneof("event") != "caught_up":
            pass
        suspended = await second.apply(of_staff(VERB_SUSPEND, name_of(proposer)))
        assert suspended.applied
        async with asyncio.timeout(AT_ONCE_S):
            with pytest.raises(StaffNotActive):
                await answer(watch.read())
            while await inside.admits(proposer):
                pass
    with pytest.raises(Refused, match="suspended"):
        await second.decide(proposed.proposal_id, approve=True)
    await second.decide(proposed.proposal_id, approve=False)


async def test_resuming_and_closing_staff_need_two(
    inside: CentreInside, security: Desk, second: Desk
) -> None:
    clerk = name_of(await inside.staff("operator"))
    await security.apply(of_staff(VERB_SUSPEND, clerk))
    for verb in (VERB_RESUME, VERB_CLOSE):
        proposed = await security.apply(of_staff(verb, clerk))
        assert not proposed.applied
        await second.decide(proposed.proposal_id, approve=True)
    # The person may now hold another role, under another name.
    anew = await security.apply(put(staff=a_person("security", person=clerk[:40])))
    assert anew.proposal_id
    await security.decide(anew.proposal_id, approve=False)


async def test_a_person_does_not_approve_what_an_earlier_name_of_theirs_proposed(
    inside: CentreInside, second: Desk
) -> None:
    async with desk(inside, "security") as first:
        proposed = await first.apply(put(route=a_route()))
        person = name_of(first.holder)
        again = a_person("security", person=person[:40])
        closing = await second.apply(of_staff(VERB_CLOSE, person), put(staff=again))
    async with desk(inside, "security") as third:
        await third.decide(closing.proposal_id, approve=True)
        holder = inside.issue("staff", None, again.name, "security")
        await inside.publish()
        await admitted(inside, holder)
        async with inside.channel(holder) as channel:
            with pytest.raises(SecondPersonNeeded):
                await Desk(holder, admin_pb2_grpc.AdminServiceStub(channel)).decide(
                    proposed.proposal_id, approve=True
                )
        await third.decide(proposed.proposal_id, approve=False)


async def test_the_owner_of_the_ledger_alone_can_waive_the_second_person(
    inside: CentreInside, security: Desk, local_centre: LocalCentre
) -> None:
    ledger = local_centre.description["ledger"]

    def rule(which: str, dsn: str = "dsn_owner") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "exchange_server", "second-person", which]
        return subprocess.run(
            [*command, "--dsn", ledger[dsn]], capture_output=True, text=True, check=False
        )

    route = a_route()
    assert rule("waived", "dsn_exchange").returncode != 0
    assert not (await security.apply(put(route=route), dry_run=True)).applied
    try:
        assert rule("waived").stdout == "a second person is waived from now on\n"
        assert (await security.apply(put(route=route))).applied
        gone = change(VERB_REMOVE, route=admin_pb2.RouteEntry(route_id=route.route_id))
        assert (await security.apply(gone)).applied
    finally:
        assert rule("required").returncode == 0
    assert rule("required").stdout == "a second person is required already\n"
    assert (await security.apply(put(route=route))).proposal_id
    new, removed = await recorded(inside, route.route_id)
    assert (new.detail or {})["sender_after"] == "unit:qd-tongji"
    assert (removed.detail or {})["sender_before"] == "unit:qd-tongji"
    waived, required = await recorded(inside, "second_person")
    assert (waived.detail or {})["second_person_after"] == "false"
    assert (required.detail or {})["second_person_after"] == "true"


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (admin_pb2.Change(verb=VERB_PUT), "changes[0].entry"),
        (change(0, unit=a_unit()), "changes[0].verb"),  # type: ignore[arg-type]
        (change(99, unit=a_unit()), "changes[0].verb"),  # type: ignore[arg-type]
        (put(unit=a_unit(kind="PARISH")), "changes[0].unit.kind"),
        (put(unit=a_unit(name_zh="")), "changes[0].unit.name_zh"),
        (put(unit=a_unit(name_zh="a\u202eb")), "changes[0].unit.name_zh"),
        (put(unit=a_unit(status=77)), "changes[0].status"),
        (put(unit=a_unit(organisation_code="900000013")), "changes[0].unit.organisation_code"),
        (put(unit=a_unit(credit_code="11320000MB151840XJ")), "changes[0].unit.credit_code"),
        (put(unit=a_unit(unit_id="A")), "changes[0].unit.unit_id"),
        (put(unit=a_unit(groups=["a b"])), "changes[0].unit.groups[0]"),
        (put(unit=a_unit(groups=[f"g{n}" for n in range(91)])), "changes[0].unit.groups"),
        (
            put(region=admin_pb2.RegionEntry(
                code="370200", name_zh="x", name_en="x", valid_from="2012-02-30")),
            "changes[0].region.valid_from",
        ),
        (
            put(quota=admin_pb2.QuotaEntry(unit_id="*", open_streams=-1)),
            "changes[0].quota.open_streams",
        ),
        (of_unit(VERB_SUSPEND, "../x"), "changes[0].unit.unit_id"),
        (of_unit(VERB_REMOVE, "qd-tongji"), "verb"),
        (of_system(VERB_SUSPEND, "qd-tongji", ""), "changes[0].system.name"),
    ],
)  # fmt: skip
async def test_bad_input_is_named(operator: Desk, made: admin_pb2.Change, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await operator.apply(made, dry_run=True)
    assert refused.value.attributes["field"] == field


async def test_bounds_of_requests(operator: Desk, security: Desk) -> None:
    unit = a_unit()
    with pytest.raises(LimitExceeded):
        await operator.apply(*[put(unit=unit)] * 2001)
    assert (await operator.apply(*[put(unit=unit)] * 2000, dry_run=True)).differences
    with pytest.raises(LimitExceeded):
        await security.apply(*(put(route=a_route()) for _ in range(201)))
    for reason in ("x" * 2001, "a\x00b"):
        with pytest.raises(InvalidRequest):
            await operator.apply(put(unit=unit), reason=reason)
    refusals: list[tuple[type[ExchangeError], Any]] = [
        (NotFound, security.decide(codes.new_id(now()), approve=True)),
        (InvalidRequest, security.decide("x", approve=True)),
        (InvalidRequest, operator.entries("UNSPECIFIED")),
        (InvalidRequest, operator.entries("UNIT", page_size=-1)),
        (InvalidRequest, operator.proposals(page_token="x")),
        (InvalidRequest, operator.proposals(standing=9)),
        (NotFound, operator.apply(of_unit(VERB_SUSPEND, "nobody"))),
    ]
    for kind, call in refusals:
        with pytest.raises(kind):
            await call


async def test_the_role_of_the_centre_writes_entries_by_functions_alone(
    local_centre: LocalCentre,
) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    try:
        for statement in (
            "update exchange.units set status = 'CLOSED'",
            "insert into exchange.staff values ('x', 'x', 'x', 'security')",
            "delete from exchange.routes",
            "update exchange.proposals set standing = 'APPLIED'",
            "select exchange.staff_stay_who_they_are()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_ledger_itself_keeps_roles_apart(inside: CentreInside, operator: Desk) -> None:
    """Not even its owner makes an operator a security officer."""
    name = name_of(operator.holder)
    async with inside.ledger() as ledger:
        for column, value in (("role", "security"), ("person", "S-1"), ("name", "other")):
            with pytest.raises(asyncpg.CheckViolationError):
                await ledger.execute(
                    f"update exchange.staff set {column} = $1 where name = $2", value, name
                )
