"""The registry as the ledger has it, followed in memory; fails closed when it can't be followed.

It also holds the clock of this process against the ledger's: with another idea of the time, a
process would date statements wrongly and admit certificates at the wrong time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from document_exchange.errors import StatusUnknown, Unavailable
from exchange_runtime.clock import Clock, system_clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unit:
    """An organisation that exchanges."""

    unit_id: str
    name_zh: str
    name_en: str
    short_zh: str
    kind: str
    organisation_code: str
    credit_code: str
    region: str
    issuer_marks: tuple[str, ...]
    groups: tuple[str, ...]
    acts_for: tuple[str, ...]
    status: str
    """ACTIVE, SUSPENDED or CLOSED."""
    contact: str = ""
    successor: str = ""
    """The unit that took over when this one was closed; empty if none did."""


@dataclass(frozen=True, slots=True)
class System:
    """An office system of a unit, where the registry describes it."""

    unit_id: str
    name: str
    description: str
    contact: str
    status: str
    """ACTIVE, SUSPENDED or CLOSED."""


@dataclass(frozen=True, slots=True)
class Staff:
    """A person who administers or audits the centre."""

    name: str
    person: str
    """Personnel number."""
    full_name: str
    role: str
    """operator, security or auditor."""
    status: str
    """ACTIVE, SUSPENDED or CLOSED."""


@dataclass(frozen=True, slots=True)
class Group:
    """The names of a list of units; its members are the units that name it."""

    group_id: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Route:
    """A rule about who may send what to whom; ``*`` stands for everything."""

    route_id: str
    effect: str
    """ALLOW or DENY."""
    sender: str
    """unit:ID, group:ID or *."""
    recipient: str
    business: str
    genre: str
    direction: str
    note: str


@dataclass(frozen=True, slots=True)
class Quota:
    """What a unit may use over all server processes; 0 is no limit."""

    unit_id: str
    """``*`` is for every unit without a quota of its own."""
    calls_per_minute: int
    submissions_per_minute: int
    bytes_per_minute: int
    bytes_in_flight: int
    open_streams: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the authority has issued, and whether it has been revoked."""

    identity: str
    profile: str
    not_before: datetime
    not_after: datetime
    revoked: bool
    role: str = ""
    """Of staff: operator, security or auditor."""


@dataclass(frozen=True, slots=True)
class Crl:
    """A revocation list, in force from ``this_update`` until before ``next_update``."""

    number: int
    this_update: datetime
    next_update: datetime
    der: bytes


@dataclass(frozen=True, slots=True)
class Registry:
    """One consistent reading of the registry. Certificates are keyed by SHA-256 fingerprint."""

    version: int
    units: Mapping[str, Unit]
    certificates: Mapping[bytes, Certificate]
    businesses: frozenset[str]
    root_crls: tuple[Crl, ...] = ()
    """Some of the newest, in any order; they may include lists that have not begun."""
    seal_crls: tuple[Crl, ...] = ()
    directory: int = 0
    """The version of what decides who may send what to whom."""
    systems: Mapping[tuple[str, str], System] = field(default_factory=dict)
    """By unit_id and name; a system without an entry is active."""
    staff: Mapping[str, Staff] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    def crls_in_force(self, now: datetime) -> tuple[Crl, Crl]:
        """The CRLs (root, seal CA) that a verifier of this moment's statements will need.

        Raises:
            Unavailable: the authority has published none yet that has begun.
        """
        return _in_force("root", self.root_crls, now), _in_force("seal-ca", self.seal_crls, now)


def _in_force(issuer: str, lists: Iterable[Crl], now: datetime) -> Crl:
    begun = [crl for crl in lists if crl.this_update <= now]
    if not begun:
        raise Unavailable(f"the authority has published no revocation list of {issuer} that counts")
    newest = max(begun, key=lambda crl: crl.number)
    if newest.next_update <= now:
        # Documents flow on; a verifier will ask for a list in force.
        log.warning("crl_expired", issuer=issuer, next_update=newest.next_update.isoformat())
    return newest


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


class RegistrySource(Protocol):
    """Where the registry is read from."""

    async def registry_version(self) -> tuple[int, datetime]:
        """The version, and what the ledger's clock says."""
        ...

    async def load_registry(self) -> Registry: ...


class RegistryFollower:
    """Keeps the newest ``Registry`` in memory, polled, and sooner when ``wake`` is called.

    Revocations work within one interval even where every notification is lost. When the ledger
    can't be read for ``max_age_s``, ``current`` raises: a process that does not know who was
    revoked admits nobody. Nor does one whose clock differs from the ledger's by more than
    ``clock_tolerance_s``.
    """

    def __init__(
        self,
        source: RegistrySource,
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
        self._registry: Registry | None = None
        self._checked_at = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners: set[Callable[[], None]] = set()

    def current(self) -> Registry:
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
            self._watch_authority(ledger_time)
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

    def _watch_authority(self, ledger_time: datetime) -> None:
        """Lists of times to come show that the authority's clock is ahead."""
        if self._registry is not None:
            lists = (*self._registry.root_crls, *self._registry.seal_crls)
            ahead = max((crl.this_update - ledger_time for crl in lists), default=timedelta(0))
            if ahead > self._clock_tolerance:
                log.warning("crl_ahead", ahead_s=round(ahead.total_seconds(), 3))

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
