"""Administrator: changes the entries of the registry, all or none, by roles that are kept apart.

1. The caller's role is that of the registry as read now; the role decides which changes it makes.
2. What would differ is found (``comparison``); a dry run ends here, and so does what changes
   nothing.
3. What gives or takes rights for good awaits a second person (``proposals``), if so configured.
4. All entries are written, with an event for each, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from document_exchange import fields
from document_exchange.entries import Entry, GroupEntry
from document_exchange.entry_changes import Difference, check_count
from document_exchange.errors import EntriesChanged
from exchange_runtime.clock import Clock
from exchange_runtime.requests import check_shape, page_limit
from exchange_runtime.values import Principal
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
from exchange_server.changes import Change
from exchange_server.proposals import Proposals
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
    comparer: Comparer

    async def list_entries(
        self, kind: str, unit_id: str, page_size: int, page_token: str
    ) -> tuple[list[Entry], str, int]:
        """One page of a kind's entries by key, the token of the next page ("" at the end), and the
        version of all entries.

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
        page = [entry for _, entry in found[:limit]]
        token = page[-1].key if len(found) > limit else ""
        members = entries.members() if kind == GroupEntry.family else {}
        return [_with_members(members, entry) for entry in page], token, entries.version

    async def apply(
        self,
        principal: Principal,
        changes: Sequence[Change],
        *,
        dry_run: bool,
        reason: str,
        version: int = 0,
    ) -> Outcome:
        """Make the changes, all or none, or say what they would change, or propose them.

        ``version``: that of the entries upon which they were decided; 0: whatever there is now.

        Raises:
            InvalidRequest, NotFound, Refused, RoleConflict: see ``registry_rules``.
            NotPermitted: the caller's role does not keep these entries.
            EntriesChanged: the entries are not of this version any more, and it makes a difference.
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
            changed, differences = await self.comparer.compare(entries, changes, staff.role)
            # What is so already was perhaps made by this very call, whose answer was lost.
            if version and version != entries.version and changed:
                raise EntriesChanged
            if dry_run or not changed:
                return Outcome(differences, applied=not dry_run)
            if entries.second_person and needs_second_person(changes, changed):
                proposal_id = await self.proposals.propose(
                    principal, entries.version, changes, differences, reason
                )
                return Outcome(differences, False, proposal_id) if proposal_id else None
            prepared = registry_changed(principal, self.clock, changed, because({}, reason))
            outcome = await self.ledger.change_entries(
                entries.version, principal.fingerprint, changed, prepared
            )
            check_caller(outcome)
            return Outcome(differences, applied=True) if outcome == "APPLIED" else None

        return await until_unchanged(once)


def _with_members(members: Mapping[str, Sequence[str]], entry: Entry) -> Entry:
    if isinstance(entry, GroupEntry):
        return msgspec.structs.replace(entry, members=tuple(members.get(entry.group_id, ())))
    return entry
