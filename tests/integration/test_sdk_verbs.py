"""The SDK and the real centre: what both parties say of a delivery, and what the other hears."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from exchange_client import (
    AsyncClient,
    AsyncDelivery,
    AsyncSent,
    Decided,
    PartSource,
    ReceiptType,
    State,
    Statement,
)
from exchange_client.testing import LocalCentre

from document_exchange.errors import InvalidRequest, NotFound, StateConflict

SENDER, RECIPIENT = "qd-caizheng", "qd-jiaoyu"


@pytest.fixture
async def finance(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(SENDER) as client:
        yield client


@pytest.fixture
async def education(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(RECIPIENT) as client:
        yield client


async def sent_by(client: AsyncClient, *recipients: str) -> AsyncSent:
    submission = await client.send(
        title="关于编制部门预算的通知",
        recipients=recipients or [RECIPIENT],
        files=[PartSource(b"%PDF-1.7", filename="通知.pdf")],
    )
    return await client.sent(submission.envelope_id)


async def signed_for(client: AsyncClient, envelope_id: str) -> AsyncDelivery:
    delivery = await client.delivery(envelope_id)
    await delivery.read()
    await delivery.sign_for()
    return delivery


Say = Callable[[AsyncSent, AsyncDelivery], Awaitable[Statement]]

BY_SENDER: list[tuple[Say, str]] = [
    (lambda sent, _: sent.urge(RECIPIENT, "请尽快办理"), "URGED"),
    (lambda sent, _: sent.request_withdrawal(RECIPIENT, "附件有误"), "WITHDRAWAL_REQUESTED"),
]
BY_RECIPIENT: list[tuple[Say, str]] = [
    (lambda _, delivery: delivery.progress("正在会签"), "PROGRESS"),
    (lambda _, delivery: delivery.decline_withdrawal("已转办"), "WITHDRAWAL_DECLINED"),
    (lambda _, delivery: delivery.complete("已落实"), "COMPLETED"),
]


async def test_each_statement_reaches_the_other_sides_watch(
    finance: AsyncClient, education: AsyncClient
) -> None:
    sent = await sent_by(finance)
    envelope_id = sent.envelope_id
    delivery = await signed_for(education, envelope_id)
    said: list[Statement] = []
    async with (
        asyncio.timeout(30),
        aclosing(education.watch()) as deliveries,
        aclosing(finance.watch_submissions()) as changes,
    ):
        for say, type_ in (*BY_SENDER, *BY_RECIPIENT):
            said.append(await say(sent, delivery))
            assert said[-1].type.value == type_
            if (say, type_) in BY_SENDER:
                async for heard in deliveries:
                    if (heard.envelope_id, heard.last_type) == (envelope_id, type_):
                        break
                requested = type_ == "WITHDRAWAL_REQUESTED"
                assert heard.withdrawal_requested is requested
                await heard.confirm_seen()
            else:
                async for change in changes:
                    (status,) = change.deliveries
                    if (change.envelope_id, status.last_type) == (envelope_id, type_):
                        break
                assert status.seq == said[-1].seq
                await sent.confirm_seen(RECIPIENT, status.seq)
    (tracked,) = (await sent.track()).deliveries
    assert [each.signed_receipt for each in tracked.statements[2:]] == [
        each.signed_receipt for each in said
    ]
    # Both have noted all of it.
    assert envelope_id not in [each.envelope_id async for each in education.watch(follow=False)]
    assert envelope_id not in [
        each.envelope_id async for each in finance.watch_submissions(follow=False)
    ]


async def test_a_watch_of_submissions_may_be_for_some_states_only(
    finance: AsyncClient, education: AsyncClient
) -> None:
    signed, completed = await sent_by(finance), await sent_by(finance)
    await signed_for(education, signed.envelope_id)
    await (await signed_for(education, completed.envelope_id)).complete()
    shown = {
        change.envelope_id: change.deliveries[0].state
        async for change in finance.watch_submissions(["completed"], follow=False)
    }
    assert shown[completed.envelope_id] is State.COMPLETED
    assert signed.envelope_id not in shown


async def test_the_boxes_show_a_request_until_it_is_answered(
    finance: AsyncClient, education: AsyncClient
) -> None:
    sent = await sent_by(finance)
    delivery = await signed_for(education, sent.envelope_id)

    async def shown() -> tuple[bool, bool]:
        incoming = [
            each async for each in education.inbox(None) if each.envelope_id == sent.envelope_id
        ]
        outgoing = [
            each async for each in finance.submissions() if each.envelope_id == sent.envelope_id
        ]
        return incoming[0].withdrawal_requested, outgoing[0].deliveries[0].withdrawal_requested

    await sent.request_withdrawal(RECIPIENT, "附件有误")
    assert await shown() == (True, True)
    granted = await delivery.grant_withdrawal()
    assert granted.state_after is State.WITHDRAWN
    assert await shown() == (False, False)


async def test_withdrawing_from_several_is_decided_for_each(
    finance: AsyncClient, education: AsyncClient
) -> None:
    sent = await sent_by(finance, RECIPIENT, "qd-tongji", "qd-zhengfu")
    signed = await signed_for(education, sent.envelope_id)
    outcomes = {each.recipient: each for each in await sent.withdraw_from(text="误发")}
    conflict = outcomes.pop(RECIPIENT).error
    assert isinstance(conflict, Decided)
    assert not conflict.repeated
    assert conflict.won.receipt.type is ReceiptType.SIGNED_FOR
    assert conflict.won.admission is not None
    assert conflict.won.admission.seq == signed.seq
    assert {each.statement and each.statement.state_after for each in outcomes.values()} == {
        State.WITHDRAWN
    }
    # By default from whom there is anything to withdraw, as the command does.
    (asked,) = await sent.withdraw_from(request="附件有误")
    assert asked.recorded().type is ReceiptType.WITHDRAWAL_REQUESTED
    await signed.grant_withdrawal()
    with pytest.raises(StateConflict, match="is left for that: 3 WITHDRAWN"):
        await sent.withdraw_from()
    # Who is named is tried all the same.
    (late,) = await sent.withdraw_from("qd-tongji", "又误发")
    assert isinstance(late.error, Decided)
    assert late.error.repeated
    with pytest.raises(Decided):
        late.recorded()


async def test_evidence_is_about_one_recipient_or_several(
    finance: AsyncClient, tmp_path: Path
) -> None:
    sent = await sent_by(finance, RECIPIENT, "qd-tongji", "qd-zhengfu")
    for recipients, found in (
        (RECIPIENT, (RECIPIENT,)),
        ((each for each in (RECIPIENT, "qd-tongji")), (RECIPIENT, "qd-tongji")),
    ):
        saved = await finance.evidence(sent.envelope_id, recipients, to=tmp_path / "e.zip")
        assert saved.report.index is not None
        assert saved.report.index.recipients == found
    with pytest.raises(InvalidRequest, match="recipients holds '7'"):
        await finance.evidence(sent.envelope_id, cast(Any, 7), to=tmp_path / "e.zip")
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError, match="directory'"):
        await finance.evidence(sent.envelope_id, to=tmp_path / "directory")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["directory", "e.zip"]


async def test_an_envelope_that_was_sent_elsewhere_is_found_by_its_id_alone(
    local_centre: LocalCentre, finance: AsyncClient, education: AsyncClient
) -> None:
    envelope_id = (await sent_by(finance)).envelope_id
    delivery = await education.delivery(envelope_id)
    await delivery.read()
    async with (
        local_centre.async_client(SENDER) as later_finance,
        local_centre.async_client(RECIPIENT) as later_education,
    ):
        await (await later_education.delivery(envelope_id)).sign_for()
        await (await later_finance.sent(envelope_id)).urge(RECIPIENT)
        await (await later_education.delivery(envelope_id)).send_back("NOT_OUR_REMIT")
        with pytest.raises(NotFound):
            await later_education.sent(envelope_id)
    (tracked,) = (await finance.track(envelope_id)).deliveries
    assert (tracked.state, tracked.status.last_type) == (State.RETURNED, ReceiptType.RETURNED)


PROGRAM = """
    from exchange_client import Client, Decided, PartSource

    with Client.from_profile("qd-caizheng") as finance:
        with Client.from_profile("qd-jiaoyu") as education:
            notice = PartSource(b"%PDF-1.7", filename="notice.pdf")
            made = finance.send(title="通知", recipients=["qd-jiaoyu"], files=[notice])
            sent = finance.sent(made.envelope_id)
            print(sent.recipients, sent.envelope.manifest.document.title)
            sent.urge("qd-jiaoyu", "请接收")
            delivery = education.delivery(sent.envelope_id)
            delivery.read()
            delivery.refuse("DUPLICATE")
            sent.offer_again("qd-jiaoyu")
            delivery = education.delivery(sent.envelope_id)
            delivery.read()
            delivery.sign_for()
            delivery.progress("正在会签")
            try:
                sent.withdraw("qd-jiaoyu")
            except Decided as late:
                print(late.won.receipt.type)
            print([each.error is not None for each in sent.withdraw_from()])
            sent.request_withdrawal("qd-jiaoyu", "附件有误")
            delivery.decline_withdrawal()
            sent.request_withdrawal("qd-jiaoyu", "文号重复")
            delivery.grant_withdrawal("同意")
            sent.confirm_seen("qd-jiaoyu", delivery.seq)
            [tracked] = sent.track().deliveries
            print(*(each.type for each in tracked.statements))
            others = []
            for _ in range(2):
                made = finance.send(title="通知", recipients=["qd-jiaoyu"], files=[notice])
                others.append(education.delivery(made.envelope_id))
                others[-1].read()
                others[-1].sign_for()
            print(others[0].complete().state_after, others[1].send_back("DUPLICATE").state_after)
"""


def test_the_blocking_client_says_it_all_too(local_centre: LocalCentre) -> None:
    # A program of its own: the event loop of this process is that of the other tests.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM)],
        env={**os.environ, "EXCHANGE_CONFIG": str(local_centre.config_dir)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "('qd-jiaoyu',) 通知",
        "SIGNED_FOR",
        "[True]",
        "URGED DELIVERED REFUSED OFFERED_AGAIN DELIVERED SIGNED_FOR PROGRESS WITHDRAWAL_REQUESTED"
        " WITHDRAWAL_DECLINED WITHDRAWAL_REQUESTED WITHDRAWAL_GRANTED",
        "COMPLETED RETURNED",
    ]
