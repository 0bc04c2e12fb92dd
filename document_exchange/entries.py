"""The entries of the registry: the kinds that there are, and the shape of each field.

Fields have the names that messages and files give them; ``""`` and an empty list stand for
nothing. The patterns count where a value is read from outside (``entry_rules``).
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from document_exchange.document import Direction, Genre
from document_exchange.errors import InvalidRequest
from document_exchange.fields import (
    MAX_INTEGER,
    BusinessCode,
    Line,
    LineOrNothing,
    SystemName,
    UnitId,
)
from document_exchange.identity import UNIT_ID

Status = Annotated[
    str,
    Meta(
        pattern=r"\A(?:ACTIVE|SUSPENDED|CLOSED|)\Z",
        description="ACTIVE, SUSPENDED or CLOSED; left out, it stays as it is",
    ),
]
_Mark = Annotated[
    str,
    Meta(
        pattern=r"\A[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]{1,40}\Z",
        description="an issuer mark: 1 to 40 characters, no space",
    ),
]
_Region = Annotated[str, Meta(pattern=r"\A[0-9]{6}\Z", description="a region: six digits")]
_RegionOrNothing = Annotated[
    str, Meta(pattern=r"\A(?:[0-9]{6}|)\Z", description="a region: six digits")
]
_UnitOrNothing = Annotated[str, Meta(pattern=rf"\A(?:{UNIT_ID}|)\Z", description="a unit id")]
_UnitOrAll = Annotated[str, Meta(pattern=rf"\A(?:[*]|{UNIT_ID})\Z", description="a unit id, or *")]
_Person = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z",
        description="a personnel number: at most 40 of A-Z, a-z, 0-9, dot, _ and -",
    ),
]
_RouteId = Annotated[
    str,
    Meta(
        pattern=r"\A(?!self\Z)[a-z0-9][a-z0-9._-]{0,62}\Z",
        description="a name of at most 63 characters of a-z, 0-9, dot, _ and -, and not self",
    ),
]
_Party = Annotated[
    str,
    Meta(pattern=rf"\A(?:[*]|(?:unit|group):{UNIT_ID})\Z", description="unit:ID, group:ID or *"),
]
_Amount = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="a whole number; 0 means no limit")]


def _family(class_name: str) -> str:
    return class_name.removesuffix("Entry").lower()


class Entry(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="entry",
    tag=_family,
):
    """What all kinds have in common: unknown fields are refused."""

    family: ClassVar[str]
    """The kind of entry: unit, system, staff, group, region, business, route or quota."""
    key_fields: ClassVar[tuple[str, ...]]
    """The fields that together are its key."""

    def __init_subclass__(cls) -> None:
        cls.family = _family(cls.__name__)

    @property
    def key(self) -> str:
        """What no other entry of the kind has: unit_id, unit_id/system, name, code, route_id."""
        return "/".join(getattr(self, name) for name in self.key_fields)


class BusinessEntry(Entry, frozen=True, kw_only=True):
    """A line of business."""

    key_fields = ("code",)

    code: BusinessCode
    name_zh: Line
    name_en: Line


class RegionEntry(Entry, frozen=True, kw_only=True):
    """An administrative division (GB/T 2260), with the first and last day of its code."""

    key_fields = ("code",)

    code: _Region
    name_zh: Line
    name_en: Line
    valid_from: date | None = None
    valid_to: date | None = None


class UnitEntry(Entry, frozen=True, kw_only=True):
    """An organisation that exchanges."""

    key_fields = ("unit_id",)

    unit_id: UnitId
    name_zh: Line
    name_en: Line
    short_zh: Line
    kind: Literal["DISTRICT", "DEPARTMENT", "OFFICE", "CENTRE"]
    organisation_code: str = ""
    credit_code: str = ""
    region: _RegionOrNothing = ""
    issuer_marks: tuple[_Mark, ...] = ()
    groups: tuple[UnitId, ...] = ()
    acts_for: tuple[UnitId, ...] = ()
    """The units in whose name it may send."""
    contact: LineOrNothing = ""
    status: Status = ""
    successor: _UnitOrNothing = ""
    """The unit that took over when this one was closed."""


class SystemEntry(Entry, frozen=True, kw_only=True):
    """An office system of a unit."""

    key_fields = ("unit_id", "name")

    unit_id: UnitId
    name: SystemName
    description: LineOrNothing = ""
    contact: LineOrNothing = ""
    status: Status = ""


class StaffEntry(Entry, frozen=True, kw_only=True):
    """A person who administers or audits the centre. Nobody holds two roles."""

    key_fields = ("name",)

    name: SystemName
    person: _Person
    full_name: Line
    role: Literal["operator", "security", "auditor"]
    status: Status = ""


class GroupEntry(Entry, frozen=True, kw_only=True):
    """A named list of units 通讯组. Who belongs to it, each unit's ``groups`` say."""

    key_fields = ("group_id",)

    group_id: UnitId
    name_zh: Line
    name_en: Line
    members: tuple[UnitId, ...] | None = None
    """In a change: the units that are to name this group, and no others; None: as they do."""


class RouteEntry(Entry, frozen=True, kw_only=True):
    """A rule about who may send what to whom; ``*`` stands for everything."""

    key_fields = ("route_id",)

    route_id: _RouteId
    effect: Literal["ALLOW", "DENY"]
    sender: _Party
    recipient: _Party
    business: Annotated[
        str, Meta(pattern=r"\A(?:[*]|[A-Z][A-Z0-9_]{0,39})\Z", description="a business code, or *")
    ] = "*"
    genre: Annotated[
        str, Meta(pattern=rf"\A(?:[*]|{'|'.join(Genre)})\Z", description="a genre, or *")
    ] = "*"
    direction: Annotated[
        str, Meta(pattern=rf"\A(?:[*]|{'|'.join(Direction)})\Z", description="a direction, or *")
    ] = "*"
    note: LineOrNothing = ""


class QuotaEntry(Entry, frozen=True, kw_only=True):
    """What a unit may use over all server processes; 0 is no limit."""

    key_fields = ("unit_id",)

    unit_id: _UnitOrAll
    calls_per_minute: _Amount = 0
    submissions_per_minute: _Amount = 0
    bytes_per_minute: _Amount = 0
    bytes_in_flight: _Amount = 0
    open_streams: _Amount = 0


AnyEntry = (
    RegionEntry
    | BusinessEntry
    | UnitEntry
    | SystemEntry
    | StaffEntry
    | GroupEntry
    | RouteEntry
    | QuotaEntry
)

KINDS: Mapping[str, type[Entry]] = {kind.family: kind for kind in typing.get_args(AnyEntry)}
"""Each kind by its name, those that others refer to first."""

_Value = str | int | date | tuple[str, ...] | None


def kind_named(name: str) -> type[Entry]:
    """The kind of entry of this name.

    Raises:
        InvalidRequest: there is none, with those that there are.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise InvalidRequest(
            f"there is no kind of entry {name!r}: the kinds are {', '.join(KINDS)}", field="kind"
        ) from None


def field_types(kind: type[Entry]) -> Mapping[str, Any]:
    """The type of each field by its name, the key first."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def required_fields(kind: type[Entry]) -> tuple[str, ...]:
    """The fields that an entry can't do without, the key first."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


def is_list(field_type: Any) -> bool:
    """Whether a field of this type holds several values."""
    return any(typing.get_origin(of) is tuple for of in (field_type, *typing.get_args(field_type)))


def texts(entry: Entry) -> dict[str, str]:
    """Each field as people and events read it; names in a list are separated by single spaces.

    The members of a group are not among them: they are facts of the units.
    """
    return {
        name: _text(value)
        for name, value in msgspec.structs.asdict(entry).items()
        if name != "members"
    }


def _text(value: _Value) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return "" if value is None else str(value)
