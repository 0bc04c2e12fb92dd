"""The ledger falls silent under a running server: nobody is admitted, and then everybody again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from exchange_client.testing import LocalCentre

from document_exchange.errors import ExchangeError, StatusUnknown, Unavailable
from document_exchange.v1 import directory_pb2, directory_pb2_grpc
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.registry import RegistryFollower
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.storage.migrate import migrate
from tests.real_centre import SENDER, CentreInside, typed

CITY = Path(__file__).parents[1] / "integration" / "small_city.toml"
LIMITS = """
[limits]
status_interval_s = 0.1
status_max_age_s = 1.0
"""


@pytest.mark.timeout(180)
async def test_a_ledger_that_hangs_closes_every_door(tmp_path: Path) -> None:
    """Frozen, so that connections stay open and nothing answers: the worst way to fail.

    The directory is answered from memory, so it is the guard alone that refuses.
    """
    async with LocalCentre(registry=CITY, state=tmp_path / "state") as centre:
        inside = CentreInside(centre)
        async with (
            inside.second_server(tmp_path / "second.log", LIMITS),
            inside.channel(inside.unit(SENDER)) as channel,
        ):
            stub = directory_pb2_grpc.DirectoryServiceStub(channel)
            assert await refusal_of_a_look(stub) is None
            with frozen(postgres_below(centre.process_id)):
                async with asyncio.timeout(20):
                    while (error := await refusal_of_a_look(stub)) is None:
                        pass
            assert type(error) is StatusUnknown
            assert "status of certificates" in error.message
            async with asyncio.timeout(20):
                while await refusal_of_a_look(stub) is not None:
                    pass


async def test_a_ledger_that_stops_closes_the_registry_until_it_is_back(tmp_path: Path) -> None:
    """The follower alone, on a PostgreSQL of its own that is stopped and started again."""
    with EmbeddedPostgres(tmp_path) as postgres:
        await asyncio.to_thread(migrate, postgres.dsn("owner"))
        database = ledger_database(postgres.dsn("exchange"), connections=2, timeout_s=5)
        await database.open()
        ledger = Ledger(database, longest_upload=timedelta(hours=4))
        follower = RegistryFollower(ledger, interval_s=0.02, max_age_s=0.5)
        await follower.start()
        version = follower.current().version
        await asyncio.to_thread(postgres.stop)
        await until(ledger, lambda: not follows(follower))
        await asyncio.to_thread(postgres.start)
        await until(ledger, lambda: follows(follower))
        assert follower.current().version == version
        await follower.stop()
        await database.close()


async def refusal_of_a_look(stub: Any) -> ExchangeError | None:
    try:
        await stub.ListUnits(directory_pb2.ListUnitsRequest(page_size=1), timeout=5)
    except grpc.aio.AioRpcError as error:
        return typed(error)
    return None


def postgres_below(dev_pid: int) -> list[psutil.Process]:
    """Every process of the embedded PostgreSQL, sessions included."""
    found = [
        process
        for process in psutil.Process(dev_pid).children(recursive=True)
        if process.name() == "postgres"
    ]
    assert found, "no PostgreSQL below the centre"
    return found


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def follows(follower: RegistryFollower) -> bool:
    try:
        follower.current()
    except Unavailable:
        return False
    return True


async def until(ledger: Ledger, holds: Callable[[], bool]) -> None:
    """Wait for it, asking the ledger meanwhile, which may be away."""
    async with asyncio.timeout(30):
        while not holds():
            with suppress(Unavailable):
                await ledger.registry_version()
