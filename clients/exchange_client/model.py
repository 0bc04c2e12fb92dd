"""What lists and watches show: summaries of deliveries, submissions and units.

They are the centre's word and prove nothing; ``Delivery.fetch``, ``Delivery.download`` and
``track`` give what was verified.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InternalError
from document_exchange.receipt import ReceiptType, State
from document_exchange.transitions import OPEN
from document_exchange.v1 import directory_pb2, envelope_pb2
from exchange_client.evidence import Statement

_ANSWERS = (ReceiptType.WITHDRAWAL_GRANTED, ReceiptType.WITHDRAWAL_DECLINED)
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


def type_of(name: str) -> ReceiptType | None:
    """The type of a statement by its name; None if this version knows none of that name."""
    return ReceiptType(name) if name in ReceiptType.__members__ else None


def _dues(
    message: envelope_pb2.Delivery | envelope_pb2.DeliveryStatus,
) -> tuple[datetime | None, datetime | None]:
    """By when to sign for it and to reply, where there are such deadlines."""
    return (
        time_of(message.sign_due) if message.HasField("sign_due") else None,
        time_of(message.reply_due) if message.HasField("reply_due") else None,
    )


def _due(
    state: State, sign_due: datetime | None, reply_due: datetime | None, replaced_by: str
) -> datetime | None:
    """The next moment by which the recipient is to do something; None where there is none."""
    if replaced_by or state not in OPEN:
        return None
    dues = (reply_due,) if state is State.SIGNED_FOR else (sign_due, reply_due)
    return min((due for due in dues if due is not None), default=None)


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
    last_type: ReceiptType | None = None
    """What was recorded last; None: a step that this version does not know."""
    withdrawal_requested: bool = False
    """The sender has asked to withdraw it, and the own unit has not answered yet."""
    sign_due: datetime | None = None
    reply_due: datetime | None = None
    overdue: bool = False
    """A deadline that still counts has passed."""
    replaced_by: str = ""
    """The envelope, received too, that supersedes this one or declares it void."""

    @property
    def due(self) -> datetime | None:
        """By when the own unit is to sign for it or to reply, whichever comes first."""
        return _due(self.state, self.sign_due, self.reply_due, self.replaced_by)

    def after(self, statement: Statement) -> DeliverySummary:
        """How it stands after a statement of the own unit, or of the centre for it."""
        state, at = statement.state_after or self.state, statement.recorded_at
        late = self.overdue and state in OPEN
        if statement.type is ReceiptType.SIGNED_FOR:
            late = late and self.reply_due is not None and self.reply_due < at
        return replace(
            self,
            state=state,
            seq=statement.seq,
            updated_at=at,
            last_type=statement.type,
            withdrawal_requested=self.withdrawal_requested
            and state in OPEN
            and statement.type not in _ANSWERS,
            overdue=late,
        )

    @classmethod
    def of(cls, message: envelope_pb2.Delivery) -> DeliverySummary:
        """From the message on the wire."""
        sign_due, reply_due = _dues(message)
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
            last_type=type_of(message.last_type),
            withdrawal_requested=message.withdrawal_requested,
            sign_due=sign_due,
            reply_due=reply_due,
            overdue=message.overdue,
            replaced_by=message.replaced_by,
        )


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One recipient of an envelope that the own unit sent."""

    recipient: str
    state: State
    seq: int
    updated_at: datetime
    last_type: ReceiptType | None = None
    """What was recorded last; None: a step that this version does not know."""
    withdrawal_requested: bool = False
    """The own unit has asked to withdraw it, and the recipient has not answered yet."""
    sign_due: datetime | None = None
    reply_due: datetime | None = None
    overdue: bool = False
    """A deadline that still counts has passed."""
    replaced_by: str = ""
    """The envelope, sent to the same recipient, that supersedes this one or declares it void."""

    @property
    def due(self) -> datetime | None:
        """By when the recipient is to sign for it or to reply, whichever comes first."""
        return _due(self.state, self.sign_due, self.reply_due, self.replaced_by)

    @classmethod
    def of(cls, message: envelope_pb2.DeliveryStatus) -> DeliveryStatus:
        """From the message on the wire."""
        sign_due, reply_due = _dues(message)
        return cls(
            recipient=message.recipient,
            state=state_of(message.state),
            seq=message.seq,
            updated_at=time_of(message.updated_at),
            last_type=type_of(message.last_type),
            withdrawal_requested=message.withdrawal_requested,
            sign_due=sign_due,
            reply_due=reply_due,
            overdue=message.overdue,
            replaced_by=message.replaced_by,
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
