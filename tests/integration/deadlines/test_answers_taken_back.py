"""A reply is owed until an answer stands: one taken back or refused has answered nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec
import pytest

from document_exchange.receipt import DeadlineKind, ReasonCode, ReceiptType
from tests.deadlines_for_tests import (
    Bench,
    asking_for_a_reply,
    sign,
)
from tests.life_for_tests import Paper
from tests.real_centre import RECIPIENT, SENDER, document

R = ReceiptType
End: TypeAlias = Callable[["Asked", Paper], Awaitable[object]]


@dataclass
class Asked:
    """A document that wants a reply and was signed for; the clock stands where that is due."""

    bench: Bench
    paper: Paper

    async def say_what_is_due(self) -> None:
        await self.bench.reminders().run()

    async def answer(self) -> Paper:
        answer = msgspec.structs.replace(
            document(),
            doc_id=f"900000022-2026-{secrets.randbelow(10**9) + 1}",
            issuers=(RECIPIENT,),
            reply_to=self.paper.envelope_id,
        )
        return await self.bench.parties.send([SENDER], sender=RECIPIENT, document=answer)

    async def said(self) -> list[str]:
        return await self.bench.about_deadlines(self.paper)

    async def is_overdue(self) -> bool:
        return await self.bench.is_overdue(self.paper)

    async def is_owed(self) -> bool:
        """Whether the parties are shown that a reply is due."""
        found, _ = await self.bench.parties.track(self.paper, SENDER)
        return found[RECIPIENT].status.HasField("reply_due")

    async def of_the_answer(self, answer: Paper, *kinds: ReceiptType, **changes: Any) -> None:
        for kind in kinds:
            more = changes if kind is kinds[-1] else {}
            await self.bench.parties.say(answer, kind, SENDER, **more)


@pytest.fixture
async def asked(bench: Bench) -> Asked:
    paper = await bench.parties.send(document=asking_for_a_reply())
    await sign(bench, paper)
    await bench.due(paper, DeadlineKind.REPLY)
    return Asked(bench, paper)


async def withdraw(asked: Asked, answer: Paper) -> None:
    await asked.of_the_answer(answer, R.WITHDRAWN)


async def refuse(asked: Asked, answer: Paper) -> None:
    await asked.of_the_answer(answer, R.DELIVERED, R.REFUSED)


async def give_back(asked: Asked, answer: Paper) -> None:
    kinds = (R.DELIVERED, R.SIGNED_FOR, R.RETURNED)
    await asked.of_the_answer(answer, *kinds, reason_code=ReasonCode.NOT_OUR_REMIT)


async def grant_withdrawal(asked: Asked, answer: Paper) -> None:
    kinds = (R.DELIVERED, R.SIGNED_FOR, R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_GRANTED)
    await asked.of_the_answer(answer, *kinds)


async def declare_void(asked: Asked, answer: Paper) -> None:
    notice = msgspec.structs.replace(
        document(),
        doc_id=f"900000022-2026-{secrets.randbelow(10**9) + 1}",
        issuers=(RECIPIENT,),
    )
    await asked.bench.parties.send(
        [SENDER], sender=RECIPIENT, document=notice, voids=answer.envelope_id
    )


ENDS = [withdraw, refuse, give_back, grant_withdrawal, declare_void]


@pytest.mark.parametrize("end", ENDS)
async def test_an_answer_that_is_taken_back_has_answered_nothing(asked: Asked, end: End) -> None:
    assert await asked.is_owed()
    answer = await asked.answer()
    await asked.say_what_is_due()
    assert await asked.said() == []
    assert not await asked.is_owed()
    await end(asked, answer)
    assert await asked.is_owed()
    await asked.say_what_is_due()
    assert await asked.said() == ["OVERDUE"]
    assert await asked.is_overdue()


@pytest.mark.parametrize("end", ENDS)
async def test_what_was_overdue_is_so_again_and_that_is_not_said_twice(
    asked: Asked, end: End
) -> None:
    await asked.say_what_is_due()
    assert await asked.is_overdue()
    answer = await asked.answer()
    assert not await asked.is_overdue()
    await end(asked, answer)
    assert await asked.is_overdue()
    await asked.say_what_is_due()
    assert await asked.said() == ["OVERDUE"]
    await asked.answer()
    assert not await asked.is_overdue()


@pytest.mark.parametrize("first", [True, False])
async def test_while_another_answer_stands_nothing_is_owed(asked: Asked, first: bool) -> None:
    answers = [await asked.answer(), await asked.answer()]
    await withdraw(asked, answers[0 if first else 1])
    await asked.say_what_is_due()
    assert await asked.said() == []
    await withdraw(asked, answers[1 if first else 0])
    await asked.say_what_is_due()
    assert await asked.said() == ["OVERDUE"]


async def test_an_answer_that_is_offered_again_stands_again(asked: Asked) -> None:
    answer = await asked.answer()
    await refuse(asked, answer)
    await asked.of_the_answer(answer, R.OFFERED_AGAIN)
    await asked.say_what_is_due()
    assert await asked.said() == []
    assert not await asked.is_overdue()


async def test_who_is_done_with_a_matter_owes_no_answer_any_more(asked: Asked) -> None:
    answer = await asked.answer()
    await asked.bench.parties.say(asked.paper, R.COMPLETED)
    await withdraw(asked, answer)
    asked.bench.clock.at += timedelta(days=400)
    await asked.say_what_is_due()
    assert await asked.said() == []


async def news(asked: Asked, paper: Paper) -> list[int]:
    """What its recipient is still shown of it: numbers of statements."""
    async with asked.bench.inside.ledger() as owner:
        rows = await owner.fetch(
            "select seq from exchange.attention"
            " where envelope_id = $1::uuid and side = 'R' and recipient = $2",
            paper.envelope_id,
            RECIPIENT,
        )
    return [row["seq"] for row in rows]


@pytest.mark.parametrize("answer", [R.WITHDRAWAL_DECLINED, R.COMPLETED])
async def test_a_request_that_was_answered_is_no_news(asked: Asked, answer: ReceiptType) -> None:
    paper = await asked.bench.parties.send()
    await sign(asked.bench, paper)
    await asked.bench.parties.say(paper, R.WITHDRAWAL_REQUESTED)
    await asked.bench.parties.say(paper, R.PROGRESS)
    assert await news(asked, paper) == [3]
    await asked.bench.parties.say(paper, answer)
    assert await news(asked, paper) == []


async def test_a_reminder_of_what_is_done_is_no_news(asked: Asked) -> None:
    """Signing ends it; what else was said meanwhile stays to be seen, a reply that is owed too."""
    papers = [await asked.bench.parties.send() for _ in range(2)]
    papers.append(await asked.bench.parties.send(document=asking_for_a_reply()))
    await asked.bench.parties.say(papers[1], R.URGED)
    asked.bench.clock.at += timedelta(days=400)
    await asked.say_what_is_due()
    for paper in papers:
        assert await news(asked, paper)
        await asked.bench.parties.say(paper, R.DELIVERED)
        await asked.bench.parties.say(paper, R.SIGNED_FOR)
    assert await news(asked, papers[0]) == []
    assert await news(asked, papers[1]) == [2]
    assert await news(asked, papers[2]) == [2]
