"""Evidence: everything that proves what became of an envelope, under an index by the centre.

1. Plan: the digests of all files (``evidence_plan``). A unit makes one plan at a time, so that it
   queues behind itself, and the process a few, since each may have some MiB.
2. Seal: the index of exactly that, or the one that was sealed before (``evidence_sealing``).
3. Take what will go out from the unit's quota; nothing is cut off in its middle afterwards.
4. The files themselves, page by page in the order of their paths (``evidence_files``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from document_exchange import fields
from document_exchange.errors import LimitExceeded, Unavailable
from document_exchange.evidence import MAX_CHOSEN_RECIPIENTS, Content
from exchange_runtime.requests import check_shape
from exchange_runtime.values import Principal
from exchange_server.budget import Shares
from exchange_server.evidence_files import EvidenceFiles
from exchange_server.evidence_plan import EvidencePlanner
from exchange_server.evidence_sealing import IndexSealer
from exchange_server.quotas import Quotas
from exchange_server.requests import check_identifier

COLLECTED_AT_ONCE = 4
"""Bundles whose digests are in memory at once, in one process."""
COLLECTED_AT_ONCE_FOR_A_UNIT = 1
LONGEST_WAIT_S = 30.0
"""For a place among these."""


@dataclass(frozen=True, slots=True)
class EvidenceCollector:
    """Collects the evidence about an envelope for one of its parties."""

    planner: EvidencePlanner
    sealer: IndexSealer
    reader: EvidenceFiles
    quotas: Quotas
    longest_wait_s: float = LONGEST_WAIT_S
    places: Shares = field(
        default_factory=lambda: Shares(COLLECTED_AT_ONCE, COLLECTED_AT_ONCE_FOR_A_UNIT)
    )

    async def files(
        self,
        principal: Principal,
        envelope_id: str,
        recipients: Sequence[str],
        content: Content,
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Path and bytes of each file but the parts, in the order of the paths.

        A file may come in several pieces, one after the other. Whatever is raised comes before the
        first byte, unless the ledger fails.

        Args:
            recipients: only about these; none means all that the caller may see: its own if it is
                a recipient, every one if it is the sender.

        Raises:
            NotFound: there is no such envelope for the caller, or no such recipient.
            InvalidRequest: an argument is malformed.
            LimitExceeded: too many recipients are named, the files are more than one bundle holds,
                or the unit had too many indexes sealed about this envelope today.
            StateConflict: parts are asked for, and the document was withdrawn from the caller.
            QuotaExceeded: the caller's unit has moved as many bytes as it may for now.
            Unavailable: no place became free, or the centre can't seal the index now.
        """
        check_identifier(envelope_id)
        _check_recipients(recipients)
        async with self._place(principal.unit):
            # 1. What it will hold.
            plan = await self.planner.plan(principal, envelope_id, frozenset(recipients), content)
            # 2. Under seal.
            index = await self.sealer.sealed(principal, plan)
            plan.files.clear()  # the index has them
        # 3. Paid for as a whole.
        size_bytes = self.reader.size_bytes(plan, index)
        with self.quotas.transfer(principal.unit, size_bytes) as transfer:
            # 4. Sent.
            async with aclosing(self.reader.in_order(plan, index)) as made:
                async for path, data in made:
                    transfer.flow(len(data))
                    yield path, data

    @asynccontextmanager
    async def _place(self, unit: str) -> AsyncIterator[None]:
        """A place of the unit first, then one of the process; nobody holds one while sending."""
        try:
            async with asyncio.timeout(self.longest_wait_s):
                await self.places.take(unit, 1)
        except TimeoutError:
            raise Unavailable(
                "other evidence is being put together, of your unit or of others: try again later"
            ) from None
        try:
            yield
        finally:
            self.places.give_back(unit, 1)


def _check_recipients(recipients: Sequence[str]) -> None:
    if len(recipients) > MAX_CHOSEN_RECIPIENTS:
        raise LimitExceeded(
            f"evidence is about all recipients or about {MAX_CHOSEN_RECIPIENTS} of them at most: "
            "name fewer, or none for all",
            field="recipients",
            limit=str(MAX_CHOSEN_RECIPIENTS),
        )
    for each in recipients:
        check_shape(each, fields.UnitId, "recipients")
