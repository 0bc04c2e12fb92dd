"""Putting evidence together: a unit queues behind itself, and nobody waits without end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from document_exchange import identity
from document_exchange.errors import LimitExceeded, NotFound, Unavailable
from document_exchange.evidence import MAX_CHOSEN_RECIPIENTS, Content
from exchange_runtime.clock import system_clock
from exchange_runtime.values import Principal
from exchange_server.evidence import COLLECTED_AT_ONCE, EvidenceCollector
from exchange_server.evidence_files import EvidenceFiles
from exchange_server.evidence_ledger import EvidenceLedger
from exchange_server.evidence_plan import EvidencePlanner
from exchange_server.evidence_sealing import IndexFiles, IndexSealer
from tests.quotas_for_tests import unlimited

ENVELOPE = "019a0000-0000-7000-8000-000000000001"
GREEDY, OTHER = "qd-greedy", "qd-other"


class SlowLedger:
    """Knows no envelope, and says so only when it is let."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.asking: Counter[str] = Counter()
        self.answers = asyncio.Event()

    async def find_envelope_and_delivery(self, unit: str, envelope_id: str) -> None:
        self.asked[unit] += 1
        self.asking[unit] += 1
        try:
            await self.answers.wait()
        finally:
            self.asking[unit] -= 1


def collector(ledger: SlowLedger, longest_wait_s: float = 30.0) -> EvidenceCollector:
    nothing = cast(EvidenceLedger, ledger)  # no envelope, so nothing else is asked
    return EvidenceCollector(
        EvidencePlanner(ledger, nothing, {}, {}),
        cast(IndexSealer, None),
        EvidenceFiles(nothing, {}),
        unlimited(),
        longest_wait_s,
    )


async def ask(source: EvidenceCollector, unit: str, recipients: tuple[str, ...] = ()) -> None:
    caller = Principal(
        identity.parse(f"spiffe://exchange.example/unit/{unit}/system/oa"),
        b"",
        system_clock(),
        system_clock(),
        "10.0.0.1",
    )
    async for _ in source.files(caller, ENVELOPE, recipients, Content.PARTS):
        raise AssertionError("there is no such envelope")


@asynccontextmanager
async def asking(source: EvidenceCollector, *units: str) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Calls of these units, one after the other, under way."""
    tasks = []
    try:
        for unit in units:
            tasks.append(asyncio.create_task(ask(source, unit)))
            await settled()
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled() -> None:
    """Every task that can go on has done so: nothing here waits for anything but each other."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_unit_with_many_calls_keeps_nobody_else_out() -> None:
    ledger = SlowLedger()
    async with asking(collector(ledger), *[GREEDY] * (2 * COLLECTED_AT_ONCE), OTHER) as tasks:
        assert ledger.asking == {GREEDY: 1, OTHER: 1}
        ledger.answers.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in outcomes} == {NotFound}
    assert ledger.asked == {GREEDY: 2 * COLLECTED_AT_ONCE, OTHER: 1}


async def test_a_process_puts_only_a_few_together_at_once() -> None:
    ledger = SlowLedger()
    units = [f"qd-{number}" for number in range(COLLECTED_AT_ONCE + 2)]
    async with asking(collector(ledger), *units):
        assert ledger.asking.total() == COLLECTED_AT_ONCE


async def test_who_waits_too_long_is_told_to_come_again() -> None:
    ledger = SlowLedger()
    source = collector(ledger, longest_wait_s=0.01)
    async with asyncio.timeout(10), asking(source, GREEDY):
        with pytest.raises(Unavailable, match="try again later"):
            await ask(source, GREEDY)
    others = [f"qd-{number}" for number in range(COLLECTED_AT_ONCE)]
    async with asyncio.timeout(10), asking(source, *others):
        with pytest.raises(Unavailable, match="try again later"):
            await ask(source, GREEDY)
    # Whoever gave up, waiting or not, left its place.
    ledger.answers.set()
    for unit in (GREEDY, *others):
        with pytest.raises(NotFound):
            await ask(source, unit)


async def test_only_so_many_recipients_may_be_named() -> None:
    ledger = SlowLedger()
    ledger.answers.set()
    named = tuple(f"qd-{number}" for number in range(MAX_CHOSEN_RECIPIENTS + 1))
    with pytest.raises(NotFound):
        await ask(collector(ledger), OTHER, named[1:])
    with pytest.raises(LimitExceeded) as refused:
        await ask(collector(ledger), OTHER, named)
    assert refused.value.attributes["limit"] == str(MAX_CHOSEN_RECIPIENTS) == "20"


@pytest.mark.parametrize("size", [1, 2**18 - 1, 2**18, 2**18 + 1, 4 * 2**20])
def test_an_index_comes_out_as_it_went_in(size: int) -> None:
    index = bytes(range(251)) * (size // 251) + bytes(size % 251)
    held = IndexFiles.of(index, b"signature")
    pieces = list(held.pieces())
    assert b"".join(pieces) == index
    assert max(map(len, pieces)) <= 2**18
    assert held.size_bytes == size + len(b"signature") + len(held.sums)
