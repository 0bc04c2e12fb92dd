"""Deliver: what a unit has received, the envelopes themselves, and the bytes of their parts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from document_exchange.errors import InternalError, InvalidRequest, NotFound
from document_exchange.receipt import State
from exchange_runtime.requests import read_page
from exchange_runtime.values import Principal
from exchange_server.budget import Budgets
from exchange_server.positions import Positions
from exchange_server.quotas import Quotas
from exchange_server.receive import SLOWEST_BYTES_PER_S
from exchange_server.recent import RecentParts
from exchange_server.requests import (
    check_identifier,
    envelope_not_found,
    is_withdrawn,
    withdrawn,
)
from exchange_server.values import (
    AcceptedEnvelope,
    Block,
    DeliveryPosition,
    DeliverySummary,
    StoredPart,
)

CHUNK_BYTES = 256 * 1024
MOST_ENCLOSED_BYTES = 256 * 1024
"""Of parts that go out with their envelope: nobody's budget counts them, so they are few."""


class DeliveryLedger(Protocol):
    """What delivering asks of the ledger. ``unit`` is always the caller's."""

    async def list_deliveries(
        self, unit: str, states: Sequence[State], before: str | None, limit: int
    ) -> list[DeliverySummary]: ...

    async def find_envelope_and_delivery(
        self, unit: str, envelope_id: str
    ) -> tuple[AcceptedEnvelope, DeliverySummary | None] | None:
        """The envelope if ``unit`` is its sender or a recipient, and its own delivery if so."""
        ...

    async def find_part_for(self, unit: str, envelope_id: str, part_id: str) -> StoredPart | None:
        """A part if ``unit`` is sender or recipient of its envelope."""
        ...


class BlobReader(Protocol):
    """Where blocks are kept."""

    async def get(self, key: str) -> bytes: ...


@dataclass(slots=True)
class _Held:
    """A block's bytes while they may be held."""

    data: bytes | None


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Answers what a unit may read."""

    ledger: DeliveryLedger
    blobs: BlobReader
    budgets: Budgets
    recent: RecentParts
    positions: Positions
    idle_timeout_s: float
    quotas: Quotas

    async def list_deliveries(
        self, principal: Principal, states: Sequence[State], page_size: int, page_token: str
    ) -> tuple[list[DeliverySummary], str]:
        """One page of deliveries, newest first, and the token of the next page ("" at the end).

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit, before = read_page(page_size, page_token)
        found = await self.ledger.list_deliveries(principal.unit, states, before, limit)
        return found, found[-1].envelope_id if len(found) == limit else ""

    async def envelope(
        self, principal: Principal, envelope_id: str
    ) -> tuple[AcceptedEnvelope, DeliverySummary | None]:
        """The envelope, and the caller's own delivery of it if it is a recipient.

        Raises:
            NotFound: it does not exist, or the caller is neither sender nor recipient.
        """
        check_identifier(envelope_id)
        found = await self.ledger.find_envelope_and_delivery(principal.unit, envelope_id)
        if found is None:
            raise envelope_not_found(envelope_id)
        accepted, own = found
        if own is not None:
            # Whoever fetches an envelope is about to confirm it.
            self.positions.remember(
                DeliveryPosition(
                    envelope_id,
                    own.recipient,
                    own.sender,
                    own.state,
                    own.seq,
                    accepted.manifest_sha256.hex(),
                    own.updated_at,
                    own.withdrawal_requested,
                )
            )
        return found

    def enclosed(
        self,
        principal: Principal,
        envelope_id: str,
        own: DeliverySummary | None,
        at_most: int,
    ) -> list[tuple[str, bytes]]:
        """(part_id, bytes) of parts at hand, which may go out together with their envelope.

        ``own`` is the caller's delivery; what was withdrawn from it does not go out any more.
        """
        if own is not None and is_withdrawn(principal.unit, own):
            return []
        found = self.recent.recall_small(
            principal.unit, envelope_id, min(at_most, MOST_ENCLOSED_BYTES)
        )
        size_bytes = sum(len(data) for _, data in found)
        return found if self.quotas.take_bytes(principal.unit, size_bytes) else []

    async def download(
        self, principal: Principal, envelope_id: str, part_id: str, offset: int
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a part from ``offset`` on, in chunks of at most 256 KiB.

        Every block is held against its SHA-256 before a byte of it is given out.

        Raises:
            NotFound: no such part in an envelope that the caller may see.
            StateConflict: the document was withdrawn from the caller.
            InvalidRequest: the offset lies outside of the part.
            QuotaExceeded: the caller's unit has moved as many bytes as it may for now.
            InternalError: the store returned other bytes than were stored.
        """
        check_identifier(envelope_id)
        found = await self.ledger.find_part_for(principal.unit, envelope_id, part_id)
        if found is None:
            raise NotFound(
                f"there is no part {part_id[:64]!r} in an envelope {envelope_id} that you may see",
                envelope_id=envelope_id,
            )
        if found.withdrawn:
            raise withdrawn(envelope_id)
        remembered = self.recent.recall(principal.unit, envelope_id, part_id)
        if remembered is not None:
            _check_offset(offset, len(remembered))
            with self.quotas.transfer(principal.unit, len(remembered) - offset) as transfer:
                for at in range(offset, len(remembered), CHUNK_BYTES):
                    chunk = remembered[at : at + CHUNK_BYTES]
                    transfer.flow(len(chunk))
                    yield chunk
            return
        _check_offset(offset, found.size_bytes)
        with self.quotas.transfer(principal.unit, found.size_bytes - offset) as transfer:
            async with aclosing(self._stored(principal.unit, found.blocks, offset)) as chunks:
                async for chunk in chunks:
                    transfer.flow(len(chunk))
                    yield chunk

    async def _stored(
        self, unit: str, blocks: Sequence[Block], offset: int
    ) -> AsyncGenerator[bytes, None]:
        start = 0
        for block in blocks:
            at = max(offset - start, 0)
            while at < block.size_bytes:
                async with self._held(unit, block) as held:
                    while at < block.size_bytes and held.data is not None:
                        chunk = held.data[at : at + CHUNK_BYTES]
                        at += len(chunk)
                        yield chunk
            start += block.size_bytes

    @asynccontextmanager
    async def _held(self, unit: str, block: Block) -> AsyncIterator[_Held]:
        """The block in memory, for no longer than a reader who keeps pace needs it.

        Memory is everybody's: from whoever reads too slowly the block is taken, and is read from
        the store once more when the reader wants the next bytes.
        """
        await self.budgets.take(unit, block.size_bytes)
        reading = asyncio.create_task(self._read(block))
        try:
            held = _Held(await asyncio.shield(reading))
        except BaseException:
            if reading.done():
                self.budgets.give_back(unit, block.size_bytes)
            else:
                # A thread is still at work with it, and its bytes count until then.
                reading.add_done_callback(lambda _: self.budgets.give_back(unit, block.size_bytes))
            raise

        def release() -> None:
            if held.data is not None:
                held.data = None
                self.budgets.give_back(unit, block.size_bytes)

        too_slow = asyncio.get_running_loop().call_later(
            self.idle_timeout_s + block.size_bytes / SLOWEST_BYTES_PER_S, release
        )
        del reading  # it holds the bytes, too
        try:
            yield held
        finally:
            too_slow.cancel()
            release()

    async def _read(self, block: Block) -> bytes:
        data = await self.blobs.get(block.key)
        digest = (
            hashlib.sha256(data)
            if block.size_bytes <= CHUNK_BYTES
            else await asyncio.to_thread(hashlib.sha256, data)
        )
        if digest.digest() != block.sha256:
            raise InternalError(f"object {block.key} is not what was stored; call an operator")
        return data


def _check_offset(offset: int, size: int) -> None:
    if not 0 <= offset <= size:
        raise InvalidRequest(
            f"offset {offset} is outside of the part's {size} bytes", field="offset"
        )
