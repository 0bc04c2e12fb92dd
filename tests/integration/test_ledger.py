"""The ledger's own guards, on a real PostgreSQL, with the rights of the real roles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from exchange_client.testing import LocalCentre

from document_exchange.transitions import TRANSITIONS


@pytest.fixture
async def exchange(local_centre: LocalCentre) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    yield connection
    await connection.close()


async def test_the_guard_in_the_database_is_the_table_in_the_code(
    exchange: asyncpg.Connection,
) -> None:
    rows = await exchange.fetch("select state_before, type, state_after from exchange.transitions")
    assert {tuple(row) for row in rows} == {
        (before.value, kind.value, transition.state_after.value)
        for (before, kind), transition in TRANSITIONS.items()
        if before is not None
    }


@pytest.mark.parametrize(
    "statement",
    [
        "update exchange.envelopes set title = 'x'",
        "delete from exchange.envelopes",
        "update exchange.statements set type = 'REFUSED'",
        "delete from exchange.statements",
        "update exchange.events set actor = 'x'",
        "delete from exchange.events",
        "delete from exchange.deliveries",
        "update exchange.certificates set revoked_at = null",
        "insert into exchange.crls values ('root', 99, now(), now(), '')",
        "delete from exchange.units",
        "insert into exchange.transitions values ('SIGNED_FOR', 'DELIVERED', 'PENDING')",
        "select exchange.publish_crl('root', 99, now(), now(), '')",
    ],
)
async def test_the_centre_can_rewrite_nothing(exchange: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await exchange.execute(statement)


async def test_the_authority_sees_no_document(local_centre: LocalCentre) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_authority"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select manifest from exchange.envelopes")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("insert into exchange.certificates (fingerprint) values ('')")
    finally:
        await connection.close()
