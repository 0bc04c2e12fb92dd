"""Runs one kind of work with so many at once, and says how fast it went."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

MOST = 5_000
"""No measurement has more exchanges than this."""
_WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement found."""

    name: str
    in_flight: int
    count: int
    elapsed_s: float
    latencies_s: tuple[float, ...]

    @property
    def per_s(self) -> float:
        """Exchanges per second."""
        return self.count / self.elapsed_s

    def percentile_ms(self, percent: int) -> float:
        """The latency that ``percent`` of the exchanges did not exceed, in milliseconds."""
        if len(self.latencies_s) < 2:
            return self.latencies_s[0] * 1000
        cuts = statistics.quantiles(self.latencies_s, n=100, method="inclusive")
        return cuts[percent - 1] * 1000

    @classmethod
    def joined(cls, name: str, parts: Sequence[Figures]) -> Figures:
        """Several measurements of the same work as one."""
        latencies = tuple(latency for part in parts for latency in part.latencies_s)
        elapsed_s = sum(part.elapsed_s for part in parts)
        return cls(name, parts[0].in_flight, len(latencies), elapsed_s, latencies)


async def paced(
    name: str, exchange: Callable[[], Awaitable[None]], *, per_s: float, seconds: float
) -> Figures:
    """Begin one ``exchange`` after the other at this rate, however long those before take.

    A latency counts from the moment when the exchange was due, so that a server that stalls can't
    make it look better by holding up the next ones.
    """
    latencies: list[float] = []
    began = time.perf_counter()

    async def one(due: float) -> None:
        await exchange()
        latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            due = began + number / per_s
            await asyncio.sleep(due - time.perf_counter())
            group.create_task(one(due))
    elapsed_s = time.perf_counter() - began
    return Figures(name, 0, len(latencies), elapsed_s, tuple(latencies))


async def measure(
    name: str, exchange: Callable[[], Awaitable[None]], *, in_flight: int, seconds: float
) -> Figures:
    """Do ``exchange`` over and over, ``in_flight`` at once, for about ``seconds``.

    A short warm-up of the same work comes first and is not counted.
    """
    await _work(exchange, in_flight, min(_WARM_UP_S, seconds))
    began = time.perf_counter()
    latencies = await _work(exchange, in_flight, seconds)
    elapsed_s = time.perf_counter() - began
    return Figures(name, in_flight, len(latencies), elapsed_s, tuple(latencies))


async def _work(
    exchange: Callable[[], Awaitable[None]], in_flight: int, seconds: float
) -> list[float]:
    """The latencies, in seconds, of all exchanges that were begun within ``seconds``."""
    latencies: list[float] = []
    begun = 0
    stop_at = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal begun
        while (start := time.perf_counter()) < stop_at and begun < MOST:
            begun += 1
            await exchange()
            latencies.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return latencies
