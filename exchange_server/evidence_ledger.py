"""What evidence is collected from: the values, and what collecting asks of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from document_exchange.evidence import StatementName
from exchange_runtime.values import PreparedEvent
from exchange_server.values import AcceptedEnvelope, DeliverySummary, StatementRecord

Crls = set[tuple[str, int]]
"""Issuer (root or seal-ca) and CRL number of each."""
MOST_A_DAY = 200
"""Indexes that are sealed for one unit about one envelope within 24 hours."""


@dataclass(frozen=True, slots=True)
class StatementDigests:
    """The SHA-256 of each file of a statement; None where a statement has no such file."""

    name: StatementName
    receipt: bytes
    receipt_signature: bytes
    admission: bytes | None
    admission_signature: bytes | None
    event: bytes
    event_salt: bytes
    root_crl: int
    seal_crl: int
    recorded_at: datetime
    size_bytes: int
    """Of all files together."""


@dataclass(frozen=True, slots=True)
class StampDigests:
    """A batch that has been time-stamped, and the SHA-256 of both of its files."""

    batch: int
    lines: bytes
    response: bytes
    root_crl: int | None
    seal_crl: int | None
    size_bytes: int
    """Of both together."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file."""

    sha256: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SealedIndex:
    """What of an index can't be rebuilt from what it lists."""

    made_at: datetime
    by: str
    """The identity of the centre's seal."""
    root_crl: int
    seal_crl: int
    """The lists that were in force then."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index that has been sealed and is to be kept."""

    content_sha256: bytes
    """Of all that it says but when and by whom."""
    envelope_id: str
    unit: str
    """For which it was sealed."""
    sealed: SealedIndex
    centre_seal: bytes
    """SHA-256 of the certificate that it was signed with."""
    event: PreparedEvent


class EnvelopeFinder(Protocol):
    """Where envelopes are."""

    async def find_envelope_and_delivery(
        self, unit: str, envelope_id: str
    ) -> tuple[AcceptedEnvelope, DeliverySummary | None] | None:
        """The envelope if ``unit`` is its sender or a recipient, and its own delivery if so."""
        ...


class EvidenceLedger(Protocol):
    """What collecting asks of the ledger; ``seqs`` are recipients and how far each one goes."""

    async def evidence_seqs(self, envelope_id: str) -> list[tuple[str, int]]: ...

    async def evidence_acceptance(self, envelope_id: str) -> tuple[int, int]:
        """The numbers of the lists in force then, of the root and of the seal CA."""
        ...

    async def evidence_digests(
        self, envelope_id: str, seqs: Sequence[tuple[str, int]]
    ) -> list[StatementDigests]: ...

    async def evidence_statements(
        self, envelope_id: str, seqs: Sequence[tuple[str, int]]
    ) -> list[tuple[StatementName, StatementRecord]]: ...

    async def evidence_stamps(
        self, envelope_id: str, seqs: Sequence[tuple[str, int]]
    ) -> list[StampDigests]: ...

    async def evidence_stamp(self, batch: int) -> tuple[bytes, bytes]: ...

    async def evidence_crl_digests(self, crls: Crls) -> dict[tuple[str, int], FileDigest]: ...

    async def evidence_crl(self, issuer: str, number: int) -> bytes: ...

    async def evidence_index(self, content_sha256: bytes) -> SealedIndex | None: ...

    async def keep_sealed_index(self, new: NewIndex) -> SealedIndex | str:
        """Keep the first that comes, with its event, and return it; or why none is kept.

        CENTRE_SEAL_REVOKED: it was signed with a seal that has been revoked meanwhile. TOO_MANY:
        the unit had as many sealed about this envelope within a day as it may.
        """
        ...
