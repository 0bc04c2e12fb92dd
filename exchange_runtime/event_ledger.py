"""Events that describe no other change, written into the ledger by themselves."""

from __future__ import annotations

from exchange_runtime.database import Database
from exchange_runtime.values import PreparedEvent


class EventsInLedger:
    """Implements ``events.EventLedger`` for every service. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_event(self, prepared: PreparedEvent) -> None:
        """Write it; when this returns, it is durable."""
        await self._database.value(
            "record_event",
            prepared.event.event_id,
            prepared.at,
            prepared.event.type,
            prepared.event.actor,
            prepared.event.envelope_id,
            prepared.event.recipient,
            prepared.salt,
            prepared.content,
        )
