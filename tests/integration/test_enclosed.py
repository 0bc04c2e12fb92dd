"""Small parts come with their envelope, from memory: the right ones, to the right units."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import grpc
import pytest

from document_exchange import manifest
from document_exchange.errors import EnvelopeConflict, ManifestRefused, NotFound
from document_exchange.manifest import PartRole
from document_exchange.v1 import exchange_pb2
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    document,
    envelope,
    part,
    recipients,
    sealed,
    typed,
)

STRANGER = "qd-tongji"
MIB = 1024 * 1024


async def enclosed(
    inside: CentreInside, unit: str, envelope_id: str, at_most: int
) -> dict[str, bytes]:
    async with inside.stub(inside.unit(unit)) as stub:
        got = await stub.GetEnvelope(
            exchange_pb2.GetEnvelopeRequest(envelope_id=envelope_id, max_enclosed_bytes=at_most),
            timeout=10,
        )
    return {each.part_id: each.data for each in got.enclosed}


async def downloaded(inside: CentreInside, unit: str, envelope_id: str) -> bytes:
    async with inside.stub(inside.unit(unit)) as stub:
        call = stub.DownloadPart(
            exchange_pb2.DownloadPartRequest(envelope_id=envelope_id, part_id="part-1"), timeout=10
        )
        return b"".join([message.data async for message in call])


async def test_parts_come_as_far_as_they_were_asked_for_and_fit(inside: CentreInside) -> None:
    data = {"part-1": os.urandom(150_000), "part-2": os.urandom(150_000), "part-3": b"small"}
    roles = {"part-1": PartRole.BODY}
    made = envelope(
        [part(each, name, roles.get(name, PartRole.ATTACHMENT)) for name, each in data.items()]
    )
    content = manifest.encode(made)
    upload = Upload(
        content,
        sealed(content, inside.unit(SENDER, "seal")),
        tuple(
            (name, each[at : at + 256 * 1024])
            for name, each in data.items()
            for at in range(0, len(each), 256 * 1024)
        ),
    )
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=10)
    fitting = {name: data[name] for name in ("part-1", "part-3")}
    assert await enclosed(inside, RECIPIENT, made.envelope_id, 0) == {}
    assert await enclosed(inside, RECIPIENT, made.envelope_id, 5) == {"part-3": b"small"}
    assert await enclosed(inside, RECIPIENT, made.envelope_id, MIB) == fitting
    assert await enclosed(inside, SENDER, made.envelope_id, 2**32 - 1) == fitting
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await enclosed(inside, STRANGER, made.envelope_id, MIB)
    assert isinstance(typed(caught.value), NotFound)


async def test_who_takes_an_envelope_id_gets_none_of_its_bytes(inside: CentreInside) -> None:
    """The thief's envelope is accepted while the other's bytes, under the same id, are there."""
    secret, own = b"%PDF for the recipient alone", b"%PDF of the thief"
    made = envelope([part(secret)])
    content = manifest.encode(made)
    sent, stolen = asyncio.Event(), asyncio.Event()

    async def messages() -> AsyncIterator[exchange_pb2.SubmitRequest]:
        upload = Upload(
            content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", secret),)
        )
        async for message in upload.messages():
            yield message
        sent.set()
        await stolen.wait()

    theft = envelope(
        [part(own)],
        envelope_id=made.envelope_id,
        sender=STRANGER,
        document=document([STRANGER]),
        recipients=recipients([RECIPIENT]),
    )
    stolen_content = manifest.encode(theft)
    upload = Upload(
        stolen_content,
        sealed(stolen_content, inside.unit(STRANGER, "seal")),
        (("part-1", own),),
    )
    async with (
        inside.stub(inside.unit(SENDER)) as victim,
        inside.stub(inside.unit(STRANGER)) as thief,
    ):
        first = victim.Submit(messages(), timeout=30)
        await sent.wait()
        await thief.Submit(upload.messages(), timeout=10)
        stolen.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first
    assert isinstance(typed(caught.value), EnvelopeConflict)
    for unit in (STRANGER, RECIPIENT):
        assert await enclosed(inside, unit, made.envelope_id, MIB) == {"part-1": own}
        assert await downloaded(inside, unit, made.envelope_id) == own


@pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
async def test_a_unit_that_is_not_active_issues_nothing(inside: CentreInside, status: str) -> None:
    """Not jointly either, and not if that changes while the bytes are on their way."""
    body = b"%PDF"
    change = "update exchange.units set status = $2 where unit_id = $1"

    def upload() -> Upload:
        made = envelope([part(body)], document=document([SENDER, STRANGER]))
        content = manifest.encode(made)
        seals = [inside.unit(unit, "seal") for unit in (SENDER, STRANGER)]
        return Upload(content, sealed(content, *seals), (("part-1", body),))

    async def refusal() -> Exception | None:
        async with inside.stub(inside.unit(SENDER)) as stub:
            try:
                await stub.Submit(upload().messages(), timeout=10)
            except grpc.aio.AioRpcError as error:
                return typed(error)
        return None

    assert await refusal() is None
    async with inside.ledger() as ledger:
        await ledger.execute(change, STRANGER, status)
        try:
            async with asyncio.timeout(5):
                # By the transaction, until the registry was read again.
                assert isinstance(await refusal(), ManifestRefused)
        finally:
            await ledger.execute(change, STRANGER, "ACTIVE")
            async with asyncio.timeout(5):
                while await refusal() is not None:
                    pass
