"""Deadlines, and deliveries that nobody will take any more, on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

from document_exchange.receipt import DeadlineKind
from exchange_runtime.database import Database
from exchange_server.reminders import DueDeadline
from exchange_server.storage.ledger import FIRST_KEY, position_of
from exchange_server.values import DeadlinesStanding, DeliveryPosition

MOST_COUNTED = 100_000
"""Deadlines of one kind in a count that is made every half minute."""


class DeadlinesOnPostgres:
    """Implements the ports of ``reminders`` and ``expiry``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def claim_deadlines(
        self, now: datetime, claim: timedelta, limit: int
    ) -> list[DueDeadline]:
        rows = await self._db.rows("claim_deadlines", now, claim, limit)
        return [
            DueDeadline(
                row["envelope_id"], row["recipient"], DeadlineKind(row["kind"]), row["due_at"]
            )
            for row in rows
        ]

    async def find_due(self, deadline: DueDeadline, now: datetime) -> DeliveryPosition | None:
        row = await self._db.row(
            "find_due", deadline.envelope_id, deadline.recipient, deadline.kind.value, now
        )
        return position_of(row) if row else None

    async def rest_deadline(self, deadline: DueDeadline, now: datetime, claim: timedelta) -> int:
        failures = await self._db.value(
            "rest_deadline",
            deadline.envelope_id,
            deadline.recipient,
            deadline.kind.value,
            now,
            claim,
        )
        return int(failures or 0)

    async def drop_deadlines(self, envelope_id: str, recipient: str) -> None:
        await self._db.value("drop_deadlines", envelope_id, recipient)

    async def standing(self, now: datetime) -> list[DeadlinesStanding]:
        rows = await self._db.rows("deadlines_standing", now, MOST_COUNTED)
        return [
            DeadlinesStanding(
                DeadlineKind(row["kind"]), row["open"], row["overdue"], row["waiting_since"]
            )
            for row in rows
        ]

    async def undeliverable(
        self, after: DeliveryPosition | None, limit: int
    ) -> list[DeliveryPosition]:
        key = (after.envelope_id, after.recipient) if after else FIRST_KEY
        return [position_of(row) for row in await self._db.rows("undeliverable", *key, limit)]
