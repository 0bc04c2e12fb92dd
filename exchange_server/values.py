"""The values that the steps of a document's life pass around. Frozen; no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from document_exchange.receipt import ReceiptType, State
from exchange_runtime.values import PreparedEvent, Principal


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


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Where one recipient of an envelope stands."""

    recipient: str
    state: State
    seq: int
    updated_at: datetime


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
    recorded: bool = False
    """Whether the receipt in question has been recorded already."""


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


@dataclass(frozen=True, slots=True)
class NewStatement:
    """A statement to be recorded upon a position that was read before."""

    position: DeliveryPosition
    type: ReceiptType
    state_after: State
    by_side: str
    """R: the recipient made it or caused it; S: the sender."""
    principal: Principal
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger answered to a request to record something."""

    code: str
    detail: str = ""
