"""Reads ``city.toml``: the units, regions and lines of business of the demonstration."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

CITY_FILE = Path(__file__).with_name("city.toml")

UnitKind = Literal["DISTRICT", "DEPARTMENT", "OFFICE", "CENTRE"]


class Business(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of business: an open code of the registry."""

    code: str
    name_zh: str
    name_en: str


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A region by its GB/T 2260 code, with the first and last day of the code where known."""

    code: str
    name_zh: str
    name_en: str
    valid_from: date | None = None
    valid_to: date | None = None


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation that exchanges documents."""

    unit_id: str
    name_zh: str
    name_en: str
    short_zh: str
    kind: UnitKind
    organisation_code: str
    credit_code: str
    region: str
    issuer_marks: tuple[str, ...]
    groups: tuple[str, ...] = ()
    contact: str = ""


class ActsFor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``unit`` may send documents that ``issuer`` has sealed."""

    unit: str
    issuer: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    business: tuple[Business, ...]
    region: tuple[Region, ...]
    unit: tuple[Unit, ...]
    acts_for: tuple[ActsFor, ...]
    staff: tuple[dict[str, str], ...] = ()
    group: tuple[dict[str, str], ...] = ()
    route: tuple[dict[str, str], ...] = ()
    """As ``staff`` and ``group`` for the centre alone: what is sent follows the routes."""


@dataclass(frozen=True)
class City:
    """The registry's data in the order of the file."""

    businesses: tuple[Business, ...]
    regions: tuple[Region, ...]
    units: tuple[Unit, ...]
    acts_for: tuple[ActsFor, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Unit]:
        return {unit.unit_id: unit for unit in self.units}

    def ids(self, kind: UnitKind) -> tuple[str, ...]:
        """The unit ids of one kind, in the order of the file."""
        return tuple(unit.unit_id for unit in self.units if unit.kind == kind)

    def members(self, group: str) -> tuple[str, ...]:
        """The unit ids of a group, in the order of the file."""
        return tuple(unit.unit_id for unit in self.units if group in unit.groups)


def load(path: Path = CITY_FILE) -> City:
    """Read a registry file.

    Raises:
        msgspec.ValidationError: a field is missing, unknown or of the wrong type.
    """
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    file = msgspec.convert(raw, _File)
    return City(file.business, file.region, file.unit, file.acts_for)
