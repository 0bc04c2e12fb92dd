"""What each sending unit may use: calls, submissions and bytes a minute, bytes in flight, streams.

The limits hold over all server processes. Each process leases small slices of them from the
ledger, in the background and before it runs out, so that no call waits for a round trip, and
refusing what is over a limit costs no query and no memory (``quota_leases.py`` says how far a limit
may be passed). Units that send nothing cost nothing. Staff and servers are not metered: what
protects a process from them are its own limits (``exchange_runtime.rpc.open_calls``).

While the ledger does not answer, nothing is refused here; what was used meanwhile is counted later.
Whether a caller is admitted at all is another matter, and that fails closed.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from document_exchange.errors import ExchangeError, QuotaExceeded
from exchange_runtime.values import Principal
from exchange_server.quota_leases import (
    ANSWER_SOON_S,
    LEVELS,
    RATES,
    Ask,
    Lease,
    LevelLease,
    RateLease,
)
from exchange_server.registry import Quota

log = structlog.get_logger(__name__)

RESOURCES = RATES + LEVELS

_LONGEST_ANSWER_S = 1.0
_RENEWALS = 3
"""In the time of a lease, so that one of them may fail."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The ledger's answer about one resource."""

    granted: int
    retry_s: float | None
    """When there is room again; None while there is, or where nobody knows."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of something a unit may use."""

    resource: str
    limit: int
    left: int


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


@dataclass(frozen=True, slots=True)
class MethodKinds:
    """Which methods cost what, besides one call."""

    submissions: Set[str]
    streams: Set[str]
    """Whatever stays open: uploads, downloads, watches."""
    transfers: Set[str]
    """What moves bytes of parts; refused before it is read when no byte would be let pass."""


class _Unit:
    """The leases of one unit."""

    def __init__(self, unit_id: str) -> None:
        self.unit_id = unit_id
        self.quota: Quota | None = None
        self.rates: dict[str, RateLease] = {}
        self.levels: dict[str, LevelLease] = {}
        self.asking: asyncio.Task[None] | None = None
        self.renewal: asyncio.TimerHandle | None = None
        self.away = False

    def leases(self) -> Iterator[tuple[str, Lease]]:
        yield from self.rates.items()
        yield from self.levels.items()


class Transfer:
    """Bytes of parts that were declared, and those of them that have flowed."""

    __slots__ = ("_flowed", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._flowed = 0

    def flow(self, count: int) -> None:
        """So many bytes have come or gone."""
        self._flowed += count

    @property
    def missing(self) -> int:
        """Declared, and never seen."""
        return max(0, self._size - self._flowed)


class Quotas:
    """Meters the calls and bytes of units in this process."""

    def __init__(
        self,
        ledger: QuotaLedger,
        quota_of: Callable[[str], Quota | None],
        kinds: MethodKinds,
        *,
        lease_s: float = 15.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            quota_of: the limits of a unit; None: it has none.
            lease_s: how long the ledger counts what a process held that died.
        """
        self._ledger = ledger
        self._quota_of = quota_of
        self._kinds = kinds
        self._lease_s = lease_s
        self._now = now
        self._process = uuid.uuid4()
        self._units: dict[str, _Unit] = {}
        self._stopped = False

    @contextmanager
    def place(self, principal: Principal, method: str) -> Iterator[None]:
        """Take one call, and what its method costs besides, for as long as the context lasts.

        Raises:
            QuotaExceeded: nothing was taken then.
        """
        unit = self._unit(principal.unit)
        if unit is None:
            yield
            return
        taken = ["calls_per_minute"]
        if method in self._kinds.submissions:
            taken.append("submissions_per_minute")
        if method in self._kinds.streams:
            taken.append("open_streams")
        transfers = ("bytes_per_minute", "bytes_in_flight")
        self._require(unit, (*taken, *(transfers if method in self._kinds.transfers else ())))
        self._take(unit, dict.fromkeys(taken, 1))
        stream = unit.levels.get("open_streams") if "open_streams" in taken else None
        try:
            yield
        finally:
            if stream is not None:
                stream.give_back(1)
                self._ask_if_due(unit, self._now())

    @contextmanager
    def transfer(self, unit_id: str, size: int) -> Iterator[Transfer]:
        """Take ``size`` bytes of parts, in flight for as long as the context lasts.

        Something must be free of both limits, then all is taken: a document is never cut off in
        its middle, and one larger than a limit uses it up for as long as it would take. What did
        not flow is given back at the end, however it ends.

        Raises:
            QuotaExceeded: nothing was taken then.
        """
        transfer = Transfer(size)
        unit = self._unit(unit_id) if size else None
        if unit is None:
            yield transfer
            return
        self._require(unit, ("bytes_per_minute", "bytes_in_flight"))
        taken_at = self._now()
        self._take(unit, {"bytes_per_minute": size, "bytes_in_flight": size})
        rate, level = unit.rates.get("bytes_per_minute"), unit.levels.get("bytes_in_flight")
        try:
            yield transfer
        finally:
            if level is not None:
                level.give_back(size)
            if rate is not None and transfer.missing:
                rate.give_back(transfer.missing, taken_at)
            self._ask_if_due(unit, self._now())

    def take_bytes(self, unit_id: str, size: int) -> bool:
        """Take a few bytes that go out together with something else; whether they may."""
        unit = self._unit(unit_id) if size else None
        if unit is None:
            return True
        try:
            self._require(unit, ("bytes_per_minute",))
        except QuotaExceeded:
            return False
        self._take(unit, {"bytes_per_minute": size})
        return True

    async def standing(self, unit_id: str) -> list[Standing]:
        """What a unit may use and what is left of it, over all processes. Empty: no limits.

        Raises:
            Unavailable: the ledger does not answer.
        """
        unit = self._unit(unit_id)
        if unit is None:
            return []
        used = await self._ledger.quota_used(unit_id)
        now = self._now()
        found = []
        for resource, lease in unit.leases():
            left = lease.limit - used.get(resource, 0) + lease.unused(now)
            found.append(Standing(resource, lease.limit, min(max(0, left), lease.limit)))
        return found

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

    def _unit(self, unit_id: str) -> _Unit | None:
        """The unit with leases of the limits that it has now; None if it has none."""
        quota = self._quota_of(unit_id) if unit_id else None
        if quota is None:
            return None
        unit = self._units.get(unit_id)
        if unit is None:
            unit = self._units[unit_id] = _Unit(unit_id)
        if unit.quota != quota:
            self._set_limits(unit, quota)
        return unit

    def _set_limits(self, unit: _Unit, quota: Quota) -> None:
        unit.quota = quota
        for resource in RATES:
            limit = getattr(quota, resource)
            rate = unit.rates.get(resource)
            if not limit:
                unit.rates.pop(resource, None)
            elif rate is None or rate.limit != limit:
                # Anew, so that more than before is felt at once.
                unit.rates[resource] = RateLease(limit)
        for resource in LEVELS:
            limit = getattr(quota, resource)
            level = unit.levels.get(resource)
            if not limit:
                unit.levels.pop(resource, None)
            elif level is None:
                unit.levels[resource] = LevelLease(limit, self._lease_s)
            else:
                level.limit = limit  # what is in use stays counted

    def _require(self, unit: _Unit, resources: tuple[str, ...]) -> None:
        """Raise QuotaExceeded for the resource that is free again last, if one is not free."""
        now = self._now()
        longest_s, worst, limit = 0.0, "", 0
        for resource in resources:
            lease = unit.rates.get(resource) or unit.levels.get(resource)
            wait_s = lease.wait_s(now) if lease is not None else 0.0
            if lease is not None and wait_s > longest_s:
                longest_s, worst, limit = wait_s, resource, lease.limit
        if not worst:
            return
        self._ask_if_due(unit, now)
        raise QuotaExceeded(
            f"{unit.unit_id} has used its {worst} ({limit}); come again in {longest_s:.1f} s",
            retry_after_s=longest_s,
            unit=unit.unit_id,
            resource=worst,
            limit=str(limit),
        )

    def _take(self, unit: _Unit, amounts: Mapping[str, int]) -> None:
        now = self._now()
        for resource, amount in amounts.items():
            lease = unit.rates.get(resource) or unit.levels.get(resource)
            if lease is not None:
                lease.take(amount, now)
        self._ask_if_due(unit, now)

    def _ask_if_due(self, unit: _Unit, now: float) -> None:
        """Fetch what runs low, in the background, one round trip for all of it."""
        if unit.asking is None:
            self._ask(unit, {name: lease for name, lease in unit.leases() if lease.is_due(now)})

    def _ask(self, unit: _Unit, leases: Mapping[str, Lease]) -> None:
        if leases and not self._stopped:
            unit.asking = asyncio.create_task(self._lease(unit, leases), name="quota-lease")

    async def _lease(self, unit: _Unit, leases: Mapping[str, Lease]) -> None:
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

    def _renew_later(self, unit: _Unit, pause_s: float | None = None) -> None:
        held = any(level.is_held(self._now()) for level in unit.levels.values())
        if held and unit.renewal is None and not self._stopped:
            unit.renewal = asyncio.get_running_loop().call_later(
                self._lease_s / _RENEWALS if pause_s is None else pause_s, self._renew, unit
            )

    def _renew(self, unit: _Unit) -> None:
        """Renew what is in use and give back what is not."""
        unit.renewal = None
        if unit.asking is not None:
            self._renew_later(unit, ANSWER_SOON_S)
            return
        now = self._now()
        self._ask(unit, {name: level for name, level in unit.levels.items() if level.is_held(now)})
