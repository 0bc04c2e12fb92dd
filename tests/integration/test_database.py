"""The pool of connections: what fails does not stay at hand, what waits gets its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from document_exchange.errors import InvalidRequest, Unavailable
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage import database as module
from exchange_server.storage.database import Database

QUERIES = {
    "pid": "select pg_backend_pid()",
    "wait": "select pg_backend_pid(), pg_sleep($1)",
    "broken": "select 1 / $1::int",
    "text": "select $1::text",
}


@pytest.fixture
async def opened(
    postgres: EmbeddedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    monkeypatch.setattr(module, "named_queries", lambda: QUERIES)
    opened = Database(postgres.dsn("owner", database), connections=2, timeout_s=10)
    await opened.open()
    yield opened
    await opened.close()


async def test_calls_share_the_connections_and_wait_their_turn(opened: Database) -> None:
    pids = await asyncio.gather(*(opened.value("wait", 0.01) for _ in range(20)))
    assert len(set(pids)) == 2


async def test_after_an_error_the_connection_serves_on(opened: Database) -> None:
    pid = await opened.value("pid")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await opened.value("broken", 0)
    assert await opened.value("pid") == pid


async def test_a_text_that_postgresql_can_not_hold_is_the_callers_fault(opened: Database) -> None:
    with pytest.raises(InvalidRequest):
        await opened.value("text", "qd-\x00")
    assert await opened.value("text", "汉") == "汉"


async def test_a_call_that_is_cancelled_leaves_no_query_behind(opened: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await opened.value("wait", 60)
    async with asyncio.timeout(10):
        await asyncio.gather(*(opened.value("pid") for _ in range(4)))


async def test_a_connection_that_the_server_ended_is_replaced(
    opened: Database, postgres: EmbeddedPostgres, database: str
) -> None:
    pid = await opened.value("pid")
    outside = await asyncpg.connect(postgres.dsn("owner", database))
    try:
        await outside.execute("select pg_terminate_backend($1)", pid)
        async with asyncio.timeout(10):
            while await outside.fetchval(
                "select count(*) from pg_stat_activity where pid = $1", pid
            ):
                pass
    finally:
        await outside.close()
    # Whether its end is known already decides if one call notices it.
    try:
        replaced = await opened.value("pid")
    except Unavailable:
        replaced = await opened.value("pid")
    assert replaced != pid
