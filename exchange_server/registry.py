"""The registry as the ledger has it, followed in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import structlog

from document_exchange.errors import Unavailable
from exchange_runtime.following import Follower
from exchange_server.routes import Party, Route, RouteTable

__all__ = [
    "Certificate",
    "Crl",
    "Group",
    "Quota",
    "Registry",
    "RegistryFollower",
    "Route",
    "Staff",
    "System",
    "Unit",
]

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

    @property
    def party(self) -> Party:
        """The unit as routes see it."""
        return Party(self.unit_id, self.groups)


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


@dataclass(frozen=True)
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

    @cached_property
    def route_table(self) -> RouteTable:
        """The routes, arranged once for all questions about this reading."""
        return RouteTable(self.routes)

    def quota_of(self, unit_id: str) -> Quota | None:
        """What the unit may use; None: as much as it likes."""
        return self.quotas.get(unit_id) or self.quotas.get("*")

    def crls_in_force(self, now: datetime) -> tuple[Crl, Crl]:
        """The CRLs (root, seal CA) that a verifier of this moment's statements will need.

        Raises:
            Unavailable: the authority has published none yet that has begun.
        """
        return _in_force("root", self.root_crls, now), _in_force("seal-ca", self.seal_crls, now)

    def unended_crls(self, now: datetime) -> tuple[Crl, Crl]:
        """The same, for what need not be signed now: documents flow on without them, but a
        signature that nobody could ever check is not made unasked.

        Raises:
            Unavailable: one of them has ended, or the authority has published none.
        """
        lists = self.crls_in_force(now)
        if any(now >= crl.next_update for crl in lists):
            raise Unavailable("the authority's revocation lists have ended; try again later")
        return lists


def _in_force(issuer: str, lists: Iterable[Crl], now: datetime) -> Crl:
    begun = [crl for crl in lists if crl.this_update <= now]
    if not begun:
        raise Unavailable(f"the authority has published no revocation list of {issuer} that counts")
    # It may have ended: documents flow on, see ``ListWatch``.
    return max(begun, key=lambda crl: crl.number)


class RegistryFollower(Follower[Registry]):
    """Follows the whole registry."""

    async def reach(self, directory: int, *, timeout_s: float) -> None:
        """Wait until the directory in memory is of this version, or of a newer one.

        Raises:
            Unavailable: it was not within ``timeout_s``.
        """
        loaded = asyncio.Event()
        forget = self.on_change(loaded.set)
        try:
            async with asyncio.timeout(timeout_s):
                while self.last is None or self.last.directory < directory:
                    loaded.clear()
                    self.wake()
                    await loaded.wait()
        except TimeoutError:
            raise Unavailable(
                f"version {directory} of the directory could not be read within {timeout_s:g} s; "
                "try again"
            ) from None
        finally:
            forget()

    def _taken(self, registry: Registry, ledger_time: datetime) -> None:
        """Lists of times to come show that the authority's clock is ahead."""
        lists = (*registry.root_crls, *registry.seal_crls)
        ahead = max((crl.this_update - ledger_time for crl in lists), default=timedelta(0))
        if ahead > self._clock_tolerance:
            log.warning("crl_ahead", ahead_s=round(ahead.total_seconds(), 3))
