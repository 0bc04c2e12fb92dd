"""``python -m bench.flooder``: one unit that calls and uploads far beyond its quota, unpaused.

A process of its own. It starts calls at a rate whatever becomes of those before (no backoff, and as
many open as the answers take), says ``{"flooding": true}`` on standard output once both calls and
uploads are refused, and its counts when standard input ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import click
import uvloop
from exchange_client import AsyncClient, PartSource, Timing

from document_exchange.errors import ExchangeError, QuotaExceeded

_NO_BACKOFF = Timing(retry_budget_s=0)
_MOST_OPEN = 1000
"""Beyond this the flooder itself is the bottleneck; what it does not start then is counted."""


class Flood:
    """Calls and uploads over several connections, and what became of them."""

    def __init__(self, clients: list[AsyncClient], recipient: str, size_bytes: int) -> None:
        self._clients = itertools.cycle(clients)
        self._recipient = recipient
        self._body = bytes(size_bytes)
        self._open: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        self.refused = {name: asyncio.Event() for name in ("calls", "uploads")}
        """Set once the quota has refused one."""

    async def call(self) -> None:
        await next(self._clients).unit(self._recipient)

    async def upload(self) -> None:
        await next(self._clients).send(
            title="关于报送统计报表的通知",
            recipients=[self._recipient],
            files=[PartSource(self._body, filename="notice.pdf")],
        )

    async def keep(self, name: str, work: Callable[[], Awaitable[None]], per_s: float) -> None:
        """Start ``work`` at this rate for ever."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count():
            await asyncio.sleep(began + number / per_s - loop.time())
            if len(self._open) >= _MOST_OPEN:
                self.counts[f"{name}_not_started"] += 1
                continue
            task = asyncio.create_task(self._count(name, work))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _count(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except QuotaExceeded:
            self.counts[f"{name}_over_quota"] += 1
            self.refused[name].set()
        except ExchangeError as error:
            self.counts[f"{name}_{error.code.lower()}"] += 1
        else:
            self.counts[f"{name}_passed"] += 1


async def _flood(
    config: Path, profile: str, recipient: str, rates: tuple[float, float], size: int, links: int
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient.from_profile(profile, config, _NO_BACKOFF))
            for _ in range(links)
        ]
        flood = Flood(clients, recipient, size)
        tasks = [
            asyncio.create_task(flood.keep(name, work, per_s))
            for name, work, per_s in (
                ("calls", flood.call, rates[0]),
                ("uploads", flood.upload, rates[1]),
            )
            if per_s
        ]
        names = [name for name, per_s in zip(("calls", "uploads"), rates, strict=True) if per_s]
        await asyncio.gather(*[flood.refused[name].wait() for name in names])
        print(json.dumps({"flooding": True}), flush=True)
        flood.counts.clear()
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        print(json.dumps(flood.counts), flush=True)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--profile", required=True)
@click.option("--recipient", required=True)
@click.option("--calls-per-s", type=float, required=True)
@click.option("--uploads-per-s", type=float, required=True)
@click.option("--size", type=int, required=True)
@click.option("--connections", type=int, required=True)
def main(
    config: Path,
    profile: str,
    recipient: str,
    calls_per_s: float,
    uploads_per_s: float,
    size: int,
    connections: int,
) -> None:
    """Flood the centre until standard input ends."""
    rates = (calls_per_s, uploads_per_s)
    uvloop.run(_flood(config, profile, recipient, rates, size, connections))


if __name__ == "__main__":
    main()
