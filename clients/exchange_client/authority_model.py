"""What the authority says, as values: certificates, tokens, requests for seals, enrolments.

Empty strings and None stand for what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InternalError
from document_exchange.v1 import authority_pb2
from exchange_client.model import time_of

TOKEN_STANDINGS = ("OPEN", "USED", "EXPIRED", "WITHDRAWN")
SEAL_STANDINGS = ("NONE", "PENDING", "ISSUED", "REJECTED")


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One issued certificate."""

    fingerprint: str
    """SHA-256 of the DER, 64 hex digits."""
    serial: str
    """Hex."""
    identity: str
    """SPIFFE ID."""
    profile: str
    """Kind of certificate: system, seal, staff, server, centre-seal, tsa."""
    role: str
    """Of staff: operator, security or auditor."""
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None
    revocation_reason: str

    @classmethod
    def of(cls, message: authority_pb2.CertificateRecord) -> CertificateRecord:
        """From the message on the wire."""
        return cls(
            fingerprint=message.fingerprint,
            serial=message.serial,
            identity=message.identity,
            profile=message.profile,
            role=message.role,
            not_before=time_of(message.not_before),
            not_after=time_of(message.not_after),
            issued_at=time_of(message.issued_at),
            revoked_at=_time_if_set(message, "revoked_at", message.revoked_at),
            revocation_reason=message.revocation_reason,
        )


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new enrolment token. ``token`` is its secret, shown this once."""

    token: str
    token_id: str
    expires_at: datetime
    root_fingerprint: str
    enrolment_address: str

    def __repr__(self) -> str:
        return f"<IssuedToken {self.token_id}>"

    @classmethod
    def of(cls, message: authority_pb2.IssueTokenResponse) -> IssuedToken:
        """From the message on the wire."""
        return cls(
            token=message.token,
            token_id=message.token_id,
            expires_at=time_of(message.expires_at),
            root_fingerprint=message.root_fingerprint,
            enrolment_address=message.enrolment_address,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A token as lists show it: never its secret."""

    token_id: str
    unit: str
    system: str
    seal: str
    staff: str
    standing: str
    """OPEN, USED, EXPIRED or WITHDRAWN."""
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None

    @classmethod
    def of(cls, message: authority_pb2.Token) -> Token:
        """From the message on the wire."""
        return cls(
            token_id=message.token_id,
            unit=message.unit,
            system=message.system,
            seal=message.seal,
            staff=message.staff,
            standing=token_standing_of(message.standing),
            issued_by=message.issued_by,
            issued_at=time_of(message.issued_at),
            expires_at=time_of(message.expires_at),
            used_at=_time_if_set(message, "used_at", message.used_at),
        )


@dataclass(frozen=True, slots=True)
class SealRequest:
    """A first seal that somebody enrolled for."""

    request_id: str
    unit: str
    seal: str
    key_sha256: str
    """SHA-256 of the public key (SubjectPublicKeyInfo), 64 hex digits."""
    standing: str
    """PENDING, ISSUED or REJECTED."""
    requested_at: datetime
    decided_by: str
    decided_at: datetime | None
    reason: str

    @classmethod
    def of(cls, message: authority_pb2.SealRequest) -> SealRequest:
        """From the message on the wire."""
        return cls(
            request_id=message.request_id,
            unit=message.unit,
            seal=message.seal,
            key_sha256=message.key_sha256,
            standing=seal_standing_of(message.standing),
            requested_at=time_of(message.requested_at),
            decided_by=message.decided_by,
            decided_at=_time_if_set(message, "decided_at", message.decided_at),
            reason=message.reason,
        )


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The answer to one token and its keys, as it came: nothing in it is verified yet."""

    identity: str
    system_certificate: bytes
    """DER."""
    seal_standing: str
    """NONE, PENDING, ISSUED or REJECTED."""
    seal_certificate: bytes
    """DER; empty unless ISSUED."""
    seal_reason: str
    centre_address: str
    authority_address: str
    seal_key_sha256: str

    @classmethod
    def of(cls, message: authority_pb2.EnrolResponse) -> Enrolment:
        """From the message on the wire."""
        return cls(
            identity=message.identity,
            system_certificate=message.system_certificate,
            seal_standing=seal_standing_of(message.seal_standing),
            seal_certificate=message.seal_certificate,
            seal_reason=message.seal_reason,
            centre_address=message.centre_address,
            authority_address=message.authority_address,
            seal_key_sha256=message.seal_key_sha256,
        )


def token_standing_of(number: authority_pb2.TokenStanding.ValueType) -> str:
    """The word for a number on the wire."""
    try:
        return authority_pb2.TokenStanding.Name(number).removeprefix("TOKEN_STANDING_")
    except ValueError as error:
        raise InternalError(f"the authority named an unknown standing of a token: {number}") from (
            error
        )


def seal_standing_of(number: authority_pb2.SealStanding.ValueType) -> str:
    """The word for a number on the wire."""
    try:
        return authority_pb2.SealStanding.Name(number).removeprefix("SEAL_STANDING_")
    except ValueError as error:
        raise InternalError(f"the authority named an unknown standing of a seal: {number}") from (
            error
        )


def _time_if_set(message: Message, field: str, stamp: Timestamp) -> datetime | None:
    return time_of(stamp) if message.HasField(field) else None
