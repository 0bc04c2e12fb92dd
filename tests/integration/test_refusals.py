"""Every submission that must be refused is, by a typed error that says why, and leaves nothing.

Each case calls as a system of its own. So its refusal is the first of its kind (caller, method,
code), whose event is in the ledger before the answer goes out, and it can be told from all others.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import grpc
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_client.testing import LocalCentre
from exchange_pki.prepare import Order

from document_exchange import codes, event, identity, manifest, receipt, times
from document_exchange.errors import ExchangeError, Refused
from document_exchange.receipt import Receipt, ReceiptType
from document_exchange.v1 import envelope_pb2, exchange_pb2
from exchange_runtime.denials import traceable
from exchange_server.storage.blobs import Blob, MinioBlobStore
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.sweep import Sweeper
from tests.forgeries import (
    BIG,
    BLOCKS_STAY_BEHIND,
    CASES,
    Case,
    Forger,
    chunks_of,
    too_many_bytes,
)
from tests.pki_for_tests import Holder
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    admitted,
    document,
    now,
    part,
    sealed,
    typed,
)

SERVICE = "/document_exchange.v1.ExchangeService/"
TABLES = {
    *("envelopes", "parts", "blocks", "doc_ids"),
    *("deliveries", "attention", "statements"),
    *("deadlines", "links", "link_parties"),
    *("stamp_queue", "stamps", "sealed_indexes"),
}
"""Every table in which an envelope_id stands, besides that of events."""
LONGEST_UPLOAD = timedelta(hours=4)


@dataclass(frozen=True)
class LaterLedger:
    """The ledger at a time when every object that is there now is old enough to be swept."""

    ledger: Ledger

    async def clock(self) -> datetime:
        return await self.ledger.clock() + timedelta(days=1, minutes=1) + 2 * LONGEST_UPLOAD

    async def named_objects(self, envelope_ids: Sequence[str]) -> set[str]:
        return await self.ledger.named_objects(envelope_ids)


@dataclass(frozen=True)
class Stores:
    """The centre's ledger and bucket, as its own server uses them."""

    ledger: Ledger
    blobs: MinioBlobStore

    async def keys_of(self, envelope_id: str) -> set[str]:
        return {blob.key async for blob in self.blobs.list() if envelope_id in blob.key}

    async def sweep(self, keys: set[str]) -> int:
        """Sweep these objects as a server will, once they are old enough; how many went."""
        objects = _Objects(self.blobs, frozenset(keys))
        swept = await Sweeper(LaterLedger(self.ledger), objects, LONGEST_UPLOAD).sweep(remove=True)
        assert swept.listed == len(keys)
        return swept.removed


@dataclass(frozen=True)
class _Objects:
    """Some objects of a bucket, so that a sweep at a later clock touches nobody else's."""

    blobs: MinioBlobStore
    keys: frozenset[str]

    async def list(self, prefix: str = "") -> AsyncIterator[Blob]:
        async for blob in self.blobs.list(prefix):
            if blob.key in self.keys:
                yield blob

    async def delete(self, keys: Sequence[str]) -> None:
        await self.blobs.delete(keys)


@pytest.fixture(scope="session")
async def inside(local_centre: LocalCentre) -> CentreInside:
    return CentreInside(local_centre)


@pytest.fixture(scope="session")
async def stores(inside: CentreInside) -> AsyncIterator[Stores]:
    dsn = inside.description["ledger"]["dsn_exchange"]
    database = ledger_database(dsn, connections=2, timeout_s=30)
    await database.open()
    blobs = MinioBlobStore(**inside.description["blobs"], secure=False)
    yield Stores(Ledger(database, longest_upload=LONGEST_UPLOAD), blobs)
    blobs.close()
    await database.close()


RECEIPT_CASES = ("unconfirmed", "confirmed_for_another", "of_nothing", "unreadable", "no_id")
OTHER_SUBMISSIONS = ("accepted", "swept", "same_envelope_id", "same_doc_id")


@pytest.fixture(scope="session")
async def callers(inside: CentreInside) -> dict[str, Holder]:
    """A system certificate for each case, of the sender or the recipient, and one lost seal."""
    authority = inside.authority()
    made: dict[str, Holder] = {}

    def issue(profile: str, unit: str, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certified = authority.issue(Order(profile, name, unit), key.public_key())
        made[name] = Holder(certified.certificate, key)

    for name in (*(case.__name__ for case in CASES), *OTHER_SUBMISSIONS):
        issue("system", SENDER, name)
    for name in RECEIPT_CASES:
        issue("system", RECIPIENT, name)
    issue("seal", SENDER, "lost")
    authority.revoke(authority.serial_of(made["lost"].certificate), "keyCompromise")
    await inside.publish()
    await admitted(inside, made[RECEIPT_CASES[-1]])
    return made


def forger_named(inside: CentreInside, callers: dict[str, Holder], name: str) -> Forger:
    return Forger(inside, name, callers[name], callers["lost"])


async def submitted(forger: Forger, upload: Upload) -> ExchangeError | None:
    """Send it, once; the error that came, or None."""
    async with forger.inside.stub(forger.caller) as stub:
        try:
            await stub.Submit(upload.messages(), timeout=30)
        except grpc.aio.AioRpcError as error:
            return typed(error)
    return None


async def rows_of(ledger: asyncpg.Connection[asyncpg.Record], envelope_id: str) -> dict[str, int]:
    """In how many rows of each table this envelope stands."""
    tables = await ledger.fetch(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = 'exchange'::regnamespace and a.attname = 'envelope_id'"
        " and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'events'"
    )
    return {
        table: await ledger.fetchval(
            f"select count(*) from exchange.{table} where envelope_id = $1::uuid", envelope_id
        )
        for (table,) in tables
    }


async def denied(
    ledger: asyncpg.Connection[asyncpg.Record], caller: Holder
) -> tuple[event.Event, ...]:
    """The events of this caller's refusals, read back from their bytes."""
    rows = await ledger.fetch(
        "select e.event, e.salt, e.leaf, e.envelope_id::text, q.event_no is not null as queued"
        "  from exchange.events e left join exchange.event_queue q using (event_no)"
        " where e.type = 'DENIED' and e.actor = $1 order by e.event_no",
        str(identity.of_certificate(caller.certificate)),
    )
    found = tuple(event.decode(row["event"]) for row in rows)
    for row, made in zip(rows, found, strict=True):
        assert row["leaf"].hex() == event.leaf(row["salt"], row["event"])
        assert (row["envelope_id"], row["queued"]) == (made.envelope_id, True)
    return found


def named_in(upload: Upload) -> str | None:
    """The envelope_id that the centre could read; None where it could not read the manifest."""
    if upload.header_before[:1] != (0,):
        return None
    try:
        return manifest.decode(upload.manifest).envelope_id
    except Refused:
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_refused_submission_leaves_nothing_but_an_event(
    inside: CentreInside, callers: dict[str, Holder], stores: Stores, case: Case
) -> None:
    forger = forger_named(inside, callers, case.__name__)
    code, attributes = CASES[case]
    upload = case(forger)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]

    error = await submitted(forger, upload)

    assert error is not None, "it was accepted"
    assert (error.code, len(error.message) > 20) == (code, True)
    assert attributes.items() <= error.attributes.items(), error.attributes
    async with inside.ledger() as ledger:
        assert await rows_of(ledger, envelope_id) == dict.fromkeys(TABLES, 0)
        (first,) = await denied(ledger, forger.caller)
    assert first.envelope_id == named_in(upload)
    assert first.detail == {
        "method": SERVICE + "Submit",
        "code": code,
        **traceable(error),
    }
    left = await stores.keys_of(envelope_id)
    assert left or case not in BLOCKS_STAY_BEHIND
    assert await stores.sweep(left) == len(left)
    assert await stores.keys_of(envelope_id) == set()


async def test_what_these_cases_are_made_from_is_accepted(
    inside: CentreInside, callers: dict[str, Holder], stores: Stores
) -> None:
    """So that each case is refused for its own fault only; and no sweep touches it."""
    forger = forger_named(inside, callers, "accepted")
    upload = forger.upload(forger.envelope([part(BIG)]))
    upload.chunks = chunks_of(BIG)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]
    assert await submitted(forger, upload) is None
    async with inside.ledger() as ledger:
        found = await rows_of(ledger, envelope_id)
        assert await denied(ledger, forger.caller) == ()
    assert set(found) == TABLES
    expected = {"envelopes": 1, "parts": 1, "blocks": 2, "deliveries": 1, "doc_ids": 1}
    assert {table: found[table] for table in expected} == expected
    keys = await stores.keys_of(envelope_id)
    assert await stores.ledger.named_objects([envelope_id]) == keys
    assert await stores.sweep(keys) == 0


async def test_every_object_is_named_or_would_be_swept(
    inside: CentreInside, callers: dict[str, Holder], stores: Stores
) -> None:
    """Blocks of a refused upload stay behind unnamed, and a sweep of all finds exactly those."""
    forger = forger_named(inside, callers, "swept")
    upload = too_many_bytes(forger)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]
    assert await submitted(forger, upload) is not None
    later = LaterLedger(stores.ledger)
    swept = await Sweeper(later, stores.blobs, LONGEST_UPLOAD).sweep(remove=False)
    soon = await Sweeper(stores.ledger, stores.blobs, LONGEST_UPLOAD).sweep(remove=False)
    keys = {blob.key async for blob in stores.blobs.list()}
    async with inside.ledger() as ledger:
        names = {row[0] for row in await ledger.fetch("select object_key from exchange.blocks")}
    assert names <= keys
    assert (swept.listed, swept.removed) == (len(keys), len(keys - names))
    assert soon.removed == 0, "an upload may still be running"
    assert any(envelope_id in key for key in keys - names)


@pytest.mark.parametrize("same", ["same_envelope_id", "same_doc_id"])
async def test_an_identifier_serves_one_document(
    inside: CentreInside, callers: dict[str, Holder], same: str
) -> None:
    forger = forger_named(inside, callers, same)
    first = forger.envelope()
    assert await submitted(forger, forger.upload(first)) is None
    if same == "same_envelope_id":
        again = forger.envelope(envelope_id=first.envelope_id)
        attributes = {"envelope_id": first.envelope_id}
    else:
        copied = msgspec.structs.replace(document(), doc_id=first.document.doc_id)
        again = forger.envelope(document=copied)
        attributes = {"field": "document.doc_id", "value": first.document.doc_id}
    error = await submitted(forger, forger.upload(again))
    assert error is not None, "it was accepted"
    assert error.code == "ENVELOPE_CONFLICT"
    assert attributes.items() <= error.attributes.items()
    async with inside.ledger() as ledger:
        (made,) = await denied(ledger, callers[same])
        digest = await ledger.fetchval(
            "select encode(manifest_sha256, 'hex') from exchange.envelopes where envelope_id = $1",
            first.envelope_id,
        )
    assert (made.envelope_id, (made.detail or {})["code"]) == (again.envelope_id, error.code)
    assert digest == manifest.sha256_hex(manifest.encode(first))


@pytest.fixture(scope="session")
async def pending(inside: CentreInside, callers: dict[str, Holder]) -> manifest.Manifest:
    """An envelope that nobody has confirmed."""
    forger = forger_named(inside, callers, "accepted")
    made = forger.envelope()
    assert await submitted(forger, forger.upload(made)) is None
    return made


def signed_for(inside: CentreInside, about: str, digest: str) -> envelope_pb2.SignedBytes:
    content = receipt.encode(
        Receipt(
            schema=receipt.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now()),
            type=ReceiptType.SIGNED_FOR,
            envelope_id=about,
            recipient=RECIPIENT,
            manifest_sha256=digest,
            by=f"spiffe://exchange.example/unit/{RECIPIENT}/seal/main",
            at=times.format_time(now()),
        )
    )
    (made,) = sealed(content, inside.unit(RECIPIENT, "seal"))
    return envelope_pb2.SignedBytes(content=content, signature=made)


@pytest.mark.parametrize("case", RECEIPT_CASES)
async def test_a_refused_receipt_is_an_event_and_changes_nothing(
    inside: CentreInside, callers: dict[str, Holder], pending: manifest.Manifest, case: str
) -> None:
    about = pending.envelope_id
    digest = manifest.sha256_hex(manifest.encode(pending))
    nothing = codes.new_id(now())
    record, confirm = exchange_pb2.RecordReceiptRequest, exchange_pb2.ConfirmDeliveryRequest
    calls: dict[str, tuple[str, Any, str, str | None]] = {
        "unconfirmed": (
            "RecordReceipt", record(receipt=signed_for(inside, about, digest)),
            "STATE_CONFLICT", about,
        ),
        "confirmed_for_another": (
            "ConfirmDelivery", confirm(envelope_id=about, manifest_sha256=secrets.token_hex(32)),
            "RECEIPT_REFUSED", None,
        ),
        "of_nothing": (
            "RecordReceipt", record(receipt=signed_for(inside, nothing, digest)),
            "NOT_FOUND", nothing,
        ),
        "unreadable": (
            "RecordReceipt", record(receipt=envelope_pb2.SignedBytes(content=b"{}")),
            "RECEIPT_REFUSED", None,
        ),
        "no_id": (
            "ConfirmDelivery", confirm(envelope_id="../" + about, manifest_sha256=digest),
            "INVALID_REQUEST", None,
        ),
    }  # fmt: skip
    method, request, code, named = calls[case]
    async with inside.stub(callers[case]) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await getattr(stub, method)(request, timeout=10)
    error = typed(refused.value)
    assert error.code == code
    async with inside.ledger() as ledger:
        (made,) = await denied(ledger, callers[case])
        assert (await rows_of(ledger, about))["statements"] == 0
    assert made.envelope_id == named
    detail = made.detail or {}
    assert (detail["method"], detail["code"]) == (SERVICE + method, code)
