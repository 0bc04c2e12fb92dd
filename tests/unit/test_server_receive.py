"""The bytes of parts: measured, hashed, stored block by block, within the budget."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

import pytest

from document_exchange.errors import (
    DeadlinePassed,
    ExchangeError,
    PartDigestMismatch,
    PartOutOfOrder,
    PartSizeMismatch,
    Unavailable,
)
from document_exchange.manifest import Part, PartRole
from exchange_runtime.clock import system_clock
from exchange_server import receive as module
from exchange_server.budget import Budgets
from exchange_server.receive import BLOCK_BYTES, PartReceiver, Received
from exchange_server.recent import RecentParts

MIB = 1024 * 1024
ENVELOPE = "019a0000-0000-7000-8000-000000000001"


class Store:
    """Keeps what is put, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes | bytearray, sha256: bytes | None = None) -> None:
        await asyncio.sleep(0)
        self.objects[key] = bytes(data)


def part(name: str, data: bytes, **changes: object) -> Part:
    fields = {
        "part_id": name,
        "role": PartRole.BODY,
        "filename": name,
        "media_type": "text/plain",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return Part(**(fields | changes))  # type: ignore[arg-type]


async def receive(
    parts: Sequence[Part],
    chunks: Sequence[tuple[str, bytes]],
    store: Store,
    *,
    endless: bool = False,
    budgets: Budgets | None = None,
) -> Received:
    async def source() -> AsyncIterator[tuple[str, bytes]]:
        for chunk in chunks:
            yield chunk
        if endless:
            await asyncio.Event().wait()

    held = budgets or Budgets(64 * 1024 * 1024, 32 * 1024 * 1024)
    try:
        return await PartReceiver(
            envelope_id=ENVELOPE,
            unit="qd-caizheng",
            parts=parts,
            blobs=store,
            budgets=held,
            recent=RecentParts(1024, 1024),
            clock=system_clock,
            idle_timeout_s=0.05 if endless else 5.0,
        ).receive(source())
    finally:
        assert held.used_bytes == 0


async def test_parts_become_blocks_that_hold_exactly_their_bytes() -> None:
    store = Store()
    large = bytes(range(256)) * (BLOCK_BYTES // 256) + b"the last block"
    small = "各单位".encode()
    chunks = [("a", large[i : i + 300_000]) for i in range(0, len(large), 300_000)]
    received = await receive(
        [part("a", large), part("b", b""), part("c", small)], [*chunks, ("c", small)], store
    )
    assert [(b.part, b.number, b.size_bytes) for b in received.blocks] == [
        (0, 0, BLOCK_BYTES),
        (0, 1, 14),
        (2, 0, len(small)),
    ]
    assert b"".join(store.objects[b.key] for b in received.blocks) == large + small
    assert all(hashlib.sha256(store.objects[b.key]).digest() == b.sha256 for b in received.blocks)
    assert all(b.key.split("/")[1] == ENVELOPE for b in received.blocks)


@pytest.mark.parametrize(
    ("chunks", "refusal"),
    [
        ([("a", b"aaa"), ("b", b"bb")], PartSizeMismatch),  # a is too short
        ([("a", b"aaaaa"), ("b", b"bbbb")], PartSizeMismatch),  # a is too long
        ([("a", b"aaaa"), ("a", b"a"), ("b", b"bbbb")], PartSizeMismatch),
        ([("a", b"aaaa"), ("b", b"bbbb"), ("b", b"b")], PartSizeMismatch),
        ([("a", b"aaaa"), ("b", b"bb")], PartSizeMismatch),
        ([("a", b"aaaa")], PartSizeMismatch),
        ([], PartSizeMismatch),
        ([("a", b"aaaa"), ("b", b"bb"), ("a", b"aaaa"), ("b", b"bb")], PartOutOfOrder),
        ([("a", b"aaaa"), ("b", b"bbbb"), ("a", b"aaaa")], PartOutOfOrder),
        ([("b", b"bbbb"), ("a", b"aaaa")], PartSizeMismatch),
        ([("x", b"aaaa")], PartOutOfOrder),
        ([("a", b"aaaa"), ("b", b"bbbb"), ("x", b"x")], PartOutOfOrder),
        ([("a", b"aaaa"), ("b", b"bBbb")], PartDigestMismatch),
        ([("a", b"aaAa"), ("b", b"bbbb")], PartDigestMismatch),
    ],
)
async def test_other_bytes_than_the_manifest_says_are_refused(
    chunks: list[tuple[str, bytes]], refusal: type[ExchangeError]
) -> None:
    with pytest.raises(refusal):
        await receive([part("a", b"aaaa"), part("b", b"bbbb")], chunks, Store())


class SlowStore(Store):
    """Stores nothing before ``go``, or fails then."""

    def __init__(self, failure: ExchangeError | None = None) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self._failure = failure

    async def put(self, key: str, data: bytes | bytearray, sha256: bytes | None = None) -> None:
        self.asked.set()
        await self.go.wait()
        if self._failure is not None:
            raise self._failure
        await super().put(key, data)


async def test_nothing_counts_as_received_before_it_is_stored() -> None:
    store = SlowStore()
    receiving = asyncio.create_task(receive([part("a", b"aaaa")], [("a", b"aaaa")], store))
    await store.asked.wait()
    # Far more turns of the loop than an answer that does not wait would take.
    for _ in range(100):
        await asyncio.sleep(0)
    assert not receiving.done()
    store.go.set()
    received = await asyncio.wait_for(receiving, 10)
    assert set(store.objects) == {block.key for block in received.blocks}


async def test_what_the_store_does_not_take_is_not_received() -> None:
    store = SlowStore(Unavailable("the disk is full"))
    store.go.set()
    with pytest.raises(Unavailable, match="disk is full"):
        await receive([part("a", b"aaaa")], [("a", b"aaaa")], store)


async def test_a_stream_that_pauses_too_long_is_given_up() -> None:
    with pytest.raises(DeadlinePassed):
        await receive([part("a", b"aaaa")], [("a", b"aa")], Store(), endless=True)


async def test_the_last_block_is_not_stored_if_the_digest_is_wrong() -> None:
    store = Store()
    with pytest.raises(PartDigestMismatch):
        await receive([part("a", b"aaaa", sha256="0" * 64)], [("a", b"aaaa")], store)
    assert store.objects == {}


BLOCK = 8 * MIB


async def test_a_unit_waits_for_its_own_budget_only() -> None:
    budgets = Budgets(total_bytes=32 * MIB, unit_bytes=BLOCK)
    await budgets.take("greedy", BLOCK)
    waiting = asyncio.create_task(budgets.take("greedy", MIB))
    await asyncio.sleep(0)
    await asyncio.wait_for(budgets.take("modest", BLOCK), 1)
    assert not waiting.done()
    budgets.give_back("greedy", BLOCK)
    await asyncio.wait_for(waiting, 1)
    budgets.give_back("greedy", MIB)
    budgets.give_back("modest", BLOCK)
    assert budgets.used_bytes == 0


async def test_giving_up_waiting_loses_no_bytes_of_the_budget() -> None:
    budgets = Budgets(total_bytes=10 * MIB, unit_bytes=BLOCK)
    await budgets.take("a", BLOCK)
    first = asyncio.create_task(budgets.take("b", BLOCK))
    second = asyncio.create_task(budgets.take("c", BLOCK))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    budgets.give_back("a", BLOCK)
    await asyncio.wait_for(second, 1)
    budgets.give_back("c", BLOCK)
    assert budgets.used_bytes == 0


async def test_a_short_document_never_waits_behind_large_ones() -> None:
    budgets = Budgets(total_bytes=16 * MIB, unit_bytes=16 * MIB)
    await budgets.take("a", BLOCK)
    large = asyncio.create_task(budgets.take("b", BLOCK))
    await asyncio.sleep(0)
    await asyncio.wait_for(budgets.take("c", 100_000), 1)
    assert not large.done()
    budgets.give_back("a", BLOCK)
    await asyncio.wait_for(large, 1)


async def test_whoever_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk comes within the idle timeout, the block as a whole takes too long."""
    monkeypatch.setattr(module, "SLOWEST_BYTES_PER_S", 1024 * MIB)

    async def trickle() -> AsyncIterator[tuple[str, bytes]]:
        while True:
            await asyncio.sleep(0)
            yield "a", b"a"

    budgets = Budgets(64 * MIB, 32 * MIB)
    with pytest.raises(DeadlinePassed, match="took longer"):
        await PartReceiver(
            envelope_id=ENVELOPE,
            unit="qd-caizheng",
            parts=[part("a", bytes(BLOCK))],
            blobs=Store(),
            budgets=budgets,
            recent=RecentParts(1024, 1024),
            clock=system_clock,
            idle_timeout_s=0.2,
        ).receive(trickle())
    assert budgets.used_bytes == 0


def test_recent_parts_are_bounded_and_the_oldest_go_first() -> None:
    recent = RecentParts(size_bytes=10_000, largest_bytes=5_000)

    def keep(envelope_id: str, size: int) -> None:
        described = part("body", bytes(size))
        recent.remember(envelope_id, described.sha256, bytes(size))
        recent.accepted(envelope_id, ["u"], [described])

    keep("a", 3_000)
    keep("b", 3_000)
    assert recent.recall("u", "a", "body") == bytes(3_000)
    keep("c", 3_000)
    assert recent.recall("u", "b", "body") is None
    assert recent.recall("u", "a", "body") == bytes(3_000)
    keep("d", 5_001)
    assert recent.recall("u", "d", "body") is None


def test_recent_parts_count_what_surrounds_the_bytes() -> None:
    """A byte to 500 units takes as much as 100 KB to one."""
    recent = RecentParts(size_bytes=1_000_000, largest_bytes=1_000)
    described = part("body", b"x")
    units = [f"unit-{number}" for number in range(500)]
    for number in range(100):
        recent.remember(str(number), described.sha256, b"x")
        recent.accepted(str(number), units, [described])
    kept = [n for n in range(100) if recent.recall("unit-0", str(n), "body") is not None]
    assert kept == list(range(100 - len(kept), 100))
    assert 10 < len(kept) < 20


def test_recent_parts_are_for_the_parties_of_accepted_envelopes_only() -> None:
    recent = RecentParts(size_bytes=10_000, largest_bytes=100)
    described = part("body", b"data")
    recent.remember("e", described.sha256, b"data")
    assert recent.recall("sender", "e", "body") is None
    recent.accepted("e", ["sender", "recipient"], [described])
    assert recent.recall("sender", "e", "body") == b"data"
    assert recent.recall("recipient", "e", "body") == b"data"
    assert recent.recall("stranger", "e", "body") is None


def test_recent_parts_of_a_losing_upload_are_not_those_of_the_accepted_one() -> None:
    """Two uploads under one envelope_id: whoever is accepted, only its own bytes go out."""
    recent = RecentParts(size_bytes=10_000, largest_bytes=100)
    winner, loser = part("body", b"winner"), part("body", b"loser")
    recent.remember("e", loser.sha256, b"loser")
    recent.accepted("e", ["thief"], [winner])
    assert recent.recall("thief", "e", "body") is None
    recent.remember("e", winner.sha256, b"winner")
    assert recent.recall("thief", "e", "body") == b"winner"
    recent.remember("e", loser.sha256, b"loser")
    assert recent.recall_small("thief", "e", 100) == [("body", b"winner")]


def test_small_parts_are_recalled_together_while_they_fit() -> None:
    recent = RecentParts(size_bytes=10_000, largest_bytes=100)
    parts = [part("a", b"aaaa"), part("b", b"bbbbbbbb"), part("c", b"cc"), part("d", b"")]
    for described, data in zip(parts, (b"aaaa", b"bbbbbbbb", b"cc"), strict=False):
        recent.remember("e", described.sha256, data)
    recent.accepted("e", ["u"], parts)
    assert recent.recall_small("u", "e", 7) == [("a", b"aaaa"), ("c", b"cc")]
    assert recent.recall_small("u", "e", 0) == []
    assert recent.recall_small("stranger", "e", 100) == []
