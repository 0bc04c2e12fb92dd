"""Expiry over the real ledger: what waits for a closed unit ends, and is said once."""

from __future__ import annotations

import asyncio

import structlog

from document_exchange.receipt import DeadlineKind, ReceiptType, State
from exchange_server.expiry import Expiry
from exchange_server.reminders import AT_ONCE
from tests.clerk_for_tests import short_lived_unit
from tests.deadlines_for_tests import (
    Bench,
    a_server,
    not_recorded,
)
from tests.life_for_tests import trust_of, verified
from tests.real_centre import RECIPIENT, SENDER, CentreInside

R = ReceiptType
SIGN_FOR = DeadlineKind.SIGN_FOR


async def close(inside: CentreInside, unit: str, successor: str | None = None) -> None:
    async with inside.ledger() as owner:
        await owner.execute(
            "update exchange.units set status = 'CLOSED', successor = $2 where unit_id = $1",
            unit,
            successor,
        )


async def test_what_waits_for_a_closed_unit_expires_once(bench: Bench) -> None:
    """More than a page of it, and three processes that look at once."""
    units = [await short_lived_unit(bench.inside) for _ in range(AT_ONCE + 5)]
    paper = await bench.parties.send([RECIPIENT, *units])
    for unit in units:
        await close(bench.inside, unit)
    expired = await asyncio.gather(
        *(Expiry(ledger, bench.recorder).run() for ledger in bench.ledgers)
    )
    assert sum(expired) == len(units)
    for unit in units:
        assert await bench.steps(paper, unit) == ["EXPIRED"]
        assert await bench.row(paper, SIGN_FOR, unit) is None
    assert await bench.steps(paper) == []
    found, lists = await bench.parties.track(paper, SENDER)
    trust = trust_of(bench.inside)
    (statement,) = found[units[0]].statements
    said = verified(trust, paper, statement, lists).receipt
    assert (said.type, said.state_after) == (R.EXPIRED, State.EXPIRED)


async def test_the_sender_hears_at_once_that_it_expired(bench: Bench) -> None:
    """By a server that runs, without being told."""
    unit = await short_lived_unit(bench.inside)
    paper = await bench.parties.send([unit])
    async with a_server(bench), bench.parties.watching(SENDER, "S") as watch:
        await close(bench.inside, unit)
        await watch.until(paper.envelope_id, unit, 1)
    assert await bench.steps(paper, unit) == ["EXPIRED"]


async def test_one_that_the_ledger_refuses_rests_and_keeps_no_other(bench: Bench) -> None:
    """Twice as long each time; one traceback is enough."""
    papers = [await bench.parties.send([await short_lived_unit(bench.inside)]) for _ in range(2)]
    units = [paper.about.recipients[0].unit for paper in papers]
    for unit in units:
        await close(bench.inside, unit)
    at = 0.0
    expiry = Expiry(bench.ledger, bench.recorder, lambda: at)
    tried: list[tuple[float, int, bool]] = []
    async with not_recorded(bench, papers[0]):
        for at in (0.0, 9.0, 10.0, 29.0, 30.0):
            with structlog.testing.capture_logs() as logs:
                await expiry.run()
            tried += [
                (at, line["failures"], line["exc_info"])
                for line in logs
                if line["event"] == "delivery_not_expired"
            ]
            assert await bench.steps(papers[1], units[1]) == ["EXPIRED"]
    assert tried == [(0.0, 1, True), (10.0, 2, False), (30.0, 3, False)]
    at = 70.0
    assert await expiry.run() == 1
    assert await bench.steps(papers[0], units[0]) == ["EXPIRED"]
    assert not expiry.resting


async def test_nothing_expires_that_may_still_be_delivered(bench: Bench) -> None:
    followed, suspended = [await short_lived_unit(bench.inside) for _ in range(2)]
    paper = await bench.parties.send([RECIPIENT, followed, suspended])
    await close(bench.inside, followed, successor=RECIPIENT)
    async with bench.inside.ledger() as owner:
        await owner.execute(
            "update exchange.units set status = 'SUSPENDED' where unit_id = $1", suspended
        )
    with structlog.testing.capture_logs() as logs:
        await Expiry(bench.ledger, bench.recorder).run()
    assert "delivery_not_expired" not in {line["event"] for line in logs}
    for unit in (followed, suspended):
        assert await bench.steps(paper, unit) == []
        assert await bench.row(paper, SIGN_FOR, unit) is not None
