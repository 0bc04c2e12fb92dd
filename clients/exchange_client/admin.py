"""AsyncAdminClient: what staff do to the registry: list it, change it, decide on proposals."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange.entries import Entry, kind_named
from document_exchange.entry_changes import Difference, Verb, check_count
from document_exchange.errors import NotFound
from document_exchange.v1 import admin_pb2, directory_pb2
from exchange_client.connection import Connection
from exchange_client.entries import from_message, keyed, name_of, to_message
from exchange_client.model import time_of

_PAGE_SIZE = 1000
_KIND_PREFIX = "ENTRY_KIND_"
_VERB_PREFIX = "VERB_"
_STANDING_PREFIX = "PROPOSAL_STANDING_"


class ProposalStanding(enum.StrEnum):
    """Where a proposal stands."""

    OPEN = "OPEN"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. Beside PUT only the entry's key counts, and the successor of a closed unit."""

    verb: Verb
    entry: Entry


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries of one kind as they were at one time."""

    entries: tuple[Entry, ...]
    """By key."""
    version: int
    """Of all entries of every kind; ``apply`` refuses what was decided upon an older one."""

    def find(self, key: str) -> Entry | None:
        """One of them, if there is such."""
        return next((entry for entry in self.entries if entry.key == key), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of changes."""

    differences: tuple[Difference, ...]
    """Empty if the registry says so already."""
    applied: bool
    proposal_id: str
    """The proposal that awaits a second person; empty if none is needed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that await, or had, a second person's decision."""

    proposal_id: str
    changes: tuple[Change, ...]
    standing: ProposalStanding
    proposed_by: str
    proposed_at: datetime
    reason: str
    decided_by: str
    """Empty while it is open."""
    decided_at: datetime | None
    decision_reason: str

    @classmethod
    def of(cls, message: admin_pb2.Proposal) -> Proposal:
        """From the message on the wire."""
        return cls(
            proposal_id=message.proposal_id,
            changes=tuple(
                Change(
                    Verb(name_of(admin_pb2.Verb.Name, each.verb, _VERB_PREFIX)),
                    from_message(each.entry),
                )
                for each in message.changes
            ),
            standing=ProposalStanding(
                name_of(admin_pb2.ProposalStanding.Name, message.standing, _STANDING_PREFIX)
            ),
            proposed_by=message.proposed_by,
            proposed_at=time_of(message.proposed_at),
            reason=message.reason,
            decided_by=message.decided_by,
            decided_at=time_of(message.decided_at) if message.HasField("decided_at") else None,
            decision_reason=message.decision_reason,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """A proposal as decided, and what differs now."""

    proposal: Proposal
    differences: tuple[Difference, ...]


class AsyncAdminClient:
    """The registry, as staff see it; ``AsyncClient.admin`` gives it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def role(self) -> str:
        """The caller's own role: operator, security or auditor; empty for who is no staff."""
        directory = self._connection.directory
        answer = await self._connection.call(directory.WhoAmI, directory_pb2.WhoAmIRequest())
        return answer.role

    async def entries(self, kind: str, unit_id: str | None = None) -> list[Entry]:
        """Every entry of one kind, by key; see ``listing``."""
        return list((await self.listing(kind, unit_id)).entries)

    async def listing(self, kind: str, unit_id: str | None = None) -> Listing:
        """Every entry of one kind, by key, and of which version they are.

        Args:
            kind: unit, system, staff, group, region, business, route or quota.
            unit_id: only those of this unit (units, systems, quotas).

        Raises:
            InvalidRequest: there is no such kind.
            NotPermitted: the caller is not staff.
        """
        request = admin_pb2.ListEntriesRequest(
            kind=admin_pb2.EntryKind.Value(_KIND_PREFIX + kind_named(kind).family.upper()),
            unit_id=unit_id or "",
            page_size=_PAGE_SIZE,
        )
        found: list[Entry] = []
        version = 0
        while True:
            page = await self._connection.call(self._connection.admin.ListEntries, request)
            found.extend(from_message(message) for message in page.entries)
            version = version or page.version  # the oldest: what changed since may be missing here
            if not page.next_page_token:
                return Listing(tuple(found), version)
            request.page_token = page.next_page_token

    async def entry(self, kind: str, key: str) -> Entry:
        """One entry.

        Raises:
            InvalidRequest: there is no such kind, or the key has not its shape.
            NotFound: there is no such entry.
        """
        found = await self.find(kind, key)
        if found is None:
            raise NotFound(f"there is no {kind} {key}", kind=kind, key=key)
        return found

    async def find(self, kind: str, key: str) -> Entry | None:
        """One entry, or None if there is no such.

        Raises:
            InvalidRequest: there is no such kind, or the key has not its shape.
        """
        return (await self.listing_around(kind, key)).find(key)

    async def listing_around(self, kind: str, key: str) -> Listing:
        """A listing that has the entry of this key, if there is such.

        Raises:
            InvalidRequest: there is no such kind, or the key has not its shape.
        """
        unit_id = getattr(keyed(kind, key), "unit_id", None)  # of the other kinds there are few
        return await self.listing(kind, None if unit_id == "*" else unit_id)

    async def apply(
        self,
        changes: Sequence[Change],
        *,
        dry_run: bool = False,
        reason: str = "",
        version: int = 0,
    ) -> Outcome:
        """Change the registry, in this order: all of it or nothing.

        A put gives a new entry its status; that of one which is there, verbs alone change.

        Args:
            changes: at most 2000.
            dry_run: only say what would differ.
            reason: why; becomes part of the events.
            version: of the listing upon which it was decided; 0: whatever there is now.

        Raises:
            EntriesChanged: the entries are not of that version any more.
            InvalidRequest: an entry is wrong; ``change`` or ``field`` says which, from 0.
            LimitExceeded: too many changes, or too many that await a second person.
            NotFound, Refused, RoleConflict: what entries must be to each other.
            NotPermitted: the caller's role may not change this.
        """
        check_count(len(changes))
        request = admin_pb2.ApplyChangesRequest(
            changes=[
                admin_pb2.Change(
                    verb=admin_pb2.Verb.Value(_VERB_PREFIX + change.verb.value),
                    entry=to_message(change.entry),
                )
                for change in changes
            ],
            dry_run=dry_run,
            reason=reason,
            version=version,
        )
        response = await self._connection.call(self._connection.admin.ApplyChanges, request)
        return Outcome(
            differences=tuple(_difference(each) for each in response.differences),
            applied=response.applied,
            proposal_id=response.proposal_id,
        )

    async def proposals(
        self, standing: ProposalStanding | None = None
    ) -> AsyncGenerator[Proposal, None]:
        """Proposals, newest first; pages are turned as needed.

        Args:
            standing: only those that stand so; None: all.
        """
        request = admin_pb2.ListProposalsRequest()
        if standing is not None:
            request.standing = admin_pb2.ProposalStanding.Value(_STANDING_PREFIX + standing.value)
        while True:
            page = await self._connection.call(self._connection.admin.ListProposals, request)
            for message in page.proposals:
                yield Proposal.of(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def proposal(self, proposal_id: str) -> Proposal:
        """One proposal.

        Raises:
            InvalidRequest: that is no proposal_id.
            NotFound: there is no such.
        """
        response = await self._connection.call(
            self._connection.admin.GetProposal,
            admin_pb2.GetProposalRequest(proposal_id=proposal_id),
        )
        return Proposal.of(response.proposal)

    async def decide(self, proposal_id: str, *, approve: bool, reason: str = "") -> Decision:
        """Approve a proposal, which applies it, or reject it.

        Raises:
            NotFound: there is no such.
            NotPermitted: the caller is not security staff.
            SecondPersonNeeded: the caller proposed it, and so may only reject it.
            Refused: it was decided otherwise, or the registry has changed since.
        """
        response = await self._connection.call(
            self._connection.admin.DecideProposal,
            admin_pb2.DecideProposalRequest(
                proposal_id=proposal_id, approve=approve, reason=reason
            ),
        )
        return Decision(
            proposal=Proposal.of(response.proposal),
            differences=tuple(_difference(each) for each in response.differences),
        )


def _difference(message: admin_pb2.Difference) -> Difference:
    return Difference(
        kind=name_of(admin_pb2.EntryKind.Name, message.kind, _KIND_PREFIX).lower(),
        key=message.key,
        field=message.field,
        before=message.before,
        after=message.after,
    )
