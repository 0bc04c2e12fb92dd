"""Who is calling, what was certified, an event ready to be written. Frozen; no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from document_exchange.event import Event
from document_exchange.identity import Identity
from exchange_runtime import addresses


class Caller(Protocol):
    """Whoever caused something, as its event names them."""

    @property
    def identity(self) -> object:
        """Its text is the event's actor."""
        ...

    @property
    def address(self) -> str:
        """The network address, as text; empty if there is none."""
        ...

    @property
    def counted_as(self) -> str:
        """Under which name refusals of theirs are counted together."""
        ...


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller without a certificate: only the address sets one apart from another."""

    identity: str
    """What acts: a service, or a command."""
    address: str = ""

    @property
    def counted_as(self) -> str:
        return f"{self.identity} {addresses.counted_as(self.address)}"


CENTRE = Actor("centre")
"""Where the centre acts by itself."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, as the TLS certificate says."""

    identity: Identity
    fingerprint: bytes
    """SHA-256 of the certificate, 32 bytes."""
    not_before: datetime
    not_after: datetime
    address: str
    """The peer's network address, as text."""

    @property
    def unit(self) -> str:
        """The unit_id of the caller; empty for staff."""
        return self.identity.unit or ""

    @property
    def counted_as(self) -> str:
        return str(self.identity)


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One issued certificate, as the ledger has it."""

    fingerprint: bytes
    """SHA-256 of the certificate, 32 bytes."""
    serial: str
    """Hex."""
    identity: str
    profile: str
    role: str
    """Of staff: operator, security or auditor."""
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None
    revocation_reason: str


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event, ready to be inserted by the transaction that it describes."""

    event: Event
    at: datetime
    content: bytes
    salt: bytes
    leaf: str
    """SHA-256(salt || content), 64 hex digits."""
