"""Members of staff at work on a real centre, and what they change."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from document_exchange import codes, event, identity
from document_exchange.v1 import admin_pb2, admin_pb2_grpc, directory_pb2
from document_exchange.v1.admin_pb2 import VERB_PUT
from tests.pki_for_tests import Holder
from tests.real_centre import CentreInside, typed


class Desk:
    """A member of staff at work. Those of the fixtures stay active: tests share them."""

    def __init__(self, holder: Holder, stub: Any) -> None:
        self.holder = holder
        self.stub = stub

    async def apply(
        self,
        *changes: admin_pb2.Change,
        dry_run: bool = False,
        reason: str = "",
        version: int = 0,
    ) -> admin_pb2.ApplyChangesResponse:
        request = admin_pb2.ApplyChangesRequest(
            changes=changes, dry_run=dry_run, reason=reason, version=version
        )
        outcome: admin_pb2.ApplyChangesResponse = await answer(
            self.stub.ApplyChanges(request, timeout=20)
        )
        return outcome

    async def decide(
        self, proposal_id: str, approve: bool, reason: str = ""
    ) -> admin_pb2.DecideProposalResponse:
        request = admin_pb2.DecideProposalRequest(
            proposal_id=proposal_id, approve=approve, reason=reason
        )
        decided: admin_pb2.DecideProposalResponse = await answer(
            self.stub.DecideProposal(request, timeout=20)
        )
        return decided

    async def entries(self, kind: str, **more: Any) -> admin_pb2.ListEntriesResponse:
        number = admin_pb2.EntryKind.Value(f"ENTRY_KIND_{kind}")
        request = admin_pb2.ListEntriesRequest(kind=number, **more)
        page: admin_pb2.ListEntriesResponse = await answer(
            self.stub.ListEntries(request, timeout=20)
        )
        return page

    async def proposals(self, **more: Any) -> list[admin_pb2.Proposal]:
        """The first page of them."""
        request = admin_pb2.ListProposalsRequest(page_size=1000, **more)
        return list((await answer(self.stub.ListProposals(request, timeout=20))).proposals)

    async def proposal(self, proposal_id: str) -> admin_pb2.Proposal:
        request = admin_pb2.GetProposalRequest(proposal_id=proposal_id)
        found: admin_pb2.Proposal = (
            await answer(self.stub.GetProposal(request, timeout=20))
        ).proposal
        return found


async def answer(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise typed(error) from error


@asynccontextmanager
async def desk(inside: CentreInside, role: str) -> AsyncIterator[Desk]:
    holder = await inside.staff(role)
    async with inside.channel(holder) as channel:
        yield Desk(holder, admin_pb2_grpc.AdminServiceStub(channel))


def name_of(holder: Holder) -> str:
    return identity_of(holder).rpartition("/")[2]


def identity_of(holder: Holder) -> str:
    return str(identity.of_certificate(holder.certificate))


def a_unit(**more: Any) -> directory_pb2.Unit:
    """A unit that is new, with codes of its own."""
    first8 = f"X{secrets.randbelow(10**7):07}"
    values: dict[str, Any] = {
        "unit_id": f"u{secrets.token_hex(5)}",
        "name_zh": "新单位",
        "name_en": "New unit",
        "short_zh": "新",
        "kind": "OFFICE",
        "organisation_code": first8 + codes.organisation_check_character(first8),
        **more,
    }
    return directory_pb2.Unit(**values)


def change(verb: admin_pb2.Verb.ValueType, **entry: Any) -> admin_pb2.Change:
    return admin_pb2.Change(verb=verb, entry=admin_pb2.Entry(**entry))


def put(**entry: Any) -> admin_pb2.Change:
    return change(VERB_PUT, **entry)


def of_unit(verb: admin_pb2.Verb.ValueType, unit_id: str, successor: str = "") -> admin_pb2.Change:
    return change(verb, unit=directory_pb2.Unit(unit_id=unit_id, successor=successor))


def of_system(verb: admin_pb2.Verb.ValueType, unit_id: str, name: str) -> admin_pb2.Change:
    return change(verb, system=admin_pb2.SystemEntry(unit_id=unit_id, name=name))


def of_staff(verb: admin_pb2.Verb.ValueType, name: str) -> admin_pb2.Change:
    return change(verb, staff=admin_pb2.StaffEntry(name=name))


def a_person(role: str = "auditor", **more: str) -> admin_pb2.StaffEntry:
    name = f"p-{secrets.token_hex(5)}"
    values: dict[str, Any] = {"name": name, "person": name, "full_name": "赵六", "role": role}
    return admin_pb2.StaffEntry(**values | more)


def a_route(**more: str) -> admin_pb2.RouteEntry:
    made = {"effect": "DENY", "sender": "unit:qd-tongji", "recipient": "unit:qd-zhengfu"}
    values = {"route_id": f"r-{secrets.token_hex(5)}", "business": "DATA", **made, **more}
    return admin_pb2.RouteEntry(**values)


async def recorded(inside: CentreInside, key: str, *types: str) -> list[event.Event]:
    """The events of these types that name this entry or proposal, in their order."""
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select event from exchange.events where type = any ($1) order by event_no",
            list(types or ("REGISTRY_CHANGED",)),
        )
    found = [event.decode(row["event"]) for row in rows]
    return [each for each in found if key in ((each.detail or {}).get("key"), _proposal_in(each))]


def _proposal_in(each: event.Event) -> str:
    return (each.detail or {}).get("proposal", "")


async def denied(inside: CentreInside, who: Holder, code: str) -> list[dict[str, str]]:
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select event from exchange.events where type = 'DENIED' and actor = $1",
            identity_of(who),
        )
    details = [event.decode(row["event"]).detail or {} for row in rows]
    return [detail for detail in details if detail["code"] == code]


def with_(message: Any, **fields: Any) -> Any:
    """The message with other values for some fields."""
    made = type(message)()
    made.CopyFrom(message)
    for name, value in fields.items():
        setattr(made, name, value)
    return made
