"""What entries must be to each other, and what may become of one: refused whoever asks.

The owner's import keeps these rules too:

1. what is closed is never opened again, neither unit nor system nor member of staff;
2. nobody holds two roles: a name keeps its role and its person for ever, and a person has one
   name that is not closed. Who is to change roles is closed and gets another name, so that no
   certificate of the old role ever opens a door for the new one;
3. the last active member of security staff stays, so that nobody locks the centre out;
4. what an entry names exists, and two units are never one body.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from document_exchange.entries import (
    BusinessEntry,
    Entry,
    GroupEntry,
    QuotaEntry,
    RegionEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.entry_rules import body_of, person_of, wrong
from document_exchange.errors import Refused, RoleConflict
from exchange_server.changes import Changed, Entries

_Stateful = UnitEntry | SystemEntry | StaffEntry


def check_following(before: Entry | None, after: Entry) -> Entry:
    """``after``, if such an entry may follow the one before (rules 1 and 2).

    Raises:
        Refused, RoleConflict
    """
    if isinstance(before, _Stateful) and isinstance(after, _Stateful):
        if before.status == "CLOSED" != after.status:
            raise Refused(
                f"{after.family} {after.key} is closed, and what is closed stays so: give what "
                "follows it another name",
                field=f"{after.family}.status",
            )
        if isinstance(before, StaffEntry) and isinstance(after, StaffEntry):
            _check_same_holder(before, after)
    return after


def _check_same_holder(before: StaffEntry, after: StaffEntry) -> None:
    if before.role != after.role:
        raise RoleConflict(
            f"{before.name} is {before.role} staff and never becomes {after.role}: close that "
            "name, then register the person under another one",
            field="staff.role",
        )
    if before.person != after.person:
        raise RoleConflict(
            f"{before.name} is the name of person {before.person} and passes to nobody else: "
            "register the other person under another name",
            field="staff.person",
        )


def check_whole(before: Entries, after: Entries, changed: Sequence[Changed]) -> None:
    """Whether the entries after these changes go together (rules 2 to 4).

    Raises:
        InvalidRequest, Refused, RoleConflict
    """
    entries = [each.after for each in changed if each.after is not None]
    _check_persons(after, [entry for entry in entries if isinstance(entry, StaffEntry)])
    _check_bodies(after, [entry for entry in entries if isinstance(entry, UnitEntry)])
    groups = {group.group_id for group in after.of(GroupEntry)}
    groups.update(name for unit in after.of(UnitEntry) for name in unit.groups)
    for entry in entries:
        _check_named(after, entry, groups)
    _check_groups_of_routes(after, changed)
    if _has_security(before) and not _has_security(after):
        raise Refused(
            "the last active member of security staff can't be suspended or closed: nobody could "
            "register another",
            field="staff.status",
        )


def _has_security(entries: Entries) -> bool:
    return any(
        staff.role == "security" and staff.status == "ACTIVE" for staff in entries.of(StaffEntry)
    )


def _check_persons(after: Entries, changed: Sequence[StaffEntry]) -> None:
    names: dict[str, list[StaffEntry]] = {}
    for staff in after.of(StaffEntry):
        if staff.status != "CLOSED":
            names.setdefault(person_of(staff), []).append(staff)
    for staff in changed:
        if staff.status == "CLOSED":
            continue
        for other in names[person_of(staff)]:
            if other.name != staff.name:
                raise RoleConflict(
                    f"person {staff.person} can't be registered as {staff.name} ({staff.role}): "
                    f"that is {other.name} ({other.role}), and nobody has two names; close one",
                    field="staff.person",
                )


def _check_bodies(after: Entries, changed: Sequence[UnitEntry]) -> None:
    names: dict[str, list[str]] = {}
    for unit in after.of(UnitEntry):
        names.setdefault(body_of(unit), []).append(unit.unit_id)
    for unit in changed:
        others = [name for name in names[body_of(unit)] if name != unit.unit_id]
        if others:
            raise wrong(unit, "organisation_code", f"{body_of(unit)} is that of {others[0]}")


def _check_named(after: Entries, entry: Entry, groups: Set[str]) -> None:
    """What an entry that changed names is there. ``groups`` are all that there are."""
    if isinstance(entry, UnitEntry):
        if entry.region and after.find(RegionEntry, entry.region) is None:
            raise wrong(entry, "region", f"{entry.region} is not registered")
        for issuer in entry.acts_for:
            _check_unit(after, entry, "acts_for", issuer)
        if entry.successor:
            _check_successor(after, entry)
    elif isinstance(entry, SystemEntry) or (isinstance(entry, QuotaEntry) and entry.unit_id != "*"):
        _check_unit(after, entry, "unit_id", entry.unit_id)
    elif isinstance(entry, RouteEntry):
        for field, party in (("sender", entry.sender), ("recipient", entry.recipient)):
            kind, _, name = party.partition(":")
            if kind == "unit":
                _check_unit(after, entry, field, name)
            elif kind == "group" and name not in groups:
                raise wrong(entry, field, f"names {party}, which is no group")
        if entry.business != "*" and after.find(BusinessEntry, entry.business) is None:
            raise wrong(entry, "business", f"{entry.business} is not registered")


def _check_unit(after: Entries, entry: Entry, field: str, unit_id: str) -> None:
    if after.find(UnitEntry, unit_id) is None:
        raise wrong(entry, field, f"names {unit_id}, which is no unit")


def _check_successor(after: Entries, unit: UnitEntry) -> None:
    if unit.status != "CLOSED":
        raise wrong(unit, "successor", "is for a unit that is closed")
    successor = after.find(UnitEntry, unit.successor)
    if successor is None or successor.status == "CLOSED":
        why = "no unit" if successor is None else "closed itself"
        raise wrong(unit, "successor", f"names {unit.successor}, which is {why}")


def _check_groups_of_routes(after: Entries, changed: Sequence[Changed]) -> None:
    """A group that a rule names can't be removed: the rule would say less than it seems to."""
    removed = {
        f"group:{each.entry.key}"
        for each in changed
        if each.after is None and isinstance(each.before, GroupEntry)
    }
    for route in after.of(RouteEntry):
        for party in {route.sender, route.recipient} & removed:
            raise wrong(route, "sender or recipient", f"names {party}, which is to be removed")
