"""How envelopes hang together, on PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from document_exchange.manifest import LinkKind
from document_exchange.receipt import State
from exchange_runtime.database import Database
from exchange_server.correspondence import CirculationEntry, Link, ThreadEnvelope
from exchange_server.storage.ledger import status_of
from exchange_server.values import DeliveryStatus


class CorrespondenceOnPostgres:
    """Implements the port of ``correspondence``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def thread_ids(self, unit: str, envelope_id: str, limit: int) -> list[str]:
        rows = await self._db.rows("thread_ids", unit, envelope_id, limit)
        return [row["envelope_id"] for row in rows]

    async def thread_envelopes(self, envelope_ids: Sequence[str]) -> list[ThreadEnvelope]:
        rows = await self._db.rows("thread_envelopes", list(envelope_ids))
        return [ThreadEnvelope(**row) for row in rows]

    async def links_of(self, envelope_ids: Sequence[str]) -> Mapping[str, list[Link]]:
        found: dict[str, list[Link]] = defaultdict(list)
        for row in await self._db.rows("links_of", list(envelope_ids)):
            found[row["envelope_id"]].append(Link(LinkKind(row["kind"]), row["earlier"]))
        return found

    async def standing_of(
        self, unit: str, envelope_ids: Sequence[str]
    ) -> Mapping[str, Mapping[State, int]]:
        found: dict[str, dict[State, int]] = defaultdict(dict)
        for row in await self._db.rows("standing_of", unit, list(envelope_ids)):
            found[row["envelope_id"]][State(row["state"])] = row["count"]
        return found

    async def statuses_for(
        self, unit: str, envelope_ids: Sequence[str]
    ) -> Mapping[str, list[DeliveryStatus]]:
        found: dict[str, list[DeliveryStatus]] = defaultdict(list)
        for row in await self._db.rows("statuses_for", unit, list(envelope_ids)):
            found[row["envelope_id"]].append(status_of(row))
        return found

    async def circulated(self, unit: str, envelope_id: str) -> tuple[str, bytes] | None:
        row = await self._db.row("circulated", unit, envelope_id)
        return None if row is None else (row["sender"], row["manifest"])

    async def circulation(self, unit: str, envelope_id: str) -> list[CirculationEntry]:
        rows = await self._db.rows("circulation", unit, envelope_id)
        return [
            CirculationEntry(
                status=status_of(row),
                kind=row["kind"],
                signed_for_at=row["signed_for_at"],
                answered_by=row["answered_by"] or "",
                answered_at=row["answered_at"],
                is_party=row["is_party"],
            )
            for row in rows
        ]
