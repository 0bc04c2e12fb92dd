"""The history of an envelope, every statement in it verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import VerificationFailed
from document_exchange.receipt import State
from document_exchange.v1 import exchange_pb2
from exchange_client.evidence import Envelope, Statement
from exchange_client.model import DeliveryStatus
from exchange_client.revocation import RevocationLists
from exchange_client.session import Session


@dataclass(frozen=True, slots=True)
class TrackedDelivery:
    """One recipient's delivery and how it came to where it stands."""

    recipient: str
    state: State
    seq: int
    updated_at: datetime
    statements: tuple[Statement, ...]
    """All after ACCEPTED, by seq."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """An envelope and its deliveries: all for its sender, the own one for a recipient."""

    envelope: Envelope
    deliveries: tuple[TrackedDelivery, ...]


async def track(session: Session, envelope_id: str) -> Tracking:
    """Get everything recorded about an envelope and verify it.

    Raises:
        NotFound: there is none that the own unit may see.
        VerificationFailed: a statement does not verify, is missing, or contradicts another.
    """
    connection = session.connection
    request = exchange_pb2.TrackEnvelopeRequest(envelope_id=envelope_id)
    page = await connection.call(connection.exchange.TrackEnvelope, request)
    envelope = session.verifier.envelope(page.envelope, recipient=None, envelope_id=envelope_id)
    deliveries = _deliveries(session, envelope, page)
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await connection.call(connection.exchange.TrackEnvelope, request)
        deliveries += _deliveries(session, envelope, page)
    _check_complete(session.unit, envelope, deliveries)
    return Tracking(envelope, tuple(deliveries))


def _deliveries(
    session: Session, envelope: Envelope, page: exchange_pb2.TrackEnvelopeResponse
) -> list[TrackedDelivery]:
    lists = RevocationLists(crl.der for crl in page.revocation_lists)
    return [_delivery(session, envelope, lists, message) for message in page.deliveries]


def _delivery(
    session: Session,
    envelope: Envelope,
    lists: RevocationLists,
    message: exchange_pb2.TrackedDelivery,
) -> TrackedDelivery:
    status = DeliveryStatus.of(message.status)
    statements = tuple(
        session.verifier.statement(statement, envelope.manifest, envelope.trust, lists)
        for statement in message.statements
    )
    _check_history(status, statements, envelope)
    return TrackedDelivery(
        status.recipient, status.state, status.seq, status.updated_at, statements
    )


def _check_complete(unit: str, envelope: Envelope, deliveries: Sequence[TrackedDelivery]) -> None:
    """The sender sees every recipient once, a recipient itself."""
    manifest = envelope.manifest
    expected = {each.unit for each in manifest.recipients} if manifest.sender == unit else {unit}
    found = [delivery.recipient for delivery in deliveries]
    if len(found) != len(expected) or set(found) != expected:
        raise VerificationFailed(
            "the deliveries that came are not those of the manifest's recipients",
            step="history",
            envelope_id=envelope.envelope_id,
        )


def _check_history(
    status: DeliveryStatus, statements: Sequence[Statement], envelope: Envelope
) -> None:
    """Numbers without gaps, each step beginning where the last one ended, up to the status."""
    state = envelope.accepted.state_after
    for expected, statement in enumerate(statements, start=1):
        if (statement.receipt.recipient, statement.seq) != (status.recipient, expected):
            raise _broken(status, envelope, f"statement {expected} is missing or misplaced")
        if statement.state_before is not state:
            raise _broken(status, envelope, f"statement {expected} does not follow the one before")
        state = statement.state_after
    if (state, len(statements)) != (status.state, status.seq):
        raise _broken(status, envelope, f"it is said to be {status.state} after {status.seq}")


def _broken(status: DeliveryStatus, envelope: Envelope, why: str) -> VerificationFailed:
    return VerificationFailed(
        f"the history of the delivery to {status.recipient} does not add up: {why}",
        step="history",
        envelope_id=envelope.envelope_id,
        recipient=status.recipient,
    )
