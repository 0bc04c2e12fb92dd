"""The registry as the ledger has it, followed in memory; fails closed when it can't be followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from document_exchange.errors import Unavailable

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


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the authority has issued, and whether it has been revoked."""

    identity: str
    profile: str
    not_before: datetime
    not_after: datetime
    revoked: bool


@dataclass(frozen=True, slots=True)
class Crl:
    """A revocation list in force."""

    number: int
    next_update: datetime
    der: bytes


@dataclass(frozen=True, slots=True)
class Registry:
    """One consistent reading of the registry. Certificates are keyed by SHA-256 fingerprint."""

    version: int
    units: Mapping[str, Unit]
    certificates: Mapping[bytes, Certificate]
    businesses: frozenset[str]
    root_crl: Crl | None
    seal_crl: Crl | None

    def crls_in_force(self, now: datetime) -> tuple[Crl, Crl]:
        """The CRLs (root, seal CA) that a verifier of this moment's statements will need.

        Raises:
            Unavailable: the authority has published none yet.
        """
        if self.root_crl is None or self.seal_crl is None:
            raise Unavailable("the authority has published no revocation lists yet")
        for name, crl in (("root", self.root_crl), ("seal-ca", self.seal_crl)):
            if crl.next_update <= now:
                # Documents flow on; a verifier will ask for a list in force.
                log.warning("crl_expired", issuer=name, next_update=crl.next_update.isoformat())
        return self.root_crl, self.seal_crl


class RegistrySource(Protocol):
    """Where the registry is read from."""

    async def registry_version(self) -> int: ...

    async def load_registry(self) -> Registry: ...


class RegistryFollower:
    """Keeps the newest ``Registry`` in memory, polled, and sooner when ``wake`` is called.

    Revocations work within one interval even where every notification is lost. When the ledger
    can't be read for ``max_age_s``, ``current`` raises: a process that does not know who was
    revoked admits nobody.
    """

    def __init__(
        self, source: RegistrySource, *, interval_s: float = 0.5, max_age_s: float = 10.0
    ) -> None:
        self._source = source
        self._interval_s = interval_s
        self._max_age_s = max_age_s
        self._registry: Registry | None = None
        self._checked_at = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners: set[Callable[[], None]] = set()

    def current(self) -> Registry:
        """The registry as of at most ``max_age_s`` ago.

        Raises:
            Unavailable: it has not been possible to follow it for longer than that.
        """
        if self._registry is None or self.age_s() > self._max_age_s:
            raise Unavailable("the status of certificates can't be followed at the moment")
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
        version = await self._source.registry_version()
        if self._registry is None or version != self._registry.version:
            self._registry = await self._source.load_registry()
            log.info("registry_loaded", version=self._registry.version)
            for listener in tuple(self._listeners):
                listener()
        # What was read is at least as new as the moment before reading it.
        self._checked_at = started

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
