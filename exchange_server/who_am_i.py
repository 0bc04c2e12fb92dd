"""Who am I: the server's view of its caller, so that a doctor's questions have an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server.own_certificates import IssuedCertificate, OwnCertificates
from exchange_server.quotas import Standing
from exchange_server.registry import RegistryFollower, Unit


@dataclass(frozen=True, slots=True)
class Self:
    """What the server knows of a caller."""

    identity: str
    unit: Unit | None
    """None for staff and servers."""
    role: str
    """Of staff: operator, security or auditor."""
    certificate: IssuedCertificate
    address: str
    server_time: datetime
    status_age_s: float
    """Seconds since the server last knew who was revoked."""
    quotas: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Answers from the registry in memory, the ledger's certificates and quotas."""

    registry: RegistryFollower
    certificates: OwnCertificates
    standing: Callable[[str], Awaitable[Sequence[Standing]]]
    """What a unit may use, and what is left of it."""
    clock: Clock

    async def answer(self, principal: Principal) -> Self:
        """The caller as this server sees it."""
        registry = self.registry.current()
        staff = None if principal.unit else registry.staff.get(principal.identity.name)
        return Self(
            identity=str(principal.identity),
            unit=registry.units.get(principal.unit),
            role=staff.role if staff is not None else "",
            certificate=await self.certificates.held(principal),
            address=principal.address,
            server_time=self.clock(),
            status_age_s=self.registry.age_s(),
            quotas=await self.standing(principal.unit) if principal.unit else (),
        )
