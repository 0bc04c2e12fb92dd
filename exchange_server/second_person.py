"""What a second person decides on: a proposal, and whether this one may approve it now.

Approving takes

1. an active member of security staff, who is not the person that proposed it, by whatever name;
2. that whoever proposed it still is active security staff, so that two persons stand for it;
3. that it would change now exactly what it would have changed when it was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from document_exchange.entries import StaffEntry
from document_exchange.entry_changes import Difference, Verb
from document_exchange.entry_rules import person_of
from document_exchange.errors import Refused, SecondPersonNeeded
from exchange_runtime.values import Principal
from exchange_server.administration import SHIELDED, acting_changes
from exchange_server.changes import Change, Changed, Entries

OPEN, APPLIED, REJECTED = "OPEN", "APPLIED", "REJECTED"

_LONGEST_LIST = 3900
"""Characters of one text of an event, less the words around it."""


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal holds: the changes, and what they changed when it was made."""

    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that await, or had, a second person's decision."""

    proposal_id: str
    content: bytes
    """``Proposed`` as JSON."""
    standing: str
    """OPEN, APPLIED or REJECTED."""
    proposed_by: str
    """SPIFFE ID."""
    proposed_at: datetime
    reason: str
    decided_by: str = ""
    decided_at: datetime | None = None
    decision_reason: str = ""

    @property
    def proposed(self) -> Proposed:
        """What it holds."""
        return msgspec.json.decode(self.content, type=Proposed)

    def detail(self) -> dict[str, str]:
        """What events about it say: which changes, and the digest of all that it holds."""
        changes = self.proposed.changes
        names = "; ".join(str(change) for change in changes)
        return {
            "proposal": self.proposal_id,
            "changes": names if len(names) <= _LONGEST_LIST else names[:_LONGEST_LIST] + " …",
            "count": str(len(changes)),
            "sha256": hashlib.sha256(self.content).hexdigest(),
        }


def needs_second_person(changes: Sequence[Change], changed: Sequence[Changed]) -> bool:
    """Whether some of the changes give or take rights for good. Suspending must not wait."""
    return any(
        change.kind in SHIELDED and change.verb is not Verb.SUSPEND for change in changes
    ) or any(map(acting_changes, changed))


def check_approval(
    entries: Entries, proposal: Proposal, proposer: str, approver: StaffEntry
) -> None:
    """Whether this member of security staff may approve the proposal now.

    ``proposer`` is the name in ``proposed_by``.

    Raises:
        SecondPersonNeeded: it is the one who proposed it, by this name or an earlier one.
        Refused: who proposed it is no active security staff any more.
    """
    first = entries.find(StaffEntry, proposer)
    if first is None or person_of(first) == person_of(approver):
        raise SecondPersonNeeded(
            f"{approver.name} proposed this and can't approve it: another member of security "
            "staff must",
            field="proposal_id",
        )
    if first.status != "ACTIVE" or first.role != "security":
        raise Refused(
            f"{proposer}, who proposed this, is {first.role} staff and {first.status.lower()}: "
            "reject it, and propose it yourself if it is still right",
            field="proposal_id",
        )


def check_unchanged(proposal: Proposal, now: Sequence[Difference]) -> None:
    """What is approved is what was proposed.

    Raises:
        Refused: the registry has changed since, so that the changes mean something else.
    """
    if tuple(now) != proposal.proposed.differences:
        raise Refused(
            "the registry has changed since this was proposed, so it would do something else "
            "now: reject it and propose it again",
            field="proposal_id",
        )


def decided_before(
    proposal: Proposal, principal: Principal, approve: bool
) -> tuple[Proposal, tuple[Difference, ...]]:
    """The answer to a decision that is repeated because no answer came.

    Raises:
        Refused: it was decided otherwise, or by somebody else.
    """
    wanted = APPLIED if approve else REJECTED
    if (proposal.standing, proposal.decided_by) == (wanted, str(principal.identity)):
        return proposal, proposal.proposed.differences if approve else ()
    raise Refused(
        f"the proposal was {proposal.standing.lower()} by {proposal.decided_by}",
        field="proposal_id",
    )
