"""A centre for each module here, and what its tests work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from exchange_client.testing import LocalCentre

from exchange_runtime.database import Database
from tests.deadlines_for_tests import Bench, a_bench, idle_centre, three_databases


@pytest.fixture(scope="module")
def local_centre() -> Iterator[LocalCentre]:
    with idle_centre() as centre:
        yield centre


@pytest.fixture
async def databases(local_centre: LocalCentre) -> AsyncIterator[list[Database]]:
    async with three_databases(local_centre) as opened:
        yield opened


@pytest.fixture
async def bench(local_centre: LocalCentre, databases: list[Database]) -> AsyncIterator[Bench]:
    async with a_bench(local_centre, databases) as made:
        yield made
