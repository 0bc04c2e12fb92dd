"""What the centre signs: its own receipts, and the admissions of what parties said."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, identity, receipt, signature, times
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError, SignatureRefused, Unavailable
from document_exchange.receipt import Admission, Deadline, Receipt, ReceiptType, State
from document_exchange.signer import Signer
from exchange_runtime.values import PreparedEvent
from exchange_server.registry import RegistryFollower
from exchange_server.values import DeliveryPosition

log = structlog.get_logger(__name__)

_WARN_BEFORE_END = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Signed:
    """Exact bytes and the detached signature over them."""

    content: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedByCentre(Signed):
    """What the centre itself signed."""

    seal: bytes
    """SHA-256 of the certificate that it was signed with, whichever is in use by now."""
    by: str
    """The identity in that certificate."""


@dataclass(frozen=True, slots=True)
class _InUse:
    """One seal: a statement is made with one of these from beginning to end."""

    signer: Signer
    identity: str
    fingerprint: bytes
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, signer: Signer, trust: SealTrust) -> _InUse:
        """What it chains through does not change; the period is compared at each signature."""
        certificate = signer.certificate
        chain = (certificate, trust.seal_ca, trust.root)
        return cls(
            signer,
            str(identity.of_certificate(certificate)),
            certificate.fingerprint(hashes.SHA256()),
            max(each.not_valid_before_utc for each in chain),
            min(each.not_valid_after_utc for each in chain),
        )


class CentreSeal:
    """Signs in the name of the centre, as long as a verifier would accept its signature.

    Each method that signs raises Unavailable once the seal has ended or is revoked: a statement
    that proves nothing must not be recorded.
    """

    def __init__(
        self, signer: Signer, trust: SealTrust, registry: RegistryFollower, *, now: datetime
    ) -> None:
        """Take the seal into use; ``registry`` must be followed already.

        Raises:
            ConfigurationError: it is no seal under the root, not valid ``now``, not in the ledger's
                registry, or revoked.
            Unavailable: the registry can't be followed, or this process's clock is wrong.
        """
        self._trust = trust
        self._registry = registry
        self._in_use = self._checked(signer, now)

    def replace(self, signer: Signer, now: datetime) -> None:
        """Sign with another seal from now on; the one in use stays if this raises.

        Raises:
            ConfigurationError, Unavailable: as for the first one.
        """
        self._in_use = self._checked(signer, now)

    def _checked(self, signer: Signer, now: datetime) -> _InUse:
        # First of all: by a wrong clock nothing below would mean anything.
        self._registry.current()
        found = _InUse.of(signer, self._trust)
        try:
            self._trust.check(signer.certificate, at=now, crls=None)
        except SignatureRefused as error:
            raise ConfigurationError(f"the centre's seal can't be used: {error}") from error
        if fault := self._fault(found, now):
            raise ConfigurationError(f"the centre's seal can't be used: {fault}")
        return found

    @property
    def certificate(self) -> x509.Certificate:
        """Of the seal in use."""
        return self._in_use.signer.certificate

    def warn_before_end(self, now: datetime) -> None:
        """Log a warning when the seal, or a CA above it, ends within 30 days."""
        ends = self._in_use.not_after
        left = ends - now
        if left < _WARN_BEFORE_END:
            log.warning("centre_seal_ends", not_after=ends.isoformat(), days=left.days)

    def accepted(
        self,
        envelope_id: str,
        manifest_sha256: str,
        signatures: Sequence[bytes],
        event: PreparedEvent,
    ) -> SignedByCentre:
        """ACCEPTED: seq 0, for all recipients; signed before the transaction that makes it so."""
        seal = self._in_use
        return self._sign(
            seal,
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=codes.new_id(event.at),
                type=ReceiptType.ACCEPTED,
                envelope_id=envelope_id,
                manifest_sha256=manifest_sha256,
                by=seal.identity,
                at=times.format_time(event.at),
                signatures_sha256=tuple(hashlib.sha256(s).hexdigest() for s in signatures),
                seq=0,
                state_after=State.PENDING,
                leaf=event.leaf,
            ),
            event.at,
        )

    def own(
        self,
        type_: ReceiptType,
        receipt_id: str,
        position: DeliveryPosition,
        after: State,
        event: PreparedEvent,
        deadline: Deadline | None = None,
    ) -> SignedByCentre:
        """A statement of the centre about one delivery: DELIVERED, REMINDED, OVERDUE, EXPIRED."""
        seal = self._in_use
        return self._sign(
            seal,
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=receipt_id,
                type=type_,
                envelope_id=position.envelope_id,
                recipient=position.recipient,
                manifest_sha256=position.manifest_sha256,
                by=seal.identity,
                at=times.format_time(event.at),
                seq=position.seq + 1,
                state_before=position.state,
                state_after=after,
                leaf=event.leaf,
                deadline=deadline,
            ),
            event.at,
        )

    def admission(
        self, party_receipt: Signed, position: DeliveryPosition, after: State, event: PreparedEvent
    ) -> SignedByCentre:
        """The admission of a party's receipt, as the next statement of this delivery."""
        seal = self._in_use
        return self._sign(
            seal,
            Admission(
                schema=receipt.ADMISSION_SCHEMA,
                receipt_sha256=hashlib.sha256(party_receipt.content).hexdigest(),
                receipt_signature_sha256=hashlib.sha256(party_receipt.signature).hexdigest(),
                envelope_id=position.envelope_id,
                recipient=position.recipient,
                seq=position.seq + 1,
                state_before=position.state,
                state_after=after,
                recorded_at=times.format_time(event.at),
                by=seal.identity,
                leaf=event.leaf,
            ),
            event.at,
        )

    def index(self, about: Callable[[str], bytes], at: datetime) -> SignedByCentre:
        """The index of a bundle of evidence: what ``about`` writes, given who signs it."""
        seal = self._in_use
        return self._sign_bytes(seal, about(seal.identity), at)

    def check(self, at: datetime) -> None:
        """Raise Unavailable if a signature of this moment would not be accepted."""
        self._check(self._in_use, at)

    def _check(self, seal: _InUse, at: datetime) -> None:
        if fault := self._fault(seal, at):
            log.error("centre_seal_unusable", fault=fault)
            raise Unavailable(f"the centre can't sign: {fault}")

    def _sign(self, seal: _InUse, statement: Receipt | Admission, at: datetime) -> SignedByCentre:
        return self._sign_bytes(seal, receipt.encode(statement), at)

    def _sign_bytes(self, seal: _InUse, content: bytes, at: datetime) -> SignedByCentre:
        self._check(seal, at)
        made = signature.sign(content, seal.signer, at=at)
        return SignedByCentre(content, made, seal.fingerprint, seal.identity)

    def _fault(self, seal: _InUse, at: datetime) -> str:
        """Why a signature of this moment would not be accepted; empty if it would be."""
        if not seal.not_before <= at < seal.not_after:  # as openssl takes the end
            return f"its seal is valid from {seal.not_before} to {seal.not_after}"
        known = self._registry.current().certificates.get(seal.fingerprint)
        if known is None:
            return "its seal is not in the ledger's registry of certificates: publish it"
        return "its seal has been revoked" if known.revoked else ""
