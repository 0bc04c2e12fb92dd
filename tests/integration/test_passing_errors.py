"""What PostgreSQL says while it is switched over or in trouble means "try again", and no fault."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from document_exchange.errors import Unavailable
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage import database as module
from exchange_server.storage.database import Database

PASSING = ("25006", "40003", "53100", "53400", "55P03", "57P05", "58000", "58030")
FAULTS = ("22012", "42501", "P0001", "XX000", "XX001")


def raising(code: str) -> str:
    return f"do $$ begin raise exception 'trouble' using errcode = '{code}'; end $$"


QUERIES = {
    "write": "insert into things values (1) returning thing",
} | {f"raise_{code}": raising(code) for code in (*PASSING, *FAULTS)}


@pytest.fixture
async def opened(
    postgres: EmbeddedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    monkeypatch.setattr(module, "named_queries", lambda: QUERIES)
    opened = Database(postgres.dsn("owner", database), connections=1, timeout_s=10)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("code", PASSING)
async def test_what_passes_is_unavailable(opened: Database, code: str) -> None:
    with pytest.raises(Unavailable):
        await opened.value(f"raise_{code}")


@pytest.mark.parametrize("code", FAULTS)
async def test_what_does_not_pass_is_seen_as_a_fault(opened: Database, code: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await opened.value(f"raise_{code}")


async def test_a_connection_that_leads_to_a_standby_is_given_up(
    postgres: EmbeddedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions that may only read stand in for those of a standby."""
    monkeypatch.setattr(module, "named_queries", lambda: QUERIES)
    outside = await asyncpg.connect(postgres.dsn("owner", database))
    opened = Database(postgres.dsn("owner", database), connections=1, timeout_s=10)
    try:
        await outside.execute("create table things (thing int)")
        await outside.execute(f"alter database {database} set default_transaction_read_only = on")
        await opened.open()
        with pytest.raises(Unavailable):
            await opened.value("write")
        await outside.execute(f"alter database {database} reset default_transaction_read_only")
        assert await opened.value("write") == 1
    finally:
        await opened.close()
        await outside.close()
