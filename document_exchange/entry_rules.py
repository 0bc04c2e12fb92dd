"""What an entry of the registry may say, wherever it comes from, and how it is read.

A registry file, an administrator's call or command and a proposal are all read by these rules;
what entries must be to each other is the exchange centre's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from document_exchange import codes, refusal
from document_exchange.entries import (
    KINDS,
    Entry,
    RegionEntry,
    StaffEntry,
    UnitEntry,
    field_types,
)
from document_exchange.errors import InvalidRequest

MAX_NAMES = 90
"""How many units, groups or marks an entry lists: so many fit into one text of an event."""

_EntryType = TypeVar("_EntryType", bound=Entry)


def read(kind: str, values: Mapping[str, Any]) -> Entry:
    """The entry of a kind with these fields, checked.

    Raises:
        InvalidRequest: a field is missing, unknown or wrong; ``field`` names it as ``kind.field``.
    """
    cls = KINDS[kind]
    try:
        return checked(msgspec.convert(values, cls))
    except msgspec.ValidationError as error:
        refused = refusal.of_schema(cls, msgspec.json.encode(values), error, InvalidRequest)
        place = f"{kind}.{refused.attributes.get('field', '')}"
        raise InvalidRequest(f"{kind}: {refused.message}", field=place) from error


def read_key(kind: str, values: Mapping[str, str]) -> str:
    """The key of an entry of which only the key is known.

    Raises:
        InvalidRequest: it has not the shape of one.
    """
    cls = KINDS[kind]
    types = field_types(cls)
    for name in cls.key_fields:
        if why := refusal.why_not(types[name], values[name]):
            raise refusal.of_value(InvalidRequest, f"{kind}.{name}", values[name], why)
    return "/".join(values[name] for name in cls.key_fields)


def checked(entry: _EntryType) -> _EntryType:
    """The entry, arranged, if it also keeps the rules that are no shapes.

    Raises:
        InvalidRequest: a check character does not fit, a list is too long, days are exchanged.
    """
    for field, why in broken_rules(entry):
        raise wrong(entry, field, why)
    return arranged(entry)


def broken_rules(entry: Entry) -> Iterator[tuple[str, str]]:
    """The rules that are no shapes and that the entry breaks: the field, and what is wrong."""
    if isinstance(entry, UnitEntry):
        if not entry.organisation_code and not entry.credit_code:
            yield "organisation_code", "is missing: it has neither of the two codes"
        yield from broken_codes(entry.organisation_code, entry.credit_code)
        for name in ("issuer_marks", "groups", "acts_for"):
            if (count := len(set(getattr(entry, name)))) > MAX_NAMES:
                yield name, f"lists {count}; at most {MAX_NAMES} are possible"
        for name, others in (("acts_for", entry.acts_for), ("successor", (entry.successor,))):
            if entry.unit_id in others:
                yield name, "names the unit itself"
    elif (
        isinstance(entry, RegionEntry)
        and entry.valid_from
        and entry.valid_to
        and entry.valid_to < entry.valid_from
    ):
        yield "valid_to", f"lies before {entry.valid_from}"


def broken_codes(organisation: str, credit: str) -> Iterator[tuple[str, str]]:
    """The rules that a unit's two codes break; either may be empty. As ``broken_rules``."""
    if organisation and not codes.is_organisation_code(organisation):
        shown = refusal.shortened(organisation)
        yield "organisation_code", f"{shown} is no organisation code with the right check character"
    if credit and not codes.is_credit_code(credit):
        shown = refusal.shortened(credit)
        yield "credit_code", f"{shown} is no credit code with the right check character"
    elif organisation and credit and credit[8:17] != organisation:
        yield "credit_code", "contains another organisation code than its own"


def arranged(entry: _EntryType) -> _EntryType:
    """The entry with each list in the order that makes equal ones equal; marks keep theirs."""
    if isinstance(entry, UnitEntry):
        return msgspec.structs.replace(
            entry,
            issuer_marks=tuple(dict.fromkeys(entry.issuer_marks)),
            groups=tuple(sorted(set(entry.groups))),
            acts_for=tuple(sorted(set(entry.acts_for))),
        )
    return entry


def wrong(entry: Entry, field: str, why: str) -> InvalidRequest:
    """The refusal of one field of an entry."""
    return InvalidRequest(
        f"{entry.family} {entry.key}: {field} {why}", field=f"{entry.family}.{field}"
    )


def body_of(unit: UnitEntry) -> str:
    """The organisation code of the body that a unit is: its credit code contains it."""
    return unit.organisation_code or unit.credit_code[8:17]


def person_of(staff: StaffEntry) -> str:
    """What two entries of one person have in common: the number, in capitals or not."""
    return staff.person.casefold()
