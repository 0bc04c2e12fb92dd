"""The summary of a delivery as attributes of the delivery itself, asynchronous or blocking."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from document_exchange.receipt import ReceiptType, State
from exchange_client.model import DeliverySummary


class ReplyFields(TypedDict):
    """The arguments of ``send`` that an answer takes from what it answers."""

    recipients: str
    reply_to: str


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

    @property
    def updated_at(self) -> datetime:
        """When the last statement was recorded."""
        return self.summary.updated_at

    @property
    def last_type(self) -> ReceiptType | None:
        """What was recorded last; None: a step that this version does not know."""
        return self.summary.last_type

    @property
    def withdrawal_requested(self) -> bool:
        """Whether the sender has asked to withdraw it and waits for the own unit's answer."""
        return self.summary.withdrawal_requested

    @property
    def sign_due(self) -> datetime | None:
        """By when the own unit is to sign for it."""
        return self.summary.sign_due

    @property
    def reply_due(self) -> datetime | None:
        """By when the own unit is to reply."""
        return self.summary.reply_due

    @property
    def due(self) -> datetime | None:
        """The earlier one of the two that still count."""
        return self.summary.due

    @property
    def overdue(self) -> bool:
        """Whether a deadline that still counts has passed."""
        return self.summary.overdue

    @property
    def replaced_by(self) -> str:
        """The envelope that supersedes this one or declares it void; empty if none does."""
        return self.summary.replaced_by

    @property
    def reply_fields(self) -> ReplyFields:
        """What makes a document an answer to this one: ``send(title=…, **reply_fields)``."""
        return ReplyFields(recipients=self.sender, reply_to=self.envelope_id)

    def __repr__(self) -> str:
        summary = self.summary
        return (
            f"<{type(self).__name__} {summary.envelope_id} {summary.state.value}"
            f" from {summary.sender}: {summary.title}>"
        )
