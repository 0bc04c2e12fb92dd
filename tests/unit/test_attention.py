"""Watches: what waits, then what comes; hints may be lost, and the poll is shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from document_exchange import codes
from document_exchange.errors import CertificateRevoked, ShuttingDown, Unavailable
from document_exchange.receipt import ReceiptType, State
from exchange_server.attention import AttentionHub, Key
from exchange_server.values import DeliverySummary, SubmissionSummary
from exchange_server.watch import Waiting, Watcher

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
UNIT, ANOTHER = "qd-jiaoyu", "qd-caizheng"
NEVER_S = 3600.0


class Books:
    """A WatchLedger in memory, which counts how often everything was read, and how often polled."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Waiting[DeliverySummary]]] = {UNIT: {}, ANOTHER: {}}
        self.whole_readings = 0
        self.polls = 0
        self.reachable = True
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    def put(self, unit: str = UNIT, seq: int = 0, envelope_id: str | None = None) -> Key:
        """A row that waits; nobody is told."""
        key = (envelope_id or codes.new_id(NOW), unit)
        self.rows[unit][key] = Waiting(key, seq, _summary(key, seq))
        return key

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[DeliverySummary]]:
        if not self.reachable:
            raise Unavailable
        rows = self.rows[unit]
        if keys is not None:
            return [rows[key] for key in keys if key in rows]
        self.whole_readings += after is None
        return [rows[key] for key in sorted(rows) if after is None or key > after][:limit]

    async def waiting_submissions(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[SubmissionSummary]]:
        return []

    async def waiting_seqs(
        self, unit: str, side: str, after: Key | None, limit: int
    ) -> list[tuple[Key, int]]:
        if not self.reachable:
            raise Unavailable
        self.polls += after is None
        rows = self.rows[unit] if side == "R" else {}
        found = [(key, rows[key].seq) for key in sorted(rows) if after is None or key > after]
        self.asked.set()
        await self.open.wait()
        return found[:limit]

    async def notify(self, payload: str) -> None: ...


def _summary(key: Key, seq: int) -> DeliverySummary:
    words = dict.fromkeys(("title", "doc_id", "number", "business", "genre", "urgency", "kind"), "")
    return DeliverySummary(
        envelope_id=key[0],
        recipient=key[1],
        sender="qd-zhengfu",
        state=State.PENDING,
        seq=seq,
        part_count=1,
        size_bytes=1,
        accepted_at=NOW,
        updated_at=NOW,
        last_type=ReceiptType.ACCEPTED,
        withdrawal_requested=False,
        sign_due=None,
        reply_due=None,
        overdue=False,
        replaced_by="",
        **words,
    )


Watch = AsyncIterator[DeliverySummary | None]


class Watches:
    """Opens watches, and closes them at the end of the test."""

    def __init__(self, books: Books, hub: AttentionHub, poll_s: float, stack: AsyncExitStack):
        self._watcher = Watcher(hub, books, poll_s)
        self._stack = stack

    async def open(self, unit: str = UNIT) -> tuple[Watch, list[Key]]:
        """A watch that has caught up, and what it brought until then."""
        watch: Any = self._watcher.deliveries(unit, lambda: None)
        await self._stack.enter_async_context(aclosing(watch))
        return watch, [key async for key in _until_caught_up(watch)]


async def _until_caught_up(watch: Watch) -> AsyncIterator[Key]:
    while (summary := await anext(watch)) is not None:
        yield summary.envelope_id, summary.recipient


async def next_of(watch: Watch) -> tuple[Key, int]:
    async with asyncio.timeout(10):
        summary = await anext(watch)
    assert summary is not None
    return (summary.envelope_id, summary.recipient), summary.seq


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def hub(books: Books) -> AttentionHub:
    return AttentionHub(books)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def test_what_waits_comes_by_pages_and_then_what_is_hinted_at(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    keys = [books.put() for _ in range(1201)]
    watch, found = await Watches(books, hub, NEVER_S, stack).open()
    assert (sorted(found), len(found)) == (sorted(keys), 1201)
    new = books.put()
    hub.envelope_accepted(new[0], [UNIT])
    assert await next_of(watch) == (new, 0)
    books.put(seq=2, envelope_id=new[0])
    hub.envelope_accepted(keys[0][0], [UNIT])
    hub.envelope_accepted(new[0], [UNIT])
    assert await next_of(watch) == (new, 2), "the other one has nothing new"


async def test_all_watches_of_a_unit_share_one_poll(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    """So that reading all costs no more for fifteen watches than for one."""
    watches = Watches(books, hub, 0.05, stack)
    opened = [(await watches.open())[0] for _ in range(15)]
    polls = 0
    for _ in range(5):
        before = books.polls
        lost = books.put()
        assert [await next_of(watch) for watch in opened] == [(lost, 0)] * 15
        polls += books.polls - before
    # One, and one more when the row came while it was already reading.
    assert 5 <= polls <= 10 + 2
    assert books.whole_readings == 15, "summaries are read whole once for each watch only"


async def test_polls_go_through_all_pages(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    keys = [books.put() for _ in range(1200)]
    watch, _ = await Watches(books, hub, 0.02, stack).open()
    for key in (max(keys), min(keys)):
        books.put(seq=1, envelope_id=key[0])
        assert await next_of(watch) == (key, 1)
    assert books.whole_readings == 1


async def test_a_lost_hint_is_made_good_within_the_interval(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    loop = asyncio.get_running_loop()
    watch, _ = await Watches(books, hub, 0.4, stack).open()
    for _ in range(3):
        lost = books.put()
        began = loop.time()
        assert await next_of(watch) == (lost, 0)
        assert loop.time() - began < 0.4 + 0.2


async def test_units_are_polled_apart_and_only_while_they_watch(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    watches = Watches(books, hub, 0.02, stack)
    one, _ = await watches.open(UNIT)
    other, _ = await watches.open(ANOTHER)
    key, elsewhere = books.put(UNIT), books.put(ANOTHER)
    assert (await next_of(one), await next_of(other)) == ((key, 0), (elsewhere, 0))
    await stack.aclose()
    polls = [task for task in asyncio.all_tasks() if task.get_name().startswith("poll")]
    await asyncio.wait_for(asyncio.gather(*polls, return_exceptions=True), 10)


async def test_what_comes_while_a_poll_reads_is_sent_once(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    """The poll's reading does not have it yet, and must not make the watch forget it."""
    watch, _ = await Watches(books, hub, 0.02, stack).open()
    books.asked.clear()
    books.open.clear()
    await books.asked.wait()
    new = books.put()
    hub.envelope_accepted(new[0], [UNIT])
    assert await next_of(watch) == (new, 0)
    books.open.set()
    last = books.put()
    assert await next_of(watch) == (last, 0)
    final = books.put()
    assert await next_of(watch) == (final, 0), "nothing came twice in three polls"


async def test_a_ledger_that_is_away_ends_the_watch(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    watches = Watches(books, hub, 0.02, stack)
    opened = [(await watches.open())[0] for _ in range(2)]
    books.reachable = False
    for watch in opened:
        with pytest.raises(Unavailable):
            await next_of(watch)


async def test_more_hints_than_are_kept_lose_nothing(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    watch, _ = await Watches(books, hub, NEVER_S, stack).open()
    keys = {books.put() for _ in range(2500)}
    for envelope_id, _ in keys:
        hub.envelope_accepted(envelope_id, [UNIT])
    assert {(await next_of(watch))[0] for _ in range(2500)} == keys


async def test_who_is_revoked_gets_no_more_of_what_waits(books: Books, hub: AttentionHub) -> None:
    """Nothing wakes a watch that has not caught up: it has to ask by itself."""
    for _ in range(1201):
        books.put()
    revoked = False

    def still_admitted() -> None:
        if revoked:
            raise CertificateRevoked

    async with aclosing(Watcher(hub, books, NEVER_S).deliveries(UNIT, still_admitted)) as watch:
        assert await anext(watch) is not None
        revoked = True
        with pytest.raises(CertificateRevoked):
            await anext(watch)


async def test_shutting_down_ends_a_watch_that_has_not_caught_up(
    books: Books, hub: AttentionHub
) -> None:
    for _ in range(3):
        books.put()
    async with aclosing(Watcher(hub, books, NEVER_S).deliveries(UNIT, lambda: None)) as watch:
        assert await anext(watch) is not None
        hub.close_watches()
        with pytest.raises(ShuttingDown):
            await anext(watch)


async def test_a_watch_that_begins_while_shutting_down_ends_at_once(
    books: Books, hub: AttentionHub
) -> None:
    hub.close_watches()
    async with aclosing(Watcher(hub, books, NEVER_S).deliveries(UNIT, lambda: None)) as watch:
        with pytest.raises(ShuttingDown):
            await anext(watch)


async def test_shutting_down_ends_every_watch(
    books: Books, hub: AttentionHub, stack: AsyncExitStack
) -> None:
    watch, _ = await Watches(books, hub, NEVER_S, stack).open()
    hub.close_watches()
    with pytest.raises(ShuttingDown):
        await next_of(watch)
