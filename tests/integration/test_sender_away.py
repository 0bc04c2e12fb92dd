"""What happened while a party was away waits for it, all of it, until it has confirmed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import pytest
from exchange_client import AsyncClient, State
from exchange_client.testing import LocalCentre

from document_exchange.receipt import DeadlineKind, ReceiptType
from tests.clerk_for_tests import a_deadline, clerk, position_of
from tests.life_for_tests import Paper, Parties
from tests.real_centre import RECIPIENT, SENDER, CentreInside

R = ReceiptType
BY_CENTRE = (R.REMINDED, R.OVERDUE)
TO = (RECIPIENT, "qd-tongji", "qd-zhengfu", "qd-zhengfuban")
HISTORIES = {
    RECIPIENT: (
        *(R.URGED, R.DELIVERED, R.REMINDED, R.OVERDUE, R.SIGNED_FOR, R.PROGRESS, R.URGED),
        *(R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_DECLINED, R.PROGRESS, R.COMPLETED),
    ),
    "qd-tongji": (
        *(R.DELIVERED, R.REFUSED, R.OFFERED_AGAIN, R.DELIVERED, R.SIGNED_FOR),
        *(R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_GRANTED),
    ),
    "qd-zhengfu": (R.DELIVERED, R.SIGNED_FOR, R.RETURNED),
    "qd-zhengfuban": (R.WITHDRAWN,),
}
"""Together every kind of statement that follows ACCEPTED, but for EXPIRED."""


@pytest.fixture
async def parties(local_centre: LocalCentre) -> AsyncIterator[Parties]:
    async with Parties(CentreInside(local_centre)) as opened:
        yield opened


async def lived(parties: Parties, paper: Paper, recipient: str, kinds: Sequence[R]) -> None:
    """All of it, by whoever says it."""
    for kind in kinds:
        if kind not in BY_CENTRE:
            await parties.say(paper, kind, recipient)
            continue
        deadline = await a_deadline(parties.inside, paper, DeadlineKind.SIGN_FOR, recipient)
        async with clerk(parties.inside) as recorder:
            at = await position_of(recorder, paper, recipient)
            assert await recorder.own(at, kind, None, deadline) is not None


@dataclass(frozen=True)
class Seen:
    """What one watch shows of one delivery."""

    state: State
    seq: int


async def seen_as_sender(client: AsyncClient, paper: Paper) -> dict[str, Seen]:
    """What awaits the sender, by recipient, each delivery once."""
    found: dict[str, Seen] = {}
    async with aclosing(client.watch_submissions(follow=False)) as changes:
        async for each in changes:
            if each.envelope_id == paper.envelope_id:
                (status,) = each.deliveries
                assert status.recipient not in found
                found[status.recipient] = Seen(status.state, status.seq)
    return found


async def seen_as_recipient(client: AsyncClient, paper: Paper) -> list[Seen]:
    async with aclosing(client.watch(follow=False)) as changes:
        return [
            Seen(each.state, each.seq)
            async for each in changes
            if each.envelope_id == paper.envelope_id
        ]


async def test_a_sender_that_was_away_sees_a_whole_history_until_it_has_confirmed_it(
    local_centre: LocalCentre, parties: Parties
) -> None:
    said = {kind for history in HISTORIES.values() for kind in history}
    assert said == set(R) - {R.ACCEPTED, R.EXPIRED}
    paper = await parties.send(TO)
    await asyncio.gather(
        *(lived(parties, paper, recipient, kinds) for recipient, kinds in HISTORIES.items())
    )
    ends = {
        RECIPIENT: Seen(State.COMPLETED, 11),
        "qd-tongji": Seen(State.WITHDRAWN, 7),
        "qd-zhengfu": Seen(State.RETURNED, 3),
    }
    """The fourth has said nothing: of what it did itself the sender knows."""
    for _ in range(2):  # and again after the client was started anew
        async with local_centre.async_client(SENDER) as client:
            assert await seen_as_sender(client, paper) == ends
            tracking = await client.track(paper.envelope_id)
    assert {
        delivery.recipient: tuple(each.type for each in delivery.statements)
        for delivery in tracking.deliveries
    } == HISTORIES
    async with local_centre.async_client(SENDER) as client:
        await client.confirm_seen(paper.envelope_id, RECIPIENT, 10)  # all but the last
        await client.confirm_seen(paper.envelope_id, "qd-tongji", 7)
        await client.confirm_seen(paper.envelope_id, "qd-zhengfu", 3)
        assert await seen_as_sender(client, paper) == {RECIPIENT: ends[RECIPIENT]}
        await client.confirm_seen(paper.envelope_id, RECIPIENT, 11)
        assert await seen_as_sender(client, paper) == {}
    async with local_centre.async_client(SENDER) as client:
        assert await seen_as_sender(client, paper) == {}


async def test_a_recipient_that_was_away_is_told_of_what_became_of_it(
    local_centre: LocalCentre, parties: Parties
) -> None:
    """It was urged, reminded, and at last spared: it never held the document."""
    paper = await parties.send()
    await lived(parties, paper, RECIPIENT, [R.URGED, R.REMINDED, R.OVERDUE, R.WITHDRAWN])
    for _ in range(2):
        async with local_centre.async_client(RECIPIENT) as client:
            assert await seen_as_recipient(client, paper) == [Seen(State.WITHDRAWN, 4)]
            (own,) = (await client.track(paper.envelope_id)).deliveries
    assert [each.type for each in own.statements] == [
        *(R.URGED, R.REMINDED, R.OVERDUE, R.WITHDRAWN)
    ]
    async with local_centre.async_client(RECIPIENT) as client:
        await (await client.delivery(paper.envelope_id)).confirm_seen()
        assert await seen_as_recipient(client, paper) == []


async def test_what_is_still_to_be_done_comes_again_though_it_was_seen(
    local_centre: LocalCentre, parties: Parties
) -> None:
    """And what was said while the recipient acted is not taken as seen by its acting."""
    paper = await parties.send()
    await parties.say(paper, R.URGED)
    async with local_centre.async_client(RECIPIENT) as client:
        await (await client.delivery(paper.envelope_id)).confirm_seen()
        assert await seen_as_recipient(client, paper) == [Seen(State.PENDING, 1)]
        await parties.say(paper, R.DELIVERED)
        await parties.say(paper, R.URGED)
        await parties.say(paper, R.SIGNED_FOR)
        assert await seen_as_recipient(client, paper) == [Seen(State.SIGNED_FOR, 4)]
        await (await client.delivery(paper.envelope_id)).confirm_seen()
        assert await seen_as_recipient(client, paper) == []
        await parties.say(paper, R.WITHDRAWAL_REQUESTED)
        assert await seen_as_recipient(client, paper) == [Seen(State.SIGNED_FOR, 5)]
