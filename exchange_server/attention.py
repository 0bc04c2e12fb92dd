"""Attention: tells a unit at once what is new for it, and never only once.

What is new stands in the ledger's table ``attention`` until it is confirmed or acted upon, so a
watch that breaks loses nothing. Wake-ups are hints: the process that recorded something hints to
its own watches directly and to other processes by a coalesced notification; a lost hint is made
good by reading all that waits for a unit every few seconds, once for all of its watches.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from document_exchange.errors import ShuttingDown
from exchange_server.background import surviving
from exchange_server.polls import SharedPolls
from exchange_server.values import DeliverySummary, SubmissionSummary

log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""(envelope_id, recipient)"""

_Standing = Mapping[Key, int]
"""The seq to see of all that waits."""

_PAGE = 500
_NOTIFY_BYTES = 7500
"""PostgreSQL takes payloads of less than 8000 bytes."""
_MOST_KEYS = 2000
"""Beyond this many hints a watch reads the whole table instead."""

Summary = TypeVar("Summary", DeliverySummary, SubmissionSummary, covariant=True)


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Summary]):
    """Something that awaits attention: its key, the seq to see, and what it looks like now."""

    key: Key
    seq: int
    summary: Summary


class AttentionLedger(Protocol):
    """What watching asks of the ledger. ``keys=None`` means all, paged by ``after``."""

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[DeliverySummary]]: ...

    async def waiting_submissions(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[SubmissionSummary]]: ...

    async def notify(self, payload: str) -> None: ...


@dataclass(slots=True, eq=False)
class _Subscription:
    """The hints for one watch since it last looked, and the last poll."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[Key] = field(default_factory=set)
    overflown: bool = False
    polled: _Standing | Exception | None = None

    def hint(self, keys: Iterable[Key]) -> None:
        self.keys.update(keys)
        if len(self.keys) > _MOST_KEYS:
            self.keys.clear()
            self.overflown = True
        self.wake.set()

    def poll(self, polled: _Standing | Exception) -> None:
        self.polled = polled
        self.wake.set()


class AttentionHub:
    """Passes hints to the watches of this process, and to other processes."""

    def __init__(self, ledger: AttentionLedger, *, coalesce_s: float = 0.02) -> None:
        self._ledger = ledger
        self._coalesce_s = coalesce_s
        self._subscriptions: dict[tuple[str, str], set[_Subscription]] = defaultdict(set)
        self._outgoing: set[tuple[str, str, str, str]] = set()
        self._pending = asyncio.Event()
        self._process = secrets.token_hex(4)
        self._task: asyncio.Task[None] | None = None
        self.closing = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._send_hints(), name="attention-notifier")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def close_watches(self) -> None:
        """End every watch with ShuttingDown; clients go on with another process."""
        self.closing = True
        self.wake_all()

    def wake_all(self) -> None:
        """Let every watch look whether its caller is still admitted."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.wake.set()

    def envelope_accepted(self, envelope_id: str, recipients: Sequence[str]) -> None:
        for recipient in recipients:
            self._hint("R", recipient, envelope_id, recipient)

    def statement_recorded(self, sender: str, envelope_id: str, recipient: str) -> None:
        self._hint("S", sender, envelope_id, recipient)

    def receive(self, payload: str) -> None:
        """Take a notification of another process."""
        try:
            message = json.loads(payload)
            if message["from"] == self._process:
                return
            hints = [(str(s), str(u), str(e), str(r)) for s, u, e, r in message["hints"]]
        except (ValueError, KeyError, TypeError):
            log.warning("attention_hint_unreadable")
            return
        for side, unit, envelope_id, recipient in hints:
            self._deliver(side, unit, envelope_id, recipient)

    @contextmanager
    def subscribe(self, side: str, unit: str) -> Iterator[_Subscription]:
        """Collect the hints for ``unit`` on one side for as long as the context lasts."""
        subscription = _Subscription()
        self._subscriptions[side, unit].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[side, unit].discard(subscription)
            if not self._subscriptions[side, unit]:
                del self._subscriptions[side, unit]

    def _hint(self, side: str, unit: str, envelope_id: str, recipient: str) -> None:
        self._deliver(side, unit, envelope_id, recipient)
        self._outgoing.add((side, unit, envelope_id, recipient))
        self._pending.set()

    def _deliver(self, side: str, unit: str, envelope_id: str, recipient: str) -> None:
        for subscription in self._subscriptions.get((side, unit), ()):
            subscription.hint([(envelope_id, recipient)])

    async def _send_hints(self) -> None:
        while True:
            await self._pending.wait()
            await asyncio.sleep(self._coalesce_s)
            self._pending.clear()
            hints, self._outgoing = self._outgoing, set()
            with surviving("attention_hints_lost", hints=len(hints)):
                for payload in self._payloads(hints):
                    await self._ledger.notify(payload)

    def _payloads(self, hints: Iterable[tuple[str, str, str, str]]) -> list[str]:
        payloads: list[str] = []
        batch: list[tuple[str, str, str, str]] = []
        size = 0
        for hint in hints:
            size += sum(len(word) for word in hint) + 16
            if size > _NOTIFY_BYTES - 64:
                payloads.append(json.dumps({"from": self._process, "hints": batch}))
                batch, size = [], sum(len(word) for word in hint) + 16
            batch.append(hint)
        payloads.append(json.dumps({"from": self._process, "hints": batch}))
        return payloads


class _Reader(Protocol[Summary]):
    async def __call__(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> Sequence[Waiting[Summary]]: ...


class Watcher:
    """Runs watches: everything that waits, then everything as it comes."""

    def __init__(self, hub: AttentionHub, ledger: AttentionLedger, poll_s: float) -> None:
        self._hub = hub
        self._ledger = ledger
        self._polls = SharedPolls(self._standing, poll_s)

    def deliveries(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncIterator[DeliverySummary | None]:
        """Deliveries to ``unit``; None marks the end of what waited when the watch began.

        ``still_admitted`` raises when the caller may no longer call; that ends the watch.
        """
        return self._watch("R", unit, self._ledger.waiting_deliveries, still_admitted)

    def submissions(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncIterator[SubmissionSummary | None]:
        """Changed deliveries of what ``unit`` sent, likewise."""
        return self._watch("S", unit, self._ledger.waiting_submissions, still_admitted)

    async def _watch(
        self,
        side: str,
        unit: str,
        read: _Reader[Summary],
        still_admitted: Callable[[], None],
    ) -> AsyncIterator[Summary | None]:
        sent = _Sent()
        with (
            self._hub.subscribe(side, unit) as subscription,
            self._polls.follow((side, unit), subscription.poll),
        ):
            async for page in _all_pages(read, unit):
                for waiting in sent.unsent(page):
                    yield waiting.summary
            yield None
            while True:
                await subscription.wake.wait()
                if self._hub.closing:
                    raise ShuttingDown
                still_admitted()
                subscription.wake.clear()
                keys, subscription.keys = subscription.keys, set()
                polled, subscription.polled = subscription.polled, None
                if isinstance(polled, Exception):
                    raise polled
                if polled is not None:
                    keys |= sent.behind(polled)
                pages = _pages_of(read, unit, sorted(keys))
                if subscription.overflown:
                    subscription.overflown = False
                    pages = _all_pages(read, unit)
                async for page in pages:
                    for waiting in sent.unsent(page):
                        yield waiting.summary

    async def _standing(self, topic: tuple[str, str]) -> _Standing:
        side, unit = topic
        if side == "R":
            return await _seqs(self._ledger.waiting_deliveries, unit)
        return await _seqs(self._ledger.waiting_submissions, unit)


class _Sent:
    """What one watch has sent: the last seq of each key that still waits."""

    def __init__(self) -> None:
        self._seqs: dict[Key, int] = {}
        self._since_poll: set[Key] = set()

    def unsent(self, page: Iterable[Waiting[Summary]]) -> Iterator[Waiting[Summary]]:
        """What of it was not sent yet; from now on it was."""
        for waiting in page:
            if self._seqs.get(waiting.key, -1) < waiting.seq:
                self._seqs[waiting.key] = waiting.seq
                self._since_poll.add(waiting.key)
                yield waiting

    def behind(self, polled: _Standing) -> set[Key]:
        """What waits and was not sent. What waits no longer is forgotten.

        What was sent since the last poll may have come after this one was read, so it stays.
        """
        for key in self._seqs.keys() - polled.keys() - self._since_poll:
            del self._seqs[key]
        self._since_poll.clear()
        return {key for key, seq in polled.items() if self._seqs.get(key, -1) < seq}


async def _all_pages(
    read: _Reader[Summary], unit: str
) -> AsyncIterator[Sequence[Waiting[Summary]]]:
    after: Key | None = None
    while True:
        page = await read(unit, None, after, _PAGE)
        yield page
        if len(page) < _PAGE:
            return
        after = page[-1].key


async def _seqs(read: _Reader[Summary], unit: str) -> _Standing:
    return {waiting.key: waiting.seq async for page in _all_pages(read, unit) for waiting in page}


async def _pages_of(
    read: _Reader[Summary], unit: str, keys: Sequence[Key]
) -> AsyncIterator[Sequence[Waiting[Summary]]]:
    for start in range(0, len(keys), _PAGE):
        some = keys[start : start + _PAGE]
        yield await read(unit, some, None, len(some))
