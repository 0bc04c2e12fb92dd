"""The history of an envelope, every statement in it verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import StateConflict, VerificationFailed
from document_exchange.receipt import State
from document_exchange.revocations import RevocationLists
from document_exchange.transitions import Standing, step
from document_exchange.v1 import exchange_pb2
from exchange_client.evidence import Envelope, Statement
from exchange_client.model import DeliveryStatus
from exchange_client.session import Session


@dataclass(frozen=True, slots=True)
class TrackedDelivery:
    """One recipient's delivery and how it came to where it stands."""

    status: DeliveryStatus
    """Where it stands, as the statements bear out."""
    statements: tuple[Statement, ...]
    """All after ACCEPTED, by seq."""

    @property
    def recipient(self) -> str:
        """The unit that it goes to."""
        return self.status.recipient

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.status.state

    @property
    def seq(self) -> int:
        """The number of its last statement."""
        return self.status.seq

    @property
    def updated_at(self) -> datetime:
        """When that was recorded."""
        return self.status.updated_at


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
    deliveries = _joined(session, envelope, [], page)
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await connection.call(connection.exchange.TrackEnvelope, request)
        deliveries = _joined(session, envelope, deliveries, page)
    for delivery in deliveries:
        _check_history(delivery.status, delivery.statements, envelope)
    _check_complete(session.unit, envelope, deliveries)
    return Tracking(envelope, tuple(deliveries))


def _joined(
    session: Session,
    envelope: Envelope,
    before: Sequence[TrackedDelivery],
    page: exchange_pb2.TrackEnvelopeResponse,
) -> list[TrackedDelivery]:
    """All deliveries so far: the last one of the pages before may go on with this one."""
    if page.next_page_token and not page.deliveries:
        raise VerificationFailed(
            "a page of the history has nothing on it, and others are to follow",
            step="history",
            envelope_id=envelope.envelope_id,
        )
    lists = RevocationLists(crl.der for crl in page.revocation_lists)
    joined = list(before)
    for message in page.deliveries:
        status = DeliveryStatus.of(message.status)
        statements = tuple(
            session.verifier.statement(statement, envelope.manifest, envelope.trust, lists)
            for statement in message.statements
        )
        if joined and joined[-1].recipient == status.recipient:
            statements = joined.pop().statements + statements
        joined.append(TrackedDelivery(status, statements))
    return joined


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
    """Numbers without gaps, each step legal where the last one ended, up to the status."""
    standing = Standing(envelope.accepted.state_after)
    for expected, statement in enumerate(statements, start=1):
        said = statement.receipt
        if (said.recipient, statement.seq) != (status.recipient, expected):
            raise _broken(status, envelope, f"statement {expected} is missing or misplaced")
        if statement.state_before is not standing.state:
            raise _broken(status, envelope, f"statement {expected} does not follow the one before")
        try:
            standing = step(standing, said.type, said.reason_code)
        except StateConflict as error:
            raise _broken(status, envelope, f"statement {expected}: {error.message}") from error
    if (standing.state, len(statements)) != (status.state, status.seq):
        raise _broken(status, envelope, f"it is said to be {status.state} after {status.seq}")
    if standing.withdrawal_requested is not status.withdrawal_requested:
        raise _broken(status, envelope, "it is said otherwise whether its withdrawal is asked for")


def _broken(status: DeliveryStatus, envelope: Envelope, why: str) -> VerificationFailed:
    return VerificationFailed(
        f"the history of the delivery to {status.recipient} does not add up: {why}",
        step="history",
        envelope_id=envelope.envelope_id,
        recipient=status.recipient,
    )
