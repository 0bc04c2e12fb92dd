"""What evidence is collected from, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from document_exchange.errors import InternalError
from document_exchange.evidence import StatementName
from document_exchange.receipt import ReceiptType
from exchange_runtime.database import Database
from exchange_runtime.values import PreparedEvent
from exchange_server.evidence_ledger import Crls, SealedIndex, StampDigests, StatementDigests
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

    async def evidence_crl_digests(self, crls: Crls) -> dict[tuple[str, int], bytes]:
        rows = await self._db.rows(
            "evidence_crl_digests",
            [number for issuer, number in crls if issuer == "root"],
            [number for issuer, number in crls if issuer == "seal-ca"],
        )
        return {(row["issuer"], row["number"]): row["der"] for row in rows}

    async def evidence_crl(self, issuer: str, number: int) -> bytes:
        der: bytes = _there(await self._db.row("evidence_crl", issuer, number))["der"]
        return der

    async def evidence_index(self, content_sha256: bytes) -> SealedIndex | None:
        return _index(await self._db.row("evidence_index", content_sha256))

    async def keep_sealed_index(
        self,
        content_sha256: bytes,
        envelope_id: str,
        sealed: SealedIndex,
        centre_seal: bytes,
        prepared: PreparedEvent,
    ) -> SealedIndex | None:
        return _index(
            await self._db.row(
                "keep_sealed_index",
                content_sha256,
                envelope_id,
                sealed.index,
                sealed.signature,
                centre_seal,
                sealed.root_crl,
                sealed.seal_crl,
                prepared.at,
                prepared.event.event_id,
                prepared.event.actor,
                prepared.salt,
                prepared.content,
            )
        )


def _columns(seqs: Seqs) -> tuple[list[str], list[int]]:
    return [recipient for recipient, _ in seqs], [seq for _, seq in seqs]


def _name(row: asyncpg.Record) -> StatementName:
    return StatementName(row["recipient"], row["seq"], ReceiptType(row["type"]))


def _index(row: asyncpg.Record | None) -> SealedIndex | None:
    return SealedIndex(**row) if row is not None else None


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise InternalError("the ledger has lost what evidence consists of; call an operator")
    return row
