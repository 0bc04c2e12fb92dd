"""Track: what was recorded about an envelope, and what a unit has sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from document_exchange import fields
from document_exchange.errors import InvalidRequest
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
MOST_PAGE_BYTES = 2 * 1024 * 1024
"""Of statements with the revocation lists that they need, and of the envelope, on one page."""
MOST_PAGE_STATEMENTS = 2000
"""How many of them are looked at, however small they are."""
LARGEST_SUBMISSIONS_PAGE = 100
MOST_STATUSES = 5000
"""Deliveries on one page of submissions: what fits into one message."""


class TrackLedger(Protocol):
    """What tracking asks of the ledger."""

    async def find_envelope_for(self, unit: str, envelope_id: str) -> AcceptedEnvelope | None: ...

    async def list_statuses(
        self, envelope_id: str, recipient: str | None, after: Place, limit: int
    ) -> list[DeliveryStatus]:
        """By recipient: those after the place, and that at it if it has more statements."""
        ...

    async def list_statements(
        self, envelope_id: str, wanted: Sequence[Range], most_bytes: int
    ) -> tuple[Mapping[str, list[StatementRecord]], list[bytes]]:
        """Statements by recipient, each list by seq, and the CRLs in force at their recording.

        In the order of the ranges as many as there is room for, and at least one.
        """
        ...

    async def list_submissions(
        self, unit: str, states: Sequence[State], before: str | None, limit: int
    ) -> list[SubmissionSummary]: ...


class Place(NamedTuple):
    """How far the pages before went: up to this statement of this delivery."""

    recipient: str
    seq: int
    """``ALL``: with nothing left of it."""

    @classmethod
    def of(cls, token: str) -> Place:
        """The place that a page token names.

        Raises:
            InvalidRequest: it is not one of ours.
        """
        if not token:
            return cls("", ALL)
        recipient, slash, seq = token.partition("/")
        check_shape(recipient, fields.UnitId, "page_token")
        if not slash:
            return cls(recipient, ALL)
        if _SEQ.fullmatch(seq) is None:
            raise InvalidRequest("page_token is not one that this service gave", field="page_token")
        return cls(recipient, int(seq))

    def __str__(self) -> str:
        return self.recipient if self.seq == ALL else f"{self.recipient}/{self.seq}"


ALL = fields.MAX_INTEGER
_SEQ = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)


class Range(NamedTuple):
    """Statements of one delivery: those after a seq, up to another."""

    recipient: str
    after: int
    up_to: int


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

        The sender sees every recipient, a recipient only itself. A history that does not fit
        goes on with the next page, under the status that the delivery has by then.

        Raises:
            NotFound: it does not exist, or the caller is neither sender nor recipient.
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        check_identifier(envelope_id)
        after = Place.of(page_token)
        limit = page_limit(page_size, LARGEST_TRACK_PAGE)
        envelope = await self.ledger.find_envelope_for(principal.unit, envelope_id)
        if envelope is None:
            raise envelope_not_found(envelope_id)
        only = None if envelope.sender == principal.unit else principal.unit
        statuses = await self.ledger.list_statuses(envelope_id, only, after, limit)
        room = MOST_PAGE_BYTES
        if not page_token:  # the envelope comes with the first page
            room -= len(envelope.manifest) + sum(map(len, envelope.signatures))
        wanted = _wanted(statuses, after)
        statements, crls = await self.ledger.list_statements(envelope_id, wanted, room)
        shown, end = _shown(statuses, wanted, statements)
        more = end is not None or len(statuses) == limit
        page = Tracked(envelope, shown, tuple(crls))
        return page, str(end or Place(statuses[-1].recipient, ALL)) if more else ""

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


def _wanted(statuses: Sequence[DeliveryStatus], after: Place) -> list[Range]:
    """Which statements the next page may show; bounded, since ``seq`` counts them."""
    wanted: list[Range] = []
    room = MOST_PAGE_STATEMENTS
    for status in statuses:
        seq = after.seq if status.recipient == after.recipient else 0
        wanted.append(Range(status.recipient, seq, min(status.seq, seq + room)))
        room -= wanted[-1].up_to - seq
    return wanted


def _shown(
    statuses: Sequence[DeliveryStatus],
    wanted: Sequence[Range],
    statements: Mapping[str, Sequence[StatementRecord]],
) -> tuple[tuple[tuple[DeliveryStatus, tuple[StatementRecord, ...]], ...], Place | None]:
    """What stands on the page, and where it ends if that is before the last of them."""
    shown: list[tuple[DeliveryStatus, tuple[StatementRecord, ...]]] = []
    for status, each in zip(statuses, wanted, strict=True):
        found = tuple(statements.get(status.recipient, ()))
        reached = each.after + len(found)
        if found or status.seq == each.after:
            shown.append((status, found))
        if reached < status.seq:
            if found:
                return tuple(shown), Place(status.recipient, reached)
            return tuple(shown), Place(shown[-1][0].recipient, ALL)
    return tuple(shown), None
