"""A ledger of quotas in memory with a clock of its own, for what must be tried at every moment.

It counts as the functions of migration 0005 do; tests/integration/test_quotas.py holds those
against the same promises.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from document_exchange.errors import Unavailable
from exchange_server.quota_leases import LEVELS, Ask, Grant
from exchange_server.quotas import MethodKinds, Quotas
from exchange_server.registry import Quota

MINUTE_S = 60.0
NOTHING = MethodKinds(frozenset(), frozenset(), frozenset())


def quota(unit_id: str = "*", **limits: int) -> Quota:
    names = (
        "calls_per_minute",
        "submissions_per_minute",
        "bytes_per_minute",
        "bytes_in_flight",
        "open_streams",
    )
    return Quota(unit_id, **{name: limits.get(name, 0) for name in names})


@dataclass
class QuotaBooks:
    """Who has leased what, over all processes."""

    quota: Quota
    now: float = 1000.0
    asks: list[dict[str, Ask]] = field(default_factory=list)
    away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the ledger answers."""
    grants: dict[str, list[tuple[float, int, uuid.UUID]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Of each rate: (counts until, amount, entry)."""
    held: dict[tuple[str, uuid.UUID], tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answers.set()

    def clock(self) -> float:
        return self.now

    async def lease_quota(
        self, unit: str, process: uuid.UUID, lease_s: float, asks: Mapping[str, Ask]
    ) -> dict[str, Grant]:
        await self.answers.wait()
        if self.away:
            raise Unavailable
        self.asks.append(dict(asks))
        return {
            resource: self.level(resource, process, lease_s, ask)
            if resource in LEVELS
            else self.rate(resource, ask)
            for resource, ask in asks.items()
        }

    async def return_quota(self, process: uuid.UUID) -> None:
        self.held = {key: value for key, value in self.held.items() if key[1] != process}

    async def quota_used(self, unit: str) -> dict[str, int]:
        used = {resource: self._counted(resource) for resource in self.grants}
        for (resource, _), (until, amount) in self.held.items():
            if until > self.now:
                used[resource] = used.get(resource, 0) + amount
        return used

    def rate(self, resource: str, ask: Ask) -> Grant:
        limit = getattr(self.quota, resource)
        until = math.floor(self.now + MINUTE_S + 1)
        self._counted(resource)  # drops what has ended
        for entry, amount in ask.back.items():
            self._take_back(resource, entry, amount)
        self.grants[resource] = [each for each in self.grants[resource] if each[2] != ask.entry]
        left = ask.used
        for minute in range(60):
            if not left:
                break
            end = until + minute * MINUTE_S
            begin = end - MINUTE_S if minute else 0.0
            there = sum(amount for at, amount, _ in self.grants[resource] if begin < at <= end)
            part = left if minute == 59 else min(left, max(0, limit - there))
            if part:
                self.grants[resource].append((end, part, ask.entry))
            left -= part
        counted = self._counted(resource)
        granted = max(0, min(ask.wanted, limit - counted))
        if granted:
            self.grants[resource].append((until, granted, ask.entry))
        return Grant(granted, self._room_in_s(resource, counted + granted, limit))

    def level(self, resource: str, process: uuid.UUID, lease_s: float, ask: Ask) -> Grant:
        self.held.pop((resource, process), None)
        others = sum(
            amount
            for (name, _), (until, amount) in self.held.items()
            if name == resource and until > self.now
        )
        granted = max(0, min(ask.wanted, getattr(self.quota, resource) - others - ask.used))
        if ask.used + granted:
            self.held[resource, process] = (self.now + lease_s, ask.used + granted)
        return Grant(granted, None)

    def _take_back(self, resource: str, entry: uuid.UUID, amount: int) -> None:
        grants = self.grants[resource]
        for number in sorted(range(len(grants)), key=lambda each: -grants[each][0]):
            until, granted, of = grants[number]
            part = min(amount, granted) if of == entry else 0
            grants[number] = (until, granted - part, of)
            amount -= part
        self.grants[resource] = [each for each in grants if each[1]]

    def _counted(self, resource: str) -> int:
        self.grants[resource] = [each for each in self.grants[resource] if each[0] > self.now]
        return sum(amount for _, amount, _ in self.grants[resource])

    def _room_in_s(self, resource: str, counted: int, limit: int) -> float | None:
        if counted < limit:
            return None
        for until, amount, _ in sorted(self.grants[resource]):
            counted -= amount
            if counted < limit:
                return until - self.now
        raise AssertionError("what is counted does not end")


def unlimited() -> Quotas:
    """For parts that are tried without quotas."""
    return Quotas(QuotaBooks(quota()), lambda _unit: None, NOTHING)
