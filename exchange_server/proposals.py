"""Proposals: changes that wait for a second person, who approves them or rejects them.

Approving applies a proposal; ``second_person`` says what that takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from document_exchange import codes, identity
from document_exchange.entries import StaffEntry
from document_exchange.entry_changes import Difference
from document_exchange.errors import InvalidRequest, LimitExceeded, NotFound, NotPermitted
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.requests import page_limit
from exchange_runtime.values import PreparedEvent, Principal
from exchange_server.administration import (
    Comparer,
    EntriesLedger,
    active_staff,
    because,
    check_caller,
    check_keeper,
    check_reason,
    registry_changed,
    until_unchanged,
)
from exchange_server.changes import Change, Entries
from exchange_server.second_person import (
    OPEN,
    Proposal,
    Proposed,
    check_approval,
    check_unchanged,
    decided_before,
)

MOST_OPEN = 100
"""Proposals that may be open at once, so that each of them is looked at."""

MOST_OPEN_OF_ONE = 20
"""Of these, those that one person proposed: nobody fills the place of the others."""

LARGEST_PAGE = 20
"""Proposals on a page."""

LARGEST_PAGE_BYTES = 2 * 1024 * 1024
"""What they hold together, unless it is one alone. Messages are limited to 16 MiB."""

MOST_PROPOSED = 200
"""Changes of one proposal: as many as somebody can look through."""

_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class ProposalLedger(EntriesLedger, Protocol):
    """Where proposals are kept. The outcomes are those of the ledger's functions."""

    async def propose(
        self,
        version: int,
        caller: bytes,
        proposal: Proposal,
        prepared: PreparedEvent,
        most_open: tuple[int, int],
    ) -> tuple[str, str]:
        """(outcome, proposal_id). ``most_open``: of all, and of the caller's own."""
        ...

    async def reject_proposal(
        self, version: int, caller: bytes, proposal_id: str, reason: str, prepared: PreparedEvent
    ) -> str: ...

    async def find_proposal(self, proposal_id: str) -> Proposal | None: ...

    async def list_proposals(self, standing: str, before: str, limit: int) -> list[Proposal]: ...


@dataclass(frozen=True, slots=True)
class Proposals:
    """Makes proposals, lists them and has them decided."""

    ledger: ProposalLedger
    clock: Clock
    comparer: Comparer

    async def listed(
        self, standing: str, page_size: int, page_token: str
    ) -> tuple[list[Proposal], str]:
        """One page of proposals, newest first, and the token of the next page ("" at the end).

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit = min(page_limit(page_size), LARGEST_PAGE)
        if page_token and not codes.is_uuid7(page_token):
            raise InvalidRequest("page_token is not one that this service gave", field="page_token")
        found = await self.ledger.list_proposals(standing, page_token or _LAST_ID, limit + 1)
        page = found[:1]
        size = sum(len(each.content) for each in page)
        for each in found[1:limit]:
            size += len(each.content)
            if size > LARGEST_PAGE_BYTES:
                break
            page.append(each)
        return page, page[-1].proposal_id if len(found) > len(page) else ""

    async def found(self, proposal_id: str) -> Proposal:
        """One proposal.

        Raises:
            NotFound: there is no such.
            InvalidRequest: this is no proposal_id.
        """
        if not codes.is_uuid7(proposal_id):
            raise InvalidRequest("proposal_id is not a UUIDv7 in lower case", field="proposal_id")
        proposal = await self.ledger.find_proposal(proposal_id)
        if proposal is None:
            raise NotFound(f"there is no proposal {proposal_id}", field="proposal_id")
        return proposal

    async def decide(
        self, principal: Principal, proposal_id: str, *, approve: bool, reason: str
    ) -> tuple[Proposal, tuple[Difference, ...]]:
        """Approve a proposal, which applies it, or reject it. Repeating a decision is the same.

        Raises:
            NotFound: there is no such proposal.
            SecondPersonNeeded: who proposed it may only reject it.
            NotPermitted: the caller is no security staff.
            Refused: it was decided otherwise, or is not what it was when it was made.
            Unavailable: as for ``apply``.
        """
        check_reason(reason)

        async def once() -> tuple[Proposal, tuple[Difference, ...]] | None:
            proposal = await self.found(proposal_id)
            entries = await self.ledger.load_entries()
            staff = active_staff(entries, principal)
            if staff.role != "security":
                raise NotPermitted(f"{staff.role} staff may not decide proposals")
            if proposal.standing != OPEN:
                return decided_before(proposal, principal, approve)
            if approve:
                return await self._approve(principal, staff, proposal, entries, reason)
            return await self._reject(principal, entries.version, proposal, reason)

        return await until_unchanged(once)

    async def propose(
        self,
        principal: Principal,
        version: int,
        changes: Sequence[Change],
        differences: tuple[Difference, ...],
        reason: str,
    ) -> str:
        """Have changes await a second person; returns the proposal_id. Again, it is the same.

        "" if the entries are not of this version any more: decide again.

        Raises:
            LimitExceeded: too many changes, or too many open proposals.
        """
        if len(changes) > MOST_PROPOSED:
            raise LimitExceeded(
                f"{len(changes)} changes await a second person; at most {MOST_PROPOSED} may at "
                "once: propose fewer",
                field="changes",
                limit=str(MOST_PROPOSED),
            )
        now = self.clock()
        content = msgspec.json.encode(Proposed(changes=tuple(changes), differences=differences))
        made = Proposal(codes.new_id(now), content, OPEN, str(principal.identity), now, reason)
        detail = because(made.detail(), reason)
        prepared = events.prepare("PROPOSAL_MADE", now, principal, detail=detail)
        outcome, proposal_id = await self.ledger.propose(
            version, principal.fingerprint, made, prepared, (MOST_OPEN, MOST_OPEN_OF_ONE)
        )
        check_caller(outcome)
        for full, limit, whose in (
            ("TOO_MANY", MOST_OPEN, ""),
            ("TOO_MANY_OWN", MOST_OPEN_OF_ONE, " of yours"),
        ):
            if outcome == full:
                raise LimitExceeded(
                    f"{limit} proposals{whose} are open: have some of them decided first",
                    limit=str(limit),
                )
        return proposal_id

    async def _approve(
        self,
        principal: Principal,
        staff: StaffEntry,
        proposal: Proposal,
        entries: Entries,
        reason: str,
    ) -> tuple[Proposal, tuple[Difference, ...]] | None:
        proposer = identity.parse(proposal.proposed_by).name
        check_approval(entries, proposal, proposer, staff)
        changes = proposal.proposed.changes
        for number, change in enumerate(changes):
            check_keeper(staff.role, change, number)
        changed, differences = await self.comparer.compare(entries, changes, staff.role)
        check_unchanged(proposal, differences)
        detail = {**proposal.detail(), "proposed_by": proposal.proposed_by}
        approved = events.prepare(
            "PROPOSAL_APPROVED", self.clock(), principal, detail=because(detail, reason)
        )
        further = {"proposal": proposal.proposal_id, "proposed_by": proposal.proposed_by}
        prepared = registry_changed(
            principal, self.clock, changed, because(further, proposal.reason)
        )
        outcome = await self.ledger.change_entries(
            entries.version,
            principal.fingerprint,
            changed,
            [approved, *prepared],
            (proposal.proposal_id, reason),
        )
        check_caller(outcome)
        if outcome != "APPLIED":
            return None
        return await self._read_again(proposal), differences

    async def _reject(
        self, principal: Principal, version: int, proposal: Proposal, reason: str
    ) -> tuple[Proposal, tuple[Difference, ...]] | None:
        detail = {**proposal.detail(), "proposed_by": proposal.proposed_by}
        prepared = events.prepare(
            "PROPOSAL_REJECTED", self.clock(), principal, detail=because(detail, reason)
        )
        outcome = await self.ledger.reject_proposal(
            version, principal.fingerprint, proposal.proposal_id, reason, prepared
        )
        check_caller(outcome)
        return (await self._read_again(proposal), ()) if outcome == "REJECTED" else None

    async def _read_again(self, proposal: Proposal) -> Proposal:
        return await self.ledger.find_proposal(proposal.proposal_id) or proposal
