"""What both parties say of a delivery, against a centre that loses answers and lies."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from exchange_client import (
    AsyncClient,
    AsyncDelivery,
    AsyncSent,
    Decided,
    DeliveryStatus,
    DeliverySummary,
    PartSource,
    ReceiptType,
    State,
    Statement,
    Timing,
)
from exchange_client.cli.receive import sign_for
from exchange_client.kept_receipts import ONCE, KeptReceipts, Saying
from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import (
    ConfigurationError,
    NotFound,
    ReceiptRefused,
    StateConflict,
    Unavailable,
    VerificationFailed,
)
from document_exchange.receipt import SIGNED_BY_CENTRE, ReasonCode
from document_exchange.transitions import TRANSITIONS, Standing, step
from document_exchange.v1 import envelope_pb2
from document_exchange.verification import Signed
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import CENTRE_SEAL_ID, Pki, unit_seal_id

QUICK = Timing(retry_budget_s=5, watch_pause_max_s=0.05)
NO_RETRY = Timing(retry_budget_s=0)
RECIPIENT = "qd-jiaoyu"


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedCentre]:
    with ScriptedCentre(Pki()) as centre:
        yield centre


@pytest.fixture
def centre(running: ScriptedCentre) -> ScriptedCentre:
    running.forget()
    return running


def finance(centre: ScriptedCentre, timing: Timing = NO_RETRY) -> AsyncClient:
    return AsyncClient(centre.profile("qd-caizheng"), timing)


def education(centre: ScriptedCentre, timing: Timing = NO_RETRY) -> AsyncClient:
    return AsyncClient(centre.profile(RECIPIENT), timing)


async def sent_by(client: AsyncClient, *recipients: str) -> AsyncSent:
    submission = await client.send(
        title="通知",
        recipients=recipients or RECIPIENT,
        files=[PartSource(b"%PDF", filename="通知.pdf")],
        doc_id="005117558-2009-16",
    )
    return await client.sent(submission.envelope_id)


async def received_by(client: AsyncClient, envelope_id: str) -> AsyncDelivery:
    delivery = await client.delivery(envelope_id)
    await delivery.read()
    return delivery


async def test_every_statement_of_the_parties_has_its_call(centre: ScriptedCentre) -> None:
    async with finance(centre) as sender, education(centre) as recipient:
        sent = await sent_by(sender)
        delivery = await received_by(recipient, sent.envelope_id)
        said = [
            await delivery.refuse("duplicate"),
            await sent.offer_again(RECIPIENT, "请再看"),
        ]
        delivery = await received_by(recipient, sent.envelope_id)
        said += [
            await sent.urge(RECIPIENT),
            await delivery.sign_for(),
            await delivery.progress("正在办理"),
            await sent.request_withdrawal(RECIPIENT, "附件有误"),
            await delivery.decline_withdrawal("已转办"),
            await sent.request_withdrawal(RECIPIENT, "附件仍有误"),
            await delivery.grant_withdrawal(),
        ]
        completed, returned, withdrawn = [await sent_by(sender) for _ in range(3)]
        delivery = await received_by(recipient, completed.envelope_id)
        await delivery.sign_for()
        said.append(await delivery.complete("已落实"))
        delivery = await received_by(recipient, returned.envelope_id)
        await delivery.sign_for()
        said.append(await delivery.send_back("OTHER", "请送卫生局"))
        said.append(await withdrawn.withdraw(RECIPIENT, "误发"))
    assert {each.type for each in said} == {
        type_ for _, type_ in TRANSITIONS if type_ not in SIGNED_BY_CENTRE
    }
    by_sender = {ReceiptType.URGED, ReceiptType.OFFERED_AGAIN, ReceiptType.WITHDRAWN}
    by_sender.add(ReceiptType.WITHDRAWAL_REQUESTED)
    for each in said:
        unit = "qd-caizheng" if each.type in by_sender else RECIPIENT
        assert each.by == unit_seal_id(unit)
        assert each.admission is not None
    texts = [each.receipt.reason for each in said if each.receipt.reason]
    assert texts[0] == "请再看"
    assert texts[-3:] == ["已落实", "请送卫生局", "误发"]


def test_what_is_said_once_at_most_can_follow_itself_on_no_path() -> None:
    """KeptReceipts may hand these in again for ever; all others only until they are answered."""

    def reachable(start: Standing) -> set[Standing]:
        found, waiting = {start}, [start]
        while waiting:
            standing = waiting.pop()
            for type_ in ReceiptType:
                for code in (None, ReasonCode.BAD_SIGNATURE):
                    with contextlib.suppress(StateConflict):
                        after = step(standing, type_, code)
                        if after not in found:
                            found.add(after)
                            waiting.append(after)
        return found

    everywhere = reachable(Standing(None))
    for type_ in set(ReceiptType) - SIGNED_BY_CENTRE:
        again = False
        for standing in everywhere:
            with contextlib.suppress(StateConflict):
                after = step(standing, type_, ReasonCode.BAD_SIGNATURE)
                for later in reachable(after):
                    with contextlib.suppress(StateConflict):
                        step(later, type_, ReasonCode.BAD_SIGNATURE)
                        again = True
        assert (type_ in ONCE) is not again, type_


class TestRepeating:
    """After an error whose outcome is unknown."""

    @pytest.mark.parametrize("timing", [QUICK, NO_RETRY])
    async def test_a_lost_answer_makes_no_second_statement(
        self, centre: ScriptedCentre, timing: Timing
    ) -> None:
        async with finance(centre, timing) as sender:
            sent = await sent_by(sender)
            centre.faults.lose_answer_of = {"RecordReceipt"}
            if timing is NO_RETRY:
                with pytest.raises(Unavailable):
                    await sent.urge(RECIPIENT, "请办理")
                # Another object, the same client: as a program that begins its step anew.
                sent = await sender.sent(sent.envelope_id)
            first = await sent.urge(RECIPIENT, "请办理")
            assert centre.handed_in == [first.signed_receipt.content] * 2
            assert len(centre.held[sent.envelope_id].statements) == 1
            second = await sent.urge(RECIPIENT, "请办理")
        assert len(centre.held[sent.envelope_id].statements) == 2
        assert first.receipt.receipt_id != second.receipt.receipt_id

    async def test_what_can_be_said_once_is_the_same_however_often(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await received_by(recipient, sent.envelope_id)
            await delivery.sign_for()
            completions = [await delivery.complete("已落实") for _ in range(2)]
            other = await recipient.delivery(sent.envelope_id)
            completions.append(await other.complete("已落实"))
            with pytest.raises(Decided):
                await other.complete("另行落实")
        assert len({each.receipt.receipt_id for each in completions}) == 1

    async def test_the_same_refusal_after_another_offer_is_another_statement(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await received_by(recipient, sent.envelope_id)
            first = await delivery.refuse("DUPLICATE")
            await sent.offer_again(RECIPIENT)
            again = await received_by(recipient, sent.envelope_id)
            second = await again.refuse("DUPLICATE")
        assert first.receipt.receipt_id != second.receipt.receipt_id
        assert second.seq == first.seq + 3

    async def test_a_receipt_that_was_refused_is_not_handed_in_again(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await recipient.delivery(sent.envelope_id)
            with pytest.raises(StateConflict):
                await delivery.sign_for()
            await delivery.read()
            await delivery.sign_for()
        refused, recorded = centre.handed_in
        assert refused != recorded

    def test_what_is_kept_is_bounded(self) -> None:
        kept = KeptReceipts()
        made = [0]

        def make(saying: Saying) -> Signed:
            made[0] += 1
            return Signed(saying.envelope_id.encode(), b"")

        sayings = [
            Saying(ReceiptType.SIGNED_FOR, str(number), RECIPIENT, "") for number in range(1025)
        ]
        for saying in sayings:
            kept.get(saying, make)
        kept.get(sayings[-1], make)
        assert made == [1025]
        kept.get(sayings[0], make)
        assert made == [1026]


class TestConflicts:
    async def test_who_comes_late_is_shown_what_won(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await received_by(recipient, sent.envelope_id)
            signed = await delivery.sign_for()
            with pytest.raises(Decided) as caught:
                await sent.withdraw(RECIPIENT)
        conflict = caught.value
        assert conflict.code == "STATE_CONFLICT"
        assert conflict.won.receipt == signed.receipt
        assert conflict.won.admission == signed.admission
        assert conflict.won.recorded_at == signed.recorded_at
        assert conflict.attributes["recipient"] == RECIPIENT
        assert conflict.attributes["envelope_id"] == sent.envelope_id

    async def test_the_centres_own_statement_may_have_won(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await received_by(recipient, sent.envelope_id)
            with pytest.raises(Decided) as caught:
                await delivery.complete()
        assert caught.value.won.receipt.type is ReceiptType.DELIVERED
        assert caught.value.won.admission is None
        assert caught.value.won.receipt.by == CENTRE_SEAL_ID

    @pytest.mark.parametrize(
        "forge",
        [
            lambda s: s.admission.__setattr__("signature", s.receipt.signature),
            lambda s: s.receipt.__setattr__("signature", s.admission.signature),
            lambda s: s.ClearField("admission"),
            lambda s: s.receipt.__setattr__("content", b"{}"),
        ],
    )
    async def test_what_won_is_verified(
        self, centre: ScriptedCentre, forge: Callable[[envelope_pb2.Statement], None]
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            await (await received_by(recipient, sent.envelope_id)).sign_for()
            centre.faults.statement = forge
            with pytest.raises(VerificationFailed):
                await sent.withdraw(RECIPIENT)

    async def test_a_statement_about_another_envelope_shows_nothing(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent, other = await sent_by(sender), await sent_by(sender)
            for each in (sent, other):
                await (await received_by(recipient, each.envelope_id)).sign_for()
            centre.held[sent.envelope_id].decided_by = centre.held[other.envelope_id].decided_by
            with pytest.raises(VerificationFailed):
                await sent.withdraw(RECIPIENT)

    async def test_what_decided_another_recipients_delivery_decides_nothing_here(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender, RECIPIENT, "qd-tongji")
            await (await received_by(recipient, sent.envelope_id)).sign_for()
            with pytest.raises(VerificationFailed) as caught:
                await sent.withdraw("qd-tongji")
        assert caught.value.attributes["step"] == "winning"

    async def test_without_the_statement_it_is_a_plain_conflict(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            with pytest.raises(StateConflict) as caught:
                await (await recipient.delivery(sent.envelope_id)).sign_for()
        assert not isinstance(caught.value, Decided)
        assert caught.value.attributes["state"] == "PENDING"

    async def test_withdrawing_from_several_tells_of_each(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            await (await received_by(recipient, sent.envelope_id)).sign_for()
            (outcome,) = await sent.withdraw_from()
            assert isinstance(outcome.error, Decided)
            assert (outcome.recipient, outcome.statement) == (RECIPIENT, None)
            fresh = await sent_by(sender)
            (outcome,) = await fresh.withdraw_from([RECIPIENT, RECIPIENT], "误发")
            assert outcome.error is None
            assert outcome.statement is not None
            assert outcome.statement.state_after is State.WITHDRAWN

    async def test_what_would_meet_the_next_one_too_comes_last(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender:
            sent = await sent_by(sender, RECIPIENT, "qd-tongji", "qd-zhengfu")
            centre.faults.lose_answer_of = {"RecordReceipt"}
            (outcome,) = await sent.withdraw_from([RECIPIENT, "qd-tongji", RECIPIENT])
        assert outcome.recipient == RECIPIENT
        assert isinstance(outcome.error, Unavailable)
        assert len(centre.handed_in) == 1

    @pytest.mark.parametrize(("code", "repeated"), [("DUPLICATE", True), ("NOT_OUR_REMIT", False)])
    async def test_the_same_by_the_same_unit_is_a_repetition(
        self, centre: ScriptedCentre, code: str, repeated: bool
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            await (await received_by(recipient, sent.envelope_id)).refuse("DUPLICATE", "已收过")
            async with education(centre) as another:  # it has no receipts yet
                with pytest.raises(Decided) as caught:
                    await (await another.delivery(sent.envelope_id)).refuse(code)
            assert caught.value.repeated is repeated
            with pytest.raises(Decided) as caught:
                await sent.withdraw(RECIPIENT)
            assert not caught.value.repeated

    async def test_receiving_goes_on_where_another_has_just_signed(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as one, education(centre) as other:
            signed, withdrawn = await sent_by(sender), await sent_by(sender)
            late = [await received_by(one, each.envelope_id) for each in (signed, withdrawn)]
            await (await other.delivery(signed.envelope_id)).sign_for()
            assert await sign_for(late[0]) == "SIGNED_FOR"
            await withdrawn.withdraw(RECIPIENT)
            with pytest.raises(Decided):
                await sign_for(late[1])


class TestWhoMaySay:
    async def test_only_the_sender_of_an_envelope_has_it_as_sent(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            with pytest.raises(NotFound, match="not by it"):
                await recipient.sent(sent.envelope_id)

    @pytest.mark.parametrize(
        "say",
        [
            lambda sent: sent.urge("qd-tongji"),
            lambda sent: sent.withdraw("qd-tongji"),
            lambda sent: sent.withdraw_from([RECIPIENT, "qd-tongji"]),
        ],
    )
    async def test_who_is_no_recipient_is_named_before_anything_is_recorded(
        self, centre: ScriptedCentre, say: Callable[[AsyncSent], Awaitable[Statement]]
    ) -> None:
        async with finance(centre) as sender:
            sent = await sent_by(sender)
            with pytest.raises(NotFound, match="qd-tongji is no recipient"):
                await say(sent)
        assert "RecordReceipt" not in centre.calls

    async def test_a_forged_envelope_is_not_acted_upon(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as sender:
            sent = await sent_by(sender)
            centre.faults.envelope = lambda envelope: envelope.signatures.append(b"another")
            with pytest.raises(VerificationFailed):
                await sender.sent(sent.envelope_id)

    async def test_texts_that_are_needed_are_asked_for_before_the_call(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await recipient.delivery(sent.envelope_id)
            for say in (
                sent.request_withdrawal(RECIPIENT, ""),
                delivery.progress(""),
                delivery.send_back("OTHER"),
            ):
                with pytest.raises(ReceiptRefused):
                    await say
        assert "RecordReceipt" not in centre.calls

    async def test_without_a_seal_nothing_is_said(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as sender:
            envelope_id = (await sent_by(sender)).envelope_id
        async with AsyncClient(centre.profile("qd-caizheng", seal=None), NO_RETRY) as sender:
            with pytest.raises(ConfigurationError):
                await (await sender.sent(envelope_id)).urge(RECIPIENT)


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


class TestSummaries:
    def test_they_have_what_the_centre_says(self) -> None:
        message = envelope_pb2.DeliveryStatus(
            recipient=RECIPIENT,
            state=envelope_pb2.DELIVERY_STATE_SIGNED_FOR,
            seq=4,
            last_type="OVERDUE",
            withdrawal_requested=True,
            sign_due=stamp(NOON),
            reply_due=stamp(NOON + timedelta(days=1)),
            overdue=True,
            replaced_by="0121a0c4-5f80-7abc-8def-0123456789ab",
        )
        status = DeliveryStatus.of(message)
        assert status.last_type is ReceiptType.OVERDUE
        assert (status.withdrawal_requested, status.overdue) == (True, True)
        assert (status.sign_due, status.reply_due) == (NOON, NOON + timedelta(days=1))
        assert status.replaced_by == message.replaced_by
        summary = DeliverySummary.of(
            envelope_pb2.Delivery(state=message.state, last_type="URGED", sign_due=stamp(NOON))
        )
        assert (summary.last_type, summary.sign_due) == (ReceiptType.URGED, NOON)
        assert summary.reply_due is None

    def test_a_step_that_this_version_does_not_know_breaks_no_list(self) -> None:
        message = envelope_pb2.DeliveryStatus(
            state=envelope_pb2.DELIVERY_STATE_PENDING, last_type="FROM_THE_FUTURE"
        )
        assert DeliveryStatus.of(message).last_type is None

    @pytest.mark.parametrize(
        ("state", "replaced_by", "due"),
        [
            ("PENDING", "", NOON),
            ("DELIVERED", "", NOON),
            ("SIGNED_FOR", "", NOON + timedelta(days=1)),
            ("COMPLETED", "", None),
            ("WITHDRAWN", "", None),
            ("PENDING", "0121a0c4-5f80-7abc-8def-0123456789ab", None),
        ],
    )
    def test_what_is_due_is_what_is_still_to_be_done(
        self, state: str, replaced_by: str, due: datetime | None
    ) -> None:
        message = envelope_pb2.DeliveryStatus(
            state=envelope_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state}"),
            sign_due=stamp(NOON),
            reply_due=stamp(NOON + timedelta(days=1)),
            replaced_by=replaced_by,
        )
        assert DeliveryStatus.of(message).due == due

    async def test_a_delivery_knows_what_was_recorded_by_itself(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as sender, education(centre) as recipient:
            sent = await sent_by(sender)
            delivery = await received_by(recipient, sent.envelope_id)
            known = [(delivery.seq, delivery.last_type)]
            await delivery.sign_for()
            await delivery.progress("正在办理")
            known.append((delivery.seq, delivery.last_type))
            await delivery.complete()
            assert known == [(1, ReceiptType.DELIVERED), (3, ReceiptType.PROGRESS)]
            assert delivery.state is State.COMPLETED
