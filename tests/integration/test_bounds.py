"""What one connection may ask of the centre is bounded before any of our code sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc

from document_exchange.v1 import exchange_pb2
from tests.http2_for_tests import (
    ENHANCE_YOUR_CALM,
    GOAWAY,
    PING,
    PREFACE,
    connect,
    read_frame,
)
from tests.real_centre import SENDER, CentreInside

MIB = 1024 * 1024


async def status_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_message_of_more_than_4_mib_is_not_read(inside: CentreInside) -> None:
    signed = exchange_pb2.RecordReceiptRequest()
    async with inside.stub(inside.unit(SENDER)) as stub:
        signed.receipt.content = b"x" * (4 * MIB)
        assert await status_of(stub.RecordReceipt(signed)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        signed.receipt.content = b"x" * (4 * MIB - 64)
        assert await status_of(stub.RecordReceipt(signed)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_metadata_of_more_than_16_kib_is_not_read(inside: CentreInside) -> None:
    request = exchange_pb2.ListDeliveriesRequest()
    async with inside.stub(inside.unit(SENDER)) as stub:
        large = (("x-large", "x" * 64 * 1024),)
        call = stub.ListDeliveries(request, metadata=large, timeout=5)
        assert await status_of(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await status_of(stub.ListDeliveries(request, timeout=5)) is grpc.StatusCode.OK


async def test_calls_at_once_on_one_connection_are_bounded(
    inside: CentreInside, tmp_path: Path
) -> None:
    """One more than allowed waits on the client's side until another has ended."""
    request = exchange_pb2.ListDeliveriesRequest()
    few = "[limits]\nconcurrent_streams = 8\n"
    async with (
        inside.second_server(tmp_path / "server.log", few),
        inside.stub(inside.unit(SENDER)) as stub,
    ):

        async def watch() -> Any:
            opened: Any = stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest())
            while (await opened.read()).WhichOneof("event") != "caught_up":
                pass
            return opened

        watches = await asyncio.gather(*(watch() for _ in range(8)))
        one_more = stub.ListDeliveries(request, timeout=0.5)
        assert await status_of(one_more) is grpc.StatusCode.DEADLINE_EXCEEDED
        watches[0].cancel()
        assert await status_of(stub.ListDeliveries(request, timeout=5)) is grpc.StatusCode.OK
        async with inside.stub(inside.unit(SENDER)) as another:
            answered = another.ListDeliveries(request, timeout=5)
            assert await status_of(answered) is grpc.StatusCode.OK


async def connected(
    inside: CentreInside, tmp_path: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection as a genuine unit, over which any bytes can be sent."""
    holder = inside.unit(SENDER)
    pem, key = tmp_path / "unit.pem", tmp_path / "unit.key"
    pem.write_bytes(holder.pem)
    key.write_bytes(holder.key_pem)
    return await connect(inside.address, (str(pem), str(key)))


async def test_who_connects_and_says_nothing_is_cut_off(
    inside: CentreInside, tmp_path: Path
) -> None:
    """Whether before TLS or after it: a connection costs memory as long as it is open."""
    async with inside.second_server(tmp_path / "log", "[limits]\nhandshake_s = 0.5\n"):
        host, _, port = inside.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await connected(inside, tmp_path)
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()


async def test_who_pings_without_end_is_sent_away(inside: CentreInside, tmp_path: Path) -> None:
    reader, writer = await connected(inside, tmp_path)
    writer.write(PREFACE + PING * 100)
    async with asyncio.timeout(10):
        kind = None
        while kind != GOAWAY:
            kind, _, payload = await read_frame(reader)
    assert int.from_bytes(payload[4:8]) == ENHANCE_YOUR_CALM
    writer.close()


async def test_a_connection_grows_only_so_old(inside: CentreInside, tmp_path: Path) -> None:
    """So that an expired certificate does not live on in it; calls go on over a new one."""
    young = "[limits]\nconnection_age_s = 0.5\n"
    request = exchange_pb2.ListDeliveriesRequest()
    async with inside.second_server(tmp_path / "log", young):
        reader, writer = await connected(inside, tmp_path)
        writer.write(PREFACE)
        async with asyncio.timeout(20):
            while (await read_frame(reader))[0] != GOAWAY:
                pass
        writer.close()
        async with inside.stub(inside.unit(SENDER)) as stub:
            assert await status_of(stub.ListDeliveries(request, timeout=5)) is grpc.StatusCode.OK
