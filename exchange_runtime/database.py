"""A pool of connections to PostgreSQL, named queries, and its errors as ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from document_exchange.errors import InternalError, InvalidRequest, Unavailable

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

# What says nothing about the request. Class XX (a damaged server, a fault of PostgreSQL itself) is
# not here: it does not pass, and has to be seen as a fault.
_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,  # class 08: the connection broke
    asyncpg.ReadOnlySQLTransactionError,  # 25006: a standby, before or after a failover
    asyncpg.TransactionRollbackError,  # class 40: given up for another transaction
    asyncpg.InsufficientResourcesError,  # class 53: out of connections, memory, disk
    asyncpg.LockNotAvailableError,  # 55P03: lock_timeout
    asyncpg.OperatorInterventionError,  # class 57: starting, stopping, cancelled
    asyncpg.PostgresSystemError,  # class 58: its disks failed it
)

_GONE = re.compile("clos|released|terminat")
"""How asyncpg says that a connection is no more; its InterfaceError is for our faults as well."""


@cache
def named_queries(package: str) -> Mapping[str, str]:
    """Every query of the package's ``sql`` folder, and of ours, by its ``-- name:`` heading."""
    found: dict[str, str] = {}
    for folder in (resources.files(each) / "sql" for each in (__package__ or "", package)):
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            pieces = _HEADING.split(file.read_text(encoding="utf-8"))
            for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
                if name in found:
                    raise ValueError(f"two queries are named {name}")
                found[name] = text.strip().removesuffix(";")
    return found


_Pooled: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class _PooledConnection(asyncpg.Connection):
    """A connection that goes back to the pool without a further round trip.

    The named queries leave nothing in the session that would have to be reset: no settings, no
    cursors, no session-wide locks. An open transaction is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        return ""


class Database:
    """Runs named queries; each is one statement, hence one transaction and one round trip."""

    def __init__(
        self, dsn: str, *, queries: Mapping[str, str], name: str, connections: int, timeout_s: float
    ) -> None:
        """``queries`` by name; ``name`` is what the database's administrator sees of us."""
        self._dsn = dsn
        self._name = name
        self._connections = connections
        self._timeout_s = timeout_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._slots = asyncio.Semaphore(connections)
        self._at_hand: list[_Pooled] = []
        self._running = 0
        self._sql = queries

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: the database does not answer.
        """
        with _passing_errors():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._connections,
                command_timeout=self._timeout_s,
                connection_class=_PooledConnection,
                server_settings={
                    "application_name": self._name,
                    "jit": "off",
                    # Planning for each value costs more than it saves: everything here is looked
                    # up by key, and partitions are pruned when the plan runs.
                    "plan_cache_mode": "force_generic_plan",
                },
            )

    @property
    def connections(self) -> int:
        """How many connections it may have."""
        return self._connections

    @property
    def in_use(self) -> int:
        """How many queries and transactions run now."""
        return self._running

    async def close(self) -> None:
        """Wait for the queries that run, then disconnect; later ones fail."""
        if self._pool is None:
            return
        for _ in range(self._connections):
            await self._slots.acquire()
        pool, self._pool = self._pool, None
        for _ in range(self._connections):
            self._slots.release()
        while self._at_hand:
            await pool.release(self._at_hand.pop())
        await pool.close()

    async def rows(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a query.

        Raises:
            Unavailable: no answer; if the query writes, its outcome is unknown.
        """
        async with self._connection() as connection:
            return await connection.fetch(self._sql[name], *arguments)

    async def row(self, name: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of a query, if any. Raises as ``rows``."""
        async with self._connection() as connection:
            return await connection.fetchrow(self._sql[name], *arguments)

    async def value(self, name: str, *arguments: object) -> Any:
        """The first column of the first row. Raises as ``rows``."""
        async with self._connection() as connection:
            return await connection.fetchval(self._sql[name], *arguments)

    async def transaction(self, names: Sequence[str]) -> list[list[asyncpg.Record]]:
        """The rows of queries without arguments, all of one snapshot. Raises as ``rows``."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return [await connection.fetch(self._sql[name]) for name in names]

    async def listen(self, channels: Mapping[str, Callable[[str], None]]) -> asyncpg.Connection:
        """A connection of its own that calls back with the payload of each notification."""
        with _passing_errors():
            connection = await asyncpg.connect(self._dsn, timeout=self._timeout_s)
            try:
                for channel, callback in channels.items():
                    await connection.add_listener(channel, _unpacking(callback))
            except BaseException:
                connection.terminate()
                raise
            return connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Pooled]:
        """A connection for one query or transaction.

        The pool's way back costs a task of the event loop each time, so a connection whose work
        succeeded stays at hand; after any failure the pool looks after it.
        """
        async with self._slots:
            self._running += 1
            try:
                with _passing_errors():
                    connection = await self._take()
                    try:
                        yield connection
                    except BaseException as error:
                        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                            # It leads to a standby; a new one may lead to the primary.
                            connection.terminate()
                        await self._open_pool().release(connection)
                        raise
                    self._at_hand.append(connection)
            finally:
                self._running -= 1

    async def _take(self) -> _Pooled:
        pool = self._open_pool()
        while self._at_hand:
            connection = self._at_hand.pop()
            # The pool takes back what the server ended, and then this proxy answers nothing.
            with suppress(asyncpg.InterfaceError):
                if not connection.is_closed():
                    return connection
                await pool.release(connection)
        return await pool.acquire()

    def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise InternalError("the database is not open")
        return self._pool


def _unpacking(callback: Callable[[str], None]) -> Callable[..., None]:
    def received(_connection: object, _pid: int, _channel: str, payload: str) -> None:
        callback(payload)

    return received


@contextmanager
def _passing_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise InvalidRequest("a text holds a character that the ledger can't hold") from error
    except asyncpg.InterfaceError as error:
        if not _GONE.search(str(error)):
            raise
        raise Unavailable(f"the ledger does not answer: {error}") from error
    except _PASSING as error:
        raise Unavailable(f"the ledger does not answer: {type(error).__name__}") from error
