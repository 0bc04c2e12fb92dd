"""Sending parts out: whoever reads slowly holds no memory, and still gets every byte."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import aclosing
from typing import cast

import pytest

from document_exchange import identity
from document_exchange.errors import InternalError, InvalidRequest
from exchange_runtime.clock import system_clock
from exchange_runtime.values import Principal
from exchange_server import deliver
from exchange_server.budget import Budgets
from exchange_server.deliver import CHUNK_BYTES, Deliverer, DeliveryLedger
from exchange_server.positions import Positions
from exchange_server.recent import RecentParts
from exchange_server.values import Block, StoredPart
from tests.quotas_for_tests import unlimited

MIB = 1024 * 1024
ENVELOPE = "019a0000-0000-7000-8000-000000000001"
READER = Principal(
    identity.parse("spiffe://exchange.example/unit/qd-jiaoyu/system/oa"),
    b"",
    system_clock(),
    system_clock(),
    "10.0.0.1",
)


class Store:
    """One part of two blocks."""

    def __init__(self) -> None:
        self.blocks = [os.urandom(2 * MIB), os.urandom(300_000)]
        self.digests = [hashlib.sha256(data).digest() for data in self.blocks]
        self.reads: list[str] = []

    async def find_part_for(self, unit: str, envelope_id: str, part_id: str) -> StoredPart:
        blocks = [
            Block(0, number, str(number), len(data), self.digests[number])
            for number, data in enumerate(self.blocks)
        ]
        return StoredPart(sum(map(len, self.blocks)), blocks, withdrawn=False)

    async def get(self, key: str) -> bytes:
        self.reads.append(key)
        return self.blocks[int(key)]


class WatchedBudgets(Budgets):
    """Says when something was given back."""

    def __init__(self, total_bytes: int, unit_bytes: int) -> None:
        super().__init__(total_bytes, unit_bytes)
        self.given_back = asyncio.Event()

    def give_back(self, unit: str, count: int) -> None:
        super().give_back(unit, count)
        self.given_back.set()


def deliverer(store: Store, budgets: Budgets, *, idle_timeout_s: float = 30.0) -> Deliverer:
    return Deliverer(
        ledger=cast(DeliveryLedger, store),
        blobs=store,
        budgets=budgets,
        recent=RecentParts(0, 0),
        positions=Positions(),
        idle_timeout_s=idle_timeout_s,
        quotas=unlimited(),
    )


async def download(source: Deliverer, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in source.download(READER, ENVELOPE, "body", offset)])


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, 2 * MIB - 1, 2 * MIB, 2 * MIB + 300_000])
async def test_every_byte_from_the_offset_on(offset: int) -> None:
    store, budgets = Store(), Budgets(16 * MIB, 16 * MIB)
    found = await download(deliverer(store, budgets), offset)
    assert found == b"".join(store.blocks)[offset:]
    assert budgets.used_bytes == 0


@pytest.mark.parametrize("offset", [-1, 2 * MIB + 300_001])
async def test_an_offset_outside_is_refused(offset: int) -> None:
    with pytest.raises(InvalidRequest):
        await download(deliverer(Store(), Budgets(16 * MIB, 16 * MIB)), offset)


async def test_from_a_slow_reader_the_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "SLOWEST_BYTES_PER_S", 1024 * MIB)
    store, budgets = Store(), WatchedBudgets(16 * MIB, 16 * MIB)
    source = deliverer(store, budgets, idle_timeout_s=0.01)
    received = b""
    async with aclosing(source.download(READER, ENVELOPE, "body", 0)) as chunks:
        async for chunk in chunks:
            received += chunk
            async with asyncio.timeout(10):
                await budgets.given_back.wait()
            assert budgets.used_bytes == 0
            budgets.given_back.clear()
    assert received == b"".join(store.blocks)
    assert len(store.reads) == 2 * MIB // CHUNK_BYTES + 2


async def test_a_block_counts_as_long_as_a_thread_reads_it() -> None:
    store, budgets = Store(), WatchedBudgets(16 * MIB, 16 * MIB)
    began, go = asyncio.Event(), asyncio.Event()

    async def slow(key: str) -> bytes:
        began.set()
        await go.wait()
        return await Store.get(store, key)

    store.get = slow  # type: ignore[method-assign]
    call = asyncio.create_task(download(deliverer(store, budgets)))
    await began.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert budgets.used_bytes == 2 * MIB
    go.set()
    await asyncio.wait_for(budgets.given_back.wait(), 10)
    assert budgets.used_bytes == 0


async def test_who_hangs_up_holds_nothing() -> None:
    store, budgets = Store(), Budgets(16 * MIB, 16 * MIB)
    async with aclosing(deliverer(store, budgets).download(READER, ENVELOPE, "body", 0)) as chunks:
        await anext(chunks)
        assert budgets.used_bytes == 2 * MIB
    assert budgets.used_bytes == 0


async def test_other_bytes_than_were_stored_are_not_given_out() -> None:
    store, budgets = Store(), Budgets(16 * MIB, 16 * MIB)
    source = deliverer(store, budgets)
    store.blocks[0] = bytes(2 * MIB)
    with pytest.raises(InternalError):
        await download(source)
    assert budgets.used_bytes == 0
