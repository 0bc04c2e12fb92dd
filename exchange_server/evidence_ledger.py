"""What evidence is collected from: the values, and what collecting asks of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from document_exchange.evidence import StatementName
from exchange_runtime.values import PreparedEvent
from exchange_server.values import AcceptedEnvelope, StatementRecord

Crls = set[tuple[str, int]]
"""Issuer (root or seal-ca) and CRL number of each."""


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


@dataclass(frozen=True, slots=True)
class StampDigests:
    """A batch that has been time-stamped, and the SHA-256 of both of its files."""

    batch: int
    lines: bytes
    response: bytes
    root_crl: int | None
    seal_crl: int | None


@dataclass(frozen=True, slots=True)
class SealedIndex:
    """An index, the centre's signature over it, and the lists that were in force then."""

    index: bytes
    signature: bytes
    root_crl: int
    seal_crl: int


class EnvelopeFinder(Protocol):
    """Where envelopes are."""

    async def find_envelope_for(self, unit: str, envelope_id: str) -> AcceptedEnvelope | None: ...


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

    async def evidence_crl_digests(self, crls: Crls) -> dict[tuple[str, int], bytes]: ...

    async def evidence_crl(self, issuer: str, number: int) -> bytes: ...

    async def evidence_index(self, content_sha256: bytes) -> SealedIndex | None: ...

    async def keep_sealed_index(
        self,
        content_sha256: bytes,
        envelope_id: str,
        sealed: SealedIndex,
        centre_seal: bytes,
        prepared: PreparedEvent,
    ) -> SealedIndex | None:
        """Keep the first that comes, with its event; None if the seal has just been revoked."""
        ...
