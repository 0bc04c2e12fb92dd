"""Threads: the envelopes that answer, supersede, void or refer to one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import InternalError
from document_exchange.manifest import LinkKind
from document_exchange.receipt import State
from document_exchange.v1 import correspondence_pb2
from exchange_client.model import DeliveryStatus, state_of, time_of
from exchange_client.session import Session

_PREFIX = "LINK_KIND_"


@dataclass(frozen=True, slots=True)
class Link:
    """What an envelope says about an earlier one."""

    kind: LinkKind
    envelope_id: str
    """The earlier one. The own unit need not be a party to it; then it is not in the thread."""

    @classmethod
    def of(cls, message: correspondence_pb2.Link) -> Link:
        """From the message on the wire."""
        try:
            name = correspondence_pb2.LinkKind.Name(message.kind)
            kind = LinkKind(name.removeprefix(_PREFIX))
        except ValueError as error:
            raise InternalError(
                f"the centre named a link {message.kind} that this version does not know: update it"
            ) from error
        return cls(kind, message.envelope_id)


@dataclass(frozen=True, slots=True)
class ThreadItem:
    """One envelope of a thread: the centre's word, which proves nothing; see ``track``."""

    envelope_id: str
    sender: str
    business: str
    genre: str
    title: str
    doc_id: str
    number: str
    accepted_at: datetime
    links: tuple[Link, ...]
    standing: Mapping[State, int]
    """How many of its deliveries are in which state: all if the own unit sent it, else its own."""
    deliveries: tuple[DeliveryStatus, ...]
    """These deliveries by recipient; empty if they are too many for the centre's answer."""

    @classmethod
    def of(cls, message: correspondence_pb2.ThreadItem) -> ThreadItem:
        """From the message on the wire."""
        envelope = message.envelope
        return cls(
            envelope_id=envelope.envelope_id,
            sender=message.sender,
            business=message.business,
            genre=message.genre,
            title=envelope.title,
            doc_id=envelope.doc_id,
            number=envelope.number,
            accepted_at=time_of(envelope.accepted_at),
            links=tuple(Link.of(link) for link in message.links),
            standing={state_of(each.state): each.count for each in message.standing},
            deliveries=tuple(DeliveryStatus.of(each) for each in envelope.deliveries),
        )


@dataclass(frozen=True, slots=True)
class Thread:
    """The envelopes that hang together with one, as far as the own unit sent or got them."""

    items: tuple[ThreadItem, ...]
    """By time of acceptance."""
    truncated: bool
    """There are more than these 500, which are the nearest to the one that was asked for."""


async def thread(session: Session, envelope_id: str) -> Thread:
    """The thread of an envelope.

    Raises:
        NotFound: there is none that the own unit may see.
    """
    connection = session.connection
    request = correspondence_pb2.GetThreadRequest(envelope_id=envelope_id)
    response = await connection.call(connection.correspondence.GetThread, request)
    return Thread(tuple(ThreadItem.of(item) for item in response.items), response.truncated)
