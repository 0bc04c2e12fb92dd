"""Sweep: removes objects that belong to no accepted envelope.

The ledger alone names objects. What an upload left behind has no row, and once it is older than
twice the longest upload it can't get one any more (the accepting transaction refuses blocks
older than the longest upload), so removing it is safe at any time and from any process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from document_exchange import codes
from exchange_server.clock import Clock

log = structlog.get_logger(__name__)

_AT_ONCE = 500


class SweptObject(Protocol):
    """An object as the store lists it."""

    @property
    def key(self) -> str: ...

    @property
    def last_modified(self) -> datetime: ...


class SweepLedger(Protocol):
    async def named_objects(self, envelope_ids: Sequence[str]) -> set[str]: ...


class SweepStore(Protocol):
    def list(self, prefix: str = "") -> AsyncIterator[SweptObject]: ...

    async def delete(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and removed."""

    listed: int
    removed: int


@dataclass(frozen=True, slots=True)
class Sweeper:
    ledger: SweepLedger
    blobs: SweepStore
    clock: Clock
    longest_upload: timedelta

    async def sweep(self, *, remove: bool, older_than: timedelta | None = None) -> Swept:
        """Remove (or, with ``remove=False``, only count) what no envelope names.

        ``older_than`` defaults to twice the longest upload; anything less is unsafe while
        uploads run.

        Raises:
            Unavailable: ledger or store don't answer; what is left is swept the next time.
        """
        before = self.clock() - (older_than or 2 * self.longest_upload)
        listed = removed = 0
        batch: list[str] = []
        async for found in self.blobs.list():
            listed += 1
            if found.last_modified < before:
                batch.append(found.key)
            if len(batch) >= _AT_ONCE:
                removed += await self._remove_unnamed(batch, remove=remove)
                batch = []
        removed += await self._remove_unnamed(batch, remove=remove)
        log.info("swept", listed=listed, removed=removed, dry_run=not remove)
        return Swept(listed, removed)

    async def _remove_unnamed(self, keys: Sequence[str], *, remove: bool) -> int:
        owners = {key.split("/")[1] for key in keys if _is_ours(key)}
        named = await self.ledger.named_objects(sorted(owners)) if owners else set()
        unnamed = [key for key in keys if _is_ours(key) and key not in named]
        if unnamed and remove:
            await self.blobs.delete(unnamed)
        return len(unnamed)


def _is_ours(key: str) -> bool:
    pieces = key.split("/")
    return len(pieces) == 3 and codes.is_uuid7(pieces[1])
