"""Keeps the leases of units: asks the ledger for what runs low, in the background, and renews.

One round trip for all that one unit needs, and no call waits for it. Units that use nothing cost
nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import structlog

from document_exchange.errors import ExchangeError
from exchange_server.quota_leases import (
    ANSWER_SOON_S,
    LEVELS,
    RATES,
    Ask,
    Grant,
    Lease,
    LevelLease,
)
from exchange_server.quota_rates import RateLease
from exchange_server.registry import Quota

log = structlog.get_logger(__name__)

_LONGEST_ANSWER_S = 1.0
_RENEWALS = 3
"""In the time of a lease, so that one of them may fail."""


class QuotaLedger(Protocol):
    """What quotas ask of the ledger."""

    async def lease_quota(
        self, unit: str, process: uuid.UUID, lease_s: float, asks: Mapping[str, Ask]
    ) -> Mapping[str, Grant]:
        """Count what was used, and grant what is wanted and free, exact over all processes."""
        ...

    async def return_quota(self, process: uuid.UUID) -> None:
        """Give back what a process that ends holds."""
        ...

    async def quota_used(self, unit: str) -> Mapping[str, int]:
        """What is leased now of each resource, by all processes together."""
        ...


class UnitLeases:
    """The leases of one unit."""

    def __init__(self, unit_id: str) -> None:
        self.unit_id = unit_id
        self.rates: dict[str, RateLease] = {}
        self.levels: dict[str, LevelLease] = {}
        self.asking: asyncio.Task[None] | None = None
        self.renewal: asyncio.TimerHandle | None = None
        self.away = False
        self._quota: Quota | None = None

    def named(self, resource: str) -> Lease | None:
        """None: it has no limit."""
        return self.rates.get(resource) or self.levels.get(resource)

    def all(self) -> Iterator[tuple[str, Lease]]:
        yield from self.rates.items()
        yield from self.levels.items()

    def limit_to(self, quota: Quota, lease_s: float) -> None:
        """Lease what ``quota`` says from now on."""
        if self._quota == quota:
            return
        self._quota = quota
        for resource in RATES:
            limit = getattr(quota, resource)
            rate = self.rates.get(resource)
            if not limit:
                self.rates.pop(resource, None)
            elif rate is None or rate.limit != limit:
                # Anew, so that more than before is felt at once.
                self.rates[resource] = RateLease(limit)
        for resource in LEVELS:
            limit = getattr(quota, resource)
            level = self.levels.get(resource)
            if not limit:
                self.levels.pop(resource, None)
            elif level is None:
                self.levels[resource] = LevelLease(limit, lease_s)
            else:
                level.limit = limit  # what is in use stays counted


class LeaseKeeper:
    """Asks the ledger, for one process."""

    def __init__(self, ledger: QuotaLedger, lease_s: float, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._lease_s = lease_s
        self._now = now
        self._process = uuid.uuid4()
        self._units: dict[str, UnitLeases] = {}
        self._stopped = False

    def unit(self, unit_id: str, quota: Quota) -> UnitLeases:
        """The leases of a unit that has these limits now."""
        unit = self._units.get(unit_id)
        if unit is None:
            unit = self._units[unit_id] = UnitLeases(unit_id)
        unit.limit_to(quota, self._lease_s)
        return unit

    def ask_if_due(self, unit: UnitLeases) -> None:
        """Fetch what runs low."""
        if unit.asking is None:
            now = self._now()
            self._ask(unit, {name: lease for name, lease in unit.all() if lease.is_due(now)})

    async def stop(self) -> None:
        """Give back what this process holds; nothing is asked any more."""
        self._stopped = True
        tasks = [unit.asking for unit in self._units.values() if unit.asking is not None]
        for unit in self._units.values():
            if unit.renewal is not None:
                unit.renewal.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LONGEST_ANSWER_S):
                await self._ledger.return_quota(self._process)
        except (ExchangeError, TimeoutError) as error:
            log.warning("quota_not_returned", error=str(error))

    def _ask(self, unit: UnitLeases, leases: Mapping[str, Lease]) -> None:
        if leases and not self._stopped:
            unit.asking = asyncio.create_task(self._lease(unit, leases), name="quota-lease")

    async def _lease(self, unit: UnitLeases, leases: Mapping[str, Lease]) -> None:
        asked_at = self._now()
        asks = {resource: lease.ask(asked_at) for resource, lease in leases.items()}
        try:
            async with asyncio.timeout(_LONGEST_ANSWER_S):
                answers = await self._ledger.lease_quota(
                    unit.unit_id, self._process, self._lease_s, asks
                )
            unit.away = False
            for resource, lease in leases.items():
                answer = answers[resource]
                lease.answered(answer.granted, answer.retry_s, self._now())
        except Exception as error:
            for lease in leases.values():
                lease.failed(self._now())
            if not unit.away:  # once, not once a second
                log.warning("quota_not_leased", unit=unit.unit_id, error=str(error))
            unit.away = True
        finally:
            unit.asking = None
        self._renew_later(unit)

    def _renew_later(self, unit: UnitLeases, pause_s: float | None = None) -> None:
        held = any(level.is_held(self._now()) for level in unit.levels.values())
        if held and unit.renewal is None and not self._stopped:
            unit.renewal = asyncio.get_running_loop().call_later(
                self._lease_s / _RENEWALS if pause_s is None else pause_s, self._renew, unit
            )

    def _renew(self, unit: UnitLeases) -> None:
        """Renew what is in use and give back what is not."""
        unit.renewal = None
        if unit.asking is not None:
            self._renew_later(unit, ANSWER_SOON_S)
            return
        now = self._now()
        self._ask(unit, {name: level for name, level in unit.levels.items() if level.is_held(now)})
