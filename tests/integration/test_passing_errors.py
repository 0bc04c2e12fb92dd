"""What PostgreSQL says while it is switched over or in trouble means "try again", and no fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import asyncpg
import pytest

from document_exchange.errors import Unavailable
from exchange_runtime.database import Database
from exchange_server.embedded import EmbeddedPostgres

OpenDatabase: TypeAlias = Callable[[Mapping[str, str], int], Awaitable[Database]]

PASSING = ("25006", "40003", "53100", "53400", "55P03", "57P05", "58000", "58030")
FAULTS = ("22012", "42501", "P0001", "XX000", "XX001")


def raising(code: str) -> str:
    return f"do $$ begin raise exception 'trouble' using errcode = '{code}'; end $$"


QUERIES = {
    "write": "insert into things values (1) returning thing",
} | {f"raise_{code}": raising(code) for code in (*PASSING, *FAULTS)}


@pytest.fixture
async def opened(open_database: OpenDatabase) -> Database:
    return await open_database(QUERIES, 1)


@pytest.mark.parametrize("code", PASSING)
async def test_what_passes_is_unavailable(opened: Database, code: str) -> None:
    with pytest.raises(Unavailable):
        await opened.value(f"raise_{code}")


@pytest.mark.parametrize("code", FAULTS)
async def test_what_does_not_pass_is_seen_as_a_fault(opened: Database, code: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await opened.value(f"raise_{code}")


async def test_a_connection_that_leads_to_a_standby_is_given_up(
    postgres: EmbeddedPostgres, database: str, open_database: OpenDatabase
) -> None:
    """Sessions that may only read stand in for those of a standby."""
    outside = await asyncpg.connect(postgres.dsn("owner", database))
    try:
        await outside.execute("create table things (thing int)")
        await outside.execute(f"alter database {database} set default_transaction_read_only = on")
        opened = await open_database(QUERIES, 1)
        with pytest.raises(Unavailable):
            await opened.value("write")
        await outside.execute(f"alter database {database} reset default_transaction_read_only")
        assert await opened.value("write") == 1
    finally:
        await outside.close()
