"""Two transactions at once, in an order that is not left to chance.

``rival`` is a database of which all is one transaction. While that is open, ``overtaken`` lets
somebody else ask for what depends on it, sees that they wait, commits, and tells what they got.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from document_exchange.errors import ExchangeError
from exchange_runtime.database import Database, named_queries

T = TypeVar("T")

_SOMEBODY_WAITS_FOR_US = """select exists (select from pg_locks
    where not granted and pg_backend_pid() = any (pg_blocking_pids(pid)))"""


class Rival(Database):
    """Answers as ``Database`` does; nobody else sees what was done until it is committed."""

    def __init__(self, connection: asyncpg.Connection, package: str) -> None:
        super().__init__(
            "", queries=named_queries(package), name="rival", connections=1, timeout_s=1
        )
        self._only = connection
        self._transaction = connection.transaction()

    async def begin(self) -> None:
        await self._transaction.start()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        yield self._only

    async def execute(self, statement: str) -> None:
        """Any statement, as part of the transaction."""
        await self._only.execute(statement)

    async def is_waited_for(self) -> bool:
        """Whether somebody waits for a lock of the transaction."""
        return bool(await self._only.fetchval(_SOMEBODY_WAITS_FOR_US))

    async def commit(self) -> None:
        await self._transaction.commit()


@asynccontextmanager
async def rival(dsn: str, package: str) -> AsyncIterator[Rival]:
    """A transaction by the queries of this package; given up unless it is committed."""
    connection = await asyncpg.connect(dsn)
    try:
        begun = Rival(connection, package)
        await begun.begin()
        yield begun
    finally:
        await connection.close()


async def overtaken(first: Rival, second: Awaitable[T]) -> T | ExchangeError:
    """What the second gives, which must wait for the first and sees what it did."""
    asking = asyncio.ensure_future(second)
    async with asyncio.timeout(20):
        while not await first.is_waited_for():
            assert not asking.done(), f"it did not wait: {asking}"
    await first.commit()
    try:
        return await asking
    except ExchangeError as error:
        return error
