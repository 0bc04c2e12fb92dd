"""What evidence is collected from, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from document_exchange.errors import InternalError
from document_exchange.evidence import StatementName
from document_exchange.receipt import ReceiptType
from exchange_runtime.database import Database
from exchange_server.evidence_ledger import (
    MOST_A_DAY,
    Crls,
    FileDigest,
    NewIndex,
    SealedIndex,
    StampDigests,
    StatementDigests,
)
from exchange_server.values import StatementRecord

Seqs = Sequence[tuple[str, int]]


class EvidenceOnPostgres:
    """Implements the port of ``evidence``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def evidence_seqs(self, envelope_id: str) -> list[tuple[str, int]]:
        rows = await self._db.rows("evidence_seqs", envelope_id)
        return [(row["recipient"], row["seq"]) for row in rows]

    async def evidence_acceptance(self, envelope_id: str) -> tuple[int, int]:
        row = _there(await self._db.row("evidence_acceptance", envelope_id))
        return row["root_crl"], row["seal_crl"]

    async def evidence_digests(self, envelope_id: str, seqs: Seqs) -> list[StatementDigests]:
        rows = await self._db.rows("evidence_digests", envelope_id, *_columns(seqs))
        return [
            StatementDigests(
                _name(row),
                row["receipt"],
                row["receipt_signature"],
                row["admission"],
                row["admission_signature"],
                row["event"],
                row["event_salt"],
                row["root_crl"],
                row["seal_crl"],
                row["recorded_at"],
                row["size_bytes"],
            )
            for row in rows
        ]

    async def evidence_statements(
        self, envelope_id: str, seqs: Seqs
    ) -> list[tuple[StatementName, StatementRecord]]:
        rows = await self._db.rows("evidence_statements", envelope_id, *_columns(seqs))
        return [
            (
                _name(row),
                StatementRecord(
                    row["receipt"],
                    row["receipt_signature"],
                    row["admission"],
                    row["admission_signature"],
                    row["event"],
                    row["event_salt"],
                ),
            )
            for row in rows
        ]

    async def evidence_stamps(self, envelope_id: str, seqs: Seqs) -> list[StampDigests]:
        rows = await self._db.rows("evidence_stamps", envelope_id, *_columns(seqs))
        return [StampDigests(**row) for row in rows]

    async def evidence_stamp(self, batch: int) -> tuple[bytes, bytes]:
        row = _there(await self._db.row("evidence_stamp", batch))
        return row["lines"], row["response"]

    async def evidence_crl_digests(self, crls: Crls) -> dict[tuple[str, int], FileDigest]:
        rows = await self._db.rows(
            "evidence_crl_digests",
            [number for issuer, number in crls if issuer == "root"],
            [number for issuer, number in crls if issuer == "seal-ca"],
        )
        if len(rows) != len(crls):
            raise _lost()
        return {
            (row["issuer"], row["number"]): FileDigest(row["sha256"], row["size_bytes"])
            for row in rows
        }

    async def evidence_crl(self, issuer: str, number: int) -> bytes:
        der: bytes = _there(await self._db.row("evidence_crl", issuer, number))["der"]
        return der

    async def evidence_index(self, content_sha256: bytes) -> SealedIndex | None:
        row = await self._db.row("evidence_index", content_sha256)
        return _index(row) if row is not None else None

    async def keep_sealed_index(self, new: NewIndex) -> SealedIndex | str:
        sealed, event = new.sealed, new.event
        row = _there(
            await self._db.row(
                "keep_sealed_index",
                new.content_sha256,
                new.envelope_id,
                new.unit,
                sealed.made_at,
                sealed.by,
                sealed.root_crl,
                sealed.seal_crl,
                sealed.signature,
                new.centre_seal,
                event.event.event_id,
                event.event.actor,
                event.salt,
                event.content,
                MOST_A_DAY,
            )
        )
        outcome: str = row["outcome"]
        return _index(row) if outcome == "KEPT" else outcome


def _columns(seqs: Seqs) -> tuple[list[str], list[int]]:
    return [recipient for recipient, _ in seqs], [seq for _, seq in seqs]


def _name(row: asyncpg.Record) -> StatementName:
    return StatementName(row["recipient"], row["seq"], ReceiptType(row["type"]))


def _index(row: asyncpg.Record) -> SealedIndex:
    return SealedIndex(
        row["made_at"], row["sealed_by"], row["root_crl"], row["seal_crl"], row["signature"]
    )


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise _lost()
    return row


def _lost() -> InternalError:
    return InternalError("the ledger has lost what evidence consists of; call an operator")
