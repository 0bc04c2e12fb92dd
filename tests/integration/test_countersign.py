"""Joint issue with a real centre: three units seal one document, by file and through the centre."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from exchange_client import (
    AsyncClient,
    IssuerStanding,
    JointDraft,
    LapsedRequest,
    PartSource,
    State,
    Submission,
    Tracking,
    drafts,
    seal_answers,
    tracking,
)
from exchange_client.testing import LocalCentre

from document_exchange import countersign, signature
from document_exchange.errors import (
    EnvelopeIdOutOfRange,
    InvalidRequest,
    NotFound,
    NotPermitted,
    RecipientsRefused,
    SignatureMissing,
    SignatureRefused,
    StateConflict,
    VerificationFailed,
)
from document_exchange.manifest import PartRole, sha256_hex
from document_exchange.signature import Signer
from tests.real_centre import CentreInside

LEADER, SECOND, THIRD = ISSUERS = ("qd-caizheng", "qd-jiaoyu", "qd-tongji")
RECIPIENT = "qd-zhengfuban"
TITLE = "关于联合开展教育经费统计的通知"


@dataclass
class Units:
    """The four units of a joint issue, each with a client of its own."""

    clients: dict[str, AsyncClient]
    directory: Path

    def __getitem__(self, unit: str) -> AsyncClient:
        return self.clients[unit]

    def seal(self, unit: str) -> Signer:
        return self[unit].profile.require_seal()

    async def draft(self, **more: Any) -> JointDraft:
        made = {
            "title": TITLE,
            "recipients": [RECIPIENT],
            "files": [
                PartSource(b"%PDF-1.7 body", filename="../../etc/通知.pdf"),
                PartSource(bytes(2_000_000), filename="附件.xlsx"),
            ],
            "issuers": ISSUERS,
        }
        return await self[LEADER].joint.draft(self.directory / "draft", **(made | more))

    async def request_to(self, unit: str, draft: JointDraft) -> str:
        """The envelope with which this unit is asked."""
        standing = await self[LEADER].joint.request(draft.directory)
        return next(each.request_id for each in standing if each.unit == unit)

    async def seal_by_request(self, unit: str, request_id: str) -> Submission:
        joint = self[unit].joint
        return await joint.countersign(await joint.received(request_id, self.directory / unit))

    async def answer(
        self, unit: str, request_id: str, seals: Sequence[bytes], **more: Any
    ) -> Submission:
        """An answer as a unit could make it without the SDK's help."""
        return await self[unit].send(
            title="会签答复",
            recipients=[LEADER],
            business=countersign.BUSINESS,
            files=[
                PartSource(b"x", filename="x.txt"),
                *(PartSource(each, "SEAL_DATA", "../x.p7s") for each in seals),
            ],
            **({"reply_to": request_id} | more),
        )


@pytest.fixture
async def units(local_centre: LocalCentre, tmp_path: Path) -> AsyncIterator[Units]:
    async with AsyncExitStack() as stack:
        clients = {
            unit: await stack.enter_async_context(local_centre.async_client(unit))
            for unit in (*ISSUERS, RECIPIENT)
        }
        yield Units(clients, tmp_path)


async def check_arrived(units: Units, submission: Submission) -> None:
    """The recipient finds the three seals, named in ACCEPTED, over the bytes that were drafted."""
    delivery = await units[RECIPIENT].delivery(submission.envelope_id)
    document = await delivery.download(units.directory / "received")
    envelope = document.envelope
    assert [each.unit for each in envelope.sealed_by] == list(ISSUERS)
    named = tuple(map(sha256_hex, envelope.signatures))
    assert envelope.accepted.receipt.signatures_sha256 == named
    assert len(named) == len(ISSUERS)
    assert document.body.read_bytes() == b"%PDF-1.7 body"


async def test_three_units_seal_by_file(units: Units) -> None:
    draft = await units.draft()
    assert (draft.sealed_by, draft.missing) == ((LEADER,), (SECOND, THIRD))
    with pytest.raises(SignatureMissing, match=f"{SECOND}, {THIRD}") as caught:
        await units[LEADER].joint.send(draft.directory)
    assert caught.value.attributes["missing"] == f"{SECOND} {THIRD}"

    carried = shutil.copytree(draft.directory, units.directory / "carried")
    assert (await units[SECOND].joint.seal(carried)).missing == (THIRD,)
    with pytest.raises(SignatureRefused, match="already"):
        await units[SECOND].joint.seal(carried)
    with pytest.raises(SignatureRefused, match="not an issuer"):
        await units[RECIPIENT].joint.seal(carried)
    # The third gives back its seal alone.
    elsewhere = shutil.copytree(draft.directory, units.directory / "elsewhere")
    await units[THIRD].joint.seal(elsewhere)
    shutil.copy(elsewhere / "signatures" / f"{THIRD}.p7s", carried / "signatures")

    sent = await units[LEADER].joint.send(carried)
    assert (sent.manifest, sent.repeated) == (draft.manifest, False)
    assert (await units[LEADER].joint.send(carried)).repeated
    await check_arrived(units, sent)


async def test_three_units_seal_through_the_centre(units: Units) -> None:
    draft = await units.draft(urgency="URGENT")
    request_id = await units.request_to(SECOND, draft)
    # One request for both, sent once however often it is asked for.
    assert await units.request_to(THIRD, draft) == request_id
    assert len(list((draft.directory / "requests").glob("*.json"))) == 1

    delivery = await units[SECOND].delivery(request_id)
    assert (delivery.business, delivery.urgency) == ("COUNTERSIGN", "URGENT")
    seen = await units[SECOND].joint.received(request_id, units.directory / "second")
    assert (seen.manifest, seen.sealed_by) == (draft.manifest, (LEADER,))
    assert [each.path.read_bytes() for each in seen.parts] == [
        each.path.read_bytes() for each in draft.parts
    ]
    await units[SECOND].joint.countersign(seen)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert (collected.taken, collected.draft.missing) == ((SECOND,), (THIRD,))
    assert [each.sealed for each in collected.standing] == [True, True, False]
    assert collected.standing[1].state is State.SIGNED_FOR

    await units.seal_by_request(THIRD, request_id)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert (collected.taken, collected.draft.missing) == ((THIRD,), ())
    again = await units[LEADER].joint.collect(draft.directory)
    assert (again.taken, again.not_taken) == ((), ())
    waiting = [each.title async for each in units[LEADER].inbox()]
    assert not any(TITLE in title for title in waiting)  # each answer was signed for
    await check_arrived(units, await units[LEADER].joint.send(draft.directory))


async def cut_off(*_: Any) -> None:
    raise ConnectionAbortedError


async def interrupted(units: Units, draft: JointDraft, monkeypatch: pytest.MonkeyPatch) -> str:
    """A request that was kept and not sent."""
    with monkeypatch.context() as power_cut:
        power_cut.setattr("exchange_client.seal_requests.submit", cut_off)
        with pytest.raises(ConnectionAbortedError):
            await units[LEADER].joint.request(draft.directory)
    (kept,) = (draft.directory / "requests").glob("*.json")
    with pytest.raises(NotFound):
        await units[LEADER].track(kept.stem)
    return kept.stem


@asynccontextmanager
async def denied(inside: CentreInside, recipient: str) -> AsyncIterator[None]:
    """A route denies the leader to ask this unit for its seal."""
    async with inside.ledger() as ledger:
        await ledger.execute(
            """insert into exchange.routes (route_id, effect, sender, recipient, business)
               values ('no-asking', 'DENY', $1, $2, 'COUNTERSIGN')""",
            f"unit:{LEADER}",
            f"unit:{recipient}",
        )
    try:
        yield
    finally:
        async with inside.ledger() as ledger:
            await ledger.execute("delete from exchange.routes where route_id = 'no-asking'")


def asked(standing: Sequence[IssuerStanding]) -> dict[str, str]:
    """The requests by the units that they went to."""
    return {each.unit: each.request_id for each in standing if each.request_id}


def kept_files(draft: JointDraft) -> list[str]:
    return [path.name for path in (draft.directory / "requests").glob("*")]


async def test_a_request_that_was_kept_and_not_sent_is_sent_once(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await units.draft()
    kept = await interrupted(units, draft, monkeypatch)
    assert await units.request_to(SECOND, draft) == kept
    assert await units.request_to(THIRD, draft) == kept


@pytest.mark.parametrize("before", [False, True])
async def test_a_request_that_is_refused_does_not_stand_in_the_way(
    units: Units, local_centre: LocalCentre, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    draft, joint = await units.draft(), units[LEADER].joint
    if before:  # kept while it would have been taken
        await interrupted(units, draft, monkeypatch)
    async with denied(CentreInside(local_centre), SECOND):
        with pytest.raises(RecipientsRefused):
            await joint.request(draft.directory)
        assert kept_files(draft) == []
        await units[SECOND].joint.seal(draft.directory)
        standing = await joint.request(draft.directory)
    assert list(asked(standing)) == [THIRD]
    assert [each.sealed for each in standing] == [True, True, False]


async def test_who_has_sealed_meanwhile_is_not_asked(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, joint = await units.draft(), units[LEADER].joint
    kept = await interrupted(units, draft, monkeypatch)
    await units[SECOND].joint.seal(draft.directory)
    standing = await joint.request(draft.directory)
    assert list(asked(standing)) == [THIRD]
    assert asked(standing)[THIRD] != kept
    with pytest.raises(NotFound):
        await units[LEADER].track(kept)
    assert not any(name.startswith(kept) for name in kept_files(draft))


async def test_when_all_have_sealed_nobody_is_asked(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await units.draft()
    kept = await interrupted(units, draft, monkeypatch)
    for unit in (SECOND, THIRD):
        await units[unit].joint.seal(draft.directory)
    assert asked(await units[LEADER].joint.request(draft.directory)) == {}
    with pytest.raises(NotFound):
        await units[LEADER].track(kept)
    assert kept_files(draft) == []


async def test_a_standing_request_is_looked_up_once(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await units.draft()
    await units[LEADER].joint.request(draft.directory)
    looked_up = []
    track = tracking.track

    async def counted(session: Any, envelope_id: str) -> Tracking:
        looked_up.append(envelope_id)
        return await track(session, envelope_id)

    monkeypatch.setattr(tracking, "track", counted)
    standing = await units[LEADER].joint.request(draft.directory)
    assert looked_up == [asked(standing)[SECOND]]


async def test_a_request_that_was_withdrawn_is_not_sealed(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    sent = await units[LEADER].sent(request_id)
    seen = await units[SECOND].joint.received(request_id, units.directory / "second")
    for unit in (SECOND, THIRD):
        await sent.withdraw(unit)
    with pytest.raises(StateConflict, match="WITHDRAWN") as caught:
        await units[SECOND].joint.countersign(seen)  # withdrawn while it was looked at
    assert caught.value.attributes["state"] == "WITHDRAWN"
    with pytest.raises(StateConflict, match="does not stand any more: it is WITHDRAWN"):
        await units[THIRD].joint.received(request_id, units.directory / "third")
    assert not (units.directory / "third").exists()
    assert await units[SECOND].joint.answered(seen) is None
    assert (await units[LEADER].joint.collect(draft.directory)).draft.sealed_by == (LEADER,)


async def test_a_request_that_was_returned_is_not_sealed(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    seen = await units[SECOND].joint.received(request_id, units.directory / "second")
    delivery = await units[SECOND].delivery(request_id)
    await delivery.sign_for()
    await delivery.send_back("NOT_CONSULTED")
    with pytest.raises(StateConflict, match="RETURNED"):
        await units[SECOND].joint.countersign(seen)


async def test_a_request_is_answered_once(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    joint = units[SECOND].joint
    seen = await joint.received(request_id, units.directory / "second")
    # What brings no seal of it over the draft is no answer.
    for seals in ([], [draft.signatures[LEADER]]):
        await units.answer(SECOND, request_id, seals)
    assert await joint.answered(seen) is None
    first = await joint.countersign(seen)
    again = await joint.countersign(seen)
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.envelope_id, again.accepted_at) == (first.envelope_id, first.accepted_at)
    assert again == await joint.answered(seen)
    # Another unit's answer is not ours.
    of_third = await units[THIRD].joint.received(request_id, units.directory / "third")
    assert await units[THIRD].joint.answered(of_third) is None
    # One that was withdrawn does not count.
    await (await units[SECOND].sent(first.envelope_id)).withdraw(LEADER)
    assert await joint.answered(seen) is None
    second = await joint.countersign(seen)
    assert second.envelope_id != first.envelope_id
    assert (await units[LEADER].joint.collect(draft.directory)).taken == (SECOND,)


async def test_a_seal_counts_though_its_request_was_returned_and_that_is_shown(
    units: Units,
) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    for unit in (SECOND, THIRD):
        await units.seal_by_request(unit, request_id)
    await (await units[SECOND].delivery(request_id)).send_back("NOT_CONSULTED")
    collected = await units[LEADER].joint.collect(draft.directory)
    assert (set(collected.taken), collected.draft.missing) == ({SECOND, THIRD}, ())
    assert collected.lapsed == (LapsedRequest(SECOND, request_id, State.RETURNED),)
    assert collected.standing[1].state is State.RETURNED


async def test_two_collect_at_once(units: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    for unit in (SECOND, THIRD):
        await units.seal_by_request(unit, request_id)
    keep, faster = drafts.add_signature, list[str]()

    def second_best(draft: JointDraft, unit: str, signature: bytes) -> JointDraft:
        if not faster:  # somebody else keeps the first seal a moment before
            faster.append(unit)
            keep(draft, unit, signature)
        return keep(draft, unit, signature)

    monkeypatch.setattr(seal_answers, "add_signature", second_best)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert (collected.draft.missing, collected.not_taken) == ((), ())
    assert len(collected.taken) == 1
    assert {*collected.taken, *faster} == {SECOND, THIRD}
    assert collected.draft == await units[LEADER].joint.open(draft.directory)
    waiting = [each.title async for each in units[LEADER].inbox()]
    assert not any(TITLE in title for title in waiting)


async def test_an_answer_is_withdrawn_while_answers_are_collected(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    answers = {unit: await units.seal_by_request(unit, request_id) for unit in (SECOND, THIRD)}
    listed = seal_answers._answers

    async def then_withdrawn(*arguments: Any) -> Any:
        found = await listed(*arguments)
        await (await units[SECOND].sent(answers[SECOND].envelope_id)).withdraw(LEADER)
        return found

    monkeypatch.setattr(seal_answers, "_answers", then_withdrawn)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert collected.taken == (THIRD,)
    (lost,) = collected.not_taken
    assert (lost.envelope_id, lost.sender) == (answers[SECOND].envelope_id, SECOND)


async def test_one_refuses_and_is_asked_anew(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    delivery = await units[SECOND].delivery(request_id)
    await delivery.download(units.directory / "second")
    await delivery.refuse("NOT_CONSULTED", "统计口径未经商定")
    collected = await units[LEADER].joint.collect(draft.directory)
    refused = collected.standing[1]
    assert (refused.unit, refused.sealed, refused.state) == (SECOND, False, State.REFUSED)
    assert (refused.reason_code, refused.reason) == ("NOT_CONSULTED", "统计口径未经商定")

    second_id = await units.request_to(SECOND, draft)
    assert second_id != request_id
    assert await units.request_to(THIRD, draft) == request_id  # it was asked before and may answer
    await units.seal_by_request(SECOND, second_id)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert collected.taken == (SECOND,)


async def test_forged_answers_are_not_taken(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    now = units[LEADER].session.now()
    content = draft.manifest_bytes

    def sealed(by: str, data: bytes = content) -> bytes:
        return signature.sign(data, units.seal(by), at=now)

    other_bytes = await units.answer(SECOND, request_id, [sealed(SECOND, content + b" ")])
    another_units = await units.answer(SECOND, request_id, [sealed(THIRD)])
    of_the_leader = await units.answer(SECOND, request_id, [draft.signatures[LEADER]])
    no_seal = await units.answer(SECOND, request_id, [])
    two_seals = await units.answer(SECOND, request_id, [sealed(SECOND), sealed(THIRD)])
    noise = await units.answer(SECOND, request_id, [b"noise"])
    forged = [other_bytes, another_units, of_the_leader, no_seal, two_seals, noise]
    # Genuine, but no answer to a request of this draft.
    await units.answer(SECOND, request_id, [sealed(SECOND)], reply_to=other_bytes.envelope_id)

    collected = await units[LEADER].joint.collect(draft.directory)
    assert (collected.taken, collected.draft.missing) == ((), (SECOND, THIRD))
    assert {each.envelope_id for each in collected.not_taken} == {
        each.envelope_id for each in forged
    }
    assert all(each.sender == SECOND and each.why for each in collected.not_taken)
    # What is right counts beside all that.
    await units.seal_by_request(SECOND, request_id)
    collected = await units[LEADER].joint.collect(draft.directory)
    assert collected.taken == (SECOND,)


async def test_an_answer_that_another_program_took_is_found(units: Units) -> None:
    draft = await units.draft()
    request_id = await units.request_to(SECOND, draft)
    answer = await units.seal_by_request(SECOND, request_id)
    delivery = await units[LEADER].delivery(answer.envelope_id)
    await delivery.download(units.directory / "taken")
    await delivery.sign_for()
    assert (await units[LEADER].joint.collect(draft.directory)).taken == (SECOND,)


async def test_requests_that_are_not_what_they_seem(units: Units) -> None:
    """Made by a unit that has the draft, sent to one that is to seal something else."""
    draft = await units.draft()
    manifest = PartSource(draft.manifest_bytes, "DATA", "m.json", countersign.MANIFEST_MEDIA_TYPE)
    body = PartSource(b"x", filename="x.txt")
    attached = [PartSource(each.path, "ATTACHMENT", each.part.filename) for each in draft.parts]
    forged_seal = PartSource(b"noise", "SEAL_DATA")
    other = PartSource(b"another attachment", "ATTACHMENT")

    async def is_asked(*files: PartSource, by: str = LEADER, to: str = SECOND, **more: Any) -> None:
        sent = await units[by].send(
            title="会签",
            recipients=[to],
            files=[body, *files],
            **({"business": countersign.BUSINESS} | more),
        )
        await units[to].joint.received(sent.envelope_id, units.directory / sent.envelope_id)

    await is_asked(manifest, *attached)  # this is how it should be
    with pytest.raises(InvalidRequest, match="no request for a seal"):
        await is_asked(manifest, *attached, business="DATA")
    for step, files, more in (
        ("countersign.request", attached, {}),
        ("countersign.request", [manifest, manifest, *attached], {}),
        ("countersign.1", [PartSource(b"{}", "DATA", "m", manifest.media_type), *attached], {}),
        ("countersign.2", [manifest, *attached], {"by": THIRD}),
        ("countersign.3", [manifest, *attached], {"to": RECIPIENT}),
        ("countersign.4", [manifest, attached[0], other], {}),
        ("countersign.4", [manifest, attached[0]], {}),
        ("countersign.4", [manifest, *attached[::-1]], {}),
        ("countersign.5", [manifest, *attached, forged_seal], {}),
    ):
        with pytest.raises(VerificationFailed) as caught:
            await is_asked(*files, **more)
        assert caught.value.attributes["step"] == step


async def test_a_draft_names_what_is_wrong_at_once(units: Units) -> None:
    with pytest.raises(NotFound, match="qd-nobody"):
        await units.draft(issuers=[LEADER, "qd-nobody"])
    # Its drafter could never send it: the centre's own words, before anybody seals.
    words = f"{LEADER} is no issuer .* does not act for {SECOND}"
    with pytest.raises(NotPermitted, match=words) as early:
        await units.draft(issuers=[SECOND, THIRD])
    with pytest.raises(NotPermitted) as late:
        await units[LEADER].send(
            title=TITLE,
            recipients=[RECIPIENT],
            files=[PartSource(b"x", filename="x.txt")],
            issuers=[SECOND, THIRD],
            signers=[units.seal(SECOND), units.seal(THIRD)],
        )
    assert early.value.message == late.value.message
    assert not (units.directory / "draft").exists()
    draft = await units.draft()
    with pytest.raises(InvalidRequest, match="not empty"):
        await units.draft()
    body = next(each for each in draft.parts if each.part.role is PartRole.BODY)
    assert body.path == draft.directory / "parts" / "001.pdf"


async def test_who_acts_for_the_leading_issuer_may_draft_for_it(units: Units) -> None:
    folder = units.directory / "for-the-council"
    made = await units[RECIPIENT].joint.draft(
        folder,
        title=TITLE,
        recipients=[LEADER],
        files=[PartSource(b"x", filename="x.txt")],
        issuers=["qd-zhengfu", SECOND],
    )
    assert made.missing == ("qd-zhengfu", SECOND)
    with pytest.raises(NotPermitted, match=f"does not act for {SECOND}"):
        await units[RECIPIENT].joint.draft(
            units.directory / "other-order",
            title=TITLE,
            recipients=[LEADER],
            files=[PartSource(b"x", filename="x.txt")],
            issuers=[SECOND, "qd-zhengfu"],
        )


async def test_a_draft_that_is_too_old(units: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    client = units[LEADER]
    begun = client.session.now() - timedelta(days=46)
    with monkeypatch.context() as earlier:
        earlier.setattr("document_exchange.codes.new_id", lambda _: _id_of(begun))
        draft = await units.draft(issuers=[LEADER])
    for act in (client.joint.send, client.joint.request):
        with pytest.raises(EnvelopeIdOutOfRange, match="make a new one"):
            await act(draft.directory)


def _id_of(moment: Any) -> str:
    from document_exchange import codes

    return codes.uuid7(moment, bytes(10))
