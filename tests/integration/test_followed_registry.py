"""The registry followed on a real ledger: its clock, and which revocation lists it gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from document_exchange.errors import Unavailable
from exchange_runtime.clock import system_clock
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.registry import Registry, RegistryFollower
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.storage.migrate import migrate

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
async def ledger(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[Ledger]:
    await asyncio.to_thread(migrate, postgres.dsn("owner", database))
    opened = ledger_database(postgres.dsn("exchange", database), connections=2, timeout_s=10)
    await opened.open()
    yield Ledger(opened, longest_upload=4 * HOUR)
    await opened.close()


@pytest.fixture
async def owner(
    postgres: EmbeddedPostgres, database: str, ledger: Ledger
) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.dsn("owner", database))
    await connection.execute("delete from exchange.crls")
    yield connection
    await connection.close()


async def publish(
    owner: asyncpg.Connection, issuer: str, lists: dict[int, timedelta], now: datetime
) -> None:
    """Lists by number, with the time from now at which they begin."""
    await owner.executemany(
        "insert into exchange.crls values ($1, $2, $3, $4, $5)",
        [
            (issuer, number, now + begins, now + begins + 168 * HOUR, f"{issuer} {number}".encode())
            for number, begins in lists.items()
        ],
    )


def numbers(registry: Registry, now: datetime) -> tuple[int, int]:
    root, seal = registry.crls_in_force(now)
    return root.number, seal.number


async def test_an_authority_whose_clock_is_ahead_stops_nothing(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    now = system_clock()
    hourly = {number: (number - 10) * HOUR for number in range(1, 20)}
    for issuer in ("root", "tls-ca", "seal-ca"):
        await publish(owner, issuer, hourly, now)
    registry = await ledger.load_registry()
    assert numbers(registry, now) == (10, 10)
    # Three each way and no more, so that a reading stays small over the years.
    assert sorted(crl.number for crl in registry.root_crls) == [8, 9, 10, 11, 12, 13]
    # What begins later counts from then on, without another reading; the process may be behind.
    assert numbers(registry, now + 2 * HOUR) == (12, 12)
    assert numbers(registry, now - timedelta(minutes=1)) == (9, 9)
    assert registry.crls_in_force(now)[1].der == b"seal-ca 10"


async def test_once_that_clock_is_set_its_next_list_counts(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    now = system_clock()
    await publish(owner, "root", {1: -HOUR, 2: -HOUR / 2, 3: 5 * HOUR}, now)
    await publish(owner, "seal-ca", {1: -HOUR, 2: 5 * HOUR, 3: 6 * HOUR, 4: -HOUR / 60}, now)
    assert numbers(await ledger.load_registry(), now) == (2, 4)


async def test_a_first_list_counts_as_soon_as_it_begins(
    ledger: Ledger, owner: asyncpg.Connection
) -> None:
    now = system_clock()
    for issuer in ("root", "seal-ca"):
        await publish(owner, issuer, {1: HOUR}, now)
    registry = await ledger.load_registry()
    with pytest.raises(Unavailable, match="no revocation list of root"):
        registry.crls_in_force(now)
    assert numbers(registry, now + HOUR) == (1, 1)


async def test_the_ledgers_clock_decides_whether_this_process_may_work(ledger: Ledger) -> None:
    """A clock that has local time for UTC, as of a host in China."""
    assert abs(await ledger.clock() - system_clock()) < timedelta(minutes=1)
    for ahead, admitted in ((0 * HOUR, True), (8 * HOUR, False), (-8 * HOUR, False)):

        def clock(ahead: timedelta = ahead) -> datetime:
            return system_clock() + ahead

        follower = RegistryFollower(ledger, clock=clock)
        await follower.start()
        try:
            if admitted:
                follower.current()
            else:
                with pytest.raises(Unavailable, match=r"differ by 2[78]\d{3} s"):
                    follower.current()
        finally:
            await follower.stop()
