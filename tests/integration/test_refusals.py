"""Every submission that must be refused is, by a typed error that says why, and leaves nothing.

Over the raw Submit call: an attacker has no SDK that checks beforehand.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import grpc
import msgspec
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes, manifest
from document_exchange.errors import ExchangeError
from document_exchange.manifest import Extension, Manifest, PartRole, Secrecy
from exchange_server.clock import system_clock
from exchange_server.storage.blobs import MinioBlobStore
from exchange_server.sweep import Sweeper
from tests.pki_for_tests import DAY, Holder, make_leaf, unit_seal_id
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    document,
    envelope,
    now,
    part,
    recipients,
    sealed,
    typed,
)

BODY = os.urandom(70_000)
BIG = os.urandom(9 * 1024 * 1024)
"""More than one block, so that the first is stored before the fault is found."""
CHUNK = 256 * 1024
TABLES = ("envelopes", "parts", "blocks", "deliveries", "doc_ids", "attention", "statements")

Expected = tuple[str, str, str]
"""Code of the error, name of an attribute that it has, and a piece of that attribute's value."""


@dataclass
class Forgery:
    """What a case has to work with."""

    inside: CentreInside
    revoked: Holder

    @property
    def seal(self) -> Holder:
        return self.inside.unit(SENDER, "seal")

    def upload(self, made: Manifest | None = None, *seals: Holder) -> Upload:
        """What the centre accepts, if the manifest is acceptable."""
        content = manifest.encode(made or envelope([part(BODY)]))
        return Upload(content, sealed(content, *(seals or (self.seal,))), (("part-1", BODY),))


def _chunks(data: bytes, part_id: str = "part-1") -> tuple[tuple[str, bytes], ...]:
    return tuple((part_id, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))


def wrong_signature(forge: Forgery) -> Upload:
    upload = forge.upload()
    (good,) = upload.signatures
    upload.signatures = (good[:-1] + bytes([good[-1] ^ 1]),)
    return upload


def missing_signature(forge: Forgery) -> Upload:
    upload = forge.upload()
    upload.signatures = ()
    return upload


def altered_manifest(forge: Forgery) -> Upload:
    upload = forge.upload()
    upload.manifest = upload.manifest.replace("编制".encode(), "编造".encode())
    return upload


def seal_of_another_unit(forge: Forgery) -> Upload:
    return forge.upload(None, forge.inside.unit(RECIPIENT, "seal"))


def tls_certificate_as_seal(forge: Forgery) -> Upload:
    return forge.upload(None, forge.inside.unit(SENDER, "system"))


def other_sender(forge: Forgery) -> Upload:
    made = envelope([part(BODY)], sender=RECIPIENT, document=document([RECIPIENT]))
    return forge.upload(made, forge.inside.unit(RECIPIENT, "seal"))


def other_system(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY)], sender_system="other"))


def joint_issue_without_one_seal(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY)], document=document([SENDER, "qd-tongji"])))


def expired_seal(forge: Forgery) -> Upload:
    seal = make_leaf(
        unit_seal_id(SENDER),
        issuer=forge.inside.issuing("seal-ca"),
        not_before=now() - 30 * DAY,
        not_after=now() - DAY,
    )
    return forge.upload(None, seal)


def unpublished_seal(forge: Forgery) -> Upload:
    return forge.upload(None, forge.inside.issue("seal", SENDER, codes.new_id(now())))


def revoked_seal(forge: Forgery) -> Upload:
    return forge.upload(None, forge.revoked)


def other_digest(forge: Forgery) -> Upload:
    upload = forge.upload(envelope([part(BIG)]))
    upload.chunks = _chunks(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    return upload


def other_size(forge: Forgery) -> Upload:
    other = msgspec.structs.replace(part(BIG), size=len(BIG) + 1)
    upload = forge.upload(envelope([other]))
    upload.chunks = _chunks(BIG)
    return upload


def too_few_bytes(forge: Forgery) -> Upload:
    upload = forge.upload(envelope([part(BIG)]))
    upload.chunks = _chunks(BIG)[:-1]
    return upload


def too_many_bytes(forge: Forgery) -> Upload:
    upload = forge.upload(envelope([part(BIG)]))
    upload.chunks = (*_chunks(BIG), ("part-1", b"x"))
    return upload


def part_twice_in_the_stream(forge: Forgery) -> Upload:
    parts = [part(BODY), part(b"second", "part-2", PartRole.ATTACHMENT)]
    upload = forge.upload(envelope(parts))
    upload.chunks = (("part-1", BODY), ("part-2", b"sec"), ("part-1", BODY), ("part-2", b"ond"))
    return upload


def part_not_in_the_manifest(forge: Forgery) -> Upload:
    upload = forge.upload()
    upload.chunks = (("part-9", BODY),)
    return upload


def part_twice_in_the_manifest(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY), part(BODY, role=PartRole.ATTACHMENT)]))


def unknown_recipient(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY)], recipients=recipients([RECIPIENT, "qd-nobody"])))


def secret(forge: Forgery) -> Upload:
    changed = msgspec.structs.replace(document(), secrecy=Secrecy.SECRET)
    return forge.upload(envelope([part(BODY)], document=changed))


def two_bodies(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY), part(BODY, "part-2")]))


def _resealed(forge: Forgery, old: bytes, new: bytes) -> Upload:
    """With other bytes in the manifest, properly sealed."""
    upload = forge.upload()
    assert upload.manifest.count(old) == 1
    upload.manifest = upload.manifest.replace(old, new)
    upload.signatures = sealed(upload.manifest, forge.seal)
    return upload


def unknown_field(forge: Forgery) -> Upload:
    return _resealed(forge, b',"urgency":', b',"unheard_of":1,"urgency":')


def duplicate_key(forge: Forgery) -> Upload:
    return _resealed(forge, b'"urgency":"NORMAL"', b'"urgency":"NORMAL","urgency":"NORMAL"')


def unknown_critical_extension(forge: Forgery) -> Upload:
    extensions = {"example.org/handling": Extension(critical=True, value="shred")}
    return forge.upload(envelope([part(BODY)], extensions=extensions))


def parts_65(forge: Forgery) -> Upload:
    more = [part(BODY, f"more-{n}", PartRole.ATTACHMENT) for n in range(64)]
    return forge.upload(envelope([part(BODY), *more]))


def recipients_501(forge: Forgery) -> Upload:
    return forge.upload(
        envelope([part(BODY)], recipients=recipients(f"unit-{n}" for n in range(501)))
    )


def oversized_manifest(forge: Forgery) -> Upload:
    extensions = {"example.org/bulk": Extension(critical=False, value="x" * manifest.MAX_BYTES)}
    return forge.upload(envelope([part(BODY)], extensions=extensions))


def envelope_of_last_year(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY)], envelope_id=codes.new_id(now() - 365 * DAY)))


def envelope_of_tomorrow(forge: Forgery) -> Upload:
    return forge.upload(envelope([part(BODY)], envelope_id=codes.new_id(now() + DAY)))


def chunk_before_header(forge: Forgery) -> Upload:
    upload = forge.upload()
    upload.header_first = False
    return upload


CASES: dict[Callable[[Forgery], Upload], Expected] = {
    wrong_signature: ("SIGNATURE_INVALID", "", ""),
    missing_signature: ("SIGNATURE_MISSING", "unit", SENDER),
    altered_manifest: ("SIGNATURE_INVALID", "", ""),
    seal_of_another_unit: ("SEAL_OF_ANOTHER_UNIT", "unit", RECIPIENT),
    tls_certificate_as_seal: ("SEAL_NOT_TRUSTED", "", ""),
    other_sender: ("SENDER_MISMATCH", "field", "sender"),
    other_system: ("SENDER_MISMATCH", "field", "sender"),
    joint_issue_without_one_seal: ("SIGNATURE_MISSING", "unit", "qd-tongji"),
    expired_seal: ("SEAL_EXPIRED", "", ""),
    unpublished_seal: ("SEAL_REVOKED", "unit", SENDER),
    revoked_seal: ("SEAL_REVOKED", "unit", SENDER),
    other_digest: ("PART_DIGEST_MISMATCH", "part_id", "part-1"),
    other_size: ("PART_SIZE_MISMATCH", "part_id", "part-1"),
    too_few_bytes: ("PART_SIZE_MISMATCH", "part_id", "part-1"),
    too_many_bytes: ("PART_SIZE_MISMATCH", "part_id", "part-1"),
    part_twice_in_the_stream: ("PART_OUT_OF_ORDER", "part_id", "part-1"),
    part_not_in_the_manifest: ("PART_OUT_OF_ORDER", "part_id", "part-9"),
    part_twice_in_the_manifest: ("MANIFEST_REFUSED", "field", "parts[1].part_id"),
    unknown_recipient: ("RECIPIENTS_REFUSED", "qd-nobody", "no such unit"),
    secret: ("SECRECY_REFUSED", "field", "document.secrecy"),
    two_bodies: ("MANIFEST_REFUSED", "field", "parts[1].role"),
    unknown_field: ("MANIFEST_REFUSED", "field", "document.unheard_of"),
    duplicate_key: ("NOT_CANONICAL", "field", "document.urgency"),
    unknown_critical_extension: ("UNKNOWN_CRITICAL_EXTENSION", "field", "example.org/handling"),
    parts_65: ("MANIFEST_REFUSED", "field", "parts"),
    recipients_501: ("MANIFEST_REFUSED", "field", "recipients"),
    oversized_manifest: ("MANIFEST_TOO_LARGE", "field", "$"),
    envelope_of_last_year: ("ENVELOPE_ID_OUT_OF_RANGE", "field", "envelope_id"),
    envelope_of_tomorrow: ("ENVELOPE_ID_OUT_OF_RANGE", "field", "envelope_id"),
    chunk_before_header: ("INVALID_REQUEST", "field", "header"),
}
NO_DENIAL = {"INVALID_REQUEST"}
"""A malformed call is a programmer's error, not a refused document: it is logged only."""


@pytest.fixture(scope="session")
async def forge(local_centre: LocalCentre) -> Forgery:
    inside = CentreInside(local_centre)
    revoked = inside.issue("seal", SENDER, "lost")
    await inside.revoke(revoked)
    return Forgery(inside, revoked)


async def submitted(inside: CentreInside, upload: Upload) -> ExchangeError | None:
    """Send it; the error that came, or None.

    When the centre answers while the client still sends, gRPC for Python now and then loses the
    answer's details on the client's side; a client then asks again, and so does this.
    """
    async with inside.stub(inside.unit(SENDER)) as stub:
        for _ in range(3):
            try:
                await stub.Submit(upload.messages(), timeout=30)
            except grpc.aio.AioRpcError as error:
                found = typed(error)
                if type(found) is not ExchangeError:
                    return found
            else:
                return None
    raise AssertionError("the answer's details were lost three times")


async def rows_of(ledger: asyncpg.Connection[asyncpg.Record], envelope_id: str) -> dict[str, int]:
    """In how many rows of each table this envelope stands."""
    return {
        table: await ledger.fetchval(
            f"select count(*) from exchange.{table} where envelope_id = $1::uuid", envelope_id
        )
        for table in TABLES
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_refused_submission_leaves_nothing(
    forge: Forgery, case: Callable[[Forgery], Upload]
) -> None:
    code, attribute, value = CASES[case]
    upload = case(forge)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]
    actor = f"spiffe://exchange.example/unit/{SENDER}/system/oa"

    error = await submitted(forge.inside, upload)

    assert error is not None, "it was accepted"
    assert (error.code, len(error.message) > 20) == (code, True)
    if attribute:
        assert value in error.attributes[attribute]
    async with forge.inside.ledger() as ledger:
        assert await rows_of(ledger, envelope_id) == dict.fromkeys(TABLES, 0)
        denied = await ledger.fetch(
            "select event from exchange.events where type = 'DENIED' and actor = $1", actor
        )
    recorded = {msgspec.json.decode(row["event"])["detail"]["code"] for row in denied}
    assert (code in recorded) is (code not in NO_DENIAL)


async def test_what_these_cases_are_made_from_is_accepted(forge: Forgery) -> None:
    """So that each case is refused for its own fault only."""
    upload = forge.upload(envelope([part(BIG)]))
    upload.chunks = _chunks(BIG)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]
    assert await submitted(forge.inside, upload) is None
    async with forge.inside.ledger() as ledger:
        found = await rows_of(ledger, envelope_id)
    expected = {"envelopes": 1, "parts": 1, "blocks": 2, "deliveries": 1, "doc_ids": 1}
    assert {table: found[table] for table in expected} == expected


async def test_every_object_is_named_or_would_be_swept(forge: Forgery) -> None:
    """Blocks of a refused upload stay behind unnamed, and the sweep finds exactly those."""
    upload = too_many_bytes(forge)
    envelope_id = msgspec.json.decode(upload.manifest)["envelope_id"]
    assert await submitted(forge.inside, upload) is not None
    place = forge.inside.description["blobs"]
    store = MinioBlobStore(**place, secure=False)
    try:
        async with forge.inside.ledger() as ledger:
            sweeper = Sweeper(_Named(ledger), store, system_clock, timedelta(hours=4))
            async with asyncio.timeout(30):
                # An object's time has whole seconds only.
                swept = await sweeper.sweep(remove=False, older_than=timedelta(seconds=-2))
            names = {row[0] for row in await ledger.fetch("select object_key from exchange.blocks")}
            keys = {blob.key async for blob in store.list()}
    finally:
        store.close()
    assert names <= keys
    assert (swept.listed, swept.removed) == (len(keys), len(keys - names))
    assert any(envelope_id in key for key in keys - names)


@dataclass(frozen=True)
class _Named:
    """The ledger as the sweep asks it, here as its owner."""

    ledger: asyncpg.Connection[asyncpg.Record]

    async def named_objects(self, envelope_ids: object) -> set[str]:
        rows = await self.ledger.fetch(
            "select object_key from exchange.blocks where envelope_id = any ($1::uuid[])",
            envelope_ids,
        )
        return {row["object_key"] for row in rows}
