"""Track: what was recorded about an envelope, and what a unit has sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from document_exchange import fields
from document_exchange.receipt import State
from exchange_runtime.requests import check_shape, page_limit, read_page
from exchange_runtime.values import Principal
from exchange_server.requests import check_identifier, envelope_not_found
from exchange_server.values import (
    AcceptedEnvelope,
    DeliveryStatus,
    StatementRecord,
    SubmissionSummary,
)

LARGEST_TRACK_PAGE = 200
LARGEST_SUBMISSIONS_PAGE = 100
MOST_STATUSES = 5000
"""Deliveries on one page of submissions: what fits into one message."""


class TrackLedger(Protocol):
    """What tracking asks of the ledger."""

    async def find_envelope_for(self, unit: str, envelope_id: str) -> AcceptedEnvelope | None: ...

    async def list_statuses(
        self, envelope_id: str, recipient: str | None, after: str, limit: int
    ) -> list[DeliveryStatus]: ...

    async def list_statements(
        self, envelope_id: str, statuses: Sequence[DeliveryStatus]
    ) -> Mapping[str, list[StatementRecord]]:
        """Statements after ACCEPTED by recipient, each list by seq, up to its status's seq."""
        ...

    async def crls_of(self, envelope_id: str, recipients: Sequence[str]) -> list[bytes]:
        """The revocation lists that were in force when their statements were recorded."""
        ...

    async def list_submissions(
        self, unit: str, states: Sequence[State], before: str | None, limit: int
    ) -> list[SubmissionSummary]: ...


@dataclass(frozen=True, slots=True)
class Tracked:
    """An envelope with the deliveries that the caller may see, and their histories."""

    envelope: AcceptedEnvelope
    deliveries: tuple[tuple[DeliveryStatus, tuple[StatementRecord, ...]], ...]
    crls: tuple[bytes, ...]
    """Every revocation list that was in force when one of the statements was recorded."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """Answers what became of envelopes."""

    ledger: TrackLedger

    async def track(
        self, principal: Principal, envelope_id: str, page_size: int, page_token: str
    ) -> tuple[Tracked, str]:
        """One page of deliveries by recipient, and the next page's token ("" at the end).

        The sender sees every recipient, a recipient only itself.

        Raises:
            NotFound: it does not exist, or the caller is neither sender nor recipient.
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        check_identifier(envelope_id)
        if page_token:
            check_shape(page_token, fields.UnitId, "page_token")
        limit = page_limit(page_size, LARGEST_TRACK_PAGE)
        envelope = await self.ledger.find_envelope_for(principal.unit, envelope_id)
        if envelope is None:
            raise envelope_not_found(envelope_id)
        only = None if envelope.sender == principal.unit else principal.unit
        statuses = await self.ledger.list_statuses(envelope_id, only, page_token, limit)
        statements = await self.ledger.list_statements(envelope_id, statuses)
        crls = await self.ledger.crls_of(envelope_id, [s.recipient for s in statuses])
        tracked = Tracked(
            envelope,
            tuple((status, tuple(statements.get(status.recipient, ()))) for status in statuses),
            tuple(crls),
        )
        return tracked, statuses[-1].recipient if len(statuses) == limit else ""

    async def submissions(
        self, principal: Principal, states: Sequence[State], page_size: int, page_token: str
    ) -> tuple[list[SubmissionSummary], str]:
        """One page of what the caller's unit sent, newest first, and the next page's token.

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit, before = read_page(page_size, page_token, LARGEST_SUBMISSIONS_PAGE)
        found = await self.ledger.list_submissions(principal.unit, states, before, limit)
        page: list[SubmissionSummary] = []
        room = MOST_STATUSES
        for submission in found:
            room -= len(submission.deliveries)
            if page and room < 0:
                break
            page.append(submission)
        more = len(page) < len(found) or len(found) == limit
        return page, page[-1].envelope_id if more else ""
