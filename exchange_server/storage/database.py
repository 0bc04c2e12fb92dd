"""A pool of connections to PostgreSQL, named queries, and its errors as ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any

import asyncpg

from document_exchange.errors import InternalError, Unavailable

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

# What says nothing about the request: the server is away, starting, stopping, overloaded, or
# gave up a transaction that may succeed the next time.
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InsufficientResourcesError,
    OSError,
    TimeoutError,
)


@cache
def named_queries() -> Mapping[str, str]:
    """Every query of the ``sql`` folder by its ``-- name:`` heading."""
    found: dict[str, str] = {}
    for file in sorted((resources.files(__package__) / "sql").iterdir(), key=lambda f: f.name):
        pieces = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in found:
                raise ValueError(f"two queries are named {name}")
            found[name] = text.strip().removesuffix(";")
    return found


class _PooledConnection(asyncpg.Connection):
    """A connection that goes back to the pool without a further round trip.

    The named queries leave nothing in the session that would have to be reset: no settings, no
    cursors, no session-wide locks. An open transaction is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Runs named queries; each is one statement, hence one transaction and one round trip."""

    def __init__(self, dsn: str, *, connections: int, timeout_s: float) -> None:
        self._dsn = dsn
        self._connections = connections
        self._timeout_s = timeout_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._sql = named_queries()

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: the database does not answer.
        """
        async with _passing_errors():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._connections,
                command_timeout=self._timeout_s,
                connection_class=_PooledConnection,
                server_settings={
                    "application_name": "exchange-server",
                    "jit": "off",
                    # Planning for each value costs more than it saves: everything here is looked
                    # up by key, and partitions are pruned when the plan runs.
                    "plan_cache_mode": "force_generic_plan",
                },
            )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def rows(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a query.

        Raises:
            Unavailable: no answer; if the query writes, its outcome is unknown.
        """
        async with _passing_errors():
            return await self._open_pool().fetch(self._sql[name], *arguments)

    async def row(self, name: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of a query, if any. Raises as ``rows``."""
        async with _passing_errors():
            return await self._open_pool().fetchrow(self._sql[name], *arguments)

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of the first row. Raises as ``rows``."""
        async with _passing_errors():
            return await self._open_pool().fetchval(self._sql[name], *arguments)

    async def transaction(self, names: Sequence[str]) -> list[list[asyncpg.Record]]:
        """The rows of queries without arguments, all of one snapshot. Raises as ``rows``."""
        async with (
            _passing_errors(),
            self._open_pool().acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return [await connection.fetch(self._sql[name]) for name in names]

    async def listen(self, channels: Mapping[str, Callable[[str], None]]) -> asyncpg.Connection:
        """A connection of its own that calls back with the payload of each notification."""
        async with _passing_errors():
            connection = await asyncpg.connect(self._dsn, timeout=self._timeout_s)
            for channel, callback in channels.items():
                await connection.add_listener(channel, _unpacking(callback))
            return connection

    def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise InternalError("the database is not open")
        return self._pool


def _unpacking(callback: Callable[[str], None]) -> Callable[..., None]:
    def received(_connection: object, _pid: int, _channel: str, payload: str) -> None:
        callback(payload)

    return received


@asynccontextmanager
async def _passing_errors() -> AsyncIterator[None]:
    try:
        yield
    except _PASSING as error:
        raise Unavailable(f"the ledger does not answer: {type(error).__name__}") from error
