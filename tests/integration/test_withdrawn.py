"""What is withdrawn while a call is under way counts no more: certificates, units, seals."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import msgspec
import pytest

from document_exchange import identity, manifest
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    RecipientsRefused,
    SealRevoked,
    UnitNotActive,
)
from document_exchange.v1 import exchange_pb2
from tests.forgeries import BIG, chunks_of
from tests.pki_for_tests import Holder
from tests.real_centre import (
    SENDER,
    CentreInside,
    Upload,
    admitted,
    envelope,
    part,
    recipients,
    sealed,
    typed,
)

RECIPIENT = "qd-zhengfu"
"""A unit of these tests' own, since it is suspended and closed."""
OUT_WITHIN_S = 2.0


async def fresh(inside: CentreInside, profile: str, unit: str) -> Holder:
    """A certificate that nobody else's test needs, known to the centre."""
    made = inside.issue(profile, unit, f"w{secrets.token_hex(4)}")
    await inside.publish()
    if profile == "system":
        await admitted(inside, made)
    return made


@dataclass
class Held:
    """A submission whose last chunk waits for ``go``; ``begun`` is set when it waits."""

    upload: Upload
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def messages(self) -> AsyncIterator[exchange_pb2.SubmitRequest]:
        left = len(self.upload.chunks)
        async for message in self.upload.messages():
            if left == 0:
                self.begun.set()
                await self.go.wait()
            left -= 1
            yield message


def held(inside: CentreInside, caller: Holder, seal: Holder) -> tuple[str, Held]:
    made = envelope(
        [part(BIG)],
        sender_system=identity.of_certificate(caller.certificate).name,
        recipients=recipients([RECIPIENT]),
    )
    content = manifest.encode(made)
    return made.envelope_id, Held(Upload(content, sealed(content, seal), chunks_of(BIG)))


async def answered(call: Any) -> ExchangeError | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return typed(error)
    return None


async def the_rest(download: Any) -> tuple[int, ExchangeError | None]:
    """How many bytes still came, and the error that ended it."""
    received = 0
    try:
        while chunk := await download.read():
            received += len(chunk.data)
    except grpc.aio.AioRpcError as error:
        return received, typed(error)
    return received, None


async def until_caught_up(watch: Any) -> None:
    while (await watch.read()).WhichOneof("event") != "caught_up":
        pass


async def is_accepted(inside: CentreInside, envelope_id: str) -> bool:
    async with inside.ledger() as ledger:
        return bool(
            await ledger.fetchval(
                "select count(*) from exchange.envelopes where envelope_id = $1::uuid", envelope_id
            )
        )


@asynccontextmanager
async def status(inside: CentreInside, unit: str, status: str) -> AsyncIterator[None]:
    """The unit has this status for a while, as an operator would set it."""
    change = "update exchange.units set status = $2 where unit_id = $1"
    async with inside.ledger() as ledger:
        await ledger.execute(change, unit, status)
        try:
            yield
        finally:
            await ledger.execute(change, unit, "ACTIVE")


async def test_an_upload_ends_when_its_caller_is_revoked(inside: CentreInside) -> None:
    caller = await fresh(inside, "system", SENDER)
    envelope_id, submission = held(inside, caller, inside.unit(SENDER, "seal"))
    async with inside.stub(caller) as stub:
        call = stub.Submit(submission.messages(), timeout=60)
        answer = asyncio.create_task(answered(call))
        await submission.begun.wait()
        await inside.revoke(caller)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await inside.admits(caller):
                pass
        submission.go.set()
        assert isinstance(await answer, CertificateRevoked)
    assert not await is_accepted(inside, envelope_id)


async def test_a_download_ends_when_its_caller_is_revoked(inside: CentreInside) -> None:
    """More than the windows of the connection hold, so most of it is still with the centre."""
    data = os.urandom(24 * 1024 * 1024)
    made = envelope([part(data)])
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), chunks_of(data))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=60)
    caller = await fresh(inside, "system", SENDER)
    request = exchange_pb2.DownloadPartRequest(envelope_id=made.envelope_id, part_id="part-1")
    async with inside.stub(caller) as stub:
        download: Any = stub.DownloadPart(request, timeout=60)
        received = len((await download.read()).data)
        await inside.revoke(caller)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await inside.admits(caller):
                pass
        more, error = await the_rest(download)
    assert isinstance(error, CertificateRevoked)
    assert received + more < len(data)


BACKLOG = 4000
"""Summaries of 600 bytes and more each: far more than the windows of a connection hold."""


@asynccontextmanager
async def backlog(inside: CentreInside, recipient: str) -> AsyncIterator[None]:
    """So much awaits the recipient, and its sender, made from one real delivery in the ledger."""
    made = envelope([part(b"x")], recipients=recipients([recipient]))
    made = msgspec.structs.replace(
        made, document=msgspec.structs.replace(made.document, title="关于" * 100)
    )
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", b"x"),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=10)
    original = made.envelope_id
    ids = [f"{original[:19]}8{number:03x}-{secrets.token_hex(6)}" for number in range(BACKLOG)]
    async with inside.ledger() as ledger:
        for table in ("envelopes", "deliveries"):
            await ledger.execute(
                f"""insert into exchange.{table}
                    select (jsonb_populate_record(t, jsonb_build_object('envelope_id', id))).*
                      from exchange.{table} t, unnest($2::uuid[]) as id
                     where t.envelope_id = $1::uuid""",
                original,
                ids,
            )
        await ledger.execute(
            """insert into exchange.attention (unit_id, side, envelope_id, recipient, seq)
               select unit, side, id, $1, 0 from unnest($3::uuid[]) as id,
                      (values ($1, 'R'), ($2, 'S')) as parties (unit, side)""",
            recipient,
            SENDER,
            ids,
        )
        try:
            yield
        finally:
            for table in ("attention", "deliveries", "envelopes"):
                await ledger.execute(
                    f"delete from exchange.{table} where envelope_id = any ($1::uuid[])", ids
                )


@pytest.mark.parametrize("method", ["WatchDeliveries", "WatchSubmissions"])
async def test_a_watch_ends_amidst_what_waits_when_its_caller_is_revoked(
    inside: CentreInside, method: str
) -> None:
    """A watch that has not caught up waits for nothing that could wake it."""
    caller = await fresh(inside, "system", RECIPIENT if method == "WatchDeliveries" else SENDER)
    request = getattr(exchange_pb2, f"{method}Request")()
    async with backlog(inside, RECIPIENT), inside.stub(caller) as stub:
        watch: Any = getattr(stub, method)(request, timeout=60)
        await watch.read()
        await inside.revoke(caller)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await inside.admits(caller):
                pass
        assert isinstance(await answered(until_caught_up(watch)), CertificateRevoked)


async def test_a_suspended_unit_is_out_at_once_and_back_afterwards(inside: CentreInside) -> None:
    """On one connection, and for a watch that was open before."""
    request = exchange_pb2.ListDeliveriesRequest()
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        watch: Any = stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest(), timeout=60)
        await until_caught_up(watch)
        async with status(inside, RECIPIENT, "SUSPENDED"), asyncio.timeout(OUT_WITHIN_S):
            while (error := await answered(stub.ListDeliveries(request, timeout=5))) is None:
                pass
            assert isinstance(error, UnitNotActive)
            assert isinstance(await answered(watch.read()), UnitNotActive)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await answered(stub.ListDeliveries(request, timeout=5)) is not None:
                pass


async def test_a_document_waits_for_a_suspended_recipient(inside: CentreInside) -> None:
    made = envelope([part(b"%PDF-1.7")], recipients=recipients([RECIPIENT]))
    content = manifest.encode(made)
    chunks = (("part-1", b"%PDF-1.7"),)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), chunks)
    async with status(inside, RECIPIENT, "SUSPENDED"), inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=10)
    await admitted(inside, inside.unit(RECIPIENT))
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        got = await stub.GetEnvelope(
            exchange_pb2.GetEnvelopeRequest(envelope_id=made.envelope_id), timeout=10
        )
    assert got.envelope.manifest == content


async def test_the_transaction_looks_again_at_seals(inside: CentreInside) -> None:
    """The seal was good when the upload began; the caller's certificate still is."""
    caller = await fresh(inside, "system", SENDER)
    seal = await fresh(inside, "seal", SENDER)
    envelope_id, submission = held(inside, caller, seal)
    async with inside.stub(caller) as stub:
        answer = asyncio.create_task(answered(stub.Submit(submission.messages(), timeout=60)))
        await submission.begun.wait()
        await inside.revoke(seal)
        submission.go.set()
        assert isinstance(await answer, SealRevoked)
    assert not await is_accepted(inside, envelope_id)


async def test_the_transaction_looks_again_at_recipients(inside: CentreInside) -> None:
    caller = inside.unit(SENDER)
    envelope_id, submission = held(inside, caller, inside.unit(SENDER, "seal"))
    async with inside.stub(caller) as stub:
        answer = asyncio.create_task(answered(stub.Submit(submission.messages(), timeout=60)))
        await submission.begun.wait()
        async with status(inside, RECIPIENT, "CLOSED"):
            submission.go.set()
            error = await answer
    assert isinstance(error, RecipientsRefused)
    assert set(error.attributes) == {RECIPIENT}
    assert not await is_accepted(inside, envelope_id)
