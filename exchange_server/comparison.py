"""What changes would make of the registry: pure, so that a dry run and the act are one thing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from document_exchange.entries import (
    KINDS,
    Entry,
    GroupEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.entry_changes import Verb
from document_exchange.entry_rules import checked, wrong
from document_exchange.errors import ExchangeError, InvalidRequest, NotFound
from exchange_server.changes import Change, Changed, Entries, Key
from exchange_server.registry_rules import check_following, check_whole

_STATEFUL = frozenset({"unit", "system", "staff"})
_REMOVABLE = frozenset({"group", "route", "quota"})


def compare(before: Entries, changes: Sequence[Change]) -> list[Changed]:
    """What differs once the changes are applied in their order; nothing else comes of it.

    Raises:
        InvalidRequest, NotFound, Refused, RoleConflict: one of the rules above, or a verb that an
            entry of this kind does not know. ``change`` says which, counted from 0, where one
            alone is at fault.
    """
    after = dict(before.by_key)
    for number, change in enumerate(changes):
        try:
            _apply(after, change)
        except ExchangeError as error:
            error.attributes = {**error.attributes, "change": str(number)}
            raise
    changed = [
        Changed(before.by_key.get(key), after.get(key))
        for key in dict.fromkeys((*before.by_key, *after))
        if before.by_key.get(key) != after.get(key)
    ]
    check_whole(before, Entries(before.version, after), changed)
    # What others refer to comes first, as it is written and told.
    order = list(KINDS)
    return sorted(changed, key=lambda each: (order.index(each.entry.family), each.entry.key))


def _apply(entries: dict[Key, Entry], change: Change) -> None:
    key = (change.kind, change.key)
    before = entries.get(key)
    if change.verb is Verb.PUT:
        assert change.entry is not None
        _put(entries, before, checked(change.entry))
        return
    if change.kind not in (_REMOVABLE if change.verb is Verb.REMOVE else _STATEFUL):
        raise InvalidRequest(f"{change.verb} is not for a {change.kind}", field="verb")
    if before is None and change.kind == "system" and change.verb is not Verb.RESUME:
        # A system is there by its certificate; its first entry may be the one that shuts it out.
        unit_id, _, name = change.key.partition("/")
        before = SystemEntry(unit_id=unit_id, name=name, status="ACTIVE")
    if before is None:
        raise NotFound(f"there is no {change.kind} {change.key}", field=change.kind)
    if change.verb is Verb.REMOVE:
        _remove(entries, before)
        return
    assert isinstance(before, UnitEntry | SystemEntry | StaffEntry)
    status = {Verb.SUSPEND: "SUSPENDED", Verb.RESUME: "ACTIVE", Verb.CLOSE: "CLOSED"}[change.verb]
    after = msgspec.structs.replace(before, status=status)
    if isinstance(after, UnitEntry) and change.successor:
        after = msgspec.structs.replace(after, successor=change.successor)
    entries[key] = check_following(before, after)


def _put(entries: dict[Key, Entry], before: Entry | None, entry: Entry) -> None:
    if isinstance(entry, UnitEntry | SystemEntry | StaffEntry):
        was = (
            before.status if isinstance(before, UnitEntry | SystemEntry | StaffEntry) else "ACTIVE"
        )
        entry = msgspec.structs.replace(entry, status=entry.status or was)
    elif isinstance(entry, GroupEntry):
        if entry.members is not None:
            _set_members(entries, entry, entry.members)
        entry = msgspec.structs.replace(entry, members=None)
    entries[entry.family, entry.key] = check_following(before, entry)


def _set_members(entries: dict[Key, Entry], group: GroupEntry, members: Sequence[str]) -> None:
    """Have these units name the group, and no others; closed ones stay as they are."""
    for unit_id in members:
        unit = entries.get(("unit", unit_id))
        if not isinstance(unit, UnitEntry):
            raise wrong(group, "members", f"names {unit_id}, which is no unit")
        if unit.status == "CLOSED":
            raise wrong(group, "members", f"names {unit_id}, which is closed")
    named = set(members)
    for key, unit in list(entries.items()):
        if not isinstance(unit, UnitEntry) or unit.status == "CLOSED":
            continue
        groups = set(unit.groups)
        (groups.add if unit.unit_id in named else groups.discard)(group.group_id)
        if groups != set(unit.groups):
            entries[key] = checked(msgspec.structs.replace(unit, groups=tuple(sorted(groups))))


def _remove(entries: dict[Key, Entry], entry: Entry) -> None:
    del entries[entry.family, entry.key]
    if isinstance(entry, GroupEntry):
        for key, unit in list(entries.items()):
            if isinstance(unit, UnitEntry) and entry.group_id in unit.groups:
                left = tuple(name for name in unit.groups if name != entry.group_id)
                entries[key] = msgspec.structs.replace(unit, groups=left)
