"""What tests of several kinds share: one PostgreSQL and one S3 store for the whole session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres

_database_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server. Use ``database`` for a database of one's own on it."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("ledger")) as server:
        yield server


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedObjectStore]:
    """A running S3 store with one bucket."""
    with EmbeddedObjectStore(tmp_path_factory.mktemp("blobs")) as store:
        yield store


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The name of an empty database for one test module: ``postgres.dsn("owner", database)``."""
    name = f"test_{next(_database_numbers)}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)
