"""Batches of signatures and their time-stamps, on PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

from exchange_runtime.database import Database
from exchange_server.stamping import Batch, KeptStamp, StampsStanding

MOST_COUNTED = 100_000
"""Signatures in a count that is made every half minute."""


class StampsOnPostgres:
    """Implements the port of ``stamping``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def make_batch(self, made_at: datetime, most: int, most_open: int) -> int:
        return await self._db.value("make_stamp_batch", made_at, most, most_open) or 0

    async def claim_batch(self, hold: timedelta) -> Batch | None:
        row = await self._db.row("claim_stamp_batch", hold)
        return Batch(**row) if row else None

    async def rest_batch(self, batch: int, rest: timedelta) -> None:
        await self._db.value("rest_stamp_batch", batch, rest)

    async def keep_stamp(self, batch: int, stamp: KeptStamp) -> bool:
        return bool(
            await self._db.value(
                "keep_stamp",
                batch,
                stamp.response,
                stamp.stamped_at,
                stamp.root_crl,
                stamp.seal_crl,
            )
        )

    async def standing(self) -> StampsStanding:
        """Of the queue, no more than ``MOST_COUNTED`` are counted."""
        row = await self._db.row("stamps_standing", MOST_COUNTED)
        assert row is not None
        return StampsStanding(**row)
