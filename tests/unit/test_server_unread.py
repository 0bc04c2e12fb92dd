"""Reading out what a client still sends: all of it if it ends soon, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from document_exchange.v1 import exchange_pb2
from exchange_runtime.rpc.unread import MOST_BYTES, read_out

KIB = 1024
STILL_WAITED_FOR_S = 30.0


class Sender:
    """A client that sends ``count`` chunks, and then ends, falls silent or breaks."""

    def __init__(self, count: int, size: int, then: str = "end") -> None:
        self.sent = 0
        self._count = count
        self._size = size
        self._then = then
        self.silent = asyncio.Event()

    async def requests(self) -> AsyncIterator[exchange_pb2.SubmitRequest]:
        chunk = exchange_pb2.PartChunk(part_id="part-1", data=bytes(self._size))
        while self.sent < self._count:
            self.sent += 1
            yield exchange_pb2.SubmitRequest(chunk=chunk)
        if self._then == "silence":
            self.silent.set()
            await asyncio.Event().wait()
        if self._then == "break":
            raise ValueError("no such message")


async def read(sender: Sender, *, most_bytes: int = MOST_BYTES, longest_s: float = 10.0) -> bool:
    async with asyncio.timeout(STILL_WAITED_FOR_S):
        return await read_out(sender.requests(), most_bytes=most_bytes, longest_s=longest_s)


async def test_what_ends_soon_is_read_to_its_end() -> None:
    sender = Sender(20, 256 * KIB)
    assert await read(sender)
    assert sender.sent == 20


async def test_nothing_left_takes_no_time() -> None:
    assert await read(Sender(0, 0), longest_s=0)


async def test_who_sends_on_is_left_at_the_bound() -> None:
    sender = Sender(10**9, 100 * KIB)
    assert not await read(sender, most_bytes=1000 * KIB)
    assert sender.sent == 10


async def test_empty_messages_are_bounded_too() -> None:
    sender = Sender(10**9, 0)
    assert not await read(sender, most_bytes=100 * KIB)
    assert sender.sent <= 100


async def test_who_sends_nothing_is_not_waited_for() -> None:
    sender = Sender(1, 1, then="silence")
    assert not await read(sender, longest_s=0.05)
    assert sender.sent == 1


async def test_a_broken_stream_does_not_stand_in_the_way_of_the_answer() -> None:
    sender = Sender(1, 1, then="break")
    assert not await read(sender)
    assert sender.sent == 1


async def test_a_caller_that_hangs_up_ends_it() -> None:
    sender = Sender(1, 1, then="silence")
    reading = asyncio.create_task(read_out(sender.requests(), longest_s=STILL_WAITED_FOR_S))
    await sender.silent.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
