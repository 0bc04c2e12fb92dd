"""Administrator: changes the entries of the registry, all or none, by roles that are kept apart.

1. The caller's role is that of the registry as read now; the role decides which changes it makes.
2. What would differ is found (``comparison``); a dry run ends here, and so does what changes
   nothing.
3. What gives or takes rights for good awaits a second person (``proposals``), if so configured.
4. All entries are written, with an event for each, in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from document_exchange import fields
from document_exchange.entries import Entry, GroupEntry
from document_exchange.entry_changes import Difference, check_count
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server.administration import (
    EntriesLedger,
    active_staff,
    all_differences,
    because,
    check_caller,
    check_keeper,
    check_reason,
    registry_changed,
    until_unchanged,
)
from exchange_server.changes import Change, Entries
from exchange_server.comparison import compare
from exchange_server.proposals import Proposals
from exchange_server.requests import check_shape, page_limit
from exchange_server.second_person import needs_second_person


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of changes."""

    differences: tuple[Difference, ...]
    applied: bool
    proposal_id: str = ""
    """The proposal that awaits a second person; empty if none is needed."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Does the administrative acts."""

    ledger: EntriesLedger
    proposals: Proposals
    clock: Clock
    second_person: bool
    """Whether changes of staff and routes need a second member of security staff."""

    async def list_entries(
        self, kind: str, unit_id: str, page_size: int, page_token: str
    ) -> tuple[list[Entry], str]:
        """One page of a kind's entries by key, and the token of the next page ("" at the end).

        ``unit_id`` picks those of one unit (units, systems, quotas); "" means all. Groups come
        with their members.

        Raises:
            InvalidRequest: the page size or the unit_id is wrong.
        """
        limit = page_limit(page_size)
        if unit_id:
            check_shape(unit_id, fields.UnitId, "unit_id")
        entries = await self.ledger.load_entries()
        found = sorted(
            (entry.key, entry)
            for (family, _), entry in entries.by_key.items()
            if family == kind
            and (not unit_id or getattr(entry, "unit_id", "") == unit_id)
            and entry.key > page_token
        )
        page = [_with_members(entries, entry) for _, entry in found[:limit]]
        return page, page[-1].key if len(found) > limit else ""

    async def apply(
        self, principal: Principal, changes: Sequence[Change], *, dry_run: bool, reason: str
    ) -> Outcome:
        """Make the changes, all or none, or say what they would change, or propose them.

        Raises:
            InvalidRequest, NotFound, Refused, RoleConflict: see ``registry_rules``.
            NotPermitted: the caller's role does not keep these entries.
            StaffNotActive, CertificateRevoked: the caller is not what it was a moment ago.
            Unavailable: too many others change entries at once; or the outcome is unknown, and
                the same call may be repeated.
        """
        check_count(len(changes))
        check_reason(reason)

        async def once() -> Outcome | None:
            entries = await self.ledger.load_entries()
            staff = active_staff(entries, principal)
            for number, change in enumerate(changes):
                check_keeper(staff.role, change, number)
            changed = compare(entries, changes)
            differences = all_differences(changed)
            if dry_run or not changed:
                return Outcome(differences, applied=not dry_run)
            if self.second_person and needs_second_person(changes):
                proposal_id = await self.proposals.propose(principal, changes, differences, reason)
                return Outcome(differences, applied=False, proposal_id=proposal_id)
            prepared = registry_changed(principal, self.clock, changed, because({}, reason))
            outcome = await self.ledger.change_entries(
                entries.version, principal.fingerprint, changed, prepared
            )
            check_caller(outcome)
            return Outcome(differences, applied=True) if outcome == "APPLIED" else None

        return await until_unchanged(once)


def _with_members(entries: Entries, entry: Entry) -> Entry:
    if isinstance(entry, GroupEntry):
        return msgspec.structs.replace(entry, members=entries.members(entry.group_id))
    return entry
