"""The pool of connections: what fails does not stay at hand, what waits gets its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import asyncpg
import pytest

from document_exchange.errors import InternalError, InvalidRequest
from exchange_runtime.database import Database
from exchange_server.embedded import EmbeddedPostgres

OpenDatabase: TypeAlias = Callable[[Mapping[str, str], int], Awaitable[Database]]

QUERIES = {
    "pid": "select pg_backend_pid()",
    "wait": "select pg_backend_pid(), pg_sleep($1)",
    "broken": "select 1 / $1::int",
    "text": "select $1::text",
}


@pytest.fixture
async def opened(open_database: OpenDatabase) -> Database:
    return await open_database(QUERIES, 2)


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


async def test_connections_that_the_server_ended_cost_no_call(
    opened: Database, postgres: EmbeddedPostgres, database: str
) -> None:
    ended = set(await asyncio.gather(*(opened.value("wait", 0.05) for _ in range(2))))
    assert len(ended) == 2
    outside = await asyncpg.connect(postgres.dsn("owner", database))
    try:
        for pid in ended:
            await outside.execute("select pg_terminate_backend($1)", pid)
        async with asyncio.timeout(10):
            while await outside.fetchval(
                "select count(*) from pg_stat_activity where pid = any($1)", list(ended)
            ):
                pass
        for _ in range(3):  # the event loop gets to know of it
            await outside.fetchval("select 1")
    finally:
        await outside.close()
    assert not {await opened.value("pid") for _ in range(5)} & ended


async def test_closing_waits_for_what_runs(opened: Database) -> None:
    running = asyncio.create_task(opened.value("wait", 0.3))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await opened.close()
    assert running.done()
    with pytest.raises(InternalError):
        await opened.value("pid")


async def test_a_fault_of_ours_is_not_taken_for_a_ledger_that_is_away(opened: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError):
        await opened.value("pid", "one argument too many")
