"""However many envelopes hang together, and whoever made them, an answer stays small and quick.

The envelopes are written into the ledger directly: to send as many would take minutes.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest
from exchange_client import AsyncClient, PartSource, State
from exchange_client.testing import LocalCentre

from document_exchange import codes
from exchange_runtime.database import named_queries
from tests.real_centre import RECIPIENT, SENDER, CentreInside, now

QUERIES = named_queries("exchange_server.storage")
QUICK_S = 2.0
"""Some ten times what it takes on two busy cores."""
STRANGER, OTHER = "qd-tongji", "qd-zhengfu"

Ledger: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def finance(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(SENDER) as client:
        yield client


@pytest.fixture
async def ledger(local_centre: LocalCentre) -> AsyncIterator[Ledger]:
    async with CentreInside(local_centre).ledger() as connection:
        yield connection


async def sent(client: AsyncClient) -> str:
    files = PartSource(b"%PDF-1.7", filename="函.pdf")
    return (await client.send(title="函", recipients=RECIPIENT, files=files)).envelope_id


def new_ids(count: int) -> list[str]:
    """Identifiers in the order of time, like those of envelopes sent one after the other."""
    at = now() - timedelta(hours=1)
    return [codes.new_id(at + timedelta(milliseconds=place)) for place in range(count)]


async def add(
    ledger: Ledger, model: str, ids: Sequence[str], sender: str, recipients: Sequence[str]
) -> None:
    """Envelopes like the model, of another sender and to other recipients."""
    await ledger.execute(
        """
        insert into exchange.envelopes
        select (jsonb_populate_record(e, jsonb_build_object(
            'envelope_id', i, 'sender', $3::text, 'accepted_at', now() + o * interval '1 ms'))).*
          from exchange.envelopes e, unnest($2::uuid[]) with ordinality as t (i, o)
         where e.envelope_id = $1::uuid
        """,
        model,
        ids,
        sender,
    )
    await ledger.execute(
        """
        insert into exchange.deliveries
            (envelope_id, recipient, sender, kind, state, seq, updated_at)
        select i, r, $2, 'TO', 'PENDING', 0, now() from unnest($1::uuid[]) i, unnest($3::text[]) r
        """,
        ids,
        sender,
        recipients,
    )


async def link(
    ledger: Ledger, ids: Sequence[str], earlier: Sequence[str], parties: Sequence[str]
) -> None:
    """Let each answer its earlier one; the first of the parties is the sender."""
    await ledger.execute(
        "insert into exchange.links (envelope_id, kind, earlier)"
        " select i, 'REPLY_TO', e from unnest($1::uuid[], $2::uuid[]) as t (i, e)",
        ids,
        earlier,
    )
    await ledger.execute(
        "insert into exchange.link_parties (earlier, unit_id, sender, envelope_id, kind)"
        " select e, u, $4, i, 'REPLY_TO'"
        "   from unnest($1::uuid[], $2::uuid[]) as t (i, e), unnest($3::text[]) u",
        ids,
        earlier,
        parties,
        parties[0],
    )


async def test_many_answers_and_very_many_of_others(finance: AsyncClient, ledger: Ledger) -> None:
    asked = await sent(finance)
    answers, aside = new_ids(1_000), new_ids(100_000)
    await add(ledger, asked, answers, RECIPIENT, [SENDER])
    await link(ledger, answers, [asked] * 1_000, [RECIPIENT, SENDER])
    # What the recipient wrote to others about it is nothing that the sender may see.
    await link(ledger, aside, [asked] * 100_000, [RECIPIENT, STRANGER])

    began = time.monotonic()
    found = await finance.thread(asked)
    assert time.monotonic() - began < QUICK_S
    assert found.truncated
    assert [item.envelope_id for item in found.items] == [asked, *answers[:499]]

    began = time.monotonic()
    (entry,) = (await finance.circulation(asked)).entries
    assert time.monotonic() - began < QUICK_S
    assert entry.answered_by == answers[-100]  # the first of the last hundred

    # One who is flooded with answers that do not stand still gets an answer.
    await ledger.execute(
        "update exchange.deliveries set state = 'WITHDRAWN' where envelope_id = any ($1::uuid[])",
        answers,
    )
    (entry,) = (await finance.circulation(asked)).entries
    assert entry.answered_at is None


async def test_of_a_long_chain_the_nearest_are_shown(finance: AsyncClient, ledger: Ledger) -> None:
    first = await sent(finance)
    chain = new_ids(1_000)
    await add(ledger, first, chain, RECIPIENT, [SENDER])
    await link(ledger, chain, [first, *chain[:-1]], [RECIPIENT, SENDER])

    began = time.monotonic()
    found = await finance.thread(chain[500])
    assert time.monotonic() - began < QUICK_S
    assert found.truncated
    shown = [chain.index(item.envelope_id) for item in found.items]
    assert shown == list(range(shown[0], shown[0] + 500))
    assert shown[0] in (250, 251)

    # No more is read than is shown.
    explained = f"explain (analyze, format json) {QUERIES['thread_ids']}"
    plan = json.loads(await ledger.fetchval(explained, SENDER, chain[500], 10))
    (walked,) = re.findall(r"'Recursive Union'.*?'Actual Rows': ([0-9.]+)", str(plan))
    assert 10 <= float(walked) < 15

    # Where somebody else's envelope lies between, the chain ends: nothing of it or beyond is told.
    (foreign,) = new_ids(1)
    await add(ledger, first, [foreign], STRANGER, [OTHER])
    await ledger.execute(
        "update exchange.links set earlier = $2 where envelope_id = $1", chain[3], foreign
    )
    await ledger.execute(
        "update exchange.link_parties set earlier = $2 where envelope_id = $1", chain[3], foreign
    )
    assert [item.envelope_id for item in (await finance.thread(first)).items] == [first, *chain[:3]]
    found = await finance.thread(chain[3])
    assert found.items[0].envelope_id == chain[3]
    assert [each.envelope_id for each in found.items[0].links] == [foreign]


async def test_many_deliveries_are_counted_instead_of_listed(
    finance: AsyncClient, ledger: Ledger
) -> None:
    asked = await sent(finance)
    notices = new_ids(20)
    units = [f"unit-{number:03}" for number in range(400)]
    await add(ledger, asked, notices, SENDER, units)
    await link(ledger, notices, [asked] * 20, [SENDER, *units])
    found = await finance.thread(asked)
    assert [dict(item.standing) for item in found.items] == [
        {State.PENDING: 1},
        *[{State.PENDING: 400}] * 20,
    ]
    # 5,000 have room in one answer: those of the nearest twelve.
    listed = [len(item.deliveries) for item in found.items]
    assert listed == [1, *[400] * 12, *[0] * 8]
