"""The SDK for staff, groups and routes, against a centre in memory (tests/admin_for_tests.py)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import msgspec
import pytest
from exchange_client import AsyncClient, PartSource, Timing
from exchange_client.admin import Change, ProposalStanding
from exchange_client.cli.admin_kinds import KINDS as CLI_KINDS
from exchange_client.entries import changed, from_message, keyed, to_message

from document_exchange.entries import (
    KINDS,
    Entry,
    GroupEntry,
    QuotaEntry,
    RegionEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
    field_types,
    is_list,
    required_fields,
)
from document_exchange.entry_changes import MOST_CHANGES, Difference, Verb
from document_exchange.errors import (
    ConfigurationError,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    SecondPersonNeeded,
)
from document_exchange.manifest import Recipient, RecipientKind
from document_exchange.v1 import admin_pb2, directory_pb2
from tests.admin_for_tests import PROPOSAL, AdministeredCentre
from tests.pki_for_tests import Pki

NO_RETRY = Timing(retry_budget_s=0)
FINANCE = UnitEntry(
    unit_id="qd-caizheng",
    name_zh="财政局",
    name_en="Finance",
    short_zh="财政局",
    kind="DEPARTMENT",
    status="ACTIVE",
)


@pytest.fixture(scope="module")
def running() -> Iterator[AdministeredCentre]:
    with AdministeredCentre(Pki()) as centre:
        yield centre


@pytest.fixture
def centre(running: AdministeredCentre) -> AdministeredCentre:
    running.forget()
    return running


def staff(centre: AdministeredCentre) -> AsyncClient:
    return AsyncClient(centre.staff_profile("one"), NO_RETRY)


class TestEntries:
    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_an_entry_crosses_the_wire_unchanged(self, kind: type[Entry]) -> None:
        values = {
            name: ("aa", "bb") if is_list(of) else date(2026, 1, 2) if of == date | None else None
            for name, of in field_types(kind).items()
        }
        texts = {name: f"x-{name}" for name, value in values.items() if value is None}
        numbers = {name: 7 for name in texts if name.startswith(("calls", "sub", "bytes", "open"))}
        status = {"status": "SUSPENDED"} if "status" in texts else {}
        entry = kind(**{**values, **texts, **numbers, **status})
        assert from_message(admin_pb2.Entry.FromString(to_message(entry).SerializeToString())) == (
            entry
        )

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_an_entry_has_the_fields_of_its_message(self, kind: type[Entry]) -> None:
        message = admin_pb2.Entry.DESCRIPTOR.fields_by_name[kind.family].message_type
        assert message is not None
        assert set(field_types(kind)) == set(message.fields_by_name)

    def test_the_kinds_are_those_of_the_wire(self) -> None:
        assert set(KINDS) == set(admin_pb2.Entry.DESCRIPTOR.fields_by_name)
        assert [kind.name for kind in CLI_KINDS] == [
            field.name for field in admin_pb2.Entry.DESCRIPTOR.fields
        ]

    @pytest.mark.parametrize("kind", CLI_KINDS, ids=lambda kind: kind.name)
    def test_the_command_line_takes_the_fields_of_an_entry(self, kind: object) -> None:
        from exchange_client.cli.admin_kinds import Kind

        assert isinstance(kind, Kind)
        entry = KINDS[kind.name]
        given = {field.name for field in kind.fields}
        # What is left out is the key, and what verbs of their own set.
        assert set(field_types(entry)) - given == {
            *entry.key_fields,
            *({"status"} if kind.has_status else set()),
            *({"successor"} if kind.name == "unit" else set()),
        }
        types = field_types(entry)
        assert {field.name for field in kind.fields if field.several} == {
            name for name in given if is_list(types[name])
        }
        required = set(required_fields(entry)) - set(entry.key_fields)
        assert {field.name for field in kind.fields if field.required} == required

    @pytest.mark.parametrize(
        ("kind", "key"),
        [
            ("unit", "Not A Unit"),
            ("unit", "qd-caizheng\n"),
            ("system", "qd-caizheng"),
            ("system", "qd-caizheng/oa/x"),
            ("quota", "**"),
            ("boss", "x"),
        ],
    )
    def test_a_key_that_is_none_is_refused(self, kind: str, key: str) -> None:
        with pytest.raises(InvalidRequest):
            keyed(kind, key)

    def test_fields_are_changed_with_checks(self) -> None:
        region = RegionEntry(
            code="370205", name_zh="四方区", name_en="Sifang", valid_to=date(2012, 11, 30)
        )
        assert changed(region, {"valid_to": "2013-01-01"}) == msgspec.structs.replace(
            region, valid_to=date(2013, 1, 1)
        )
        assert changed(region, {"valid_to": ""}) == msgspec.structs.replace(region, valid_to=None)
        with pytest.raises(InvalidRequest, match=r"unit\.kind.*expected 'DISTRICT'"):
            changed(FINANCE, {"kind": "CASTLE"})
        with pytest.raises(InvalidRequest, match="no such field"):
            changed(FINANCE, {"bogus": "x"})

    def test_what_this_version_does_not_know_is_said(self) -> None:
        with pytest.raises(InternalError):
            from_message(admin_pb2.Entry())
        newer = admin_pb2.Entry(unit=directory_pb2.Unit(unit_id="qd-a"))
        newer.unit.status = 99  # type: ignore[assignment]
        with pytest.raises(InternalError):
            from_message(newer)


class TestRegistry:
    async def test_every_page_is_turned(self, centre: AdministeredCentre) -> None:
        centre.keep(*(QuotaEntry(unit_id=f"qd-{number}") for number in range(5)))
        async with staff(centre) as client:
            assert len(await client.admin.entries("quota")) == 5
            (one,) = await client.admin.entries("quota", "qd-3")
            assert one == await client.admin.entry("quota", "qd-3")
            with pytest.raises(NotFound, match="no quota qd-9"):
                await client.admin.entry("quota", "qd-9")
            with pytest.raises(InvalidRequest, match="the kinds are"):
                await client.admin.entries("boss")

    async def test_the_quota_of_all_is_found_among_the_others(
        self, centre: AdministeredCentre
    ) -> None:
        centre.keep(QuotaEntry(unit_id="*", open_streams=3), QuotaEntry(unit_id="qd-a"))
        async with staff(centre) as client:
            assert await client.admin.entry("quota", "*") == QuotaEntry(unit_id="*", open_streams=3)

    async def test_a_dry_run_changes_nothing_and_the_act_does(
        self, centre: AdministeredCentre
    ) -> None:
        async with staff(centre) as client:
            changes = [Change(Verb.PUT, GroupEntry(group_id="one", name_zh="一", name_en="One"))]
            dry = await client.admin.apply(changes, dry_run=True, reason="why")
            assert (dry.applied, dry.proposal_id) == (False, "")
            assert Difference("group", "one", "name_zh", "", "一") in dry.differences
            assert await client.admin.entries("group") == []
            done = await client.admin.apply(changes, reason="why")
            assert (done.applied, done.differences) == (True, dry.differences)
            assert (await client.admin.apply(changes)).differences == ()
        first, second, _ = centre.asked(admin_pb2.ApplyChangesRequest)
        assert (first.dry_run, second.dry_run, second.reason) == (True, False, "why")

    async def test_too_many_changes_are_refused_before_they_are_sent(
        self, centre: AdministeredCentre
    ) -> None:
        async with staff(centre) as client:
            with pytest.raises(LimitExceeded, match="at most 2000"):
                await client.admin.apply([Change(Verb.PUT, FINANCE)] * (MOST_CHANGES + 1))
        assert centre.requests == []

    async def test_a_refusal_is_the_centres_own_error(self, centre: AdministeredCentre) -> None:
        centre.refusal = NotPermitted("auditors change nothing")
        async with staff(centre) as client:
            with pytest.raises(NotPermitted, match="auditors change nothing"):
                await client.admin.apply([Change(Verb.SUSPEND, keyed("unit", "qd-caizheng"))])

    async def test_a_second_person_decides(self, centre: AdministeredCentre) -> None:
        person = StaffEntry(name="li", person="8", full_name="李四", role="auditor")
        async with staff(centre) as client:
            outcome = await client.admin.apply([Change(Verb.PUT, person)], reason="new")
            assert (outcome.applied, outcome.proposal_id) == (False, PROPOSAL)
            (found,) = [each async for each in client.admin.proposals(ProposalStanding.OPEN)]
            assert found.changes == (Change(Verb.PUT, person),)
            assert (found.reason, found.decided_by, found.decided_at) == ("new", "", None)
            with pytest.raises(SecondPersonNeeded):
                await client.admin.decide(PROPOSAL, approve=True, reason="same-person")
            decision = await client.admin.decide(PROPOSAL, approve=True, reason="seen")
            assert decision.proposal.standing is ProposalStanding.APPLIED
            assert decision.differences == outcome.differences
            assert await client.admin.entries("staff") == [person]
            assert (await client.admin.proposal(PROPOSAL)).decision_reason == "seen"
            with pytest.raises(NotFound, match="no proposal nosuch"):
                await client.admin.proposal("nosuch")

    async def test_staff_have_no_unit(self, centre: AdministeredCentre) -> None:
        async with staff(centre) as client:
            with pytest.raises(ConfigurationError, match="is not a unit's system"):
                _ = client.unit_id

    async def test_a_closed_client_says_so(self, centre: AdministeredCentre) -> None:
        async with staff(centre) as client:
            administration = client.admin
        with pytest.raises(ConfigurationError, match="closed"):
            await administration.entries("unit")
        with pytest.raises(ConfigurationError, match="not open"):
            _ = client.admin


class TestRoutes:
    async def test_every_step_is_given(self, centre: AdministeredCentre) -> None:
        centre.answer = directory_pb2.CheckRouteResponse(
            allowed=True,
            reason="rule up",
            route_id="up",
            steps=[directory_pb2.RouteStep(name="rule", passed=True, detail="rule up allows")],
        )
        async with AsyncClient(centre.profile("qd-caizheng"), NO_RETRY) as client:
            answer = await client.check_route("qd-jiaoyu", genre="notice", direction="up")
            assert (answer.allowed, answer.route_id) == (True, "up")
            assert [(each.name, each.passed) for each in answer.steps] == [("rule", True)]
            with pytest.raises(InvalidRequest, match="direction is 'sideways'"):
                await client.check_route("qd-jiaoyu", direction="sideways")
        (asked,) = centre.asked(directory_pb2.CheckRouteRequest)
        assert (asked.genre, asked.direction, asked.business) == ("NOTICE", "UP", "")


def unit(
    unit_id: str, *groups: str, status: directory_pb2.UnitStatus.ValueType
) -> directory_pb2.Unit:
    return directory_pb2.Unit(
        unit_id=unit_id, groups=groups, status=status, organisation_code="005117558"
    )


class TestGroups:
    @pytest.fixture(autouse=True)
    def city(self, centre: AdministeredCentre) -> None:
        active, suspended = directory_pb2.UNIT_STATUS_ACTIVE, directory_pb2.UNIT_STATUS_SUSPENDED
        centre.units = [
            unit("qd-caizheng", "all", status=active),
            unit("qd-closed", "all", status=directory_pb2.UNIT_STATUS_CLOSED),
            unit("qd-jiaoyu", "all", "schools", status=active),
            unit("qd-tongji", "all", status=suspended),
            unit("qd-zhengfu", status=active),
            unit("qd-alone", "mine", status=active),
        ]
        centre.groups = [directory_pb2.Group(group_id="all", members=["qd-caizheng", "qd-jiaoyu"])]

    async def sent(self, centre: AdministeredCentre, **given: object) -> list[tuple[str, str]]:
        async with AsyncClient(centre.profile("qd-caizheng"), NO_RETRY) as client:
            submission = await client.send(
                title="通知",
                files=[PartSource(b"%PDF", filename="a.pdf")],
                **given,  # type: ignore[arg-type]
            )
            # The bytes that were sealed name each of them.
            held = centre.held[submission.envelope_id].manifest
        return [(each.unit, each.kind.value) for each in held.recipients]

    async def test_a_group_is_sealed_as_its_members(self, centre: AdministeredCentre) -> None:
        assert await self.sent(centre, recipients="group:all") == [
            ("qd-jiaoyu", "TO"),
            ("qd-tongji", "TO"),
        ]

    async def test_each_unit_is_named_once_and_rather_as_to(
        self, centre: AdministeredCentre
    ) -> None:
        copies = Recipient(unit="qd-tongji", kind=RecipientKind.TO, copies=3)
        found = await self.sent(
            centre, recipients=["group:all", copies], cc=["qd-jiaoyu", "group:all", "qd-zhengfu"]
        )
        assert found == [("qd-jiaoyu", "TO"), ("qd-tongji", "TO"), ("qd-zhengfu", "CC")]
        (held,) = centre.held.values()
        assert held.manifest.recipients[1] == copies

    @pytest.mark.parametrize(
        ("group", "said"),
        [
            ("nosuch", "there is no group nosuch; the groups are all, mine, schools"),
            ("", "there is no group"),
        ],
    )
    async def test_a_group_that_is_not_there(
        self, centre: AdministeredCentre, group: str, said: str
    ) -> None:
        centre.units = [each for each in centre.units if each.unit_id != "qd-zhengfu"]
        with pytest.raises(InvalidRequest, match=said):
            await self.sent(centre, recipients=f"group:{group}")
        assert not centre.held

    async def test_a_group_of_oneself_alone(self, centre: AdministeredCentre) -> None:
        centre.units = [unit("qd-caizheng", "mine", status=directory_pb2.UNIT_STATUS_ACTIVE)]
        with pytest.raises(InvalidRequest, match="no other members"):
            await self.sent(centre, recipients="group:mine")

    async def test_groups_are_listed(self, centre: AdministeredCentre) -> None:
        async with AsyncClient(centre.profile("qd-caizheng"), NO_RETRY) as client:
            (group,) = await client.groups()
        assert (group.group_id, group.members) == ("all", ("qd-caizheng", "qd-jiaoyu"))


def test_a_system_is_named_by_both() -> None:
    assert SystemEntry(unit_id="qd-caizheng", name="oa").key == "qd-caizheng/oa"
