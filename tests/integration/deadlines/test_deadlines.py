"""Deadlines over the real ledger: each is said once, by whichever process is alive.

Tests move the clock that deadlines are compared with; everything is signed and recorded by the real
one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import times
from document_exchange.manifest import Recipient, RecipientKind
from document_exchange.receipt import Deadline, DeadlineKind, ReceiptType
from exchange_runtime.database import Database
from exchange_server.reminders import AT_ONCE, Reminders
from exchange_server.storage.ledger import Ledger
from exchange_server.values import DeadlinesStanding
from tests.clerk_for_tests import position_of, short_lived_unit
from tests.deadlines_for_tests import (
    Bench,
    Holding,
    Meanwhile,
    a_server,
    asking_for_a_reply,
    sign,
)
from tests.life_for_tests import trust_of, verified
from tests.real_centre import RECIPIENT, SENDER, now
from tests.rivals import overtaken, rival

R = ReceiptType
SIGN_FOR, REPLY = DeadlineKind.SIGN_FOR, DeadlineKind.REPLY
COPIED = "qd-tongji"


async def test_both_sides_see_at_once_what_one_process_says(
    bench: Bench, local_centre: LocalCentre
) -> None:
    """Their watches are at another."""
    async with (
        a_server(bench),
        bench.parties.watching(RECIPIENT, "R") as mine,
        bench.parties.watching(SENDER, "S") as theirs,
    ):
        paper = await bench.parties.send()
        row = await bench.row(paper)
        assert row is not None
        new = await mine.until(paper.envelope_id, RECIPIENT, 0)
        assert new.sign_due.ToDatetime(UTC) == row.due_at
        bench.clock.at = row.remind_at
        assert not (await mine.until(paper.envelope_id, RECIPIENT, 1)).overdue
        assert await bench.awaited_by(paper) == ["R"]
        bench.clock.at = row.due_at
        for watch in (mine, theirs):
            assert (await watch.until(paper.envelope_id, RECIPIENT, 2)).overdue
    assert await bench.steps(paper) == ["REMINDED", "OVERDUE"]
    found, lists = await bench.parties.track(paper, SENDER)
    trust = trust_of(bench.inside)
    said = [verified(trust, paper, each, lists).receipt for each in found[RECIPIENT].statements]
    about = Deadline(kind=SIGN_FOR, due_at=times.format_time(row.due_at))
    both = [(R.REMINDED, about), (R.OVERDUE, about)]
    assert [(each.type, each.deadline) for each in said] == both
    async with local_centre.async_client(SENDER) as client:
        (delivery,) = (await client.track(paper.envelope_id)).deliveries
    assert [(each.type, each.receipt.deadline) for each in delivery.statements] == both


async def test_three_processes_say_each_once(bench: Bench) -> None:
    """More than one of them claims at once; and one goes on alone until nothing is left."""
    units = [await short_lived_unit(bench.inside) for _ in range(AT_ONCE + 5)]
    paper = await bench.parties.send([RECIPIENT, *units])
    row = await bench.row(paper)
    assert row is not None
    expected: list[str] = []
    for moment, processes, said in (
        (row.remind_at, 3, ["REMINDED"]),
        (row.due_at, 1, ["OVERDUE"]),
        (row.due_at + timedelta(days=30), 3, []),
    ):
        bench.clock.at = moment
        await asyncio.gather(*(bench.reminders(number).run() for number in range(processes)))
        expected += said
        for unit in (RECIPIENT, *units):
            assert await bench.steps(paper, unit) == expected


async def test_the_ledger_takes_each_once(bench: Bench) -> None:
    """Whatever a process believes; and no reminder after the end."""
    paper = await bench.parties.send()
    row = await bench.row(paper)
    assert row is not None
    about = Deadline(kind=SIGN_FOR, due_at=times.format_time(row.due_at))
    taken = []
    for kind in (R.REMINDED, R.REMINDED, R.OVERDUE, R.OVERDUE, R.REMINDED):
        position = await position_of(bench.recorder, paper)
        taken.append(await bench.recorder.own(position, kind, None, about) is not None)
    assert taken == [True, False, True, False, False]
    assert await bench.steps(paper) == ["REMINDED", "OVERDUE"]


async def test_of_two_that_have_the_same_claim_one_says_it(
    bench: Bench, databases: list[Database]
) -> None:
    paper = await bench.parties.send()
    due_at = await bench.due(paper)
    (deadline,) = await bench.claimed(paper)
    late = Reminders(Holding(databases[1], [deadline]), bench.recorder, bench.clock)
    dsn = bench.inside.description["ledger"]["dsn_owner"]
    async with rival(dsn, "exchange_server.storage") as first:
        ledger = Ledger(first, longest_upload=timedelta(hours=4))
        recorder = replace(bench.recorder, ledger=ledger)
        position = await ledger.find_position(paper.envelope_id, RECIPIENT)
        assert position is not None
        about = Deadline(kind=SIGN_FOR, due_at=times.format_time(due_at))
        assert await recorder.own(position, R.OVERDUE, None, about)
        assert await overtaken(first, late.run()) == 0
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_another_goes_on_where_one_died_with_its_claim(bench: Bench) -> None:
    paper = await bench.parties.send()
    await bench.due(paper)
    await bench.claimed(paper)
    await bench.reminders(1).run()
    assert await bench.steps(paper) == []
    bench.clock.at += timedelta(seconds=30)
    await bench.reminders(1).run()
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_after_a_standstill_it_is_too_late_for_a_reminder(bench: Bench) -> None:
    paper = await bench.parties.send(document=asking_for_a_reply())
    await bench.due(paper, REPLY)
    await bench.reminders().run()
    assert await bench.steps(paper) == ["OVERDUE", "OVERDUE"]
    row = await bench.row(paper, REPLY)
    assert row is not None
    assert (row.reminded, row.overdue) == (True, True)


async def test_the_delivery_moves_on_and_the_deadline_counts_still(bench: Bench) -> None:
    """What was decided upon a position that is no more is decided anew."""
    paper = await bench.parties.send()
    await bench.due(paper)
    said: list[str] = []

    async def confirm_once() -> None:
        if not said:
            said.append("DELIVERED")
            await bench.parties.say(paper, R.DELIVERED)

    await Reminders(bench.ledger, Meanwhile(bench.recorder, confirm_once), bench.clock).run()
    assert await bench.steps(paper) == ["DELIVERED", "OVERDUE"]


async def test_a_reply_is_due_by_the_date_of_the_document_from_those_addressed(
    bench: Bench,
) -> None:
    day = now().date() + timedelta(days=20)
    paper = await bench.parties.send(
        document=asking_for_a_reply(reply_due=day.isoformat()),
        recipients=(
            Recipient(unit=RECIPIENT, kind=RecipientKind.TO),
            Recipient(unit=COPIED, kind=RecipientKind.CC),
        ),
    )
    row = await bench.row(paper, REPLY)
    assert row is not None
    assert row.due_at == datetime(day.year, day.month, day.day, 9, tzinfo=UTC)  # 17:00 there
    assert await bench.row(paper, REPLY, COPIED) is None
    assert await bench.row(paper, SIGN_FOR, COPIED) is not None
    await sign(bench, paper)
    bench.clock.at = row.due_at
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == ["OVERDUE"]
    assert await bench.steps(paper, COPIED) == ["OVERDUE"]


async def test_a_clock_that_was_ahead_keeps_nothing(bench: Bench) -> None:
    paper = await bench.parties.send()
    due_at = await bench.due(paper)
    bench.clock.at = due_at + timedelta(days=365)
    await bench.claimed(paper)
    bench.clock.at = due_at
    await bench.reminders().run()
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_what_counts_is_counted(bench: Bench) -> None:
    async def standing(at: datetime) -> dict[DeadlineKind, DeadlinesStanding]:
        return {each.kind: each for each in await bench.ledger.standing(at)}

    await bench.parties.send(document=asking_for_a_reply())
    bench.clock.at = now() + timedelta(days=1000)
    await bench.reminders().run()
    before = await standing(bench.clock.at)
    assert before[SIGN_FOR].waiting_since is None
    paper = await bench.parties.send(document=asking_for_a_reply())
    row = await bench.row(paper)
    assert row is not None
    sent = await standing(row.due_at)
    assert sent[SIGN_FOR].open == before[SIGN_FOR].open + 1
    assert sent[SIGN_FOR].waiting_since == row.remind_at
    bench.clock.at = row.due_at
    await bench.reminders().run()
    after = await standing(row.due_at)
    assert after[SIGN_FOR].overdue == before[SIGN_FOR].overdue + 1
    assert after[SIGN_FOR].open == before[SIGN_FOR].open
    assert after[SIGN_FOR].waiting_since is None


@pytest.mark.parametrize(
    "statement",
    [
        "insert into exchange.deadlines (envelope_id) select envelope_id from exchange.deadlines",
        "update exchange.deadlines set due_at = now()",
        "delete from exchange.deadlines",
        "select exchange.set_deadlines(null, null, null, null, null, null, null)",
        "select exchange.deadlines_after(null, null, null)",
    ],
)
async def test_a_server_can_move_no_deadline(local_centre: LocalCentre, statement: str) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
