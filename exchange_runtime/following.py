"""What the ledger says of who may call, followed in memory; fails closed when it can't be followed.

It also holds the clock of this process against the ledger's: with another idea of the time, a
process would date statements wrongly and admit certificates at the wrong time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from document_exchange.errors import StatusUnknown, Unavailable
from exchange_runtime.clock import Clock, system_clock

log = structlog.get_logger(__name__)


class Versioned(Protocol):
    """One consistent reading of the registry, or of a part of it."""

    @property
    def version(self) -> int: ...


_Registry = TypeVar("_Registry", bound=Versioned)
_Read = TypeVar("_Read", bound=Versioned, covariant=True)


class Source(Protocol[_Read]):
    """Where the registry is read from."""

    async def registry_version(self) -> tuple[int, datetime]:
        """The version, and what the ledger's clock says."""
        ...

    async def load_registry(self) -> _Read: ...


@dataclass(frozen=True, slots=True)
class _LedgerTime:
    """What the ledger's clock said between two moments of this process's monotonic clock."""

    said: datetime
    asked_s: float
    answered_s: float

    def ahead(self, clock: datetime, now_s: float) -> timedelta:
        """By how much ``clock`` is ahead of the ledger's (below 0: behind) at the moment ``now_s``.

        The round trip is in its favour: what it may have taken is no difference.
        """
        latest = self.said + timedelta(seconds=now_s - self.asked_s)
        earliest = self.said + timedelta(seconds=now_s - self.answered_s)
        return max(clock - latest, timedelta(0)) + min(clock - earliest, timedelta(0))


class Follower(Generic[_Registry]):
    """Keeps the newest reading in memory, polled, and sooner when ``wake`` is called.

    Revocations work within one interval even where every notification is lost. When the ledger
    can't be read for ``max_age_s``, ``current`` raises: a process that does not know who was
    revoked admits nobody. Nor does one whose clock differs from the ledger's by more than
    ``clock_tolerance_s``.
    """

    def __init__(
        self,
        source: Source[_Registry],
        *,
        clock: Clock = system_clock,
        interval_s: float = 0.5,
        max_age_s: float = 10.0,
        clock_tolerance_s: float = 60.0,
    ) -> None:
        self._source = source
        self._clock = clock
        self._interval_s = interval_s
        self._max_age_s = max_age_s
        self._clock_tolerance = timedelta(seconds=clock_tolerance_s)
        self._clock_is_off = False
        self._ledger_time: _LedgerTime | None = None
        self._registry: _Registry | None = None
        self._checked_at = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners: set[Callable[[], None]] = set()

    def current(self) -> _Registry:
        """The registry as of at most ``max_age_s`` ago.

        Raises:
            Unavailable: it has not been possible to follow it for longer than that, or the clocks
                of this process and of the ledger differ.
        """
        if self._registry is None or self.age_s() > self._max_age_s:
            raise StatusUnknown
        ahead_s = self._clock_ahead().total_seconds()
        if abs(ahead_s) > self._clock_tolerance.total_seconds():
            raise Unavailable(
                f"the clocks of this server and of its ledger differ by {abs(ahead_s):.0f} s; "
                "try again once they are set"
            )
        return self._registry

    @property
    def max_age_s(self) -> float:
        """The age beyond which ``current`` raises."""
        return self._max_age_s

    @property
    def last(self) -> _Registry | None:
        """The last registry that was read, however old; to look at, never to decide upon."""
        return self._registry

    def age_s(self) -> float:
        """Seconds since the registry was last known to be current."""
        return time.monotonic() - self._checked_at

    def wake(self) -> None:
        """A hint that something changed; losing hints costs at most one interval."""
        self._wake.set()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each change; returns what undoes this."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def start(self) -> None:
        """Read once, then follow."""
        await self._refresh()
        self._task = asyncio.create_task(self._follow(), name="registry-follower")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh(self) -> None:
        started = time.monotonic()
        version, ledger_time = await self._source.registry_version()
        self._ledger_time = _LedgerTime(ledger_time, started, time.monotonic())
        self._watch_clock()
        if self._registry is None or version != self._registry.version:
            self._registry = await self._source.load_registry()
            log.info("registry_loaded", version=self._registry.version)
            self._taken(self._registry, ledger_time)
            for listener in tuple(self._listeners):
                listener()
        # What was read is at least as new as the moment before reading it.
        self._checked_at = started

    def _clock_ahead(self) -> timedelta:
        if self._ledger_time is None:
            return timedelta(0)
        return self._ledger_time.ahead(self._clock(), time.monotonic())

    def _watch_clock(self) -> None:
        """Log it once when the clock goes wrong, and once when it is right again."""
        ahead = self._clock_ahead()
        was_off, self._clock_is_off = self._clock_is_off, abs(ahead) > self._clock_tolerance
        if self._clock_is_off and not was_off:
            log.error("clock_differs_from_ledger", ahead_s=round(ahead.total_seconds(), 3))
        elif was_off and not self._clock_is_off:
            log.info("clock_agrees_again", ahead_s=round(ahead.total_seconds(), 3))

    def _taken(self, registry: _Registry, ledger_time: datetime) -> None:
        """For subclasses: there is a new reading; ``ledger_time`` is by the ledger's clock."""

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._interval_s)
            self._wake.clear()
            try:
                async with asyncio.timeout(self._max_age_s):
                    await self._refresh()
            except Exception as error:
                log.warning("registry_not_followed", age_s=round(self.age_s(), 1), error=str(error))
                await asyncio.sleep(self._interval_s)
