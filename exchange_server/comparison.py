"""What changes would make of the registry: pure, so that a dry run and the act are one thing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import msgspec

from document_exchange.entries import (
    KINDS,
    Entry,
    GroupEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.entry_changes import Verb, check_members
from document_exchange.entry_rules import checked, wrong
from document_exchange.errors import ExchangeError, InvalidRequest, NotFound, Refused
from exchange_server.changes import Change, Changed, Entries
from exchange_server.registry_rules import check_following, check_whole

_STATEFUL = frozenset({"unit", "system", "staff"})
_REMOVABLE = frozenset({"group", "route", "quota"})


def compare(before: Entries, changes: Sequence[Change], role: str = "") -> list[Changed]:
    """What differs once the changes are applied in their order; nothing else comes of it.

    ``role`` is that of the member of staff who makes them; "" is the owner of the ledger.

    Raises:
        InvalidRequest, NotFound, Refused, RoleConflict: one of the rules above, or a verb that an
            entry of this kind does not know. ``change`` says which, counted from 0, where one
            alone is at fault.
        LimitExceeded: the groups among them have too many members.
    """
    check_members(sum(len(_members(change)) for change in changes))
    draft = _Draft(before, role)
    for number, change in enumerate(changes):
        try:
            draft.apply(change)
        except ExchangeError as error:
            error.attributes = {**error.attributes, "change": str(number)}
            raise
    after = draft.entries()
    changed = [
        Changed(
            before.by_key.get(key), after.by_key.get(key), key in before.held, key in after.held
        )
        for key in dict.fromkeys(chain(before.by_key, after.by_key))
        if before.by_key.get(key) != after.by_key.get(key)
        or (key in before.held) != (key in after.held)
    ]
    check_whole(before, after, changed)
    # What others refer to comes first, as it is written and told.
    order = list(KINDS)
    return sorted(changed, key=lambda each: (order.index(each.entry.family), each.entry.key))


def _members(change: Change) -> Sequence[str]:
    return (isinstance(change.entry, GroupEntry) and change.entry.members) or ()


class _Draft:
    """The entries as they become, with the members of each group at hand."""

    def __init__(self, before: Entries, role: str) -> None:
        self._version = before.version
        self._role = role
        self._entries = dict(before.by_key)
        self._held = set(before.held)
        self._members: dict[str, set[str]] = {}
        for unit in before.of(UnitEntry):
            self._join(unit)

    def entries(self) -> Entries:
        """As they are now."""
        return Entries(self._version, self._entries, frozenset(self._held))

    def apply(self, change: Change) -> None:
        """Make one change."""
        key = (change.kind, change.key)
        before = self._entries.get(key)
        if change.verb is Verb.PUT:
            assert change.entry is not None
            self._put(before, checked(change.entry))
            return
        if change.kind not in (_REMOVABLE if change.verb is Verb.REMOVE else _STATEFUL):
            raise InvalidRequest(f"{change.verb} is not for a {change.kind}", field="verb")
        if before is None and change.kind == "system" and change.verb is not Verb.RESUME:
            # A system is there by its certificate; its first entry may be the one that shuts it
            # out.
            unit_id, _, name = change.key.partition("/")
            before = SystemEntry(unit_id=unit_id, name=name, status="ACTIVE")
        if before is None:
            raise NotFound(f"there is no {change.kind} {change.key}", field=change.kind)
        if change.verb is Verb.REMOVE:
            self._remove(before)
            return
        assert isinstance(before, UnitEntry | SystemEntry | StaffEntry)
        status = {Verb.SUSPEND: "SUSPENDED", Verb.RESUME: "ACTIVE", Verb.CLOSE: "CLOSED"}
        after = msgspec.structs.replace(before, status=status[change.verb])
        if isinstance(after, UnitEntry) and change.successor:
            after = msgspec.structs.replace(after, successor=change.successor)
        self._keep(check_following(before, after))
        if change.verb is Verb.SUSPEND and self._role == "security" and change.kind != "staff":
            self._held.add(key)

    def _put(self, before: Entry | None, entry: Entry) -> None:
        if isinstance(entry, UnitEntry | SystemEntry | StaffEntry):
            was = before.status if isinstance(before, UnitEntry | SystemEntry | StaffEntry) else ""
            if self._role and was and entry.status not in ("", was):
                raise Refused(
                    f"{entry.family} {entry.key} is {was}: a put does not change that; suspend, "
                    "resume and close do",
                    field=f"{entry.family}.status",
                )
            entry = msgspec.structs.replace(entry, status=entry.status or was or "ACTIVE")
        elif isinstance(entry, GroupEntry):
            if entry.members is not None:
                self._set_members(entry, entry.members)
            entry = msgspec.structs.replace(entry, members=None)
        self._keep(check_following(before, entry))

    def _set_members(self, group: GroupEntry, members: Sequence[str]) -> None:
        """Have these units name the group, and no others; closed ones stay as they are."""
        for unit_id in members:
            unit = self._entries.get(("unit", unit_id))
            if not isinstance(unit, UnitEntry):
                raise wrong(group, "members", f"names {unit_id}, which is no unit")
            if unit.status == "CLOSED":
                raise wrong(group, "members", f"names {unit_id}, which is closed")
        for unit_id in sorted(self._members.get(group.group_id, set()) ^ set(members)):
            unit = self._entries["unit", unit_id]
            assert isinstance(unit, UnitEntry)
            if unit.status != "CLOSED":
                groups = tuple(sorted({*unit.groups} ^ {group.group_id}))
                self._keep(checked(msgspec.structs.replace(unit, groups=groups)))

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.family, entry.key]
        if isinstance(entry, GroupEntry):
            for unit_id in sorted(self._members.get(entry.group_id, ())):
                unit = self._entries["unit", unit_id]
                assert isinstance(unit, UnitEntry)
                left = tuple(name for name in unit.groups if name != entry.group_id)
                self._keep(msgspec.structs.replace(unit, groups=left))

    def _keep(self, entry: Entry) -> None:
        key = (entry.family, entry.key)
        if isinstance(entry, UnitEntry):
            before = self._entries.get(key)
            for group_id in before.groups if isinstance(before, UnitEntry) else ():
                self._members[group_id].discard(entry.unit_id)
            self._join(entry)
        self._entries[key] = entry
        if isinstance(entry, UnitEntry | SystemEntry) and entry.status != "SUSPENDED":
            self._held.discard(key)

    def _join(self, unit: UnitEntry) -> None:
        for group_id in unit.groups:
            self._members.setdefault(group_id, set()).add(unit.unit_id)
