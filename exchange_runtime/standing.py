"""Who may call at all: a certificate that is known, valid and unrevoked, of somebody who is active.

The rules that every service applies to what it follows of the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    StaffNotActive,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.identity import Kind
from exchange_runtime.values import Principal

_ACTIVE = "ACTIVE"


class KnownCertificate(Protocol):
    """A certificate as the registry of certificates has it."""

    @property
    def identity(self) -> str: ...

    @property
    def revoked(self) -> bool: ...

    @property
    def role(self) -> str:
        """Of staff: the role that it was issued for."""
        ...


class KnownStaff(Protocol):
    """A member of staff as the registry has them."""

    @property
    def role(self) -> str: ...

    @property
    def status(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry says about one caller; None where it says nothing."""

    certificate: KnownCertificate | None
    unit_status: str | None = None
    system_status: str | None = None
    """A system without an entry is active."""
    staff: KnownStaff | None = None


def admit(principal: Principal, standing: Standing, now: datetime) -> None:
    """Raise unless the holder of this certificate may call now.

    The certificate alone says who calls: issued, known here, valid, not revoked.

    Raises:
        CertificateNotAdmitted, CertificateRevoked, CertificateExpired, UnitNotActive,
        SystemNotActive, StaffNotActive
    """
    known = standing.certificate
    who = str(principal.identity)
    if known is None or known.identity != who:
        raise CertificateNotAdmitted(identity=who)
    if known.revoked:
        raise CertificateRevoked(identity=who)
    if not principal.not_before <= now < principal.not_after:
        raise CertificateExpired(
            f"the certificate is valid from {principal.not_before:%Y-%m-%d %H:%M:%S} to "
            f"{principal.not_after:%Y-%m-%d %H:%M:%S} UTC; renew it",
            identity=who,
        )
    if principal.identity.kind is Kind.STAFF:
        _admit_staff(principal.identity.name, known.role, standing.staff)
    elif principal.identity.unit is not None:
        _admit_system(principal.identity.unit, principal.identity.name, standing)


def _admit_system(unit: str, name: str, standing: Standing) -> None:
    if standing.unit_status != _ACTIVE:
        status = standing.unit_status.lower() if standing.unit_status else "not registered"
        raise UnitNotActive(f"unit {unit} is {status}", unit=unit)
    if standing.system_status is not None and standing.system_status != _ACTIVE:
        raise SystemNotActive(
            f"system {name} of unit {unit} is {standing.system_status.lower()}",
            unit=unit,
            system=name,
        )


def _admit_staff(name: str, role: str, staff: KnownStaff | None) -> None:
    """``role`` is what the certificate was issued for; it must still be the person's."""
    if staff is None or staff.status != _ACTIVE:
        status = staff.status.lower() if staff else "not registered"
        raise StaffNotActive(f"staff {name} is {status}", staff=name)
    if staff.role != role:
        raise StaffNotActive(
            f"staff {name} is {staff.role} staff, and the certificate is for {role or 'no role'}",
            staff=name,
        )
