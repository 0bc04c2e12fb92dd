"""Saying what became of a delivery: confirm it, sign for it, refuse it, take note of it."""

from __future__ import annotations

from document_exchange import codes, signature, times
from document_exchange import receipt as receipts
from document_exchange.errors import VerificationFailed
from document_exchange.identity import of_certificate
from document_exchange.receipt import ReasonCode, Receipt, ReceiptType, State
from document_exchange.v1 import envelope_pb2, exchange_pb2
from document_exchange.verification import Signed
from exchange_client.evidence import Envelope, Statement
from exchange_client.session import Session

CONFIRMABLE = frozenset(
    {State.PENDING, State.DELIVERED, State.SIGNED_FOR, State.COMPLETED, State.RETURNED}
)
"""States in which the centre gives its DELIVERED receipt, for the first time or again."""


async def confirm(session: Session, envelope: Envelope) -> Statement:
    """Say that everything is held and verified; returns the centre's DELIVERED receipt, verified.

    MUST only be called when that is so: parts on disk, or in the hands of the application.
    """
    response = await session.connection.call(
        session.connection.exchange.ConfirmDelivery,
        exchange_pb2.ConfirmDeliveryRequest(
            envelope_id=envelope.envelope_id, manifest_sha256=envelope.manifest_sha256
        ),
    )
    statement = session.verifier.statement(response.delivered, envelope.manifest, envelope.trust)
    if (statement.type, statement.receipt.recipient) != (ReceiptType.DELIVERED, session.unit):
        raise VerificationFailed(
            f"the centre confirmed the delivery with {statement.type} to"
            f" {statement.receipt.recipient}",
            step="confirm",
        )
    return statement


def make_receipt(
    session: Session,
    kind: ReceiptType,
    envelope_id: str,
    manifest_sha256: str,
    *,
    reason_code: ReasonCode | None = None,
    reason: str | None = None,
) -> Signed:
    """A receipt of the own unit under its seal.

    Keep it and hand in the same bytes again if the outcome of ``record`` is unknown.

    Raises:
        ReceiptRefused: the reason's text is missing or too long.
        ConfigurationError: the profile has no seal.
    """
    seal = session.profile.require_seal()
    now = session.now()
    content = receipts.encode(
        Receipt(
            schema=receipts.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now),
            type=kind,
            envelope_id=envelope_id,
            recipient=session.unit,
            manifest_sha256=manifest_sha256,
            by=str(of_certificate(seal.certificate)),
            at=times.format_time(now),
            reason_code=reason_code,
            reason=reason,
        )
    )
    receipts.decode_receipt(content)
    return Signed(content, signature.sign(content, seal, at=now))


async def record(session: Session, receipt: Signed, envelope: Envelope | None) -> Statement:
    """Hand a receipt in; returns it with the centre's admission, verified.

    Raises:
        StateConflict: the delivery's state does not allow it; ``winning`` has what does.
        VerificationFailed: the admission does not verify.
    """
    response = await session.connection.call(
        session.connection.exchange.RecordReceipt,
        exchange_pb2.RecordReceiptRequest(
            receipt=envelope_pb2.SignedBytes(content=receipt.content, signature=receipt.signature)
        ),
    )
    trust = envelope.trust if envelope is not None else None
    return session.verifier.own_statement(response.statement, receipt, trust)


async def confirm_seen(
    session: Session,
    envelope_id: str,
    recipient: str,
    seq: int,
    party: exchange_pb2.Party.ValueType,
) -> None:
    """Tell the centre that everything about a delivery up to ``seq`` has been taken note of."""
    await session.connection.call(
        session.connection.exchange.ConfirmSeen,
        exchange_pb2.ConfirmSeenRequest(
            envelope_id=envelope_id, recipient=recipient, seq=seq, party=party
        ),
    )
