"""What each sending unit may use: calls, submissions and bytes a minute, bytes in flight, streams.

The limits hold over all server processes. Each process leases small slices of them from the
ledger, in the background and before it runs out, so that no call waits for a round trip, and
refusing what is over a limit costs no query and no memory (``quota_rates.py`` and
``quota_leases.py`` say how far a limit may be passed, ``quota_asking.py`` asks the ledger). Staff
and servers are not metered: what protects a process from them are its own limits
(``exchange_runtime.rpc.open_calls``).

While the ledger does not answer, each process keeps to the limits by itself; what was used
meanwhile is counted later. Whether a caller is admitted at all is another matter, and that fails
closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass

from document_exchange.errors import QuotaExceeded
from exchange_runtime.values import Principal
from exchange_server.quota_asking import LeaseKeeper, QuotaLedger, UnitLeases
from exchange_server.quota_leases import LEVELS, RATES
from exchange_server.registry import Quota

RESOURCES = RATES + LEVELS


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of something a unit may use."""

    resource: str
    limit: int
    left: int


@dataclass(frozen=True, slots=True)
class MethodKinds:
    """Which methods cost what, besides one call."""

    submissions: Set[str]
    streams: Set[str]
    """Whatever stays open: uploads, downloads, watches."""
    transfers: Set[str]
    """What moves bytes of documents; refused before it is read when no byte would be let pass."""


class Transfer:
    """Bytes of documents that were declared, and those of them that have flowed."""

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
        self._now = now
        self._keeper = LeaseKeeper(ledger, lease_s, now)

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
                self._keeper.ask_if_due(unit)

    @contextmanager
    def transfer(self, unit_id: str, size: int) -> Iterator[Transfer]:
        """Take ``size`` bytes of parts or evidence, in flight for as long as the context lasts.

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
        rate, level = unit.rates.get("bytes_per_minute"), unit.levels.get("bytes_in_flight")
        taking = rate.take(size, self._now()) if rate is not None else None
        self._take(unit, {"bytes_in_flight": size})
        try:
            yield transfer
        finally:
            if level is not None:
                level.give_back(size)
            if rate is not None and taking is not None and transfer.missing:
                rate.give_back(transfer.missing, taking, self._now())
            self._keeper.ask_if_due(unit)

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
        for resource, lease in unit.all():
            left = lease.limit - used.get(resource, 0) + lease.unused(now)
            found.append(Standing(resource, lease.limit, min(max(0, left), lease.limit)))
        return found

    async def stop(self) -> None:
        """Give back what this process holds; nothing is asked any more."""
        await self._keeper.stop()

    def _unit(self, unit_id: str) -> UnitLeases | None:
        """The unit with leases of the limits that it has now; None if it has none."""
        quota = self._quota_of(unit_id) if unit_id else None
        return self._keeper.unit(unit_id, quota) if quota is not None else None

    def _require(self, unit: UnitLeases, resources: tuple[str, ...]) -> None:
        """Raise QuotaExceeded for the resource that is free again last, if one is not free."""
        now = self._now()
        longest_s, worst, limit = 0.0, "", 0
        for resource in resources:
            lease = unit.named(resource)
            wait_s = lease.wait_s(now) if lease is not None else 0.0
            if lease is not None and wait_s > longest_s:
                longest_s, worst, limit = wait_s, resource, lease.limit
        if not worst:
            return
        self._keeper.ask_if_due(unit)
        raise QuotaExceeded(
            f"{unit.unit_id} has used its {worst} ({limit}); come again in {longest_s:.1f} s",
            retry_after_s=longest_s,
            unit=unit.unit_id,
            resource=worst,
            limit=str(limit),
        )

    def _take(self, unit: UnitLeases, amounts: Mapping[str, int]) -> None:
        now = self._now()
        for resource, amount in amounts.items():
            lease = unit.named(resource)
            if lease is not None:
                lease.take(amount, now)
        self._keeper.ask_if_due(unit)
