"""Who may call the authority, and what: decided upon the registry as the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from document_exchange.errors import CertificateNotAdmitted
from document_exchange.identity import Kind
from exchange_runtime import allow_list, standing
from exchange_runtime.allow_list import OPERATOR, ROLES, SECURITY, Allowed
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.following import Follower
from exchange_runtime.standing import Standing
from exchange_runtime.values import Principal

_AUTHORITY = "/document_exchange.v1.AuthorityService/"
_HEALTH = "/grpc.health.v1.Health/"

_EVERYBODY = Allowed(frozenset({Kind.SYSTEM, Kind.CENTRE_SERVER}), ROLES)
_ALL_STAFF = Allowed(roles=ROLES)
_OPERATORS = Allowed(roles=frozenset({OPERATOR}))
_SECURITY = Allowed(roles=frozenset({SECURITY}))

ALLOWED: Mapping[str, Allowed] = {
    _AUTHORITY + "Renew": Allowed(frozenset({Kind.SYSTEM}), ROLES),
    _AUTHORITY + "RenewSeal": Allowed(frozenset({Kind.SYSTEM})),
    _AUTHORITY + "GetCrl": _EVERYBODY,
    _AUTHORITY + "IssueToken": _OPERATORS,
    _AUTHORITY + "ListTokens": _ALL_STAFF,
    _AUTHORITY + "WithdrawToken": _OPERATORS,
    _AUTHORITY + "ListSealRequests": _ALL_STAFF,
    _AUTHORITY + "ApproveSeal": _SECURITY,
    _AUTHORITY + "Revoke": _SECURITY,
    _AUTHORITY + "ListCertificates": _ALL_STAFF,
    _HEALTH + "Check": _EVERYBODY,
    _HEALTH + "Watch": _EVERYBODY,
}
"""What is not listed is denied."""

WATCHES = frozenset({_HEALTH + "Watch"})
"""The methods whose calls stay open without end."""

NOT_WAITED_FOR = frozenset({_HEALTH + "Check", _HEALTH + "Watch"})
"""The methods that go on while the service shuts down, and are cut off at its end."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that may be a caller's."""

    identity: str
    revoked: bool
    role: str


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff."""

    role: str
    status: str


@dataclass(frozen=True)
class Callers:
    """One consistent reading of what decides who may call. Certificates by SHA-256 fingerprint."""

    version: int
    certificates: Mapping[bytes, Certificate] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    systems: Mapping[tuple[str, str], str] = field(default_factory=dict)
    staff: Mapping[str, Staff] = field(default_factory=dict)

    def standing_of(self, principal: Principal) -> Standing:
        """What is known about this caller."""
        name, unit = principal.identity.name, principal.unit
        return Standing(
            certificate=self.certificates.get(principal.fingerprint),
            unit_status=self.units.get(unit),
            system_status=self.systems.get((unit, name)),
            staff=self.staff.get(name) if principal.identity.kind is Kind.STAFF else None,
        )


class CallersInLedger:
    """Where ``Callers`` are read from, for the follower."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def registry_version(self) -> tuple[int, datetime]:
        """The version, and what the ledger's clock says."""
        (row,) = await self._database.rows("registry_version")
        return row["version"], row["ledger_time"]

    async def load_registry(self) -> Callers:
        """All of it, of one moment."""
        version, certificates, units, systems, staff = await self._database.transaction(
            [
                "registry_version",
                "callers",
                "unit_standings",
                "system_standings",
                "staff_standings",
            ]
        )
        return Callers(
            version[0]["version"],
            {
                row["fingerprint"]: Certificate(row["identity"], row["revoked"], row["role"])
                for row in certificates
            },
            {row["unit_id"]: row["status"] for row in units},
            {(row["unit_id"], row["name"]): row["status"] for row in systems},
            {row["name"]: Staff(row["role"], row["status"]) for row in staff},
        )


@dataclass(frozen=True, slots=True)
class AuthorityAdmission:
    """What the interceptor asks."""

    callers: Follower[Callers]
    clock: Clock

    def may_call(self, principal: Principal, method: str) -> None:
        """Raise NotPermitted unless ``ALLOWED`` has the method for this caller.

        Raises:
            Unavailable: the ledger can't be followed, so nobody is admitted.
        """
        known = self.callers.current().certificates.get(principal.fingerprint)
        allow_list.check(ALLOWED, principal, method, known.role if known is not None else "")

    def still_admitted(self, principal: Principal) -> None:
        """See ``standing.admit``.

        Raises:
            Unavailable: the ledger can't be followed, so nobody is admitted.
        """
        callers = self.callers.current()
        standing.admit(principal, callers.standing_of(principal), self.clock())

    def is_waited_for(self, method: str) -> bool:
        """Whether a service that shuts down waits for the calls of this method."""
        return method not in NOT_WAITED_FOR

    def role_of(self, principal: Principal) -> str:
        """The role that a staff certificate was issued for.

        Raises:
            CertificateNotAdmitted: nobody knows the certificate, or it has none.
            Unavailable: the ledger can't be followed.
        """
        known = self.callers.current().certificates.get(principal.fingerprint)
        if known is None or not known.role:
            raise CertificateNotAdmitted(identity=str(principal.identity))
        return known.role
