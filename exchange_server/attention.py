"""Attention: hints at once to whoever watches, in this process and in others, what is new for it.

Wake-ups are hints, and may be lost: the process that recorded something hints to its own watches
directly and to other processes by a coalesced notification. What a watch makes of them, and how it
makes lost ones good, is in ``watch``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from exchange_runtime.background import surviving

log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""(envelope_id, recipient)"""

Standing = Mapping[Key, int]
"""The seq to see of all that waits."""

_NOTIFY_BYTES = 7500
"""PostgreSQL takes payloads of less than 8000 bytes."""
_MOST_KEYS = 2000
"""Beyond this many hints a watch reads the whole table instead."""


class Notifier(Protocol):
    """Where notifications for the other processes go."""

    async def notify(self, payload: str) -> None: ...


@dataclass(slots=True, eq=False)
class Subscription:
    """The hints for one watch since it last looked, and the last poll."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[Key] = field(default_factory=set)
    overflown: bool = False
    polled: Standing | Exception | None = None

    def hint(self, keys: Iterable[Key]) -> None:
        self.keys.update(keys)
        if len(self.keys) > _MOST_KEYS:
            self.keys.clear()
            self.overflown = True
        self.wake.set()

    def poll(self, polled: Standing | Exception) -> None:
        self.polled = polled
        self.wake.set()


class AttentionHub:
    """Passes hints to the watches of this process, and to other processes."""

    def __init__(self, notifier: Notifier, *, coalesce_s: float = 0.02) -> None:
        self._notifier = notifier
        self._coalesce_s = coalesce_s
        self._subscriptions: dict[tuple[str, str], set[Subscription]] = defaultdict(set)
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

    def statement_recorded(
        self, sender: str, envelope_id: str, recipient: str, sides: Iterable[str]
    ) -> None:
        """``sides`` have something new to see: the recipient (R), the sender (S)."""
        for side in sides:
            self._hint(side, sender if side == "S" else recipient, envelope_id, recipient)

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
    def subscribe(self, side: str, unit: str) -> Iterator[Subscription]:
        """Collect the hints for ``unit`` on one side for as long as the context lasts."""
        subscription = Subscription()
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
                    await self._notifier.notify(payload)

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
