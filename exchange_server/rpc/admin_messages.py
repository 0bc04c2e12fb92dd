"""From changes and entries to the messages of AdminService, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from google.protobuf.message import Message

from document_exchange import entries, entry_rules
from document_exchange.entries import KINDS, Entry
from document_exchange.entry_changes import Difference, Verb
from document_exchange.errors import InvalidRequest
from document_exchange.v1 import admin_pb2, directory_pb2
from exchange_server.changes import Change
from exchange_server.rpc.messages import timestamp, unit_status
from exchange_server.second_person import Proposal

_MESSAGES: Mapping[str, type[Message]] = {
    "unit": directory_pb2.Unit,
    "system": admin_pb2.SystemEntry,
    "staff": admin_pb2.StaffEntry,
    "group": directory_pb2.Group,
    "region": admin_pb2.RegionEntry,
    "business": admin_pb2.BusinessEntry,
    "route": admin_pb2.RouteEntry,
    "quota": admin_pb2.QuotaEntry,
}


def read_change(message: admin_pb2.Change, number: int) -> Change:
    """One change of a request.

    Raises:
        InvalidRequest: ``field`` names it as ``changes[number]…``.
    """
    place = f"changes[{number}]"
    kind = message.entry.WhichOneof("entry")
    if kind is None:
        raise InvalidRequest(f"{place} has no entry", field=f"{place}.entry")
    verb = _verb(message.verb, place)
    try:
        given = _given(getattr(message.entry, kind))
        if verb is Verb.PUT:
            entry = entry_rules.read(kind, given)
            assert isinstance(entry, entries.AnyEntry)
            return Change(verb=verb, kind=kind, key=entry.key, entry=entry)
        key = entry_rules.read_key(
            kind, {name: given.get(name, "") for name in KINDS[kind].key_fields}
        )
        successor = str(given.get("successor", "")) if verb is Verb.CLOSE else ""
        return Change(verb=verb, kind=kind, key=key, successor=successor)
    except InvalidRequest as error:
        field = f"{place}.{error.attributes.get('field', '')}"
        raise InvalidRequest(f"{place}: {error.message}", field=field) from error


def read_kind(number: int) -> str:
    """The kind of entries that a request names.

    Raises:
        InvalidRequest
    """
    if number not in admin_pb2.EntryKind.values() or not number:
        raise InvalidRequest(f"{number} is no kind of entry", field="kind")
    name = admin_pb2.EntryKind.Name(admin_pb2.EntryKind.ValueType(number))
    return name.removeprefix("ENTRY_KIND_").lower()


def read_standing(number: int) -> str:
    """The standing of proposals that a request names; "" for all.

    Raises:
        InvalidRequest
    """
    if number not in admin_pb2.ProposalStanding.values():
        raise InvalidRequest(f"{number} is no standing of a proposal", field="standing")
    name = admin_pb2.ProposalStanding.Name(admin_pb2.ProposalStanding.ValueType(number))
    return name.removeprefix("PROPOSAL_STANDING_") if number else ""


def entry(found: Entry) -> admin_pb2.Entry:
    values = msgspec.structs.asdict(found)
    return _entry(found.family, values)


def difference(found: Difference) -> admin_pb2.Difference:
    return admin_pb2.Difference(
        kind=admin_pb2.EntryKind.Value(f"ENTRY_KIND_{found.kind.upper()}"),
        key=found.key,
        field=found.field,
        before=found.before,
        after=found.after,
    )


def proposal(found: Proposal) -> admin_pb2.Proposal:
    return admin_pb2.Proposal(
        proposal_id=found.proposal_id,
        changes=[_change(each) for each in found.proposed.changes],
        standing=admin_pb2.ProposalStanding.Value(f"PROPOSAL_STANDING_{found.standing}"),
        proposed_by=found.proposed_by,
        proposed_at=timestamp(found.proposed_at),
        reason=found.reason,
        decided_by=found.decided_by,
        decided_at=timestamp(found.decided_at) if found.decided_at else None,
        decision_reason=found.decision_reason,
    )


def _change(change: Change) -> admin_pb2.Change:
    verb = admin_pb2.Verb.Value(f"VERB_{change.verb}")
    if change.entry is not None:
        return admin_pb2.Change(verb=verb, entry=entry(change.entry))
    names = KINDS[change.kind].key_fields
    values = dict(zip(names, change.key.split("/"), strict=True))
    if change.successor:
        values["successor"] = change.successor
    return admin_pb2.Change(verb=verb, entry=_entry(change.kind, values))


def _entry(kind: str, values: Mapping[str, Any]) -> admin_pb2.Entry:
    written: dict[str, Any] = {}
    for name, value in values.items():
        if name == "status":
            written[name] = unit_status(value) if value else 0
        elif isinstance(value, date):
            written[name] = value.isoformat()
        elif value is not None:
            written[name] = value
    made = admin_pb2.Entry()
    getattr(made, kind).CopyFrom(_MESSAGES[kind](**written))
    return made


def _given(message: Message) -> dict[str, Any]:
    """The fields that say something. The others are as the entry has them by default."""
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "status":
            given[field.name] = _status(value)
        elif isinstance(value, str | int):
            given[field.name] = value
        else:
            given[field.name] = list(value)
    return given


def _status(number: int) -> str:
    if number not in directory_pb2.UnitStatus.values():
        raise InvalidRequest(f"{number} is no status", field="status")
    name = directory_pb2.UnitStatus.Name(directory_pb2.UnitStatus.ValueType(number))
    return name.removeprefix("UNIT_STATUS_")


def _verb(number: int, place: str) -> Verb:
    if number not in admin_pb2.Verb.values() or not number:
        raise InvalidRequest(f"{place}: {number} is no verb", field=f"{place}.verb")
    return Verb(admin_pb2.Verb.Name(admin_pb2.Verb.ValueType(number)).removeprefix("VERB_"))
