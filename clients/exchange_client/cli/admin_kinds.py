"""The kinds of entries as the command line takes them: fields, verbs, columns.

Repeated here so that ``--help`` need not load the SDK; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from exchange_client.cli.values import DIRECTIONS, GENRES


@dataclass(frozen=True, slots=True)
class Field:
    """One field that an option gives."""

    name: str
    help: str
    required: bool = False
    values: tuple[str, ...] = ()
    """Those it takes one of."""
    several: bool = False
    """Names with commas between them."""
    number: bool = False
    never_empty: bool = False
    """The wire can't tell an empty list from one that was left out."""

    @property
    def option(self) -> str:
        """The option's name."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entry."""

    name: str
    help: str
    key: str
    """How help writes the key."""
    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    """Of its list."""
    has_status: bool
    """Suspended, resumed and closed; what has none and may be forgotten is removed."""
    removable: bool = False
    of_units: bool = False
    """Its list can be limited to one unit."""


_NAMES = (
    Field("name_zh", "Name in Chinese.", required=True),
    Field("name_en", "Name in English.", required=True),
)
_CONTACT = Field("contact", "Whom to ask.")

KINDS = (
    Kind(
        "unit",
        "Units 单位: the organisations that exchange.",
        "UNIT",
        (
            *_NAMES,
            Field("short_zh", "Short name in Chinese.", required=True),
            Field(
                "kind",
                "What it is.",
                required=True,
                values=("DISTRICT", "DEPARTMENT", "OFFICE", "CENTRE"),
            ),
            Field("organisation_code", "Organisation code 组织机构代码, 9 characters."),
            Field("credit_code", "Unified social credit code 统一社会信用代码, 18 characters."),
            Field("region", "Administrative division, six digits."),
            Field("issuer_marks", "Issuer marks 发文机关代字.", several=True),
            Field("groups", "Groups that it belongs to.", several=True),
            Field("acts_for", "Units in whose name it may send.", several=True),
            _CONTACT,
        ),
        ("unit_id", "name", "kind", "organisation_code", "status", "groups"),
        has_status=True,
    ),
    Kind(
        "system",
        "Office systems of units.",
        "UNIT/SYSTEM",
        (Field("description", "What it is."), _CONTACT),
        ("key", "description", "contact", "status"),
        has_status=True,
        of_units=True,
    ),
    Kind(
        "staff",
        "Staff: operators, security staff and auditors 三员.",
        "NAME",
        (
            Field("person", "Personnel number 工号.", required=True),
            Field("full_name", "The person's name.", required=True),
            Field(
                "role",
                "Nobody holds two.",
                required=True,
                values=("operator", "security", "auditor"),
            ),
        ),
        ("name", "person", "full_name", "role", "status"),
        has_status=True,
    ),
    Kind(
        "group",
        "Groups 通讯组: named lists of units.",
        "GROUP",
        (
            *_NAMES,
            Field("members", "The units that belong to it.", several=True, never_empty=True),
        ),
        ("group_id", "name", "members"),
        has_status=False,
        removable=True,
    ),
    Kind(
        "region",
        "Administrative divisions (GB/T 2260).",
        "CODE",
        (
            *_NAMES,
            Field("valid_from", "First day, YYYY-MM-DD."),
            Field("valid_to", "Last day, YYYY-MM-DD."),
        ),
        ("code", "name", "valid_from", "valid_to"),
        has_status=False,
    ),
    Kind(
        "business",
        "Lines of business.",
        "CODE",
        _NAMES,
        ("code", "name"),
        has_status=False,
    ),
    Kind(
        "route",
        "Routes: who may send what to whom (docs/routes.md).",
        "ROUTE",
        (
            Field("effect", "What it does.", required=True, values=("ALLOW", "DENY")),
            Field("sender", "unit:ID, group:ID, or * for everybody.", required=True),
            Field("recipient", "unit:ID, group:ID, or * for everybody.", required=True),
            Field("business", "A line of business, or *."),
            Field("genre", "A genre, or *.", values=(*GENRES, "*")),
            Field("direction", "Which way it goes, or *.", values=(*DIRECTIONS, "*")),
            Field("note", "Why there is this rule."),
        ),
        (
            *("route_id", "effect", "sender", "recipient"),
            *("business", "genre", "direction", "note"),
        ),
        has_status=False,
        removable=True,
    ),
    Kind(
        "quota",
        "Quotas: what a unit may use; the unit * stands for all without a quota of their own.",
        "UNIT",
        (
            Field("calls_per_minute", "Calls of all methods; 0: no limit.", number=True),
            Field("submissions_per_minute", "Envelopes; 0: no limit.", number=True),
            Field("bytes_per_minute", "Bytes up and down; 0: no limit.", number=True),
            Field("bytes_in_flight", "Bytes moving at once; 0: no limit.", number=True),
            Field("open_streams", "Streams open at once; 0: no limit.", number=True),
        ),
        (
            *("unit_id", "calls_per_minute", "submissions_per_minute"),
            *("bytes_per_minute", "bytes_in_flight", "open_streams"),
        ),
        has_status=False,
        removable=True,
        of_units=True,
    ),
)
