"""The values that the steps of a document's life pass around. Frozen; no behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange.receipt import DeadlineKind, ReasonCode, ReceiptType, State
from exchange_runtime.values import PreparedEvent, Principal

NOT_GIVEN_OUT = frozenset({State.WITHDRAWN, State.EXPIRED})
"""Where a delivery stands of which the recipient gets no content any more."""


@dataclass(frozen=True, slots=True)
class Block:
    """One stored object: at most 8 MiB of a part."""

    part: int
    """Number of the part in the manifest, from 0."""
    number: int
    """Number of the block in the part, from 0."""
    key: str
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class StoredPart:
    """Where the bytes of a part are, for one who may see its envelope."""

    size_bytes: int
    blocks: Sequence[Block]
    withdrawn: bool
    """Whether it was withdrawn from who asks, so that no more bytes of it go there."""


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """A recorded statement: ACCEPTED of an envelope, or a later one of a delivery."""

    receipt: bytes
    receipt_signature: bytes
    admission: bytes
    """Empty for the centre's own statements."""
    admission_signature: bytes
    event: bytes
    event_salt: bytes


@dataclass(frozen=True, slots=True)
class AcceptedEnvelope:
    """An envelope as it was accepted."""

    envelope_id: str
    sender: str
    manifest: bytes
    manifest_sha256: bytes
    signatures: tuple[bytes, ...]
    accepted: StatementRecord
    accepted_at: datetime
    root_crl: bytes
    seal_crl: bytes


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """One delivery, as lists and watches show it."""

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
    kind: str
    part_count: int
    size_bytes: int
    accepted_at: datetime
    updated_at: datetime
    last_type: ReceiptType
    """Of the last statement recorded."""
    withdrawal_requested: bool
    sign_due: datetime | None
    reply_due: datetime | None
    overdue: bool
    """A deadline that still counts has passed."""
    replaced_by: str
    """The envelope that supersedes it or declares it void, if the recipient has got that; or ""."""


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Where one recipient of an envelope stands."""

    recipient: str
    state: State
    seq: int
    updated_at: datetime
    last_type: ReceiptType
    withdrawal_requested: bool
    sign_due: datetime | None
    reply_due: datetime | None
    overdue: bool
    replaced_by: str


@dataclass(frozen=True, slots=True)
class SubmissionSummary:
    """One envelope that a unit sent."""

    envelope_id: str
    title: str
    doc_id: str
    number: str
    accepted_at: datetime
    deliveries: tuple[DeliveryStatus, ...]


@dataclass(frozen=True, slots=True)
class DeliveryPosition:
    """What a decision about a delivery's next statement is made upon."""

    envelope_id: str
    recipient: str
    sender: str
    state: State
    seq: int
    manifest_sha256: str
    updated_at: datetime
    """When its last statement was recorded; no later one is dated before that."""
    withdrawal_requested: bool = False
    recorded: bool = False
    """Whether the receipt in question has been recorded already."""
    decided_seq: int = 0
    """The last statement that changed where it stands; urging it, for one, does not."""


@dataclass(frozen=True, slots=True)
class Due:
    """One deadline, and when to remind of it."""

    remind_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Dues:
    """By when a recipient is to sign for a document, and by when to reply; None: no deadline."""

    sign: Due | None
    reply: Due | None


@dataclass(frozen=True, slots=True)
class DeadlinesStanding:
    """How many deadlines of a kind still count, in the whole ledger, as far as they are counted."""

    kind: DeadlineKind
    open: int
    """Not said to be overdue."""
    overdue: int
    waiting_since: datetime | None
    """Since when a reminder or OVERDUE is due that nobody has recorded; None: there is none."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """All that is written when an envelope is accepted, besides what is in the manifest."""

    principal: Principal
    directory: int
    """The version of the directory upon which it was decided that this may be sent."""
    seals: tuple[bytes, ...]
    """Fingerprints of the sealing certificates."""
    centre_seal: bytes
    """Fingerprint of the seal that signed the receipt."""
    signatures: tuple[bytes, ...]
    manifest: bytes
    blocks: tuple[Block, ...]
    oldest_block_at: datetime | None
    accepted_at: datetime
    receipt: bytes
    receipt_signature: bytes
    event: PreparedEvent
    root_crl: int
    seal_crl: int
    dues: Dues


@dataclass(frozen=True, slots=True)
class NewStatement:
    """A statement to be recorded upon a position that was read before."""

    position: DeliveryPosition
    type: ReceiptType
    state_after: State
    by_side: str
    """R: the recipient made it or caused it; S: the sender; C: the centre by itself."""
    principal: Principal | None
    """None where the centre acts by itself."""
    seal: bytes | None
    """Fingerprint of the seal that signed the receipt; None when the centre signed it."""
    centre_seal: bytes
    """Fingerprint of the seal that signed the centre's statement."""
    receipt_id: str
    record: StatementRecord
    root_crl: int
    seal_crl: int
    event: PreparedEvent
    """Its time is that of the record."""
    reason_code: ReasonCode | None = None
    deadline: DeadlineKind | None = None
    """The deadline that it is about (REMINDED, OVERDUE)."""
    dues: Dues | None = None
    """The deadlines that begin with it (OFFERED_AGAIN)."""

    @property
    def seen_by(self) -> str:
        """Who has something new to see by it, as the ledger has it: R, S, or both."""
        if self.type is ReceiptType.OVERDUE:
            return "RS"
        if self.by_side == "R" or self.type is ReceiptType.EXPIRED:
            return "S"
        return "R"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger answered to a request to record something."""

    code: str
    detail: str = ""
