"""What the centre signs: its own receipts, and the admissions of what parties said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, identity, receipt, signature, times
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError, SignatureRefused, Unavailable
from document_exchange.receipt import Admission, Receipt, ReceiptType, State
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
        # First of all: by a wrong clock nothing below would mean anything.
        registry.current()
        self._signer = signer
        self._registry = registry
        certificate = signer.certificate
        self.identity = str(identity.of_certificate(certificate))
        self.fingerprint = certificate.fingerprint(hashes.SHA256())
        # What it chains through does not change; whether it is in its period is asked each time.
        chain = (certificate, trust.seal_ca, trust.root)
        self._not_before = max(each.not_valid_before_utc for each in chain)
        self._not_after = min(each.not_valid_after_utc for each in chain)
        try:
            trust.check(certificate, at=now, crls=None)
        except SignatureRefused as error:
            raise ConfigurationError(f"the centre's seal can't be used: {error}") from error
        if fault := self._fault(now):
            raise ConfigurationError(f"the centre's seal can't be used: {fault}")

    def warn_before_end(self, now: datetime) -> None:
        """Log a warning when the seal, or a CA above it, ends within 30 days."""
        left = self._not_after - now
        if left < _WARN_BEFORE_END:
            log.warning("centre_seal_ends", not_after=self._not_after.isoformat(), days=left.days)

    def accepted(
        self,
        envelope_id: str,
        manifest_sha256: str,
        signatures: Sequence[bytes],
        event: PreparedEvent,
    ) -> Signed:
        """ACCEPTED: seq 0, for all recipients; signed before the transaction that makes it so."""
        return self._sign(
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=codes.new_id(event.at),
                type=ReceiptType.ACCEPTED,
                envelope_id=envelope_id,
                manifest_sha256=manifest_sha256,
                by=self.identity,
                at=times.format_time(event.at),
                signatures_sha256=tuple(hashlib.sha256(s).hexdigest() for s in signatures),
                seq=0,
                state_after=State.PENDING,
                leaf=event.leaf,
            ),
            event.at,
        )

    def delivered(
        self, receipt_id: str, position: DeliveryPosition, after: State, event: PreparedEvent
    ) -> Signed:
        """DELIVERED: the recipient's system confirmed that it holds and verified everything."""
        return self._sign(
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=receipt_id,
                type=ReceiptType.DELIVERED,
                envelope_id=position.envelope_id,
                recipient=position.recipient,
                manifest_sha256=position.manifest_sha256,
                by=self.identity,
                at=times.format_time(event.at),
                seq=position.seq + 1,
                state_before=position.state,
                state_after=after,
                leaf=event.leaf,
            ),
            event.at,
        )

    def admission(
        self, party_receipt: Signed, position: DeliveryPosition, after: State, event: PreparedEvent
    ) -> Signed:
        """The admission of a party's receipt, as the next statement of this delivery."""
        return self._sign(
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
                by=self.identity,
                leaf=event.leaf,
            ),
            event.at,
        )

    def check(self, at: datetime) -> None:
        """Raise Unavailable if a signature of this moment would not be accepted."""
        if fault := self._fault(at):
            log.error("centre_seal_unusable", fault=fault)
            raise Unavailable(f"the centre can't sign: {fault}")

    def _sign(self, statement: Receipt | Admission, at: datetime) -> Signed:
        self.check(at)
        content = receipt.encode(statement)
        return Signed(content, signature.sign(content, self._signer, at=at))

    def _fault(self, at: datetime) -> str:
        """Why a signature of this moment would not be accepted; empty if it would be."""
        if not self._not_before <= at <= self._not_after:
            return f"its seal is valid from {self._not_before} to {self._not_after}"
        known = self._registry.current().certificates.get(self.fingerprint)
        if known is None:
            return "its seal is not in the ledger's registry of certificates: publish it"
        return "its seal has been revoked" if known.revoked else ""
