"""Imports units from a registry file into the ledger: all of it or nothing."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta

from document_exchange import codes, event, identity, times
from document_exchange.errors import ConfigurationError

_UnitId = Annotated[str, Meta(pattern=f"^(?:{identity.UNIT_ID})$")]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all entries have in common: unknown fields are refused."""


class Business(_Entry, frozen=True, kw_only=True):
    """A line of business."""

    code: Annotated[str, Meta(pattern="^(?:[A-Z][A-Z0-9_]{0,39})$")]
    name_zh: str
    name_en: str


class Region(_Entry, frozen=True, kw_only=True):
    """An administrative division (GB/T 2260), with the days of its code."""

    code: Annotated[str, Meta(pattern="^(?:[0-9]{6})$")]
    name_zh: str
    name_en: str
    valid_from: date | None = None
    valid_to: date | None = None


class Unit(_Entry, frozen=True, kw_only=True):
    """An organisation that exchanges."""

    unit_id: _UnitId
    name_zh: str
    name_en: str
    short_zh: str
    kind: Annotated[str, Meta(pattern="^(?:DISTRICT|DEPARTMENT|OFFICE|CENTRE)$")]
    organisation_code: str | None = None
    credit_code: str | None = None
    region: str | None = None
    issuer_marks: list[str] = []
    groups: list[str] = []
    contact: str = ""
    status: Annotated[str, Meta(pattern="^(?:ACTIVE|SUSPENDED|CLOSED)$")] = "ACTIVE"


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
        ConfigurationError: it can't be read, a field is wrong, a check digit does not fit, or two
            units share an identifier or a code; the message names the unit.
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
    return found


async def import_file(dsn: str, found: RegistryFile) -> None:
    """Bring a registry file into the ledger; units that are there already are updated.

    ``dsn`` is that of the schema's owner. One transaction, with its event.

    Raises:
        ConfigurationError: the ledger refuses an entry (a code that another unit has).
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await _write(connection, found)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ConfigurationError(f"the ledger refuses the file: {error}") from error
    finally:
        await connection.close()


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


async def _write(connection: Any, found: RegistryFile) -> None:
    await connection.executemany(
        """insert into exchange.businesses (code, name_zh, name_en) values ($1, $2, $3)
           on conflict (code) do update
               set name_zh = excluded.name_zh, name_en = excluded.name_en""",
        [(b.code, b.name_zh, b.name_en) for b in found.business],
    )
    await connection.executemany(
        """insert into exchange.regions (code, name_zh, name_en, valid_from, valid_to)
           values ($1, $2, $3, $4, $5)
           on conflict (code) do update set name_zh = excluded.name_zh, name_en = excluded.name_en,
               valid_from = excluded.valid_from, valid_to = excluded.valid_to""",
        [(r.code, r.name_zh, r.name_en, r.valid_from, r.valid_to) for r in found.region],
    )
    await connection.executemany(
        """insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code,
               credit_code, region, issuer_marks, groups, contact, status)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           on conflict (unit_id) do update set name_zh = excluded.name_zh,
               name_en = excluded.name_en, short_zh = excluded.short_zh, kind = excluded.kind,
               organisation_code = excluded.organisation_code, credit_code = excluded.credit_code,
               region = excluded.region, issuer_marks = excluded.issuer_marks,
               groups = excluded.groups, contact = excluded.contact, status = excluded.status""",
        [msgspec.structs.astuple(unit) for unit in found.unit],
    )
    await connection.executemany(
        "insert into exchange.acts_for (unit_id, issuer) values ($1, $2) on conflict do nothing",
        [(a.unit, a.issuer) for a in found.acts_for],
    )
    await _record(connection, found)


async def _record(connection: Any, found: RegistryFile) -> None:
    now = datetime.now(UTC)
    made = event.Event(
        schema=event.SCHEMA,
        event_id=codes.new_id(now),
        type="UNITS_IMPORTED",
        at=times.format_time(now),
        actor="centre",
        detail={"units": str(len(found.unit)), "businesses": str(len(found.business))},
    )
    await connection.execute(
        "select exchange.record_event($1, $2, $3, $4, null, null, $5, $6)",
        made.event_id,
        now,
        made.type,
        made.actor,
        event.new_salt(),
        event.encode(made),
    )
