"""Sweep: removes objects that belong to no accepted envelope.

The ledger alone names objects. What an upload left behind has no row, and once it is older than
twice the longest upload it can't get one any more (the accepting transaction refuses blocks
older than the longest upload), so removing it is safe at any time and from any process.

Whether it is older than that takes two witnesses: the store's ``last_modified``, and the day at
the start of the key, written by the process that took the upload in. Both are held against the
ledger's clock, which is also the one that the accepting transaction goes by. So a store or a
process with a wrong clock makes nobody's fresh blocks go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import structlog

from document_exchange import codes

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)


class SweptObject(Protocol):
    """An object as the store lists it."""

    @property
    def key(self) -> str: ...

    @property
    def last_modified(self) -> datetime: ...


class SweepLedger(Protocol):
    async def clock(self) -> datetime: ...

    async def named_objects(self, envelope_ids: Sequence[str]) -> set[str]: ...


class SweepStore(Protocol):
    def list(self, prefix: str = "") -> AsyncIterator[SweptObject]: ...

    async def delete(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and removed."""

    listed: int
    removed: int


class Sweeper:
    """Sweeps whenever it is told to, and remembers which days it need not list again.

    Keys begin with the day. A day that is older than the limit gets no new objects, so it is listed
    once; the first sweep, and one each week, list everything, whatever the keys look like.
    """

    def __init__(self, ledger: SweepLedger, blobs: SweepStore, longest_upload: timedelta) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._spared = 2 * longest_upload
        self._all_swept_at: datetime | None = None
        self._swept_before: datetime | None = None

    async def sweep(self, *, remove: bool) -> Swept:
        """Remove (or, with ``remove=False``, only count) what no envelope names.

        Raises:
            Unavailable: ledger or store don't answer; what is left is swept the next time.
        """
        now = await self._ledger.clock()
        before = now - self._spared
        everything = self._all_swept_at is None or now - self._all_swept_at >= _WEEK
        days = [""] if everything else self._days_since_last(before)
        listed = removed = 0
        for day in days:
            seen = await self._sweep_day(day, before, remove=remove)
            listed, removed = listed + seen.listed, removed + seen.removed
        if remove:
            self._swept_before = before
            self._all_swept_at = now if everything else self._all_swept_at
        log.info("swept", listed=listed, removed=removed, everything=everything, dry_run=not remove)
        return Swept(listed, removed)

    def _days_since_last(self, before: datetime) -> list[str]:
        """The prefixes of the days that have become old enough since the last sweep."""
        first = (self._swept_before or before).astimezone(UTC).date()
        count = (before.astimezone(UTC).date() - first).days
        return [f"{first + number * _DAY}/" for number in range(count)]

    async def _sweep_day(self, prefix: str, before: datetime, *, remove: bool) -> Swept:
        listed = removed = 0
        batch: list[str] = []
        async for found in self._blobs.list(prefix):
            listed += 1
            if found.last_modified < before and _is_of_a_day_before(found.key, before):
                batch.append(found.key)
            if len(batch) >= _AT_ONCE:
                removed += await self._remove_unnamed(batch, remove=remove)
                batch = []
        removed += await self._remove_unnamed(batch, remove=remove)
        return Swept(listed, removed)

    async def _remove_unnamed(self, keys: Iterable[str], *, remove: bool) -> int:
        owners = {key: _envelope_of(key) for key in keys}
        ids = sorted({owner for owner in owners.values() if owner is not None})
        named = await self._ledger.named_objects(ids) if ids else set()
        unnamed = [key for key, owner in owners.items() if owner is not None and key not in named]
        if unnamed and remove:
            await self._blobs.delete(unnamed)
        return len(unnamed)


def _envelope_of(key: str) -> str | None:
    """The envelope of an object ``day/envelope_id/random``; None if it is not one of ours."""
    pieces = key.split("/")
    return pieces[1] if len(pieces) == 3 and codes.is_uuid7(pieces[1]) else None


def _is_of_a_day_before(key: str, before: datetime) -> bool:
    """Whether the whole day that a key begins with is over by then; False if it is no day."""
    try:
        day = date.fromisoformat(key.partition("/")[0])
    except ValueError:
        return False
    return datetime.combine(day, time(), UTC) + _DAY <= before
