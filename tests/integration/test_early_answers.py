"""An answer that is ready before the client has sent everything reaches the client.

Over the raw Submit call, as any client in any language makes it, and through the SDK.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import TypeAlias

import grpc
import msgspec
import pytest
from exchange_client import Timing
from exchange_client.answer import answer_of
from exchange_client.parts import OutgoingPart
from exchange_client.submit import submit
from exchange_client.testing import LocalCentre

from document_exchange import manifest
from document_exchange.errors import ExchangeError, RecipientsRefused
from document_exchange.manifest import Manifest
from document_exchange.v1 import exchange_pb2, exchange_pb2_grpc
from exchange_runtime.rpc.unread import LONGEST_S, MOST_BYTES
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    envelope,
    part,
    recipients,
    sealed,
    typed,
)

Stub: TypeAlias = "exchange_pb2_grpc.ExchangeServiceAsyncStub"  # of the type stubs only
Requests = AsyncIterator[exchange_pb2.SubmitRequest]

MIB = 1024 * 1024
CHUNK = 256 * 1024
TIMES = 25
"""Before the server read out what is still sent, every second of these answers was lost."""


@pytest.fixture(scope="session")
def inside(local_centre: LocalCentre) -> CentreInside:
    return CentreInside(local_centre)


def unacceptable(body: bytes) -> Manifest:
    """Refused before a byte of its part is looked at."""
    return envelope([part(body)], recipients=recipients([RECIPIENT, "qd-nobody"]))


def header(inside: CentreInside, made: Manifest) -> exchange_pb2.SubmitRequest:
    content = manifest.encode(made)
    signatures = sealed(content, inside.unit(SENDER, "seal"))
    return exchange_pb2.SubmitRequest(
        header=exchange_pb2.SubmitHeader(manifest=content, signatures=signatures)
    )


def chunk(data: bytes) -> exchange_pb2.SubmitRequest:
    return exchange_pb2.SubmitRequest(chunk=exchange_pb2.PartChunk(part_id="part-1", data=data))


async def requests(first: exchange_pb2.SubmitRequest, body: bytes) -> Requests:
    yield first
    for start, end in pairwise([*range(0, len(body), CHUNK), len(body)]):
        yield chunk(body[start:end])


async def by_iterator(stub: Stub, sent: Requests) -> exchange_pb2.SubmitResponse:
    return await stub.Submit(sent, timeout=30)


async def by_writing(stub: Stub, sent: Requests) -> exchange_pb2.SubmitResponse:
    call = stub.Submit(timeout=30)
    async for request in sent:
        await call.write(request)
    await call.done_writing()
    return await call


Style = Callable[[Stub, Requests], Awaitable[exchange_pb2.SubmitResponse]]


@pytest.mark.parametrize("style", [by_iterator, by_writing])
@pytest.mark.parametrize("size", [MIB, 5 * MIB])
async def test_a_raw_client_gets_every_refusal(
    inside: CentreInside, style: Style, size: int
) -> None:
    body = os.urandom(size)
    first = header(inside, unacceptable(body))
    async with inside.stub(inside.unit(SENDER)) as stub:
        for _ in range(TIMES):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await style(stub, requests(first, body))
            assert type(typed(caught.value)) is RecipientsRefused


@pytest.mark.parametrize("style", [by_iterator, by_writing])
async def test_a_raw_client_gets_every_repeated_receipt(inside: CentreInside, style: Style) -> None:
    body = os.urandom(MIB)
    first = header(inside, envelope([part(body)]))
    async with inside.stub(inside.unit(SENDER)) as stub:
        receipt = (await style(stub, requests(first, body))).accepted
        for _ in range(TIMES):
            again = await style(stub, requests(first, body))
            assert again.repeated_submission
            assert again.accepted.receipt == receipt.receipt


async def test_the_sdk_gets_every_answer_at_the_first_try(
    inside: CentreInside, local_centre: LocalCentre
) -> None:
    """Also with more left to send than the server reads out."""
    body = os.urandom(3 * MOST_BYTES)
    refused = unacceptable(body)
    accepted = msgspec.structs.replace(refused, recipients=recipients([RECIPIENT]))
    async with local_centre.async_client(SENDER, Timing(retry_budget_s=0)) as client:

        async def hand_in(made: Manifest) -> bool:
            content = manifest.encode(made)
            signatures = sealed(content, inside.unit(SENDER, "seal"))
            parts = (OutgoingPart(made.parts[0], body),)
            submission = await submit(client.session, made, content, signatures, parts)
            return submission.repeated

        for _ in range(10):
            with pytest.raises(RecipientsRefused):
                await hand_in(refused)
        assert [await hand_in(accepted) for _ in range(10)] == [False, *[True] * 9]


async def answer(stub: Stub, sent: Requests) -> ExchangeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer_of(stub.Submit(sent, timeout=60))
    return typed(caught.value)


async def test_who_falls_silent_is_answered_all_the_same(inside: CentreInside) -> None:
    first = header(inside, unacceptable(b"never sent"))

    async def silent() -> Requests:
        yield first
        await asyncio.Event().wait()

    async with inside.stub(inside.unit(SENDER)) as stub, asyncio.timeout(LONGEST_S + 10):
        assert type(await answer(stub, silent())) is RecipientsRefused


async def test_who_never_stops_sending_is_cut_off(inside: CentreInside) -> None:
    first = header(inside, unacceptable(b"not this"))
    data = bytes(CHUNK)
    sent = 0

    async def endless() -> Requests:
        nonlocal sent
        yield first
        while True:
            yield chunk(data)
            sent += len(data)

    async with inside.stub(inside.unit(SENDER)) as stub, asyncio.timeout(LONGEST_S + 10):
        assert type(await answer(stub, endless())) is RecipientsRefused
    assert sent < MOST_BYTES + 8 * MIB  # what was read, and what was under way
