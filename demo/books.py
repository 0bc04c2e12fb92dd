"""The demonstration's own books: what it planned, sent and received, apart from the centre's."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exchange_client import Circulation

from demo.files import MadeFile
from demo.plan import PlannedDocument, Workday
from document_exchange.receipt import ReceiptType, State


@dataclass(frozen=True, slots=True)
class Sent:
    """A document that the centre accepted. ``parts`` are (size, SHA-256), by our own count."""

    document: PlannedDocument
    envelope_id: str
    manifest_sha256: str
    parts: tuple[tuple[int, str], ...]
    seconds: float

    @property
    def size_bytes(self) -> int:
        return sum(size for size, _ in self.parts)


@dataclass(frozen=True, slots=True)
class Concluded:
    """A delivery that its recipient signed for or refused, ``seconds`` after its acceptance."""

    key: int
    unit: str
    envelope_id: str
    directory: Path
    signed_for: bool
    seconds: float


class Deadline(enum.Enum):
    """What the centre must have said about a deadline of a delivery."""

    NONE = enum.auto()
    """Nothing: there is none that could come near."""
    KEPT = enum.auto()
    """Done in time, or late on a slow machine: at most one reminder, at most one OVERDUE."""
    MISSED = enum.auto()
    """One reminder, then OVERDUE, each once."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Where a delivery of a matter must stand, after which steps of its parties, in order."""

    state: State
    steps: tuple[ReceiptType, ...]
    deadline: Deadline = Deadline.NONE


@dataclass
class Matter:
    """One course of business beyond sending and signing, as its offices saw it."""

    name: str
    title: str
    units: tuple[str, ...]
    """The sender first."""
    what_en: str = ""
    what_zh: str = ""
    envelopes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Sender and digest of the manifest by envelope_id."""
    deliveries: dict[tuple[str, str], Expected] = field(default_factory=dict)
    """By (envelope_id, recipient)."""
    main: str = ""
    """The envelope that it is about; others are requests and answers."""
    view: Circulation | None = None
    """Where all recipients stand, as the sender was told at the end."""

    def enter_sent(self, envelope_id: str, sender: str, manifest_sha256: str) -> None:
        """An envelope that the centre accepted; the first is the main one until said otherwise."""
        self.envelopes[envelope_id] = sender, manifest_sha256
        self.main = self.main or envelope_id

    def expect(
        self, envelope_id: str, unit: str, state: State, *steps: ReceiptType,
        deadline: Deadline = Deadline.NONE,
    ) -> None:  # fmt: skip
        """A delivery that has come as far as this."""
        self.deliveries[envelope_id, unit] = Expected(state, steps, deadline)

    def count(self, state: State) -> int:
        """How many deliveries of its documents stand there."""
        return sum(each.state is state for each in self.deliveries.values())

    @property
    def overdue(self) -> int:
        """How many deadlines were missed."""
        return sum(each.deadline is Deadline.MISSED for each in self.deliveries.values())


@dataclass
class Books:
    """What happened, as the offices saw it."""

    workday: Workday
    sent: dict[int, Sent] = field(default_factory=dict)
    concluded: dict[tuple[int, str], Concluded] = field(default_factory=dict)
    again: list[tuple[int, str]] = field(default_factory=list)
    """Deliveries that were offered as new a second time."""
    tests: dict[str, str] = field(default_factory=dict)
    """Envelopes that a unit sent to itself before the day began, and the unit."""
    seconds: float = 0.0
    matters: list[Matter] = field(default_factory=list)

    def enter_sent(
        self, document: PlannedDocument, envelope_id: str, manifest_sha256: str,
        files: Sequence[MadeFile], seconds: float,
    ) -> None:  # fmt: skip
        parts = tuple((file.size, file.sha256) for file in files)
        self.sent[document.key] = Sent(document, envelope_id, manifest_sha256, parts, seconds)

    def enter_concluded(self, outcome: Concluded) -> None:
        self.concluded[outcome.key, outcome.unit] = outcome

    @property
    def is_complete(self) -> bool:
        return len(self.concluded) == self.workday.delivery_count

    @property
    def signed_for(self) -> int:
        return sum(outcome.signed_for for outcome in self.concluded.values())

    @property
    def refused(self) -> int:
        return len(self.concluded) - self.signed_for

    @property
    def bytes_up(self) -> int:
        return sum(sent.size_bytes for sent in self.sent.values())

    @property
    def bytes_down(self) -> int:
        return sum(self.sent[key].size_bytes for key, _ in self.concluded)
