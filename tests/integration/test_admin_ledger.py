"""The ledger's own functions of administration: what holds whatever a server asks them to do.

Called here with the role of the centre, as whoever took a server over could.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import msgspec
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes, identity
from document_exchange.certificates import fingerprint
from document_exchange.entries import (
    BusinessEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from exchange_runtime import events
from exchange_runtime.values import PreparedEvent, Principal
from exchange_server.administration import registry_changed
from exchange_server.changes import Changed, put
from exchange_server.second_person import OPEN, Proposal, Proposed
from exchange_server.storage.entries import EntriesOnPostgres
from exchange_server.storage.ledger import ledger_database
from tests.pki_for_tests import Holder
from tests.real_centre import CentreInside, now
from tests.rivals import overtaken, rival

FORBIDDEN = asyncpg.InsufficientPrivilegeError
MANY = (10_000, 10_000)
STORAGE = "exchange_server.storage"


@pytest.fixture
async def ledger(local_centre: LocalCentre) -> AsyncIterator[EntriesOnPostgres]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    database = ledger_database(dsn, connections=2, timeout_s=20)
    await database.open()
    yield EntriesOnPostgres(database)
    await database.close()


def principal(holder: Holder) -> Principal:
    certificate = holder.certificate
    return Principal(
        identity=identity.of_certificate(certificate),
        fingerprint=bytes.fromhex(fingerprint(certificate)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        address="127.0.0.1",
    )


def a_business() -> Changed:
    code = f"B{secrets.token_hex(4).upper()}"
    return Changed(None, BusinessEntry(code=code, name_zh="业务", name_en="B"))


def a_route() -> Changed:
    name = f"r-{secrets.token_hex(5)}"
    parties = {"sender": "unit:qd-tongji", "recipient": "unit:qd-zhengfu"}
    return Changed(None, RouteEntry(route_id=name, effect="DENY", business="DATA", **parties))


def told(caller: Principal, *changed: Changed) -> list[PreparedEvent]:
    return registry_changed(caller, now, changed, {})


async def change(
    ledger: EntriesOnPostgres,
    caller: Principal,
    *changed: Changed,
    prepared: list[PreparedEvent] | None = None,
    proposal: str | None = None,
    version: int | None = None,
) -> str:
    if version is None:
        version = (await ledger.load_entries()).version
    return await ledger.change_entries(
        version,
        caller.fingerprint,
        changed,
        told(caller, *changed) if prepared is None else prepared,
        (proposal, "") if proposal else None,
    )


async def propose(
    ledger: EntriesOnPostgres, caller: Principal, *changed: Changed, version: int | None = None
) -> tuple[str, str]:
    made = proposal(caller, now(), *changed)
    prepared = events.prepare("PROPOSAL_MADE", now(), caller, detail=made.detail())
    if version is None:
        version = (await ledger.load_entries()).version
    return await ledger.propose(version, caller.fingerprint, made, prepared, MANY)


def proposal(caller: Principal, at: datetime, *changed: Changed) -> Proposal:
    content = Proposed(
        changes=tuple(put(each.after) for each in changed if each.after is not None),
        differences=tuple(difference for each in changed for difference in each.differences()),
    )
    by = str(caller.identity)
    return Proposal(codes.new_id(at), msgspec.json.encode(content), OPEN, by, at, "")


async def reject(
    ledger: EntriesOnPostgres, caller: Principal, proposal_id: str, version: int | None = None
) -> str:
    prepared = events.prepare("PROPOSAL_REJECTED", now(), caller)
    if version is None:
        version = (await ledger.load_entries()).version
    return await ledger.reject_proposal(version, caller.fingerprint, proposal_id, "", prepared)


async def test_what_the_owner_may_is_not_granted(local_centre: LocalCentre) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    try:
        for statement in (
            "select exchange.write_entries(1, '[]', '[]', now(), '{}', '{}', '{}')",
            "select exchange.require_second_person(false, now(), gen_random_uuid(), '', '')",
            "update exchange.administration set second_person = false",
            "select * from exchange.standing_of_staff('')",
        ):
            with pytest.raises(FORBIDDEN):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_nothing_changes_without_a_caller_and_an_event_of_each_entry(
    inside: CentreInside, ledger: EntriesOnPostgres
) -> None:
    operator = principal(await inside.staff("operator"))
    other = principal(await inside.staff("operator"))
    auditor = principal(await inside.staff("auditor"))
    one, two = a_business(), a_business()
    for fingerprint_ in (b"", secrets.token_bytes(32)):  # none, and one that was never issued
        unknown = Principal(
            operator.identity, fingerprint_, operator.not_before, operator.not_after, ""
        )
        assert await change(ledger, unknown, one) == "CERTIFICATE_REVOKED"
    with pytest.raises(FORBIDDEN, match="without its event"):
        await change(ledger, operator, one, two, prepared=told(operator, one))
    with pytest.raises(FORBIDDEN, match="another actor"):
        await change(ledger, operator, one, prepared=told(other, one))
    with pytest.raises(FORBIDDEN, match="change nothing"):
        await change(ledger, auditor, one)
    assert ("business", one.entry.key) not in (await ledger.load_entries()).by_key
    assert await change(ledger, operator, one, two) == "APPLIED"


async def test_a_removal_has_an_event_too(inside: CentreInside, ledger: EntriesOnPostgres) -> None:
    operator = principal(await inside.staff("operator"))
    entries = await ledger.load_entries()
    removed = Changed(entries.by_key["group", "all-departments"], None)
    with pytest.raises(FORBIDDEN, match="without its event"):
        await change(ledger, operator, removed, prepared=told(operator, a_business()))


async def test_rights_change_by_two_persons_of_security_alone(
    inside: CentreInside, ledger: EntriesOnPostgres
) -> None:
    operator, security, second = [
        principal(await inside.staff(role)) for role in ("operator", "security", "security")
    ]
    route, other = a_route(), a_route()
    name = f"p-{secrets.token_hex(4)}"
    person = StaffEntry(name=name, person=name, full_name="某", role="security", status="ACTIVE")
    unit = (await ledger.load_entries()).find(UnitEntry, "qd-tongji")
    assert unit is not None
    acting = Changed(unit, msgspec.structs.replace(unit, acts_for=("qd-zhengfu",)))
    for each in (route, Changed(None, person), acting):
        with pytest.raises(FORBIDDEN, match="security staff alone"):
            await change(ledger, operator, each)
        with pytest.raises(FORBIDDEN, match="nobody else proposed"):
            await change(ledger, security, each)
    with pytest.raises(FORBIDDEN, match="security staff propose"):
        await propose(ledger, operator, route)
    outcome, proposal_id = await propose(ledger, security, route)
    assert outcome == "PROPOSED"
    with pytest.raises(FORBIDDEN, match="another member"):
        await change(ledger, security, route, proposal=proposal_id)
    with pytest.raises(FORBIDDEN, match="nobody else proposed"):
        await change(ledger, second, route, other, proposal=proposal_id)
    assert await change(ledger, second, route, proposal=proposal_id) == "APPLIED"
    assert await change(ledger, second, other, proposal=proposal_id) == "DECIDED"
    removed = Changed(route.after, None)
    with pytest.raises(FORBIDDEN, match="nobody else proposed"):
        await change(ledger, second, removed)


async def test_a_suspension_needs_one_and_lifting_it_security(
    inside: CentreInside, ledger: EntriesOnPostgres
) -> None:
    operator, security, clerk = [
        principal(await inside.staff(role)) for role in ("operator", "security", "auditor")
    ]
    entries = await ledger.load_entries()
    staff = entries.find(StaffEntry, clerk.identity.name)
    assert staff is not None
    suspended = Changed(staff, msgspec.structs.replace(staff, status="SUSPENDED"))
    with pytest.raises(FORBIDDEN):
        await change(ledger, operator, suspended)
    assert await change(ledger, security, suspended) == "APPLIED"
    with pytest.raises(FORBIDDEN, match="nobody else proposed"):
        await change(ledger, security, Changed(suspended.after, staff))

    system = SystemEntry(unit_id="qd-tongji", name=f"s-{secrets.token_hex(4)}", status="SUSPENDED")
    held = Changed(None, system, held_after=True)
    assert await change(ledger, security, held) == "APPLIED"
    back = Changed(system, msgspec.structs.replace(system, status="ACTIVE"), held_before=True)
    loose = Changed(system, msgspec.structs.replace(system, contact="李"), held_before=True)
    for each in (back, loose):
        with pytest.raises(FORBIDDEN, match="security staff alone"):
            await change(ledger, operator, each)
    assert await change(ledger, security, back) == "APPLIED"


@pytest.mark.parametrize("lost", ["certificate", "suspended", "nothing"])
async def test_who_is_shut_out_in_that_moment_does_nothing_more(
    inside: CentreInside, ledger: EntriesOnPostgres, lost: str
) -> None:
    """Whoever was let in a moment ago: the ledger looks again, in the transaction that writes."""
    holder = await inside.staff("security")
    caller = principal(holder)
    other = principal(await inside.staff("security"))
    _, open_one = await propose(ledger, other, a_route())
    before = (await ledger.load_entries()).version
    if lost == "certificate":
        await inside.revoke(holder)
    elif lost == "suspended":
        staff = (await ledger.load_entries()).find(StaffEntry, caller.identity.name)
        assert staff is not None
        gone = Changed(staff, msgspec.structs.replace(staff, status="SUSPENDED"))
        assert await change(ledger, other, gone) == "APPLIED"
    expected = {
        "certificate": "CERTIFICATE_REVOKED",
        "suspended": "STAFF_NOT_ACTIVE",
        "nothing": "",
    }[lost]
    entry = a_business()
    assert await change(ledger, caller, entry) == (expected or "APPLIED")
    outcome, _ = await propose(ledger, caller, a_route())
    assert outcome == (expected or "PROPOSED")
    assert await reject(ledger, caller, open_one) == (expected or "REJECTED")
    if lost != "certificate":  # which is no entry
        # What was decided upon the entries as they were is decided anew.
        for late in (
            await change(ledger, caller, a_business(), version=before),
            (await propose(ledger, caller, a_route(), version=before))[0],
            await reject(ledger, caller, open_one, before),
        ):
            assert late == "CHANGED"


async def test_of_contrary_decisions_about_a_proposal_the_first_stands(
    inside: CentreInside, ledger: EntriesOnPostgres, local_centre: LocalCentre
) -> None:
    """In each order; the second waits until the first is committed."""
    one, other = [principal(await inside.staff("security")) for _ in range(2)]
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    route = a_route()
    version = (await ledger.load_entries()).version

    _, proposal_id = await propose(ledger, one, route)
    async with rival(dsn, STORAGE) as first:
        assert await reject(EntriesOnPostgres(first), other, proposal_id, version) == "REJECTED"
        applying = change(ledger, other, route, proposal=proposal_id, version=version)
        assert await overtaken(first, applying) == "DECIDED"

    _, proposal_id = await propose(ledger, one, route)
    async with rival(dsn, STORAGE) as first:
        elsewhere = EntriesOnPostgres(first)
        applied = change(elsewhere, other, route, proposal=proposal_id, version=version)
        assert await applied == "APPLIED"
        rejecting = reject(ledger, other, proposal_id, version)
        assert await overtaken(first, rejecting) == "CHANGED"
    found = await ledger.find_proposal(proposal_id)
    assert found is not None
    assert found.standing == "APPLIED"
