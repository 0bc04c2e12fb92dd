"""What lists and watches show: summaries of deliveries, submissions and units.

They are the centre's word and prove nothing; ``Delivery.fetch``, ``Delivery.download`` and
``track`` give what was verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InternalError
from document_exchange.receipt import State
from document_exchange.v1 import directory_pb2, envelope_pb2

_PREFIX = "DELIVERY_STATE_"


def state_of(number: envelope_pb2.DeliveryState.ValueType) -> State:
    """The state that a number on the wire stands for."""
    try:
        return State(envelope_pb2.DeliveryState.Name(number).removeprefix(_PREFIX))
    except ValueError as error:
        raise InternalError(
            f"the centre named a delivery state {number} that this version does not know: update it"
        ) from error


def number_of(state: State) -> envelope_pb2.DeliveryState.ValueType:
    """The number on the wire of a state."""
    return envelope_pb2.DeliveryState.Value(_PREFIX + state.value)


def time_of(stamp: Timestamp) -> datetime:
    """A protobuf timestamp as an aware datetime in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """One delivery to the own unit."""

    envelope_id: str
    recipient: str
    sender: str
    state: State
    seq: int
    title: str
    doc_id: str
    number: str
    business: str
    genre: str
    urgency: str
    recipient_kind: str
    part_count: int
    size_bytes: int
    accepted_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, message: envelope_pb2.Delivery) -> DeliverySummary:
        """From the message on the wire."""
        return cls(
            envelope_id=message.envelope_id,
            recipient=message.recipient,
            sender=message.sender,
            state=state_of(message.state),
            seq=message.seq,
            title=message.title,
            doc_id=message.doc_id,
            number=message.number,
            business=message.business,
            genre=message.genre,
            urgency=message.urgency,
            recipient_kind=message.recipient_kind,
            part_count=message.part_count,
            size_bytes=message.size_bytes,
            accepted_at=time_of(message.accepted_at),
            updated_at=time_of(message.updated_at),
        )


class DeliveryView:
    """The summary of a delivery, as attributes of the delivery itself."""

    @property
    def summary(self) -> DeliverySummary:
        """All of it, as last heard from the centre."""
        raise NotImplementedError

    @property
    def envelope_id(self) -> str:
        """The envelope (UUIDv7)."""
        return self.summary.envelope_id

    @property
    def recipient(self) -> str:
        """The own unit."""
        return self.summary.recipient

    @property
    def sender(self) -> str:
        """The unit that sent it."""
        return self.summary.sender

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.summary.state

    @property
    def seq(self) -> int:
        """The number of the last statement recorded for it."""
        return self.summary.seq

    @property
    def title(self) -> str:
        """Title of the document."""
        return self.summary.title

    @property
    def doc_id(self) -> str:
        """Document identifier 公文标识."""
        return self.summary.doc_id

    @property
    def number(self) -> str:
        """Document number 发文字号; empty if it has none."""
        return self.summary.number

    @property
    def business(self) -> str:
        """Line of business."""
        return self.summary.business

    @property
    def genre(self) -> str:
        """Genre 文种."""
        return self.summary.genre

    @property
    def urgency(self) -> str:
        """NORMAL, URGENT or EXTRA_URGENT."""
        return self.summary.urgency

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of all parts."""
        return self.summary.size_bytes

    @property
    def accepted_at(self) -> datetime:
        """When the centre accepted the envelope."""
        return self.summary.accepted_at

    def __repr__(self) -> str:
        summary = self.summary
        return (
            f"<{type(self).__name__} {summary.envelope_id} {summary.state.value}"
            f" from {summary.sender}: {summary.title}>"
        )


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One recipient of an envelope that the own unit sent."""

    recipient: str
    state: State
    seq: int
    updated_at: datetime

    @classmethod
    def of(cls, message: envelope_pb2.DeliveryStatus) -> DeliveryStatus:
        """From the message on the wire."""
        return cls(
            recipient=message.recipient,
            state=state_of(message.state),
            seq=message.seq,
            updated_at=time_of(message.updated_at),
        )


@dataclass(frozen=True, slots=True)
class SubmissionSummary:
    """One envelope that the own unit sent.

    ``deliveries`` are all of them in ``submissions()``, and the one that changed in
    ``watch_submissions()``.
    """

    envelope_id: str
    title: str
    doc_id: str
    number: str
    accepted_at: datetime
    deliveries: tuple[DeliveryStatus, ...]

    @classmethod
    def of(cls, message: envelope_pb2.Submission) -> SubmissionSummary:
        """From the message on the wire."""
        return cls(
            envelope_id=message.envelope_id,
            title=message.title,
            doc_id=message.doc_id,
            number=message.number,
            accepted_at=time_of(message.accepted_at),
            deliveries=tuple(DeliveryStatus.of(delivery) for delivery in message.deliveries),
        )


@dataclass(frozen=True, slots=True)
class Unit:
    """An organisation that exchanges documents. Empty strings stand for what it does not have."""

    unit_id: str
    name_zh: str
    name_en: str
    short_zh: str
    kind: str
    organisation_code: str
    credit_code: str
    region: str
    issuer_marks: tuple[str, ...]
    groups: tuple[str, ...]
    acts_for: tuple[str, ...]
    status: str
    """ACTIVE, SUSPENDED or CLOSED."""

    @classmethod
    def of(cls, message: directory_pb2.Unit) -> Unit:
        """From the message on the wire."""
        status = directory_pb2.UnitStatus.Name(message.status).removeprefix("UNIT_STATUS_")
        return cls(
            unit_id=message.unit_id,
            name_zh=message.name_zh,
            name_en=message.name_en,
            short_zh=message.short_zh,
            kind=message.kind,
            organisation_code=message.organisation_code,
            credit_code=message.credit_code,
            region=message.region,
            issuer_marks=tuple(message.issuer_marks),
            groups=tuple(message.groups),
            acts_for=tuple(message.acts_for),
            status=status,
        )
