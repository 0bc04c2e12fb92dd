"""The demonstration's own books: what it planned, sent and received, apart from the centre's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.files import MadeFile
from demo.plan import PlannedDocument, Workday


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
