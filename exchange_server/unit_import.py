"""What the owner of the ledger does: imports a registry file, says who decides about rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from document_exchange.entries import KINDS
from document_exchange.errors import (
    ConfigurationError,
    InvalidRequest,
    NotFound,
    Refused,
    RoleConflict,
    Unavailable,
)
from exchange_runtime import events
from exchange_runtime.clock import system_clock
from exchange_runtime.values import CENTRE
from exchange_server.administration import registry_changed, until_unchanged
from exchange_server.changes import Changed
from exchange_server.comparison import compare as compare_entries
from exchange_server.registry_file import RegistryFile
from exchange_server.storage.entries import EntriesOnPostgres
from exchange_server.storage.ledger import ledger_database

_TIMEOUT_S = 60.0


async def compare(dsn: str, found: RegistryFile) -> list[Changed]:
    """What ``import_file`` would change now; changes nothing and locks nobody out.

    Raises:
        ConfigurationError, Unavailable: as ``import_file``.
    """
    async with _ledger(dsn) as ledger:
        return compare_entries(await ledger.load_entries(), found.changes())


async def import_file(dsn: str, found: RegistryFile) -> list[Changed]:
    """Make the ledger say of the file's entries what the file says; others stay as they are.

    ``dsn`` is that of the schema's owner, who is bound by the rules of entries and by no role. One
    transaction, with an event for each entry that changed and one for the whole. Returns the
    changes.

    Raises:
        ConfigurationError: an entry is refused (a code that another unit has, a second role).
        Unavailable: the ledger can't be reached.
    """
    changes = found.changes()
    async with _ledger(dsn) as ledger:

        async def once() -> list[Changed] | None:
            entries = await ledger.load_entries()
            changed = compare_entries(entries, changes)
            imported = events.prepare(
                "UNITS_IMPORTED", system_clock(), CENTRE, detail=_counts(found, changed)
            )
            prepared = [*registry_changed(CENTRE, system_clock, changed, {}), imported]
            outcome = await ledger.write_entries(entries.version, changed, prepared)
            return changed if outcome == "APPLIED" else None

        return await until_unchanged(once)


async def require_second_person(dsn: str, required: bool) -> bool:
    """Whether changes of rights take two members of security staff from now on.

    ``dsn`` is that of the schema's owner: no server can do without the second person by itself.
    Returns False if it was so before.

    Raises:
        Unavailable: the ledger can't be reached.
    """
    detail = {
        "kind": "administration",
        "key": "second_person",
        "second_person_before": str(not required).lower(),
        "second_person_after": str(required).lower(),
    }
    prepared = events.prepare("REGISTRY_CHANGED", system_clock(), CENTRE, detail=detail)
    async with _ledger(dsn) as ledger:
        return await ledger.require_second_person(required, prepared)


def summary(found: RegistryFile) -> str:
    """How many entries of each kind the file has, for people."""
    counts = ((len(getattr(found, kind)), kind) for kind in KINDS)
    plurals = {"business": "lines of business", "staff": "staff"}
    return ", ".join(f"{count} {plurals.get(kind, kind + 's')}" for count, kind in counts if count)


def _counts(found: RegistryFile, changed: Sequence[Changed]) -> dict[str, str]:
    counts = {kind: len(getattr(found, kind)) for kind in KINDS}
    return {"changed": str(len(changed))} | {
        kind: str(count) for kind, count in counts.items() if count
    }


@asynccontextmanager
async def _ledger(dsn: str) -> AsyncIterator[EntriesOnPostgres]:
    database = ledger_database(dsn, connections=1, timeout_s=_TIMEOUT_S)
    try:
        await database.open()
    except (ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the ledger can't be reached with this DSN: {error}") from error
    try:
        yield EntriesOnPostgres(database)
    except (InvalidRequest, NotFound, Refused, RoleConflict) as error:
        raise ConfigurationError(f"the file can't be imported: {error.message}") from error
    finally:
        await database.close()
