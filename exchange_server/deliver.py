"""Deliver: what a unit has received, the envelopes themselves, and the bytes of their parts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from document_exchange import codes
from document_exchange.errors import InternalError, InvalidRequest, NotFound
from document_exchange.receipt import State
from exchange_server.budget import Budgets
from exchange_server.recent import RecentParts
from exchange_server.values import AcceptedEnvelope, Block, DeliverySummary, Principal

CHUNK_BYTES = 256 * 1024
LARGEST_PAGE = 1000
DEFAULT_PAGE = 100


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

    async def find_part_for(
        self, unit: str, envelope_id: str, part_id: str
    ) -> tuple[int, Sequence[Block]] | None:
        """Size and blocks of a part if ``unit`` is sender or recipient of its envelope."""
        ...


class BlobReader(Protocol):
    """Where blocks are kept."""

    async def get(self, key: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Answers what a unit may read."""

    ledger: DeliveryLedger
    blobs: BlobReader
    budgets: Budgets
    recent: RecentParts

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
        return found

    async def download(
        self, principal: Principal, envelope_id: str, part_id: str, offset: int
    ) -> AsyncIterator[bytes | memoryview]:
        """The bytes of a part from ``offset`` on, in chunks of at most 256 KiB.

        Every block is held against its SHA-256 before a byte of it is given out.

        Raises:
            NotFound: no such part in an envelope that the caller may see.
            InvalidRequest: the offset lies outside of the part.
            InternalError: the store returned other bytes than were stored.
        """
        check_identifier(envelope_id)
        remembered = self.recent.recall(principal.unit, envelope_id, part_id)
        if remembered is not None:
            _check_offset(offset, len(remembered))
            for chunk in _chunks(remembered, offset):
                yield chunk
            return
        found = await self.ledger.find_part_for(principal.unit, envelope_id, part_id)
        if found is None:
            raise NotFound(
                f"there is no part {part_id[:64]!r} in an envelope {envelope_id} that you may see",
                envelope_id=envelope_id,
            )
        size, blocks = found
        _check_offset(offset, size)
        start = 0
        for block in blocks:
            end = start + block.size_bytes
            if end > offset:
                async with self.budgets.hold(principal.unit, block.size_bytes):
                    data = await self._read(block)
                    for chunk in _chunks(data, max(offset - start, 0)):
                        yield chunk
            start = end

    async def _read(self, block: Block) -> bytes:
        data = await self.blobs.get(block.key)
        if hashlib.sha256(data).digest() != block.sha256:
            raise InternalError(f"object {block.key} is not what was stored; call an operator")
        return data


def _check_offset(offset: int, size: int) -> None:
    if not 0 <= offset <= size:
        raise InvalidRequest(
            f"offset {offset} is outside of the part's {size} bytes", field="offset"
        )


def _chunks(data: bytes, offset: int) -> list[memoryview]:
    view = memoryview(data)
    return [view[at : at + CHUNK_BYTES] for at in range(offset, len(data), CHUNK_BYTES)]


def page_limit(page_size: int, largest: int = LARGEST_PAGE) -> int:
    """How many entries a page gets.

    Raises:
        InvalidRequest: ``page_size`` is negative.
    """
    if page_size < 0:
        raise InvalidRequest("page_size must not be negative", field="page_size")
    return min(page_size or DEFAULT_PAGE, largest)


def read_page(
    page_size: int, page_token: str, largest: int = LARGEST_PAGE
) -> tuple[int, str | None]:
    """(limit, envelope_id to continue before) of a paged request.

    Raises:
        InvalidRequest: ``page_size`` is negative, or the token is not one of ours.
    """
    if page_token and not codes.is_uuid7(page_token):
        raise InvalidRequest("page_token is not one that this service gave", field="page_token")
    return page_limit(page_size, largest), page_token or None


def check_identifier(envelope_id: str) -> None:
    """Raise InvalidRequest unless this has the shape of an envelope_id."""
    if not codes.is_uuid7(envelope_id):
        raise InvalidRequest(
            f"{envelope_id[:64]!r} is not an envelope_id (a UUIDv7 in lower case)",
            field="envelope_id",
        )


def envelope_not_found(envelope_id: str) -> NotFound:
    """The same answer for what does not exist and for what is not the caller's to see."""
    return NotFound(f"there is no envelope {envelope_id} that you may see", envelope_id=envelope_id)
