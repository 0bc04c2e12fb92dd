"""Bounds how many bytes are held in memory at once: in all, and for each unit."""

from __future__ import annotations

import asyncio
from collections import deque

SMALL_BYTES = 256 * 1024
"""What is at most so long has a reserve of its own."""


class ByteBudget:
    """A semaphore over bytes, first come first served.

    Whoever takes bytes must not wait for more of the same budget while it holds what only the
    network can free: take a whole block at once, and give each block back when it is stored.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._free = size_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used_bytes(self) -> int:
        return self.size_bytes - self._free

    async def take(self, count: int) -> None:
        """Wait until ``count`` bytes are free and take them.

        Raises:
            ValueError: ``count`` is more than there will ever be.
        """
        if count > self.size_bytes:
            raise ValueError(f"{count} bytes never fit into a budget of {self.size_bytes}")
        if not self._waiting and count <= self._free:
            self._free -= count
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append((count, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give_back(count)
            else:
                self._waiting = deque(w for w in self._waiting if w[1] is not granted)
                self._grant()
            raise

    def give_back(self, count: int) -> None:
        self._free += count
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            count, granted = self._waiting.popleft()
            if not granted.done():
                self._free -= count
                granted.set_result(None)


class Shares:
    """One budget for all, and one for each unit, so that no unit can take it all.

    Of bytes, or of anything else that is counted.
    """

    def __init__(self, total_bytes: int, unit_bytes: int) -> None:
        self._total = ByteBudget(total_bytes)
        self._unit_bytes = min(unit_bytes, total_bytes)
        self._units: dict[str, ByteBudget] = {}

    @property
    def used_bytes(self) -> int:
        return self._total.used_bytes

    async def take(self, unit: str, count: int) -> None:
        """Take from the unit's budget first, so that a greedy unit queues behind itself."""
        mine = self._units.setdefault(unit, ByteBudget(self._unit_bytes))
        await mine.take(count)
        try:
            await self._total.take(count)
        except BaseException:
            mine.give_back(count)
            raise

    def give_back(self, unit: str, count: int) -> None:
        self._total.give_back(count)
        self._units[unit].give_back(count)


class Budgets:
    """The memory of all units' documents, with an eighth kept free for small pieces.

    So whoever has a short document never waits behind those who fill blocks of 8 MiB slowly.
    """

    def __init__(self, total_bytes: int, unit_bytes: int) -> None:
        small_bytes = total_bytes // 8
        self._small = Shares(small_bytes, max(small_bytes // 3, SMALL_BYTES))
        self._large = Shares(total_bytes - small_bytes, unit_bytes)

    @property
    def used_bytes(self) -> int:
        """By all units together."""
        return self._small.used_bytes + self._large.used_bytes

    async def take(self, unit: str, count: int) -> None:
        """Wait until ``count`` bytes are free for this unit and take them; 8 MiB at most."""
        await self._tier(count).take(unit, count)

    def give_back(self, unit: str, count: int) -> None:
        """Exactly what was taken at once."""
        self._tier(count).give_back(unit, count)

    def _tier(self, count: int) -> Shares:
        return self._small if count <= SMALL_BYTES else self._large
