"""The ledger's own guards, on a real PostgreSQL, with the rights of the real roles."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives import hashes
from exchange_client.testing import LocalCentre

from document_exchange import codes, identity, manifest
from document_exchange.receipt import ReceiptType, State
from document_exchange.transitions import TRANSITIONS
from document_exchange.v1 import exchange_pb2
from exchange_runtime import events
from exchange_runtime.values import Principal
from exchange_server.attention import Key
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.values import DeliveryPosition, NewStatement, StatementRecord
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    sealed,
)


@pytest.fixture
async def exchange(local_centre: LocalCentre) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    yield connection
    await connection.close()


async def test_the_guard_in_the_database_is_the_table_in_the_code(
    exchange: asyncpg.Connection,
) -> None:
    rows = await exchange.fetch(
        "select state_before, type, state_after, only_for, if_requested from exchange.transitions"
    )
    table = {
        (before.value, kind.value): (
            to.state_after.value,
            sorted(to.only_for) if to.only_for else None,
            to.if_requested,
        )
        for (before, kind), to in TRANSITIONS.items()
        if before is not None
    }
    assert {
        (before, kind): (to, sorted(only_for) if only_for else None, if_requested)
        for before, kind, to, only_for, if_requested in rows
    } == table


@pytest.fixture
async def ledger(local_centre: LocalCentre) -> AsyncIterator[Ledger]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    database = ledger_database(dsn, connections=2, timeout_s=10)
    await database.open()
    yield Ledger(database, longest_upload=timedelta(hours=4))
    await database.close()


async def pending(inside: CentreInside) -> str:
    """The envelope_id of a document that nobody has confirmed."""
    made = envelope([part(b"x")])
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", b"x"),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=10)
    return made.envelope_id


def step(inside: CentreInside, at: DeliveryPosition, kind: ReceiptType, to: State) -> NewStatement:
    """What a server would write that skipped the table in the code."""
    certificate = inside.unit(RECIPIENT).certificate
    principal = Principal(
        identity=identity.of_certificate(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        address="",
    )
    moment = now()
    event = events.prepare(kind.value, moment, principal, envelope_id=at.envelope_id)
    return NewStatement(
        position=at,
        type=kind,
        state_after=to,
        by_side="R",
        principal=principal,
        seal=None,
        centre_seal=inside.centre_seal().fingerprint(hashes.SHA256()),
        receipt_id=codes.new_id(moment),
        record=StatementRecord(b"{}", b"s", b"{}", b"s", event.content, event.salt),
        root_crl=1,
        seal_crl=1,
        event=event,
    )


async def test_a_step_that_is_in_no_table_is_not_written(
    local_centre: LocalCentre, ledger: Ledger
) -> None:
    inside = CentreInside(local_centre)
    at = await ledger.find_position(await pending(inside), RECIPIENT)
    assert at is not None
    assert at.state is State.PENDING
    for kind, to in (
        (ReceiptType.SIGNED_FOR, State.SIGNED_FOR),
        (ReceiptType.DELIVERED, State.SIGNED_FOR),
        (ReceiptType.COMPLETED, State.COMPLETED),
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await ledger.record(step(inside, at, kind, to))
    assert await ledger.find_position(at.envelope_id, RECIPIENT) == at


@pytest.mark.parametrize(
    "change", [{"seq": 1}, {"state": State.DELIVERED}, {"recipient": "qd-tongji"}]
)
async def test_nothing_is_written_upon_a_position_that_is_not_so(
    local_centre: LocalCentre, ledger: Ledger, change: dict[str, Any]
) -> None:
    inside = CentreInside(local_centre)
    at = await ledger.find_position(await pending(inside), RECIPIENT)
    assert at is not None
    believed = dataclasses.replace(at, **change)
    outcome = await ledger.record(step(inside, believed, ReceiptType.DELIVERED, State.DELIVERED))
    assert outcome.code == ("NOT_FOUND" if "recipient" in change else "CHANGED")
    assert await ledger.find_position(at.envelope_id, RECIPIENT) == at


async def test_nothing_is_written_that_a_revoked_seal_of_the_centre_signed(
    local_centre: LocalCentre, ledger: Ledger
) -> None:
    """The registry in memory may be half a second old; the transaction is not."""
    inside = CentreInside(local_centre)
    at = await ledger.find_position(await pending(inside), RECIPIENT)
    assert at is not None
    made = step(inside, at, ReceiptType.DELIVERED, State.DELIVERED)
    revoked = dataclasses.replace(made, centre_seal=bytes(32))
    assert (await ledger.record(revoked)).code == "CENTRE_SEAL_REVOKED"
    assert await ledger.find_position(at.envelope_id, RECIPIENT) == at


async def test_a_receipt_that_was_recorded_is_not_recorded_again(
    local_centre: LocalCentre, ledger: Ledger
) -> None:
    """Not even upon the newest position: what the sender offers again can be refused again."""
    inside = CentreInside(local_centre)
    at = await ledger.find_position(await pending(inside), RECIPIENT)
    assert at is not None
    first = step(inside, at, ReceiptType.DELIVERED, State.DELIVERED)
    assert (await ledger.record(first)).code == "RECORDED"
    now_at = await ledger.find_position(at.envelope_id, RECIPIENT, first.receipt_id)
    assert now_at is not None
    assert now_at.recorded
    again = dataclasses.replace(
        step(inside, now_at, ReceiptType.SIGNED_FOR, State.SIGNED_FOR), receipt_id=first.receipt_id
    )
    assert (await ledger.record(again)).code == "CHANGED"
    assert await ledger.find_position(at.envelope_id, RECIPIENT, first.receipt_id) == now_at
    async with inside.ledger() as owner:  # no client may find what these bytes are not
        for table in ("attention", "deliveries", "statements", "envelopes"):
            await owner.execute(
                f"delete from exchange.{table} where envelope_id = $1::uuid", at.envelope_id
            )


async def test_a_poll_reads_what_a_watch_would_without_the_summaries(
    local_centre: LocalCentre, ledger: Ledger
) -> None:
    """Both sides, page by page; a row with a higher seq among them."""
    inside = CentreInside(local_centre)
    made = [await pending(inside) for _ in range(5)]
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        for envelope_id in made[:3]:
            got = await stub.GetEnvelope(
                exchange_pb2.GetEnvelopeRequest(envelope_id=envelope_id), timeout=10
            )
            digest = manifest.sha256_hex(got.envelope.manifest)
            await stub.ConfirmDelivery(
                exchange_pb2.ConfirmDeliveryRequest(
                    envelope_id=envelope_id, manifest_sha256=digest
                ),
                timeout=10,
            )
    deliveries = await ledger.waiting_deliveries(RECIPIENT, None, None, 10_000)
    submissions = await ledger.waiting_submissions(SENDER, None, None, 10_000)
    expected: dict[str, list[tuple[Key, int]]] = {
        "R": [(waiting.key, waiting.seq) for waiting in deliveries],
        "S": [(waiting.key, waiting.seq) for waiting in submissions],
    }
    assert {(envelope_id, RECIPIENT) for envelope_id in made} <= {key for key, _ in expected["R"]}
    assert {((each, RECIPIENT), 1) for each in made[:3]} <= set(expected["S"])
    for side, unit in (("R", RECIPIENT), ("S", SENDER)):
        found: list[tuple[Key, int]] = []
        while page := await ledger.waiting_seqs(unit, side, found[-1][0] if found else None, 2):
            found.extend(page)
        assert found == expected[side]
    assert await ledger.waiting_seqs("nobody-here", "S", None, 10) == []


@pytest.mark.parametrize(
    "statement",
    [
        "insert into exchange.envelopes select * from exchange.envelopes",
        "insert into exchange.statements select * from exchange.statements",
        "insert into exchange.deliveries select * from exchange.deliveries",
        "update exchange.deliveries set state = 'SIGNED_FOR', seq = seq + 1",
        "delete from exchange.attention",
        "update exchange.envelopes set title = 'x'",
        "delete from exchange.envelopes",
        "update exchange.statements set type = 'REFUSED'",
        "delete from exchange.statements",
        "update exchange.events set actor = 'x'",
        "delete from exchange.events",
        "delete from exchange.deliveries",
        "update exchange.certificates set revoked_at = null",
        "insert into exchange.crls values ('root', 99, now(), now(), '')",
        "delete from exchange.units",
        "insert into exchange.transitions values ('SIGNED_FOR', 'DELIVERED', 'PENDING')",
        "select exchange.publish_crl('root', 99, now(), now(), '')",
    ],
)
async def test_the_centre_can_rewrite_nothing(exchange: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await exchange.execute(statement)


async def test_the_authority_sees_no_document(local_centre: LocalCentre) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_authority"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select manifest from exchange.envelopes")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("insert into exchange.certificates (fingerprint) values ('')")
    finally:
        await connection.close()
