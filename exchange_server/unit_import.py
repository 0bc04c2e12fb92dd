"""Brings a registry file into the ledger, all of it or nothing, and tells what changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from document_exchange import codes, event, times
from document_exchange.errors import ConfigurationError, Unavailable
from exchange_server.registry_file import RegistryFile, Unit

_TOLD = ("status", "acts_for")
"""The fields of which an event tells what they were and what they are."""


class Registered(Unit, frozen=True, kw_only=True):
    """A unit with the units in whose name it may send, in order."""

    acts_for: list[str]


@dataclass(frozen=True, slots=True)
class UnitChange:
    """A unit as the ledger has it (None: not at all) and as the file has it; they differ."""

    before: Registered | None
    after: Registered

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that differ; of a new unit, all."""
        after = msgspec.structs.asdict(self.after)
        before = {} if self.before is None else msgspec.structs.asdict(self.before)
        return tuple(name for name in after if name not in before or before[name] != after[name])

    def detail(self) -> dict[str, str]:
        """What the event UNIT_CHANGED says of it (docs/formats.md)."""
        detail = {"unit": self.after.unit_id, "changed": " ".join(self.fields)}
        for name in _TOLD:
            if name in self.fields:
                if self.before is not None:
                    detail[f"{name}_before"] = _text(self.before, name)
                detail[f"{name}_after"] = _text(self.after, name)
        return detail

    def __str__(self) -> str:
        """One line for people."""
        if self.before is None:
            words = ["new", *(f"{name} {_text(self.after, name) or 'none'}" for name in _TOLD)]
        else:
            words = [_difference(self.before, self.after, name) for name in self.fields]
        return f"{self.after.unit_id}: {', '.join(words)}"


def _text(unit: Registered, name: str) -> str:
    value: str | list[str] = getattr(unit, name)
    return value if isinstance(value, str) else " ".join(value)


def _difference(before: Registered, after: Registered, name: str) -> str:
    if name not in _TOLD:
        return name
    return f"{name} {_text(before, name) or 'none'} -> {_text(after, name) or 'none'}"


async def compare(dsn: str, found: RegistryFile) -> list[UnitChange]:
    """What ``import_file`` would change of the units now; changes nothing and locks nobody out."""
    async with _connected(dsn) as connection:
        return await _changes(connection, found)


async def import_file(dsn: str, found: RegistryFile) -> list[UnitChange]:
    """Make the ledger say of the file's units what the file says; other units stay as they are.

    ``dsn`` is that of the schema's owner. One transaction, with an event for each unit that
    changed and one for the whole. Returns the changes.

    Raises:
        ConfigurationError: the ledger refuses an entry (a code that another unit has).
        Unavailable: the ledger can't be reached.
    """
    async with _connected(dsn) as connection, connection.transaction():
        # Between comparing and writing nobody else may write, or the events would tell of
        # a state before that was not. Readers are not held up.
        await connection.execute(
            "lock table exchange.units, exchange.acts_for in share row exclusive mode"
        )
        changes = await _changes(connection, found)
        await _write(connection, found, changes)
        await _record(connection, found, changes)
        return changes


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the ledger can't be reached with this DSN: {error}") from error
    try:
        yield connection
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ConfigurationError(f"the ledger refuses the file: {error}") from error
    finally:
        await connection.close()


def _registered(found: RegistryFile) -> list[Registered]:
    acts_for: dict[str, set[str]] = {}
    for relation in found.acts_for:
        acts_for.setdefault(relation.unit, set()).add(relation.issuer)
    return [
        Registered(**msgspec.structs.asdict(unit), acts_for=sorted(acts_for.get(unit.unit_id, ())))
        for unit in found.unit
    ]


async def _changes(connection: Any, found: RegistryFile) -> list[UnitChange]:
    rows = await connection.fetch(
        """select unit_id, name_zh, name_en, short_zh, kind, organisation_code, credit_code,
                  region, issuer_marks, groups, contact, status,
                  array(select a.issuer from exchange.acts_for a where a.unit_id = u.unit_id
                         order by a.issuer collate "C") as acts_for
             from exchange.units u where unit_id = any($1)""",
        [unit.unit_id for unit in found.unit],
    )
    before = {row["unit_id"]: Registered(**row) for row in rows}
    return [
        UnitChange(before.get(unit.unit_id), unit)
        for unit in _registered(found)
        if unit != before.get(unit.unit_id)
    ]


async def _write(connection: Any, found: RegistryFile, changes: Sequence[UnitChange]) -> None:
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
    # Each statement stops all acceptances until the end and has every server read the registry
    # anew (triggers), hence nothing for units that stay as they are.
    changed = {change.after.unit_id for change in changes}
    await connection.executemany(
        """insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code,
               credit_code, region, issuer_marks, groups, contact, status)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           on conflict (unit_id) do update set name_zh = excluded.name_zh,
               name_en = excluded.name_en, short_zh = excluded.short_zh, kind = excluded.kind,
               organisation_code = excluded.organisation_code, credit_code = excluded.credit_code,
               region = excluded.region, issuer_marks = excluded.issuer_marks,
               groups = excluded.groups, contact = excluded.contact, status = excluded.status""",
        [msgspec.structs.astuple(unit) for unit in found.unit if unit.unit_id in changed],
    )
    # Only now, since a unit may act for one that comes after it.
    acts_for = [(c.after.unit_id, c.after.acts_for) for c in changes if "acts_for" in c.fields]
    await connection.executemany(
        "delete from exchange.acts_for where unit_id = $1 and issuer <> all($2::text[])", acts_for
    )
    await connection.executemany(
        """insert into exchange.acts_for (unit_id, issuer)
           select $1, unnest($2::text[]) on conflict do nothing""",
        acts_for,
    )


async def _record(connection: Any, found: RegistryFile, changes: Sequence[UnitChange]) -> None:
    counts = {
        "units": str(len(found.unit)),
        "units_changed": str(len(changes)),
        "businesses": str(len(found.business)),
    }
    now = datetime.now(UTC)
    events = [("UNIT_CHANGED", change.detail()) for change in changes]
    await connection.executemany(
        "select exchange.record_event($1, $2, $3, $4, null, null, $5, $6)",
        [_event(type_, now, detail) for type_, detail in [*events, ("UNITS_IMPORTED", counts)]],
    )


def _event(type_: str, at: datetime, detail: dict[str, str]) -> tuple[object, ...]:
    """The arguments of ``record_event``."""
    made = event.Event(
        schema=event.SCHEMA,
        event_id=codes.new_id(at),
        type=type_,
        at=times.format_time(at),
        actor="centre",
        detail=detail,
    )
    return made.event_id, at, made.type, made.actor, event.new_salt(), event.encode(made)
