"""Takes in the bytes of a document's parts: bounded, hashed, stored block by block.

A block goes to the blob store only when it is complete and hashed, so that a slow sender holds
memory (bounded, and for a bounded time) but no thread and no connection of the store. Objects
that end up in no accepted envelope are removed by the sweep (``sweep.py``); nothing is deleted
here, because whether an envelope was accepted may be unknown.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from document_exchange.errors import (
    DeadlinePassed,
    PartDigestMismatch,
    PartOutOfOrder,
    PartSizeMismatch,
)
from document_exchange.manifest import Part
from exchange_server.budget import Budgets
from exchange_server.values import Block

BLOCK_BYTES = 8 * 1024 * 1024
SLOWEST_BYTES_PER_S = 256 * 1024
"""Whoever fills a block more slowly than this (after the idle timeout) is cut off."""
_STORING_AT_ONCE = 2
"""Blocks of one call that may be on their way to the store while the next one fills."""


class BlobWriter(Protocol):
    """Where blocks are stored; durable when ``put`` returns."""

    async def put(self, key: str, data: bytes | bytearray, sha256: bytes | None = None) -> None: ...


class RecentParts(Protocol):
    """Remembers small parts, since most are fetched within seconds."""

    @property
    def largest_bytes(self) -> int: ...

    def remember(self, envelope_id: str, sha256: str, data: bytes) -> None: ...

    def accepted(self, envelope_id: str, units: Sequence[str], parts: Sequence[Part]) -> None: ...


@dataclass(frozen=True, slots=True)
class Received:
    """What is stored now, and since when."""

    blocks: tuple[Block, ...]
    oldest_block_at: datetime | None


@dataclass(slots=True)
class PartReceiver:
    """Receives all parts of one envelope. One use each."""

    envelope_id: str
    unit: str
    parts: Sequence[Part]
    blobs: BlobWriter
    budgets: Budgets
    recent: RecentParts
    clock: Callable[[], datetime]
    idle_timeout_s: float
    _blocks: list[Block] = field(default_factory=list)
    _oldest: datetime | None = None
    _storing: set[asyncio.Task[None]] = field(default_factory=set)

    async def receive(self, chunks: AsyncIterator[tuple[str, bytes]]) -> Received:
        """Read (part_id, data) chunks until every part is complete and stored.

        Raises:
            PartOutOfOrder: a part repeated, unknown, or before its turn.
            PartSizeMismatch: fewer or more bytes than the manifest says.
            PartDigestMismatch: the bytes are not those of the manifest.
            DeadlinePassed: nothing came for ``idle_timeout_s``, or bytes came too slowly.
            Unavailable: the blob store does not answer.
        """
        try:
            source = _PartStream(self.parts, chunks, self.idle_timeout_s)
            for number, part in enumerate(self.parts):
                await self._receive_part(number, part, source)
            await source.expect_end()
            await self._wait_until_stored(0)
        except BaseException:
            # Not cancelled: a thread is at work with each block, and its bytes count until then.
            await asyncio.gather(*self._storing, return_exceptions=True)
            raise
        return Received(tuple(sorted(self._blocks, key=lambda b: (b.part, b.number))), self._oldest)

    async def _receive_part(self, number: int, part: Part, source: _PartStream) -> None:
        whole = hashlib.sha256()
        left = part.size
        for block_number in range((part.size + BLOCK_BYTES - 1) // BLOCK_BYTES):
            size = min(BLOCK_BYTES, left)
            left -= size
            await self.budgets.take(self.unit, size)
            try:
                data = await self._read_block(source, number, size)
                digest = hashlib.sha256(data)
                if size == part.size:
                    whole = digest
                else:
                    whole.update(data)
                # The last block's verdict comes before it is stored.
                if left == 0:
                    _check_digest(part, whole.hexdigest())
            except BaseException:
                self.budgets.give_back(self.unit, size)
                raise
            if size == part.size and size <= self.recent.largest_bytes:
                self.recent.remember(self.envelope_id, part.sha256, bytes(data))
            self._store(number, block_number, data, digest.digest())
            await self._wait_until_stored(_STORING_AT_ONCE)
        if part.size == 0:
            _check_digest(part, whole.hexdigest())

    async def _read_block(self, source: _PartStream, number: int, size: int) -> bytes | bytearray:
        """The whole block, within the time that it may hold memory."""
        longest_s = self.idle_timeout_s + size / SLOWEST_BYTES_PER_S
        try:
            async with asyncio.timeout(longest_s):
                return await source.read(number, size)
        except TimeoutError:
            raise DeadlinePassed(
                f"{size} bytes took longer than {longest_s:.0f} s; send again on a faster line"
            ) from None

    def _store(self, part: int, number: int, data: bytes | bytearray, digest: bytes) -> None:
        now = self.clock()
        self._oldest = self._oldest or now
        key = f"{now:%Y-%m-%d}/{self.envelope_id}/{secrets.token_hex(8)}"
        self._blocks.append(Block(part, number, key, len(data), digest))
        storing = asyncio.create_task(self.blobs.put(key, data, digest))
        # By callback: a task that is cancelled before it began runs none of its own code.
        storing.add_done_callback(lambda _: self.budgets.give_back(self.unit, len(data)))
        self._storing.add(storing)

    async def _wait_until_stored(self, at_most: int) -> None:
        while len(self._storing) > at_most:
            done, self._storing = await asyncio.wait(
                self._storing, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()


class _PartStream:
    """The chunks of a call as one stream that is read in measured pieces, part after part."""

    def __init__(
        self, parts: Sequence[Part], chunks: AsyncIterator[tuple[str, bytes]], idle_timeout_s: float
    ) -> None:
        self._parts = parts
        self._numbers = {part.part_id: number for number, part in enumerate(parts)}
        self._chunks = chunks
        self._idle_timeout_s = idle_timeout_s
        self._part_id = ""
        self._rest: bytes = b""
        self._begun = -1
        """The last part of which a byte was read."""

    async def read(self, number: int, size: int) -> bytes | bytearray:
        """Exactly ``size`` bytes, all of part ``number``."""
        await self._fill(number)
        self._begun = number
        if len(self._rest) == size:
            data, self._rest = self._rest, b""
            return data
        buffer = bytearray(size)
        have = 0
        while have < size:
            await self._fill(number)
            piece = self._rest[: size - have]
            self._rest = self._rest[len(piece) :]
            buffer[have : have + len(piece)] = piece
            have += len(piece)
        return buffer

    async def expect_end(self) -> None:
        """Whatever comes after the last part is too much."""
        if self._rest or await self._next():
            raise self._misplaced(len(self._parts))

    async def _fill(self, number: int) -> None:
        """Have at least one byte of part ``number`` at hand."""
        part = self._parts[number]
        if not self._rest and not await self._next():
            raise PartSizeMismatch(
                f"the bytes end before part {part.part_id!r} has the {part.size} of the manifest",
                part_id=part.part_id,
            )
        if self._part_id != part.part_id:
            raise self._misplaced(number)

    async def _next(self) -> bool:
        """The next chunk that is not empty; False at the end."""
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                async for part_id, data in self._chunks:
                    if data:
                        self._part_id, self._rest = part_id, data
                        return True
        except TimeoutError:
            raise DeadlinePassed(
                f"no bytes came for {self._idle_timeout_s:g} s; send again"
            ) from None
        return False

    def _misplaced(self, due: int) -> PartOutOfOrder | PartSizeMismatch:
        """Why a chunk of another part can't stand where part ``due`` was expected."""
        found = self._numbers.get(self._part_id)
        shown = self._part_id[:64]
        if found is None:
            return PartOutOfOrder(f"the manifest has no part {shown!r}", part_id=shown)
        if found > due:
            return PartSizeMismatch(
                f"part {self._parts[due].part_id!r} has fewer than the "
                f"{self._parts[due].size} bytes of the manifest",
                part_id=self._parts[due].part_id,
            )
        if found == due - 1 and self._begun < due:
            return PartSizeMismatch(
                f"part {shown!r} has more than the {self._parts[found].size} bytes of the manifest",
                part_id=shown,
            )
        return PartOutOfOrder(
            f"part {shown!r} was already complete: send each part once", part_id=shown
        )


def _check_digest(part: Part, found: str) -> None:
    if found != part.sha256:
        raise PartDigestMismatch(
            f"part {part.part_id!r} has SHA-256 {found}, the manifest says {part.sha256}",
            part_id=part.part_id,
            found=found,
        )
