"""What the centre signs: its own receipts, and the admissions of what parties said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange import codes, identity, receipt, signature, times
from document_exchange.receipt import Admission, Receipt, ReceiptType, State
from document_exchange.signer import Signer
from exchange_server.values import DeliveryPosition, PreparedEvent


@dataclass(frozen=True, slots=True)
class Signed:
    """Exact bytes and the detached signature over them."""

    content: bytes
    signature: bytes


class CentreSeal:
    """Signs in the name of the centre."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.identity = str(identity.of_certificate(signer.certificate))

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

    def _sign(self, statement: Receipt | Admission, at: datetime) -> Signed:
        content = receipt.encode(statement)
        return Signed(content, signature.sign(content, self._signer, at=at))
