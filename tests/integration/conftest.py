"""What integration tests share: one running centre with a few units, and pools over a ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from exchange_client.testing import LocalCentre, local_centre_fixture

from exchange_runtime.database import Database
from exchange_server.embedded import EmbeddedPostgres
from tests.integration.enrolment_office import Office, open_office
from tests.real_centre import CentreInside

SMALL_CITY = Path(__file__).parent / "small_city.toml"

local_centre = local_centre_fixture(registry=SMALL_CITY)


@pytest.fixture
def inside(local_centre: LocalCentre) -> CentreInside:
    """The centre without the SDK's own checks."""
    return CentreInside(local_centre)


@pytest.fixture(scope="module")
async def office(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """The authority's side of enrolment, on a ledger of the module's own."""
    async with open_office(postgres, database, tmp_path_factory) as opened:
        yield opened


@pytest.fixture
async def open_database(
    postgres: EmbeddedPostgres, database: str
) -> AsyncIterator[Callable[[Mapping[str, str], int], Awaitable[Database]]]:
    """Opens pools that know these queries, of so many connections; closes them at the end."""
    async with AsyncExitStack() as stack:

        async def open_(queries: Mapping[str, str], connections: int) -> Database:
            opened = Database(
                postgres.dsn("owner", database),
                queries=queries,
                name="tests",
                connections=connections,
                timeout_s=10,
            )
            await opened.open()
            stack.push_async_callback(opened.close)
            return opened

        yield open_
