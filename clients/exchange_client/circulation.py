"""Circulation 会签, 联办: where all recipients of one document stand, and what they answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from document_exchange.v1 import correspondence_pb2
from exchange_client.model import DeliveryStatus, time_of
from exchange_client.session import Session


@dataclass(frozen=True, slots=True)
class CirculationEntry:
    """Where one recipient stands: the centre's word, which proves nothing; see ``track``."""

    status: DeliveryStatus
    recipient_kind: str
    """TO or CC."""
    signed_for_at: datetime | None
    """None: it has not signed."""
    answered_at: datetime | None
    """When the centre accepted its first answer that stands; None: it has not answered."""
    answered_by: str
    """That answer's envelope; empty if there is none, or the own unit is no party to it."""

    @property
    def recipient(self) -> str:
        """The unit."""
        return self.status.recipient

    @property
    def late(self) -> bool:
        """Whether a deadline that still counts has passed."""
        return self.status.overdue

    @property
    def due(self) -> datetime | None:
        """By when it is to sign or to answer, whichever comes first; None: nothing is to be done.

        Once it has answered, only signing is left.
        """
        left = self.status if self.answered_at is None else replace(self.status, reply_due=None)
        return left.due

    @classmethod
    def of(cls, message: correspondence_pb2.CirculationEntry) -> CirculationEntry:
        """From the message on the wire."""
        return cls(
            status=DeliveryStatus.of(message.status),
            recipient_kind=message.recipient_kind,
            signed_for_at=time_of(message.signed_for_at)
            if message.HasField("signed_for_at")
            else None,
            answered_at=time_of(message.answered_at) if message.HasField("answered_at") else None,
            answered_by=message.answered_by,
        )


@dataclass(frozen=True, slots=True)
class Circulation:
    """The joint view of one document's recipients."""

    envelope_id: str
    sender: str
    title: str
    entries: tuple[CirculationEntry, ...]
    """In the manifest's order."""

    @property
    def signed(self) -> int:
        """How many have signed for it."""
        return sum(each.signed_for_at is not None for each in self.entries)

    @property
    def answered(self) -> int:
        """How many have answered its sender."""
        return sum(each.answered_at is not None for each in self.entries)

    @property
    def late(self) -> int:
        """How many have let a deadline pass and not yet done what was due."""
        return sum(each.late for each in self.entries)


async def circulation(session: Session, envelope_id: str) -> Circulation:
    """The joint view of one document's recipients.

    Raises:
        NotFound: there is no such envelope that the own unit may see.
        NotPermitted: the own unit is a recipient, and the document is not of open circulation.
    """
    connection = session.connection
    request = correspondence_pb2.GetCirculationRequest(envelope_id=envelope_id)
    response = await connection.call(connection.correspondence.GetCirculation, request)
    return Circulation(
        envelope_id=response.envelope_id,
        sender=response.sender,
        title=response.title,
        entries=tuple(CirculationEntry.of(each) for each in response.recipients),
    )
