"""Reads a registry file: the units of a city, checked before anything is done with them."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from document_exchange import codes, identity
from document_exchange.errors import ConfigurationError

MAX_ACTS_FOR = 90
"""For how many others a unit may act: so many identifiers fit into one text of an event."""

_UnitId = Annotated[str, Meta(pattern=rf"^(?:{identity.UNIT_ID})\Z")]

_Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""One line that PostgreSQL can hold."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all entries have in common: unknown fields are refused."""


class Business(_Entry, frozen=True, kw_only=True):
    """A line of business."""

    code: Annotated[str, Meta(pattern=r"^(?:[A-Z][A-Z0-9_]{0,39})\Z")]
    name_zh: _Text
    name_en: _Text


class Region(_Entry, frozen=True, kw_only=True):
    """An administrative division (GB/T 2260), with the days of its code."""

    code: Annotated[str, Meta(pattern=r"^(?:[0-9]{6})\Z")]
    name_zh: _Text
    name_en: _Text
    valid_from: date | None = None
    valid_to: date | None = None


class Unit(_Entry, frozen=True, kw_only=True):
    """An organisation that exchanges."""

    unit_id: _UnitId
    name_zh: _Text
    name_en: _Text
    short_zh: _Text
    kind: Annotated[str, Meta(pattern=r"^(?:DISTRICT|DEPARTMENT|OFFICE|CENTRE)\Z")]
    organisation_code: str | None = None
    credit_code: str | None = None
    region: str | None = None
    issuer_marks: list[_Text] = []
    groups: list[_Text] = []
    contact: _Text = ""
    status: Annotated[str, Meta(pattern=r"^(?:ACTIVE|SUSPENDED|CLOSED)\Z")] = "ACTIVE"


class ActsFor(_Entry, frozen=True, kw_only=True):
    """``unit`` may send in the name of ``issuer``."""

    unit: _UnitId
    issuer: _UnitId


class RegistryFile(_Entry, frozen=True, kw_only=True):
    """A whole registry file."""

    business: list[Business] = []
    region: list[Region] = []
    unit: list[Unit] = []
    acts_for: list[ActsFor] = []


def read_file(path: Path) -> RegistryFile:
    """Read and check a registry file (TOML).

    Raises:
        ConfigurationError: it can't be read, a field is wrong, a check digit does not fit, two
            units share an identifier or a code, or a unit acts for too many; the message names
            the unit.
    """
    try:
        found = msgspec.convert(
            tomllib.loads(path.read_text(encoding="utf-8")), RegistryFile, strict=True
        )
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"the registry file {path}: {error}") from error
    for unit in found.unit:
        _check_codes(unit)
    _check_unique(found)
    known = {unit.unit_id for unit in found.unit}
    for relation in found.acts_for:
        if not {relation.unit, relation.issuer} <= known:
            raise ConfigurationError(
                f"acts_for {relation.unit} -> {relation.issuer}: both must be units of the file"
            )
    for unit_id, count in Counter(relation.unit for relation in set(found.acts_for)).items():
        if count > MAX_ACTS_FOR:
            raise ConfigurationError(
                f"unit {unit_id} acts for {count} others; at most {MAX_ACTS_FOR} are possible"
            )
    return found


def _check_codes(unit: Unit) -> None:
    organisation, credit = unit.organisation_code, unit.credit_code
    if organisation is None and credit is None:
        raise ConfigurationError(f"unit {unit.unit_id} has neither of the two codes")
    if organisation is not None and not codes.is_organisation_code(organisation):
        raise ConfigurationError(
            f"unit {unit.unit_id}: {organisation!r} is no organisation code with the right check "
            "character"
        )
    if credit is not None and not codes.is_credit_code(credit):
        raise ConfigurationError(
            f"unit {unit.unit_id}: {credit!r} is no credit code with the right check character"
        )
    if organisation is not None and credit is not None and credit[8:17] != organisation:
        raise ConfigurationError(
            f"unit {unit.unit_id}: its credit code contains another organisation code than its own"
        )


def _check_unique(found: RegistryFile) -> None:
    seen: dict[str, str] = {}
    for unit in found.unit:
        body = unit.organisation_code or (unit.credit_code or "")[8:17]
        for key in (f"unit_id {unit.unit_id}", f"organisation code {body}"):
            if key in seen:
                raise ConfigurationError(f"{key} stands at both {seen[key]} and {unit.unit_id}")
            seen[key] = unit.unit_id
