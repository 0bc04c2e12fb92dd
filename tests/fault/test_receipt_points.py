"""The server is killed at every point of a receipt: nothing is left of it, or all of it, once.

State, receipt, admission, event, its place in the queue for the log, and what awaits the other
side are one SQL function, so there is no point between them; a server that is killed while that
function runs, and a ledger that loses its connection then, are tried besides.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import event, receipt
from document_exchange.errors import Unavailable
from document_exchange.receipt import ReceiptType
from document_exchange.v1 import envelope_pb2
from document_exchange.verification import Signed
from exchange_runtime.fault_points import POINTS, VARIABLE
from tests.clerk_for_tests import standing
from tests.life_for_tests import Paper, Parties, signed, trust_of, verified
from tests.real_centre import RECIPIENT, SENDER, CentreInside
from tests.rivals import rival

CITY = Path(__file__).parents[1] / "integration" / "small_city.toml"
WRITTEN = {"receipt.committed", "receipt.told", "receipt.answered"}
"""Where the transaction has been committed."""
R = ReceiptType
KINDS = (R.DELIVERED, R.SIGNED_FOR, R.WITHDRAWN)
"""The centre's own, the recipient's, and the sender's."""
AT_EACH_POINT = [
    (kind, point)
    for kind in KINDS
    for point in sorted(POINTS)
    if (kind, point) != (R.DELIVERED, "receipt.sealed")  # nobody seals that
]


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCentre]:
    """Of this module's own: its servers die."""
    with LocalCentre(registry=CITY, state=tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
async def parties(centre: LocalCentre) -> AsyncIterator[Parties]:
    """At the server that lives on."""
    async with Parties(CentreInside(centre)) as opened:
        yield opened


async def handed_in(parties: Parties, paper: Paper, made: Signed | None) -> envelope_pb2.Statement:
    """The receipt, or (None) the call that makes the centre say DELIVERED."""
    if made is None:
        return await parties.confirm(paper, RECIPIENT)
    said = receipt.decode_receipt(made.content)
    return await parties.hand_in(SENDER if said.type is R.WITHDRAWN else RECIPIENT, made)


async def prepared(parties: Parties, kind: ReceiptType) -> tuple[Paper, Signed | None]:
    """A document for which the receipt is the next step."""
    paper = await parties.send()
    if kind is R.DELIVERED:
        return paper, None
    await parties.confirm(paper, RECIPIENT)
    return paper, parties.receipt(paper, RECIPIENT, kind)


@pytest.mark.parametrize(("kind", "point"), AT_EACH_POINT)
async def test_a_kill_leaves_nothing_or_all_of_it(
    centre: LocalCentre, parties: Parties, tmp_path: Path, kind: ReceiptType, point: str
) -> None:
    paper, made = await prepared(parties, kind)
    before = await standing(parties.inside, paper)
    doomed = CentreInside(centre)
    async with doomed.second_server(
        tmp_path / "server.log", environment={VARIABLE: point}
    ) as server:
        async with Parties(doomed, doomed.address) as dying:
            with pytest.raises(Unavailable):
                await handed_in(dying, paper, made)
        assert await asyncio.to_thread(server.wait, 20) == -signal.SIGKILL
    after = await standing(parties.inside, paper)
    if point in WRITTEN:
        check_recorded(paper, before, after, kind)
    else:
        assert after == before
    await check_repeated(parties, paper, made, before, kind)


async def check_repeated(
    parties: Parties, paper: Paper, made: Signed | None, before: list[Any], kind: ReceiptType
) -> None:
    """The same again with another server: one statement, whether there was one or not."""
    answer = await handed_in(parties, paper, made)
    found = verified(trust_of(parties.inside), paper, answer)
    assert found.receipt.type is kind
    assert made is None or signed(answer.receipt) == made
    once = await standing(parties.inside, paper)
    check_recorded(paper, before, once, kind)
    assert await handed_in(parties, paper, made) == answer
    assert await standing(parties.inside, paper) == once


def check_recorded(paper: Paper, before: list[Any], after: list[Any], kind: ReceiptType) -> None:
    """One statement more, with all that belongs to it."""
    deliveries, statements, attention, happened, queued = after
    (delivery,) = deliveries
    seq = before[0][0]["seq"] + 1
    state = {R.DELIVERED: "DELIVERED", R.SIGNED_FOR: "SIGNED_FOR", R.WITHDRAWN: "WITHDRAWN"}[kind]
    assert (delivery["state"], delivery["seq"], delivery["last_type"]) == (state, seq, kind.value)
    assert delivery["decided_seq"] == seq
    assert statements[:-1] == before[1]
    last = statements[-1]
    assert (last["seq"], last["type"]) == (seq, kind.value)
    assert (last["admission"] is None) is (kind is R.DELIVERED)
    assert happened[:-1] == before[3]
    made = event.decode(happened[-1]["event"])
    assert (made.type, made.envelope_id, made.seq) == (kind.value, paper.envelope_id, seq)
    assert queued[0]["count"] == before[4][0]["count"] + 1
    side = "R" if kind is R.WITHDRAWN else "S"
    assert seq in [row["seq"] for row in attention if row["side"] == side]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_killed_while_the_ledger_writes(
    centre: LocalCentre, parties: Parties, tmp_path: Path, kind: ReceiptType
) -> None:
    """The transaction waits for the test's own when its client dies, and then goes either way."""
    paper, made = await prepared(parties, kind)
    before = await standing(parties.inside, paper)
    doomed = CentreInside(centre)
    dsn = parties.inside.description["ledger"]["dsn_owner"]
    async with (
        doomed.second_server(tmp_path / "server.log") as server,
        Parties(doomed, doomed.address) as dying,
        rival(dsn, "exchange_server.storage") as held,
    ):
        await held.execute(
            f"select from exchange.deliveries where envelope_id = '{paper.envelope_id}' for update"
        )
        call = asyncio.create_task(handed_in(dying, paper, made))
        async with asyncio.timeout(20):
            while not await held.is_waited_for():
                assert not call.done()
        server.kill()
        with pytest.raises(Unavailable):
            await call
        await held.commit()
    await nobody_writes(parties.inside)
    after = await standing(parties.inside, paper)
    if after != before:
        check_recorded(paper, before, after, kind)
    await check_repeated(parties, paper, made, before, kind)


async def nobody_writes(inside: CentreInside) -> None:
    """Wait until the backend that was left alone has come to its end."""
    async with inside.ledger() as ledger, asyncio.timeout(20):
        while await ledger.fetchval(
            "select count(*) from pg_locks where relation = 'exchange.deliveries'::regclass"
            " and mode = 'RowShareLock'"
        ):
            pass


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_lost_while_the_ledger_writes(
    parties: Parties, kind: ReceiptType
) -> None:
    """Nothing is left of it, and who repeats it is answered once."""
    paper, made = await prepared(parties, kind)
    before = await standing(parties.inside, paper)
    dsn = parties.inside.description["ledger"]["dsn_owner"]
    async with rival(dsn, "exchange_server.storage") as held:
        await held.execute(
            f"select from exchange.deliveries where envelope_id = '{paper.envelope_id}' for update"
        )
        call = asyncio.create_task(handed_in(parties, paper, made))
        async with asyncio.timeout(20):
            while not await held.is_waited_for():
                assert not call.done()
        server = await asyncpg.connect(parties.inside.description["ledger"]["dsn_exchange"])
        await server.execute("select pg_terminate_backend(pid) from pg_locks where not granted")
        await server.close()
        assert await standing(parties.inside, paper) == before
        await held.commit()
    # What the server knew by heart it tries once more by itself; otherwise it says that it can't.
    with suppress(Unavailable):
        await call
    await check_repeated(parties, paper, made, before, kind)


def test_a_point_that_does_not_exist_is_no_point() -> None:
    """A test that names a wrong one must not pass because nobody was killed."""
    done = subprocess.run(
        [sys.executable, "-c", "import exchange_runtime.fault_points"],
        env={VARIABLE: "receipt.forgotten"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "receipt.forgotten" in done.stderr
