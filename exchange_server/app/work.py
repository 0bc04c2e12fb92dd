"""Background work: what a server does by itself, each in its interval, until it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from document_exchange import certificates
from exchange_runtime.background import every
from exchange_runtime.clock import Clock
from exchange_runtime.event_ledger import EventsInLedger
from exchange_server import metrics
from exchange_server.app.parts import Parts
from exchange_server.expiry import Expiry
from exchange_server.list_watch import LOOK_EVERY_S, ListWatch
from exchange_server.reminders import Reminders
from exchange_server.stamping import Stamper, external_judge, own_judge
from exchange_server.statements import CentreSeal
from exchange_server.storage.deadlines import DeadlinesOnPostgres
from exchange_server.storage.ledger import Ledger
from exchange_server.storage.stamps import StampsOnPostgres
from exchange_server.sweep import Sweeper
from exchange_server.time_stamping_client import TimeStampingClient

_DAY_S = 24 * 3600.0
_COUNT_S = 30.0
"""How often what is open in the ledger is counted for the metrics."""


class Work:
    """The tasks of one process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, parts: Parts, deadline_clock: Clock, stack: AsyncExitStack) -> None:
        """Begin all of it; ``deadline_clock`` is what deadlines are compared with.

        Raises:
            ConfigurationError: a file or setting is wrong.
            Unavailable: the ledger does not answer.
        """
        limits, clock, ledger = parts.settings.limits, parts.clock, parts.ledger
        follow_seal = partial(parts.seal_files.follow, parts.seal, clock)
        watch = ListWatch(parts.registry, EventsInLedger(parts.database), clock)
        sweeper = Sweeper(ledger, parts.blobs, limits.longest_upload)
        self._every(limits.reload_interval_s, follow_seal)
        self._every(LOOK_EVERY_S, watch.look)
        self._every(_DAY_S, ledger.ensure_partitions)
        self._every(_DAY_S, partial(_warn_before_end, parts.seal, clock))
        self._every(limits.sweep_interval_s, partial(sweeper.sweep, remove=True))
        metrics.show_registry(parts.metrics, parts.registry, clock)
        metrics.show_pool(parts.metrics, parts.database)
        await self._count(partial(_count_open, ledger, parts.documents))
        await self._follow_deadlines(parts, deadline_clock)
        if parts.settings.timestamps.url:
            await self._stamp(parts, stack)

    async def stop(self) -> None:
        """End all of it, wherever it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow_deadlines(self, parts: Parts, clock: Clock) -> None:
        """Say what is due, let expire what nobody will take, and count."""
        ledger = DeadlinesOnPostgres(parts.database)
        interval_s = parts.settings.deadlines.interval_s
        self._every(interval_s, Reminders(ledger, parts.recorder, clock).run)
        self._every(interval_s, Expiry(ledger, parts.recorder).run)
        shown = metrics.DeadlineMetrics(parts.metrics)
        await self._count(partial(_count_deadlines, ledger, shown, clock))

    async def _stamp(self, parts: Parts, stack: AsyncExitStack) -> None:
        """Have what the centre signs time-stamped, and count what waits."""
        settings = parts.settings.timestamps
        ledger = StampsOnPostgres(parts.database)
        shown = metrics.StampMetrics(parts.metrics)
        client = TimeStampingClient(settings.url, timeout_s=settings.timeout_s)
        stack.callback(client.close)
        chain = parts.tsa_chain
        stamper = Stamper(
            ledger,
            client,
            external_judge(chain, certificates.fingerprint(chain[0]))
            if chain
            else own_judge(parts.trust, parts.registry),
            parts.clock,
            batch_size=settings.batch_size,
            interval_s=settings.interval_s,
            timeout_s=settings.timeout_s,
            clock_tolerance_s=parts.settings.limits.clock_tolerance_s,
            failed=shown.failed,
        )
        self._every(settings.interval_s, stamper.run)
        await self._count(partial(_count_stamps, ledger, shown, parts.clock))

    async def _count(self, count: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Now, so that nobody reads a number that is none, and again and again."""
        await count()
        self._every(_COUNT_S, count)

    def _every(self, interval_s: float, step: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._tasks.add(asyncio.create_task(every(interval_s, "background_step_failed", step)))


async def _warn_before_end(seal: CentreSeal, clock: Clock) -> None:
    seal.warn_before_end(clock())


async def _count_open(ledger: Ledger, documents: metrics.DocumentMetrics) -> None:
    documents.open_deliveries(await ledger.open_deliveries())


async def _count_deadlines(
    ledger: DeadlinesOnPostgres, shown: metrics.DeadlineMetrics, clock: Clock
) -> None:
    now = clock()
    shown.standing(await ledger.standing(now), now)


async def _count_stamps(
    ledger: StampsOnPostgres, shown: metrics.StampMetrics, clock: Clock
) -> None:
    shown.standing(await ledger.standing(), clock())
