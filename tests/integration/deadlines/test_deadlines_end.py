"""Deadlines over the real ledger: of what is done, or no longer to be done, nothing is said."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from typing import TypeAlias

import msgspec
import pytest
import structlog

from document_exchange.document import Urgency
from document_exchange.receipt import DeadlineKind, ReasonCode, ReceiptType
from exchange_runtime.database import Database
from exchange_server.reminders import Reminders
from tests.deadlines_for_tests import (
    Bench,
    Holding,
    Meanwhile,
    asking_for_a_reply,
    sign,
)
from tests.life_for_tests import Paper
from tests.real_centre import RECIPIENT, SENDER, document

R = ReceiptType
SIGN_FOR, REPLY = DeadlineKind.SIGN_FOR, DeadlineKind.REPLY
End: TypeAlias = Callable[[Bench, Paper], Awaitable[None]]


async def withdraw(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.WITHDRAWN)


async def refuse(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.REFUSED)


async def declare_void(bench: Bench, paper: Paper) -> None:
    await bench.parties.send(voids=paper.envelope_id)


@pytest.mark.parametrize("end", [sign, withdraw, refuse, declare_void])
@pytest.mark.parametrize("when", ["before", "claimed", "decided"])
async def test_what_need_not_be_signed_for_any_more_is_not_overdue(
    bench: Bench,
    databases: list[Database],
    end: End,
    when: str,
) -> None:
    paper = await bench.parties.send()
    await bench.due(paper)
    if when == "decided":
        done: list[bool] = []

        async def meanwhile() -> None:
            if not done:
                done.append(True)
                await end(bench, paper)

        claimed = await bench.claimed(paper)
        ledger = Holding(databases[0], claimed)
        await Reminders(ledger, Meanwhile(bench.recorder, meanwhile), bench.clock).run()
        assert done
    else:
        claimed = await bench.claimed(paper) if when == "claimed" else []
        await end(bench, paper)
        await Reminders(Holding(databases[0], claimed), bench.recorder, bench.clock).run()
    bench.clock.at += timedelta(days=400)
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == []
    assert await bench.row(paper) is None
    assert not await bench.is_overdue(paper)


async def reply(bench: Bench, paper: Paper) -> None:
    answer = msgspec.structs.replace(
        document(),
        doc_id=f"900000022-2026-{secrets.randbelow(10**9) + 1}",
        issuers=(RECIPIENT,),
        reply_to=paper.envelope_id,
    )
    await bench.parties.send([SENDER], sender=RECIPIENT, document=answer)


async def complete(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.COMPLETED)


async def give_back(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.RETURNED, reason_code=ReasonCode.NOT_OUR_REMIT)


@pytest.mark.parametrize("end", [reply, complete, give_back, declare_void])
@pytest.mark.parametrize("overdue", [False, True])
async def test_what_is_answered_or_done_with_is_not_overdue(
    bench: Bench, end: End, overdue: bool
) -> None:
    paper = await bench.parties.send(document=asking_for_a_reply())
    await sign(bench, paper)
    await bench.due(paper, REPLY)
    if overdue:
        await bench.reminders().run()
        assert await bench.is_overdue(paper)
    await end(bench, paper)
    bench.clock.at += timedelta(days=400)
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == ["OVERDUE"] * overdue
    row = await bench.row(paper, REPLY)
    # An answer may be taken back.
    assert row.answered if end is reply and row is not None else row is None
    assert not await bench.is_overdue(paper)


async def test_a_reply_that_comes_while_its_reminder_is_signed_is_not_reminded_of(
    bench: Bench, databases: list[Database]
) -> None:
    """The delivery itself does not move on by it."""
    paper = await bench.parties.send(document=asking_for_a_reply())
    await sign(bench, paper)
    row = await bench.row(paper, REPLY)
    assert row is not None
    bench.clock.at = row.remind_at
    meanwhile = Meanwhile(bench.recorder, lambda: reply(bench, paper))
    claimed = await bench.claimed(paper, kind=REPLY)
    ledger = Holding(databases[0], claimed)
    await Reminders(ledger, meanwhile, bench.clock).run()
    assert await bench.about_deadlines(paper) == []


async def test_what_is_offered_again_has_its_time_anew(bench: Bench) -> None:
    # By the clock: by workdays it might end with the same day of the offices again.
    paper = await bench.parties.send(document=asking_for_a_reply(urgency=Urgency.EXTRA_URGENT))
    first = await bench.row(paper)
    assert first is not None
    await bench.due(paper)
    await bench.reminders().run()
    await bench.parties.say(paper, R.DELIVERED)
    await bench.parties.say(paper, R.REFUSED)
    assert await bench.row(paper) is None
    await bench.parties.say(paper, R.OFFERED_AGAIN)
    again = await bench.row(paper)
    assert again is not None
    assert again.due_at > first.due_at
    assert (again.reminded, again.overdue) == (False, False)
    assert await bench.row(paper, REPLY) is not None
    found, _ = await bench.parties.track(paper, SENDER)
    assert found[RECIPIENT].status.sign_due.ToDatetime(UTC) == again.due_at
    assert not found[RECIPIENT].status.overdue
    bench.clock.at = again.due_at
    await bench.reminders().run()
    assert (await bench.about_deadlines(paper)) == ["OVERDUE", "OVERDUE"]


async def test_a_deadline_of_what_has_ended_goes_and_is_said_once(bench: Bench) -> None:
    """By no step of ours; it must not come again and again."""
    paper, other = await bench.parties.send(), await bench.parties.send()
    due_at = await bench.due(other)
    await withdraw(bench, paper)
    async with bench.inside.ledger() as owner:
        await owner.execute(
            "insert into exchange.deadlines (envelope_id, recipient, kind, remind_at, due_at)"
            " values ($1::uuid, $2, 'REPLY', $3, $3)",
            paper.envelope_id,
            RECIPIENT,
            due_at - timedelta(days=1),
        )
    with structlog.testing.capture_logs() as logs:
        await bench.reminders().run()
        bench.clock.at += timedelta(hours=1)
        await bench.reminders().run()
    dropped = [line["envelope_id"] for line in logs if line["event"] == "deadline_dropped"]
    assert dropped == [paper.envelope_id]
    assert await bench.row(paper, REPLY) is None
    assert await bench.steps(paper) == ["WITHDRAWN"]
    assert await bench.steps(other) == ["OVERDUE"]


async def test_no_server_drops_a_deadline_that_counts(bench: Bench) -> None:
    paper = await bench.parties.send()
    await bench.ledger.drop_deadlines(paper.envelope_id, RECIPIENT)
    assert await bench.row(paper) is not None
