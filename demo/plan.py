"""What a planned workday consists of: values only, the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Literal

PartRole = Literal["BODY", "ATTACHMENT", "DATA"]
PartKind = Literal["PDF", "XLSX", "CSV"]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One file to be made, of about ``size_bytes``."""

    role: PartRole
    kind: PartKind
    filename: str
    title: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The earlier document that this one answers, and the unit that must have signed for it."""

    key: int
    signed_for_by: str


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """One document of the day. ``key`` is its place in the day, from 1.

    ``issuers`` all seal it; the sender sends it and may be none of them. ``to`` and ``copies``
    are the units of 主送 and 抄送. ``genre`` is NONE where ``business`` is not DOCUMENT.
    """

    key: int
    at: time
    sender: str
    issuers: tuple[str, ...]
    to: tuple[str, ...]
    copies: tuple[str, ...]
    doc_id: str
    business: str
    genre: str
    category: str | None
    direction: str
    title: str
    number: str | None
    issuer_mark: str
    signatory: str | None
    signed_date: date
    urgency: str
    disclosure: str | None
    contact: str
    answer: Answer | None
    answers: str | None
    reply_due: date | None
    parts: tuple[PlannedPart, ...]

    @property
    def recipients(self) -> tuple[str, ...]:
        return (*self.to, *self.copies)

    @property
    def body(self) -> PlannedPart:
        return self.parts[0]

    @property
    def attachments(self) -> tuple[PlannedPart, ...]:
        return self.parts[1:]


@dataclass(frozen=True, slots=True)
class PlannedRefusal:
    """Why one recipient will refuse one document."""

    reason_code: str
    text: str


@dataclass(frozen=True, slots=True)
class Workday:
    """A day's documents in the order of sending, and refusals by (key, unit)."""

    documents: tuple[PlannedDocument, ...]
    refusals: Mapping[tuple[int, str], PlannedRefusal]

    @property
    def delivery_count(self) -> int:
        return sum(len(document.recipients) for document in self.documents)
