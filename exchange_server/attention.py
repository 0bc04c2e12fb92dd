"""Attention: tells a unit at once what is new for it, and never only once.

What is new stands in the ledger's table ``attention`` until it is confirmed or acted upon, so a
watch that breaks loses nothing. Wake-ups are hints: the process that recorded something hints to
its own watches directly and to other processes by a coalesced notification; a lost hint is made
good by reading the whole table every few seconds.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from document_exchange.errors import ExchangeError, ShuttingDown
from exchange_server.values import DeliverySummary, SubmissionSummary

log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""(envelope_id, recipient)"""

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
    """The hints for one watch since it last looked."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[Key] = field(default_factory=set)
    overflown: bool = False

    def hint(self, keys: Iterable[Key]) -> None:
        self.keys.update(keys)
        if len(self.keys) > _MOST_KEYS:
            self.keys.clear()
            self.overflown = True
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
            try:
                for payload in self._payloads(hints):
                    await self._ledger.notify(payload)
            except ExchangeError as error:
                log.warning("attention_hints_lost", hints=len(hints), error=str(error))

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


@dataclass(frozen=True, slots=True)
class Watcher:
    """Runs watches: everything that waits, then everything as it comes."""

    hub: AttentionHub
    ledger: AttentionLedger
    poll_s: float

    def deliveries(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncIterator[DeliverySummary | None]:
        """Deliveries to ``unit``; None marks the end of what waited when the watch began.

        ``still_admitted`` raises when the caller may no longer call; that ends the watch.
        """
        return self._watch("R", unit, self.ledger.waiting_deliveries, still_admitted)

    def submissions(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncIterator[SubmissionSummary | None]:
        """Changed deliveries of what ``unit`` sent, likewise."""
        return self._watch("S", unit, self.ledger.waiting_submissions, still_admitted)

    async def _watch(
        self,
        side: str,
        unit: str,
        read: _Reader[Summary],
        still_admitted: Callable[[], None],
    ) -> AsyncIterator[Summary | None]:
        sent: dict[Key, int] = {}
        with self.hub.subscribe(side, unit) as subscription:
            async for waiting in self._everything(unit, read, sent):
                yield waiting.summary
            yield None
            loop = asyncio.get_running_loop()
            next_poll = loop.time() + self.poll_s
            while True:
                try:
                    async with asyncio.timeout_at(next_poll):
                        await subscription.wake.wait()
                except TimeoutError:
                    pass
                if self.hub.closing:
                    raise ShuttingDown
                still_admitted()
                subscription.wake.clear()
                keys, subscription.keys = subscription.keys, set()
                if subscription.overflown or loop.time() >= next_poll:
                    subscription.overflown = False
                    next_poll = loop.time() + self.poll_s
                    async for waiting in self._everything(unit, read, sent):
                        yield waiting.summary
                elif keys:
                    for waiting in await read(unit, sorted(keys), None, len(keys)):
                        if sent.get(waiting.key, -1) < waiting.seq:
                            sent[waiting.key] = waiting.seq
                            yield waiting.summary

    async def _everything(
        self, unit: str, read: _Reader[Summary], sent: dict[Key, int]
    ) -> AsyncIterator[Waiting[Summary]]:
        """All rows that this watch has not sent; forgets in ``sent`` the rows that are gone."""
        seen: set[Key] = set()
        after: Key | None = None
        while True:
            page = await read(unit, None, after, _PAGE)
            for waiting in page:
                seen.add(waiting.key)
                if sent.get(waiting.key, -1) < waiting.seq:
                    sent[waiting.key] = waiting.seq
                    yield waiting
            if len(page) < _PAGE:
                break
            after = page[-1].key
        for key in sent.keys() - seen:
            del sent[key]
