"""Each step of a delivery, by its own party: receipt, admission, event, and who sees it at once.

And each step that is not to be taken, by anybody: refused, with what decided otherwise, and
nothing written.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import pytest

from document_exchange import receipt, times
from document_exchange.errors import (
    ExchangeError,
    LimitExceeded,
    NotFound,
    ReceiptRefused,
    SealExpired,
    StateConflict,
)
from document_exchange.receipt import (
    SIGNED_BY_RECIPIENT,
    DeadlineKind,
    ReasonCode,
    ReceiptType,
)
from document_exchange.v1 import envelope_pb2, exchange_pb2
from exchange_server.recording import Recorder
from exchange_server.storage.ledger import MOST_REPEATED
from tests.clerk_for_tests import a_deadline, clerk, position_of, short_lived_unit, standing, steps
from tests.life_for_tests import (
    HISTORIES,
    OF_PARTIES,
    Paper,
    Parties,
    answered,
    trust_of,
    verified,
)
from tests.real_centre import RECIPIENT, SENDER, CentreInside, admitted

STRANGER = "qd-tongji"
R = ReceiptType


@pytest.fixture
async def parties(inside: CentreInside) -> AsyncIterator[Parties]:
    async with Parties(inside) as opened:
        yield opened


async def brought_to(parties: Parties, place: str) -> tuple[Paper, str]:
    """A document whose delivery stands there, and its recipient."""
    history = HISTORIES[place]
    if history != (R.EXPIRED,):
        paper = await parties.send()
        for kind in history:
            await parties.say(paper, kind)
        return paper, RECIPIENT
    unit = await short_lived_unit(parties.inside)
    paper = await parties.send([unit])
    await closed(parties.inside, unit)
    async with clerk(parties.inside) as recorder:
        # The server may have been faster.
        await recorder.own(await position_of(recorder, paper, unit), R.EXPIRED, None)
    return paper, unit


async def closed(inside: CentreInside, unit: str) -> None:
    async with inside.ledger() as ledger:
        await ledger.execute("update exchange.units set status = 'CLOSED' where unit_id = $1", unit)


class Step(NamedTuple):
    """A step that is legal: from where, by which receipt, to where."""

    before: str
    kind: ReceiptType
    after: str
    last: str = "S"
    """Which side has something new to see."""


LEGAL = [
    Step("PENDING", R.DELIVERED, "DELIVERED"),
    Step("PENDING", R.REFUSED, "REFUSED"),
    Step("PENDING", R.WITHDRAWN, "WITHDRAWN", "R"),
    Step("PENDING", R.URGED, "PENDING", "R"),
    Step("DELIVERED", R.SIGNED_FOR, "SIGNED_FOR"),
    Step("DELIVERED", R.REFUSED, "REFUSED"),
    Step("DELIVERED", R.WITHDRAWN, "WITHDRAWN", "R"),
    Step("DELIVERED", R.URGED, "DELIVERED", "R"),
    Step("SIGNED_FOR", R.PROGRESS, "SIGNED_FOR"),
    Step("SIGNED_FOR", R.COMPLETED, "COMPLETED"),
    Step("SIGNED_FOR", R.RETURNED, "RETURNED"),
    Step("SIGNED_FOR", R.URGED, "SIGNED_FOR", "R"),
    Step("SIGNED_FOR", R.WITHDRAWAL_REQUESTED, "SIGNED_FOR, withdrawal requested", "R"),
    Step("SIGNED_FOR, withdrawal requested", R.WITHDRAWAL_GRANTED, "WITHDRAWN"),
    Step("SIGNED_FOR, withdrawal requested", R.WITHDRAWAL_DECLINED, "SIGNED_FOR"),
    Step("SIGNED_FOR, withdrawal requested", R.PROGRESS, "SIGNED_FOR, withdrawal requested"),
    Step("SIGNED_FOR, withdrawal requested", R.URGED, "SIGNED_FOR, withdrawal requested", "R"),
    Step("SIGNED_FOR, withdrawal requested", R.COMPLETED, "COMPLETED"),
    Step("SIGNED_FOR, withdrawal requested", R.RETURNED, "RETURNED"),
    Step("REFUSED", R.OFFERED_AGAIN, "PENDING", "R"),
]
OF_THE_CENTRE = [
    *(Step(each, R.REMINDED, each, "R") for each in HISTORIES if each[0] in "PDS"),
    *(Step(each, R.OVERDUE, each, "RS") for each in HISTORIES if each[0] in "PDS"),
    Step("PENDING", R.EXPIRED, "EXPIRED"),
]
BY_CENTRE_ALONE = (R.REMINDED, R.OVERDUE, R.EXPIRED)


def named(step: Step) -> str:
    return f"{step.before}-{step.kind.value}"


@pytest.mark.parametrize("step", LEGAL, ids=named)
async def test_a_step_is_recorded_and_seen_by_the_other_side_at_once(
    inside: CentreInside, parties: Parties, step: Step
) -> None:
    paper, recipient = await brought_to(parties, step.before)
    seq = len(HISTORIES[step.before]) + 1
    watcher = recipient if step.last == "R" else SENDER
    async with parties.watching(watcher, step.last) as watch:
        statement = await parties.say(paper, step.kind)
        seen = await watch.until(paper.envelope_id, recipient, seq)
    found = verified(trust_of(inside), paper, statement)
    effect = found.admission or found.receipt
    assert found.receipt.type is step.kind
    assert (found.admission is None) is (step.kind is R.DELIVERED)
    assert (effect.seq, effect.state_before, effect.state_after) == (
        seq,
        step.before.partition(",")[0],
        step.after.partition(",")[0],
    )
    # The same in the watch, in the history (with the lists of that moment), and in the lists.
    deliveries, lists = await parties.track(paper, watcher)
    shown = deliveries[recipient]
    assert [each.SerializeToString() for each in shown.statements][-1] == (
        statement.SerializeToString()
    )
    assert len(shown.statements) == seq
    for each in shown.statements:
        verified(trust_of(inside), paper, each, lists)
    for status in (seen, shown.status):
        assert envelope_pb2.DeliveryState.Name(status.state) == (
            f"DELIVERY_STATE_{step.after.partition(',')[0]}"
        )
        assert (status.seq, status.last_type) == (seq, step.kind.value)
        assert status.withdrawal_requested is ("requested" in step.after)


@pytest.mark.parametrize("step", OF_THE_CENTRE, ids=named)
async def test_the_centres_own_steps(inside: CentreInside, parties: Parties, step: Step) -> None:
    if step.kind is R.EXPIRED:
        paper, recipient = await brought_to(parties, "EXPIRED")
    else:
        paper, recipient = await brought_to(parties, step.before)
        deadline = await a_deadline(inside, paper, DeadlineKind.REPLY)
        async with clerk(inside) as recorder:
            at = await position_of(recorder, paper)
            assert await recorder.own(at, step.kind, None, deadline) is not None
            # Once: the second finds that it was said.
            again = await position_of(recorder, paper)
            assert await recorder.own(again, step.kind, None, deadline) is None
    deliveries, lists = await parties.track(paper, SENDER)
    shown = deliveries[recipient]
    found = verified(trust_of(inside), paper, shown.statements[-1], lists)
    assert (found.receipt.type, found.receipt.state_after) == (
        step.kind,
        step.after.partition(",")[0],
    )
    assert shown.status.last_type == step.kind.value
    assert shown.status.overdue is (step.kind is R.OVERDUE)
    for side in step.last:
        unit = recipient if side == "R" else SENDER
        async with parties.watching(unit, side) as watch:
            seen = watch.shown[paper.envelope_id, recipient]
        assert seen.seq == len(shown.statements)


@pytest.mark.parametrize("place", HISTORIES)
async def test_every_other_step_is_refused_and_writes_nothing(
    inside: CentreInside, parties: Parties, place: str
) -> None:
    """Each receipt that has no place there, by the party that may make it."""
    paper, recipient = await brought_to(parties, place)
    before = await standing(inside, paper)
    legal = {(step.before, step.kind) for step in (*LEGAL, *OF_THE_CENTRE)}
    history, _ = await parties.track(paper, SENDER)
    said = list(history[recipient].statements)
    tried = 0
    for kind in OF_PARTIES:
        if (place, kind) in legal or (recipient != RECIPIENT and kind in SIGNED_BY_RECIPIENT):
            continue
        tried += 1
        error = await refusal(parties.say(paper, kind, recipient))
        assert isinstance(error, StateConflict), f"{kind}: {error!r}"
        assert error.attributes["state"] == place.partition(",")[0]
        # What decided is what the history ends with: none of these ends with a mere remark.
        if said:
            assert error.winning is not None
            assert error.winning[0] == said[-1].receipt.content
            assert error.winning[2] == said[-1].admission.content
        else:
            assert error.winning is None
    async with clerk(inside) as recorder:
        for kind in BY_CENTRE_ALONE:
            if (place, kind) in legal:
                continue
            tried += 1
            at = await position_of(recorder, paper, recipient)
            with pytest.raises(StateConflict):
                await recorder.own(at, kind, None)
    assert tried > 4
    assert await standing(inside, paper) == before


async def refusal(call: Awaitable[object]) -> ExchangeError:
    try:
        await call
    except ExchangeError as error:
        return error
    raise AssertionError("it was taken")


async def test_before_it_is_confirmed_only_what_cant_be_verified_is_refused(
    inside: CentreInside, parties: Parties
) -> None:
    paper = await parties.send()
    for reason in ReasonCode:
        if reason in (ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH):
            continue
        said = parties.say(paper, R.REFUSED, reason_code=reason, reason="理由")
        assert isinstance(await refusal(said), StateConflict)
    assert await steps(inside, paper) == []
    await parties.say(paper, R.REFUSED, reason_code=ReasonCode.DIGEST_MISMATCH)
    assert await steps(inside, paper) == ["REFUSED"]


async def test_what_is_offered_again_is_confirmed_again(
    inside: CentreInside, parties: Parties
) -> None:
    """The first confirmation was of an offer that was refused: it is no answer to the second."""
    paper = await parties.send()
    first = await parties.confirm(paper, RECIPIENT)
    await parties.say(paper, R.REFUSED)
    assert await parties.confirm(paper, RECIPIENT) == first  # a repetition, come late
    await parties.say(paper, R.OFFERED_AGAIN)
    second = await parties.confirm(paper, RECIPIENT)
    assert second != first
    assert await parties.confirm(paper, RECIPIENT) == second
    found = verified(trust_of(inside), paper, second)
    assert (found.receipt.type, found.receipt.seq) == (R.DELIVERED, 4)
    await parties.say(paper, R.REFUSED)
    await parties.say(paper, R.OFFERED_AGAIN)
    await parties.say(paper, R.WITHDRAWN)
    error = await refusal(parties.confirm(paper, RECIPIENT))
    assert isinstance(error, StateConflict)
    assert error.winning is not None
    assert receipt.decode_receipt(error.winning[0]).type is R.WITHDRAWN
    assert await steps(inside, paper) == [
        *("DELIVERED", "REFUSED", "OFFERED_AGAIN", "DELIVERED", "REFUSED", "OFFERED_AGAIN"),
        "WITHDRAWN",
    ]


async def test_who_lost_is_shown_what_decided_and_no_remark_upon_it(parties: Parties) -> None:
    paper = await parties.send()
    await parties.say(paper, R.DELIVERED)
    signed_for = await parties.say(paper, R.SIGNED_FOR)
    await parties.say(paper, R.URGED)
    await parties.say(paper, R.PROGRESS)
    error = await refusal(parties.say(paper, R.WITHDRAWN))
    assert isinstance(error, StateConflict)
    assert error.winning == (
        signed_for.receipt.content,
        signed_for.receipt.signature,
        signed_for.admission.content,
        signed_for.admission.signature,
    )


async def test_a_request_that_is_open_is_not_made_again_upon_a_position_of_before(
    parties: Parties,
) -> None:
    """Whoever looks at an envelope leaves its position in the server's memory."""
    paper, _ = await brought_to(parties, "SIGNED_FOR, withdrawal requested")
    request = exchange_pb2.GetEnvelopeRequest(envelope_id=paper.envelope_id)
    for kind in (R.WITHDRAWAL_REQUESTED, R.PROGRESS, R.WITHDRAWAL_GRANTED, R.WITHDRAWAL_DECLINED):
        await answered((await parties.stub(RECIPIENT)).GetEnvelope(request, timeout=10))
        if kind in (R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_DECLINED):
            assert isinstance(await refusal(parties.say(paper, kind)), StateConflict)
        else:
            await parties.say(paper, kind)


SAYING = [step for step in LEGAL if step.kind is not R.DELIVERED and "," not in step.before]


@pytest.mark.parametrize("step", SAYING, ids=named)
async def test_the_same_receipt_again_is_answered_as_the_first_time(
    inside: CentreInside, parties: Parties, step: Step
) -> None:
    """At once, and when the delivery has moved on; by another system of the unit, too."""
    paper, _ = await brought_to(parties, step.before)
    made = parties.receipt(paper, RECIPIENT, step.kind)
    caller = RECIPIENT if step.kind in SIGNED_BY_RECIPIENT else SENDER
    first = await parties.hand_in(caller, made)
    assert await parties.hand_in(caller, made) == first
    for more in (R.URGED, R.PROGRESS, R.WITHDRAWN, R.OFFERED_AGAIN):
        try:
            await parties.say(paper, more)
        except StateConflict:
            continue
        break
    before = await standing(inside, paper)
    assert await parties.hand_in(caller, made) == first
    # Its identifier with other bytes is refused, and for the other party it says nothing.
    other = parties.receipt(
        paper, RECIPIENT, step.kind, receipt_id=receipt.decode_receipt(made.content).receipt_id
    )
    assert isinstance(await refusal(parties.hand_in(caller, other)), ReceiptRefused)
    stranger = SENDER if caller == RECIPIENT else RECIPIENT
    for unit in (stranger, STRANGER):
        assert isinstance(await refusal(parties.hand_in(unit, made)), NotFound)
    assert await standing(inside, paper) == before


@pytest.mark.parametrize("kind", OF_PARTIES)
async def test_nobody_says_what_is_anothers_to_say(
    inside: CentreInside, parties: Parties, kind: ReceiptType
) -> None:
    """Sealed and handed in by the other party, or by a third unit, where it would be in place."""
    place = next(step.before for step in LEGAL if step.kind is kind)
    paper, recipient = await brought_to(parties, place)
    before = await standing(inside, paper)
    party = recipient if kind in SIGNED_BY_RECIPIENT else SENDER
    for unit in {SENDER, recipient, STRANGER} - {party}:
        own = parties.receipt(paper, recipient, kind, sealed_by=unit)
        assert isinstance(await refusal(parties.hand_in(unit, own)), NotFound)
        # Nor does the party hand in what another has sealed.
        error = await refusal(parties.hand_in(party, own))
        assert error.code == "SEAL_OF_ANOTHER_UNIT"
        for_another = parties.receipt(paper, STRANGER, kind, sealed_by=unit)
        assert isinstance(await refusal(parties.hand_in(unit, for_another)), NotFound)
    assert await standing(inside, paper) == before


async def test_a_unit_that_writes_to_itself_is_both_parties(
    inside: CentreInside, parties: Parties
) -> None:
    paper = await parties.send([SENDER])
    kinds = [R.URGED, R.DELIVERED, R.SIGNED_FOR, R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_DECLINED]
    async with parties.watching(SENDER, "R") as received, parties.watching(SENDER, "S") as sent:
        for seq, kind in enumerate(kinds, start=1):
            await parties.say(paper, kind, SENDER)
            watch = received if kind in (R.URGED, R.WITHDRAWAL_REQUESTED) else sent
            assert (await watch.until(paper.envelope_id, SENDER, seq)).last_type == kind.value
    assert await steps(inside, paper, SENDER) == [kind.value for kind in kinds]
    stub = await parties.stub(SENDER)
    for party in (exchange_pb2.PARTY_RECIPIENT, exchange_pb2.PARTY_SENDER):
        await stub.ConfirmSeen(
            exchange_pb2.ConfirmSeenRequest(
                envelope_id=paper.envelope_id, recipient=SENDER, seq=5, party=party
            )
        )
    for side in "RS":
        async with parties.watching(SENDER, side) as watch:
            assert (paper.envelope_id, SENDER) not in watch.shown


REPEATED: dict[ReceiptType, Callable[[], list[ReceiptType]]] = {
    R.URGED: lambda: [],
    R.PROGRESS: lambda: [],
    R.WITHDRAWAL_REQUESTED: lambda: [R.WITHDRAWAL_DECLINED],
    R.OFFERED_AGAIN: lambda: [R.REFUSED],
}


@pytest.mark.parametrize("kind", REPEATED)
async def test_what_may_be_said_again_is_said_so_often_and_no_more(
    inside: CentreInside, parties: Parties, kind: ReceiptType
) -> None:
    place = {R.URGED: "PENDING", R.OFFERED_AGAIN: "REFUSED"}.get(kind, "SIGNED_FOR")
    paper, _ = await brought_to(parties, place)
    last = parties.receipt(paper, RECIPIENT, kind)
    for _ in range(MOST_REPEATED - 1):
        await parties.say(paper, kind)
        for between in REPEATED[kind]():
            await parties.say(paper, between)
    caller = RECIPIENT if kind in SIGNED_BY_RECIPIENT else SENDER
    first = await parties.hand_in(caller, last)
    for between in REPEATED[kind]():
        await parties.say(paper, between)
    before = await standing(inside, paper)
    error = await refusal(parties.say(paper, kind))
    assert isinstance(error, LimitExceeded)
    assert error.attributes["type"] == kind.value
    assert await standing(inside, paper) == before
    # What was said in time is still answered.
    assert await parties.hand_in(caller, last) == first


async def test_a_step_by_a_second_system_of_the_unit(
    inside: CentreInside, parties: Parties
) -> None:
    """Documents go to units: what one system confirmed, another signs for."""
    second = inside.issue("system", RECIPIENT, f"s{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, second)
    parties.systems["second"] = second
    paper = await parties.send()
    await parties.confirm(paper, RECIPIENT)
    made = parties.receipt(paper, RECIPIENT, R.SIGNED_FOR)
    first = await parties.hand_in("second", made)
    assert await parties.hand_in(RECIPIENT, made) == first
    assert await steps(inside, paper) == ["DELIVERED", "SIGNED_FOR"]


async def test_who_no_longer_takes_part_says_nothing(
    inside: CentreInside, parties: Parties
) -> None:
    """Upon whatever the server remembers, the transaction reads it again."""
    paper = await parties.send()
    async with inside.ledger() as ledger:
        await ledger.execute(
            "update exchange.units set status = 'SUSPENDED' where unit_id = $1", RECIPIENT
        )
        try:
            error = await refusal(parties.say(paper, R.REFUSED))
        finally:
            await ledger.execute(
                "update exchange.units set status = 'ACTIVE' where unit_id = $1", RECIPIENT
            )
    assert error.code == "UNIT_NOT_ACTIVE"
    assert await steps(inside, paper) == []


async def test_only_a_unit_that_was_closed_lets_a_delivery_expire(
    inside: CentreInside, parties: Parties
) -> None:
    """The ledger itself refuses it otherwise."""
    paper = await parties.send()
    async with clerk(inside) as recorder:
        with pytest.raises(asyncpg.CheckViolationError):
            await expire(recorder, paper)
    assert await steps(inside, paper) == []


async def expire(recorder: Recorder, paper: Paper) -> None:
    await recorder.own(await position_of(recorder, paper), R.EXPIRED, None)


async def test_after_a_clock_that_was_ahead_history_goes_on_from_there(
    inside: CentreInside, parties: Parties
) -> None:
    """The seal must be valid at that moment, too: it is the moment that the admission bears."""

    async def ahead(paper: Paper, by: timedelta) -> datetime:
        async with inside.ledger() as ledger:
            at = await ledger.fetchval(
                "update exchange.deliveries set updated_at = updated_at + $2"
                " where envelope_id = $1::uuid returning updated_at",
                paper.envelope_id,
                by,
            )
        assert isinstance(at, datetime)
        return at

    paper = await parties.send()
    at = await ahead(paper, timedelta(minutes=10))
    said = await parties.say(paper, R.REFUSED)
    (trust, lists) = (trust_of(inside), (await parties.track(paper, SENDER))[1])
    admission = verified(trust, paper, said, lists).admission
    assert admission is not None
    assert admission.recorded_at == times.format_time(at)
    paper = await parties.send()
    await ahead(paper, timedelta(days=50 * 365))
    try:
        with pytest.raises(SealExpired):
            await parties.say(paper, R.REFUSED)
        assert await steps(inside, paper) == []
    finally:
        await ahead(paper, timedelta(days=-50 * 365))


@pytest.mark.parametrize("replaced", [False, True])
async def test_what_was_replaced_is_offered_again_without_a_deadline(
    inside: CentreInside, parties: Parties, replaced: bool
) -> None:
    paper, _ = await brought_to(parties, "REFUSED")
    assert await deadlines(inside, paper) == 0
    if replaced:
        await parties.send(document=paper.about.document, supersedes=paper.envelope_id)
    await parties.say(paper, R.OFFERED_AGAIN)
    assert await deadlines(inside, paper) == (0 if replaced else 1)
    await parties.say(paper, R.DELIVERED)
    await parties.say(paper, R.SIGNED_FOR)
    assert await deadlines(inside, paper) == 0


async def deadlines(inside: CentreInside, paper: Paper) -> int:
    async with inside.ledger() as ledger:
        found = await ledger.fetchval(
            "select count(*) from exchange.deadlines where envelope_id = $1::uuid",
            paper.envelope_id,
        )
    return int(found)
