"""Nobody takes more than a share of a server, and every place that was taken is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from exchange_client.testing import LocalCentre
from grpc_health.v1 import health_pb2, health_pb2_grpc

from document_exchange import codes, event, identity, manifest
from document_exchange.errors import DeadlinePassed, InvalidRequest, TooManyCalls
from document_exchange.v1 import exchange_pb2, exchange_pb2_grpc
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    admitted,
    envelope,
    now,
    part,
    sealed,
    typed,
)

SERVICE = "/document_exchange.v1.ExchangeService/"
CALLS, WATCHES, IDLE_S = 3, 2, 3.0
LIMITS = f"""
[limits]
unit_calls = {CALLS}
unit_watches = {WATCHES}
idle_timeout_s = {IDLE_S}
"""
MIB = 1024 * 1024


@pytest.fixture
async def small(local_centre: LocalCentre, tmp_path: Path) -> AsyncIterator[CentreInside]:
    """A server of its own with very small shares."""
    inside = CentreInside(local_centre)
    async with inside.second_server(tmp_path / "server.log", LIMITS):
        yield inside


async def refusal(call: Any) -> Any:
    async with asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call.read() if hasattr(call, "read") else call)
    error = typed(caught.value)
    if isinstance(error, TooManyCalls):
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.retryable
    return error


async def opened_by(method: Any, request: Any) -> Any:
    """An open stream, as soon as there is a place for it."""
    async with asyncio.timeout(10):
        while True:
            call = method(request)
            try:
                await call.read()
            except grpc.aio.AioRpcError as error:
                if not isinstance(typed(error), TooManyCalls):
                    raise
            else:
                return call


async def watch(stub: Any) -> Any:
    return await opened_by(stub.WatchSubmissions, exchange_pb2.WatchSubmissionsRequest())


async def test_watches_are_for_all_connections_of_a_unit_together(small: CentreInside) -> None:
    another = small.issue("system", SENDER, "second-system")
    await small.publish()
    await admitted(small, another)
    request = exchange_pb2.WatchSubmissionsRequest()
    async with AsyncExitStack() as stack:
        stubs = [
            await stack.enter_async_context(small.stub(holder))
            for holder in (small.unit(SENDER), another, small.unit(SENDER))
        ]
        opened = [await watch(stub) for stub in stubs[:WATCHES]]
        error = await refusal(stubs[2].WatchSubmissions(request))
        assert type(error) is TooManyCalls
        assert error.attributes == {"method": SERVICE + "WatchSubmissions", "limit": str(WATCHES)}
        # Another method, and another unit, have places of their own.
        others = stubs[2].WatchDeliveries(exchange_pb2.WatchDeliveriesRequest())
        await others.read()
        recipient = await stack.enter_async_context(small.stub(small.unit(RECIPIENT)))
        await watch(recipient)
        # Places come back, again and again.
        for _ in range(3 * WATCHES):
            opened.pop(0).cancel()
            opened.append(await watch(stubs[2]))


async def test_uploads_give_their_places_back_however_they_end(small: CentreInside) -> None:
    """Cancelled, refused, aborted with the connection, and out of time."""
    async with small.stub(small.unit(SENDER)) as stub:

        async def fill(filled: Any) -> list[Any]:
            """As many uploads without a header as may be open.

            Those of before may still have their places, so that of these some are refused; then
            all of them go, and it is tried again.
            """
            async with asyncio.timeout(30):
                while True:
                    calls = [filled.Submit() for _ in range(CALLS)]
                    for call in calls:
                        with suppress(grpc.aio.AioRpcError):
                            await call.wait_for_connection()
                    full = type(await refusal(stub.Submit(iter(())))) is TooManyCalls
                    ends = [asyncio.create_task(call.code()) for call in calls]
                    ended, _ = await asyncio.wait(ends, timeout=IDLE_S / 10)
                    if full and not ended:
                        return calls
                    for call in calls:
                        call.cancel()

        for call in await fill(stub):
            call.cancel()
        for call in await fill(stub):
            await call.done_writing()
            assert type(await refusal(call)) is InvalidRequest
        async with small.stub(small.unit(SENDER)) as closing:
            await fill(closing)
        for call in await fill(stub):
            assert type(await refusal(call)) is DeadlinePassed
        for _ in range(2 * CALLS):
            assert type(await refusal(stub.Submit(iter(())))) is InvalidRequest


async def test_downloads_that_are_given_up_give_their_places_back(small: CentreInside) -> None:
    body = bytes(5 * MIB)
    made = envelope([part(body)])
    envelope_id = made.envelope_id
    request = exchange_pb2.DownloadPartRequest(envelope_id=envelope_id, part_id="part-1")
    async with small.stub(small.unit(SENDER)) as stub:
        await submit(small, stub, made, body)
        for _ in range(4 * CALLS):
            (await opened_by(stub.DownloadPart, request)).cancel()


async def submit(
    inside: CentreInside, stub: exchange_pb2_grpc.ExchangeServiceAsyncStub, made: Any, body: bytes
) -> None:
    content = manifest.encode(made)
    call = stub.Submit()
    header = exchange_pb2.SubmitHeader(
        manifest=content, signatures=sealed(content, inside.unit(SENDER, "seal"))
    )
    await call.write(exchange_pb2.SubmitRequest(header=header))
    for start in range(0, len(body), MIB):
        chunk = exchange_pb2.PartChunk(part_id="part-1", data=body[start : start + MIB])
        await call.write(exchange_pb2.SubmitRequest(chunk=chunk))
    await call.done_writing()
    await call


async def test_a_call_too_many_is_an_event(small: CentreInside) -> None:
    name = f"s{codes.new_id(now())}"
    greedy = small.issue("system", RECIPIENT, name)
    await small.publish()
    await admitted(small, greedy)
    request = exchange_pb2.WatchSubmissionsRequest()
    async with small.stub(greedy) as stub:
        opened = [await watch(stub) for _ in range(WATCHES)]
        assert type(await refusal(stub.WatchSubmissions(request))) is TooManyCalls
        assert len(opened) == WATCHES
    async with small.ledger() as ledger:
        rows = await ledger.fetch(
            "select event from exchange.events where type = 'DENIED' and actor = $1",
            str(identity.of_certificate(greedy.certificate)),
        )
    details = [event.decode(row["event"]).detail for row in rows]
    assert {"method": SERVICE + "WatchSubmissions", "code": "TOO_MANY_CALLS"} in details


async def test_staff_have_a_share_each(small: CentreInside) -> None:
    clerks = [await small.staff("operator") for _ in range(2)]
    request = health_pb2.HealthCheckRequest()
    async with small.channel(clerks[0]) as one, small.channel(clerks[1]) as other:
        first: Any = health_pb2_grpc.HealthStub(one)
        second: Any = health_pb2_grpc.HealthStub(other)
        opened = [await opened_by(first.Watch, request) for _ in range(WATCHES)]
        assert type(await refusal(first.Watch(request))) is TooManyCalls
        opened.append(await opened_by(second.Watch, request))
