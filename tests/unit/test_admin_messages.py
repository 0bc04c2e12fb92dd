"""Entries and changes cross the wire and come back the same."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from document_exchange import entries
from document_exchange.entries import KINDS, Entry
from document_exchange.entry_changes import Verb
from document_exchange.errors import InvalidRequest
from document_exchange.v1 import admin_pb2
from exchange_server.changes import Change, put
from exchange_server.rpc import admin_messages as messages
from exchange_server.second_person import Proposal, Proposed

FULL: tuple[Entry, ...] = (
    entries.RegionEntry(
        code="370200", name_zh="青岛", name_en="Q", valid_from=date(1949, 6, 2),
        valid_to=date(2030, 1, 1),
    ),
    entries.BusinessEntry(code="DATA", name_zh="数据", name_en="Data"),
    entries.UnitEntry(
        unit_id="qd-x", name_zh="某局", name_en="Bureau", short_zh="局", kind="DEPARTMENT",
        organisation_code="QD0010790", credit_code="11370200QD0010790B", region="370200",
        issuer_marks=("青乙", "青甲"),
        groups=("a-1", "b-1"), acts_for=("qd-a", "qd-b"), contact="张三 8591", status="CLOSED",
        successor="qd-y",
    ),
    entries.SystemEntry(
        unit_id="qd-x", name="oa", description="办公", contact="李", status="ACTIVE",
    ),
    entries.StaffEntry(
        name="li", person="S-1", full_name="李娜", role="auditor", status="SUSPENDED",
    ),
    entries.GroupEntry(group_id="a-1", name_zh="组", name_en="Group", members=("qd-x", "qd-y")),
    entries.RouteEntry(
        route_id="r", effect="DENY", sender="unit:qd-x", recipient="group:a-1", business="DATA",
        genre="NOTICE", direction="DOWN", note="注",
    ),
    entries.QuotaEntry(
        unit_id="*", calls_per_minute=1, submissions_per_minute=2, bytes_per_minute=3,
        bytes_in_flight=4, open_streams=2**53 - 1,
    ),
)  # fmt: skip


def test_no_kind_is_left_out() -> None:
    assert [entry.family for entry in FULL] == list(KINDS)
    kinds = {
        name.removeprefix("ENTRY_KIND_").lower()
        for name in admin_pb2.EntryKind.DESCRIPTOR.values_by_name
    }
    assert kinds - {"unspecified"} == set(KINDS)


@pytest.mark.parametrize("entry", FULL, ids=lambda entry: str(entry.family))
def test_every_field_of_every_kind_comes_back(entry: Entry) -> None:
    """All of them differ from their defaults, so that none can be forgotten."""
    assert all(msgspec.structs.asdict(entry).values())
    sent = admin_pb2.Change(verb=admin_pb2.VERB_PUT, entry=messages.entry(entry))
    again = admin_pb2.Change.FromString(sent.SerializeToString())
    assert messages.read_change(again, 0) == put(entry)


@pytest.mark.parametrize("entry", FULL, ids=lambda entry: str(entry.family))
@pytest.mark.parametrize("verb", [Verb.SUSPEND, Verb.RESUME, Verb.CLOSE, Verb.REMOVE])
def test_of_other_changes_the_key_alone_counts(entry: Entry, verb: Verb) -> None:
    sent = admin_pb2.Change(verb=admin_pb2.Verb.Value(f"VERB_{verb}"), entry=messages.entry(entry))
    successor = "qd-y" if (entry.family, verb) == ("unit", Verb.CLOSE) else ""
    read = messages.read_change(sent, 0)
    assert read == Change(verb=verb, kind=entry.family, key=entry.key, successor=successor)


def test_a_proposal_shows_its_changes() -> None:
    changes = tuple(put(entry) for entry in FULL) + tuple(
        Change(verb=Verb.CLOSE, kind=kind, key=key, successor=successor)
        for kind, key, successor in (("unit", "qd-x", "qd-y"), ("system", "qd-x/oa", ""))
    )
    content = msgspec.json.encode(Proposed(changes=changes, differences=()))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    shown = messages.proposal(Proposal("id", content, "OPEN", "spiffe://x/staff/li", now, "因"))
    assert tuple(messages.read_change(each, 0) for each in shown.changes) == changes


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_key_nothing_is_an_entry(kind: str) -> None:
    sent = admin_pb2.Change(verb=admin_pb2.VERB_CLOSE)
    getattr(sent.entry, kind).SetInParent()
    with pytest.raises(InvalidRequest) as refused:
        messages.read_change(sent, 7)
    assert refused.value.attributes["field"] == f"changes[7].{kind}.{KINDS[kind].key_fields[0]}"
