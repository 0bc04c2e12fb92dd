"""Certificates as their holders see them, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from exchange_runtime.database import Database
from exchange_server.own_certificates import IssuedCertificate


class CertificatesOnPostgres:
    """Implements the port of ``own_certificates``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def own_certificates(
        self, unit: str, identity: str, after: bytes, limit: int
    ) -> list[IssuedCertificate]:
        rows = await self._db.rows("own_certificates", unit, identity, after, limit)
        return [IssuedCertificate(**row) for row in rows]

    async def own_certificates_of(
        self, unit: str, identity: str, fingerprints: Sequence[bytes]
    ) -> list[IssuedCertificate]:
        rows = await self._db.rows("own_certificates_of", unit, identity, list(fingerprints))
        return [IssuedCertificate(**row) for row in rows]
