"""A ledger of before the whole life of a delivery: what is in it is as if it had come since."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from document_exchange import codes
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage.migrate import migrate

BEFORE = "0005"
LONG_AGO = datetime.now(UTC) - timedelta(days=200)
SENDER, SIGNED, WAITING = "qd-caizheng", "qd-jiaoyu", "qd-tongji"


@pytest.fixture(scope="module")
def dsn(postgres: EmbeddedPostgres, database: str) -> str:
    found = postgres.dsn("owner", database)
    migrate(found, BEFORE)
    return found


async def test_what_is_there_is_taken_along(dsn: str) -> None:
    first, second = codes.new_id(LONG_AGO), codes.new_id(LONG_AGO + timedelta(hours=1))
    ledger = await asyncpg.connect(dsn)
    try:
        await ledger.execute("select exchange.ensure_partitions($1, 2)", LONG_AGO)
        await accepted(ledger, first, {}, (SIGNED, WAITING))
        await accepted(ledger, second, {"supersedes": first}, (WAITING,))
        await signed_for(ledger, first)
        await upgraded(dsn)
        rows = await ledger.fetch(
            "select recipient, last_type, decided_seq, replaced_by::text from exchange.deliveries"
            " where envelope_id = $1::uuid order by recipient",
            first,
        )
        assert [tuple(row) for row in rows] == [
            (SIGNED, "SIGNED_FOR", 2, None),
            (WAITING, "ACCEPTED", 0, second),
        ]
        parties = await ledger.fetch(
            "select unit_id, sender, kind from exchange.link_parties"
            " where earlier = $1::uuid and envelope_id = $2::uuid order by unit_id",
            first,
            second,
        )
        linked = [(SENDER, SENDER, "SUPERSEDES"), (WAITING, SENDER, "SUPERSEDES")]
        assert [tuple(row) for row in parties] == linked
        # What is said of it now gets its time-stamp.
        await ledger.execute(
            "insert into exchange.stamp_queue (envelope_id, recipient, seq, signature_sha256)"
            " values ($1::uuid, $2, 3, sha256('signature'))",
            first,
            SIGNED,
        )
        made = await ledger.fetchval("select exchange.make_stamp_batch(now(), 100, 16)")
        assert made == 1
    finally:
        await ledger.close()


async def upgraded(dsn: str) -> None:
    """It runs a loop of its own."""
    await asyncio.to_thread(migrate, dsn)


async def accepted(
    ledger: asyncpg.Connection, envelope_id: str, links: dict[str, str], to: tuple[str, ...]
) -> None:
    manifest = json.dumps(links).encode()
    await ledger.execute(
        "insert into exchange.envelopes values ($1::uuid, $2, 'oa', '1', 'DOCUMENT', 'NOTICE',"
        " 'NORMAL', 't', '', 1, 1, $3, sha256($3), '{}', 1, 1, $4, '', '', 1)",
        envelope_id,
        SENDER,
        manifest,
        LONG_AGO,
    )
    for recipient in to:
        await ledger.execute(
            "insert into exchange.deliveries values ($1::uuid, $2, $3, 'TO', 'PENDING', 0, $4)",
            envelope_id,
            recipient,
            SENDER,
            LONG_AGO,
        )


async def signed_for(ledger: asyncpg.Connection, envelope_id: str) -> None:
    for seq, kind in enumerate(("DELIVERED", "SIGNED_FOR"), 1):
        await ledger.execute(
            "insert into exchange.statements values ($1::uuid, $2, $3, $4, $5::uuid, '', '', null,"
            " null, 1, 1, $6, $3)",
            envelope_id,
            SIGNED,
            seq,
            kind,
            codes.new_id(LONG_AGO),
            LONG_AGO,
        )
    await ledger.execute(
        "update exchange.deliveries set state = 'SIGNED_FOR', seq = 2"
        " where envelope_id = $1::uuid and recipient = $2",
        envelope_id,
        SIGNED,
    )
