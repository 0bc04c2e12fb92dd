"""Having recorded what a party says of a delivery, confirming it, and taking note of it."""

from __future__ import annotations

from document_exchange import codes, identity, signature, times
from document_exchange import receipt as receipts
from document_exchange.errors import Refused, StateConflict, VerificationFailed
from document_exchange.receipt import Receipt, ReceiptType, State
from document_exchange.v1 import envelope_pb2, exchange_pb2
from document_exchange.verification import Signed
from exchange_client.decided import Decided
from exchange_client.evidence import Envelope, Statement
from exchange_client.kept_receipts import Saying
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


async def say(session: Session, saying: Saying, envelope: Envelope | None) -> Statement:
    """Have something recorded of a delivery; returns receipt and admission, verified.

    May be called again after an error whose outcome is unknown: it hands in the same bytes.

    Args:
        saying: what; the own unit must be the party that may say it.
        envelope: the one that it is about; None if that does not verify.

    Raises:
        ReceiptRefused: the reason's text is missing or too long.
        StateConflict: the delivery's state does not allow it; a ``Decided`` shows what won.
        LimitExceeded: it was said too often of this delivery.
        ConfigurationError: the profile has no seal.
        VerificationFailed: the admission does not verify.
    """
    receipt = session.receipts.get(saying, lambda new: _make_receipt(session, new))
    try:
        statement = await _record(session, receipt, envelope)
    except StateConflict as conflict:
        session.receipts.forget(saying)
        raise _with_what_won(session, conflict, saying, envelope) from None
    except Refused:
        session.receipts.forget(saying)
        raise
    session.receipts.recorded(saying)
    return statement


def _make_receipt(session: Session, saying: Saying) -> Signed:
    """A receipt under the seal of the own unit."""
    seal = session.profile.require_seal()
    now = session.now()
    content = receipts.encode(
        Receipt(
            schema=receipts.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now),
            type=saying.type,
            envelope_id=saying.envelope_id,
            recipient=saying.recipient,
            manifest_sha256=saying.manifest_sha256,
            by=str(identity.of_certificate(seal.certificate)),
            at=times.format_time(now),
            reason_code=saying.reason_code,
            reason=saying.reason,
        )
    )
    receipts.decode_receipt(content)
    return Signed(content, signature.sign(content, seal, at=now))


async def _record(session: Session, receipt: Signed, envelope: Envelope | None) -> Statement:
    response = await session.connection.call(
        session.connection.exchange.RecordReceipt,
        exchange_pb2.RecordReceiptRequest(
            receipt=envelope_pb2.SignedBytes(content=receipt.content, signature=receipt.signature)
        ),
    )
    trust = envelope.trust if envelope is not None else None
    return session.verifier.own_statement(response.statement, receipt, trust)


def _with_what_won(
    session: Session, conflict: StateConflict, saying: Saying, envelope: Envelope | None
) -> StateConflict:
    """The same conflict, with the statement that won if it came along and can be verified."""
    about = {
        **conflict.attributes,
        "envelope_id": saying.envelope_id,
        "recipient": saying.recipient,
    }
    if conflict.winning is None or envelope is None:
        return StateConflict(conflict.message, conflict.winning, **about)
    won = session.verifier.winning(conflict.winning, envelope, saying.recipient)
    repeated = _says_the_same(won.receipt, saying, session.unit)
    return Decided(conflict.message, conflict.winning, won=won, repeated=repeated, **about)


def _says_the_same(receipt: Receipt, saying: Saying, unit: str) -> bool:
    """Texts may differ: that it was said, and for which reason, is what counts."""
    said = (receipt.type, receipt.reason_code, identity.parse(receipt.by).unit)
    return said == (saying.type, saying.reason_code, unit)


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
