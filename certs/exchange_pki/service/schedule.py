"""What the service does by the clock: follow the journal, sign lists, warn of ends, count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

import structlog

from document_exchange import times
from exchange_pki.service.inventory import Inventory, Wanted
from exchange_pki.service.metrics import COUNT_EVERY_S
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.background import every, surviving

log = structlog.get_logger(__name__)

_WARN_EVERY_S = 3600.0
_LONGEST_BETWEEN_LISTS_S = 30.0
_NAMED_AT_MOST = 100


_Step = Callable[[], Coroutine[Any, Any, None]]


class Schedule:
    """A few loops; what fails in one round comes again in the next."""

    def __init__(
        self,
        worker: AuthorityWorker,
        inventory: Inventory,
        *,
        follow_interval_s: float,
        crl_interval_s: float,
        warn_before: timedelta,
        count: _Step,
        renew: Sequence[_Step] = (),
    ) -> None:
        """``count`` looks at what the metrics show, ``renew`` after the service's own keys."""
        self._worker = worker
        self._inventory = inventory
        self._follow_interval_s = follow_interval_s
        self._crl_interval_s = crl_interval_s
        self._warn_before = warn_before
        self._count = count
        self._renew = renew
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Do everything once, then by the clock."""
        await self._sign_due_lists()
        for step in self._renew:
            with surviving("own_keys_not_looked_at"):
                await step()
        with surviving("ends_not_looked_at"):
            await self.warn_of_ends()
            await self._count()
        # Often enough that a list is never late by much, however long the interval.
        look_s = min(self._crl_interval_s / 4, _LONGEST_BETWEEN_LISTS_S)
        for interval_s, failure, step in (
            (self._follow_interval_s, "journal_not_followed", self._worker.follow),
            (look_s, "lists_not_signed", self._sign_due_lists),
            (_WARN_EVERY_S, "ends_not_looked_at", self.warn_of_ends),
            (COUNT_EVERY_S, "standing_not_counted", self._count),
            *((look_s, "own_keys_not_looked_at", step) for step in self._renew),
        ):
            self._tasks.append(asyncio.create_task(every(interval_s, failure, step)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def warn_of_ends(self) -> None:
        """Say in the log whose certificates end soon, the first of them by name."""
        wanted = Wanted(ending_within=self._warn_before)
        found, more = await self._inventory.listed(wanted, 1000)
        for each in found[:_NAMED_AT_MOST]:
            log.warning(
                "certificate_ends",
                identity=each.identity,
                profile=each.profile,
                not_after=times.format_time(each.not_after),
                fingerprint=each.fingerprint.hex(),
            )
        if len(found) > _NAMED_AT_MOST:
            log.warning("more_certificates_end", count=len(found), all_counted=not more)

    async def _sign_due_lists(self) -> None:
        await self._worker.sign_due_crls(timedelta(seconds=self._crl_interval_s))
