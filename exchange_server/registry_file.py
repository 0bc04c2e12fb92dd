"""Reads a registry file: the registry of a city, checked before anything is done with it.

The file (TOML) has the entries of each kind as an array of tables: ``[[unit]]``, ``[[system]]``,
``[[staff]]`` and so on, with the fields that ``document_exchange.entries`` gives them; and
``[[acts_for]]``, which says of two units what the field of that name says of one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from document_exchange.entries import (
    KINDS,
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
from document_exchange.entry_rules import body_of, checked
from document_exchange.errors import ConfigurationError, InvalidRequest
from document_exchange.fields import UnitId
from exchange_server.changes import Change, put


class ActsFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``unit`` may send in the name of ``issuer``."""

    unit: UnitId
    issuer: UnitId


class RegistryFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole registry file."""

    region: list[RegionEntry] = []
    business: list[BusinessEntry] = []
    unit: list[UnitEntry] = []
    acts_for: list[ActsFor] = []
    system: list[SystemEntry] = []
    staff: list[StaffEntry] = []
    group: list[GroupEntry] = []
    route: list[RouteEntry] = []
    quota: list[QuotaEntry] = []

    def entries(self) -> Iterator[Entry]:
        """Every entry, checked; units with those for whom they act.

        Raises:
            InvalidRequest: one is wrong.
        """
        for kind in KINDS:
            for entry in getattr(self, kind):
                if isinstance(entry, UnitEntry):
                    issuers = {each.issuer for each in self.acts_for if each.unit == entry.unit_id}
                    acts_for = tuple(issuers.union(entry.acts_for))
                    entry = msgspec.structs.replace(entry, acts_for=acts_for)
                yield checked(entry)

    def changes(self) -> list[Change]:
        """What makes the registry say what the file says. What the file does not have stays."""
        return [put(entry) for entry in self.entries()]


def read_file(path: Path) -> RegistryFile:
    """Read and check a registry file (TOML).

    Raises:
        ConfigurationError: it can't be read, a field is wrong, a check digit does not fit, two
            entries share a key or a code, or one lists too many; the message names the entry.
    """
    try:
        found = msgspec.convert(
            tomllib.loads(path.read_text(encoding="utf-8")), RegistryFile, strict=True
        )
        _check_unique(found)
    except (OSError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"the registry file {path}: {error}") from error
    except InvalidRequest as error:
        raise ConfigurationError(f"the registry file {path}: {error.message}") from error
    known = {unit.unit_id for unit in found.unit}
    for relation in found.acts_for:
        if not {relation.unit, relation.issuer} <= known:
            raise ConfigurationError(
                f"acts_for {relation.unit} -> {relation.issuer}: both must be units of the file"
            )
    return found


def _check_unique(found: RegistryFile) -> None:
    seen: dict[str, str] = {}
    for entry in found.entries():
        keys = [f"{entry.family} {entry.key}"]
        if isinstance(entry, UnitEntry):
            keys.append(f"organisation code {body_of(entry)}")
        for key in keys:
            if key in seen:
                raise ConfigurationError(f"{key} stands at both {seen[key]} and {entry.key}")
            seen[key] = entry.key
