"""The SDK and the real centre: a document's life, hostile names, interruptions, big files."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_client import AsyncClient, AsyncDelivery, PartSource, State, Submission
from exchange_client.testing import LocalCentre

from document_exchange.errors import (
    EnvelopeConflict,
    NotFound,
    NotPermitted,
    RecipientsRefused,
    SignatureMissing,
    StateConflict,
)

HOSTILE_NAMES = ["../../etc/passwd", "nul\x00in.pdf", "通" * 400 + ".pdf", "same.pdf", "SAME.pdf"]


@pytest.fixture
async def finance(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client("qd-caizheng") as client:
        yield client


@pytest.fixture
async def education(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client("qd-jiaoyu") as client:
        yield client


async def send(client: AsyncClient, *parts: bytes, **more: str) -> Submission:
    return await client.send(
        title=more.pop("title", "关于编制部门预算的通知"),
        recipients=["qd-jiaoyu"],
        files=[PartSource(part, filename="通知.pdf") for part in parts or (b"%PDF-1.7",)],
        **more,  # type: ignore[arg-type]
    )


async def next_of(client: AsyncClient, envelope_id: str) -> AsyncDelivery:
    """The delivery of this envelope as the watch brings it."""
    async with asyncio.timeout(30), aclosing(client.watch()) as deliveries:
        async for delivery in deliveries:
            if delivery.envelope_id == envelope_id:
                return delivery
    raise AssertionError("the watch ended")


async def test_a_document_travels_from_unit_to_unit(
    finance: AsyncClient, education: AsyncClient, tmp_path: Path
) -> None:
    body, attachment = os.urandom(100_000), os.urandom(3_000_000)
    submission = await send(finance, body, attachment, urgency="URGENT")
    assert not submission.repeated

    delivery = await next_of(education, submission.envelope_id)
    assert (delivery.state, delivery.sender) == (State.PENDING, "qd-caizheng")
    assert (delivery.urgency, delivery.size_bytes) == ("URGENT", 3_100_000)
    document = await delivery.download(tmp_path)
    assert [part.path.read_bytes() for part in document.parts] == [body, attachment]
    assert str(document.envelope.sealed_by[0]).startswith(
        "spiffe://exchange.example/unit/qd-caizheng/seal/"
    )
    statement = await delivery.sign_for()
    assert (statement.state_before, statement.state_after) == (State.DELIVERED, State.SIGNED_FOR)
    assert submission.envelope_id not in {each.envelope_id async for each in education.inbox()}

    for client in (finance, education):
        tracking = await client.track(submission.envelope_id)
        (tracked,) = tracking.deliveries
        assert tracked.state is State.SIGNED_FOR
        assert [each.type.value for each in tracked.statements] == ["DELIVERED", "SIGNED_FOR"]
        assert tracking.envelope.manifest == submission.manifest


async def test_openssl_verifies_what_was_kept_on_disk(
    finance: AsyncClient, education: AsyncClient, tmp_path: Path
) -> None:
    submission = await send(finance)
    delivery = await education.delivery(submission.envelope_id)
    document = await delivery.download(tmp_path)
    await delivery.sign_for()
    trusted = tmp_path / "chain.pem"
    trusted.write_bytes(
        b"".join(
            certificate.public_bytes(Encoding.PEM)
            for certificate in (education.profile.trust.seal_ca, education.profile.trust.root)
        )
    )
    signed = sorted(document.directory.rglob("*.p7s"))
    assert len(signed) == 5
    for signature in signed:
        content = signature.with_suffix("")
        command = ["openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER"]
        command += ["-in", str(signature), "-content", str(content), "-out", os.devnull]
        command += ["-CAfile", str(trusted), "-no-CApath"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


async def test_hostile_file_names_are_received_safely(
    finance: AsyncClient, education: AsyncClient, tmp_path: Path
) -> None:
    submission = await finance.send(
        title="恶意文件名",
        recipients=["qd-jiaoyu"],
        files=[
            PartSource(name.encode(), filename=name, role="ATTACHMENT" if place else "BODY")
            for place, name in enumerate(HOSTILE_NAMES)
        ],
    )
    out = tmp_path / "inner" / "received"
    document = await (await education.delivery(submission.envelope_id)).download(out)
    assert [each.part.filename for each in document.parts] == HOSTILE_NAMES
    for received in document.parts:
        assert received.path.parent == out / submission.envelope_id / "parts"
        assert received.path.read_bytes() == received.part.filename.encode()
    assert len({received.path.name.casefold() for received in document.parts}) == len(HOSTILE_NAMES)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {
        path for path in (out / submission.envelope_id).rglob("*") if path.is_file()
    }


async def test_refusing_needs_a_reason_that_fits_the_state(
    finance: AsyncClient, education: AsyncClient
) -> None:
    submission = await send(finance)
    delivery = await education.delivery(submission.envelope_id)
    with pytest.raises(StateConflict):
        await delivery.refuse("NOT_OUR_REMIT")
    with pytest.raises(StateConflict):
        await delivery.sign_for()
    await delivery.read()
    statement = await delivery.refuse("OTHER", "附件缺页")
    assert (statement.receipt.reason, statement.state_after) == ("附件缺页", State.REFUSED)
    with pytest.raises(StateConflict) as caught:
        await delivery.sign_for()
    winning = caught.value.winning
    assert winning is not None
    assert winning[0] == statement.signed_receipt.content
    assert delivery.state is State.REFUSED


async def test_the_sender_hears_of_each_step_until_it_has_noted_it(
    finance: AsyncClient, education: AsyncClient
) -> None:
    submission = await send(finance)
    delivery = await education.delivery(submission.envelope_id)
    seen: list[State] = []
    async with asyncio.timeout(30), aclosing(finance.watch_submissions()) as changes:
        await delivery.read()
        async for change in changes:
            if change.envelope_id != submission.envelope_id:
                continue
            (status,) = change.deliveries
            seen.append(status.state)
            await finance.confirm_seen(change.envelope_id, status.recipient, status.seq)
            if status.state is State.SIGNED_FOR:
                break
            await delivery.sign_for()
    assert seen == [State.DELIVERED, State.SIGNED_FOR]
    waiting = [each.envelope_id async for each in finance.watch_submissions(follow=False)]
    assert submission.envelope_id not in waiting
    listed = [each async for each in finance.submissions()]
    assert listed[0].envelope_id == submission.envelope_id
    assert listed[0].deliveries[0].state is State.SIGNED_FOR


async def test_what_was_noted_is_left_out_of_the_next_watch(
    finance: AsyncClient, education: AsyncClient
) -> None:
    submission = await send(finance)
    for _ in range(2):
        shown = [each.envelope_id async for each in education.watch(follow=False)]
        assert submission.envelope_id in shown
    delivery = await education.delivery(submission.envelope_id)
    await delivery.read()
    await delivery.sign_for()
    shown = [each.envelope_id async for each in education.watch(follow=False)]
    assert submission.envelope_id not in shown


async def test_a_joint_issue_and_one_on_behalf_of_another(local_centre: LocalCentre) -> None:
    async with (
        local_centre.async_client("qd-zhengfuban") as office,
        local_centre.async_client("qd-zhengfu") as government,
        local_centre.async_client("qd-jiaoyu") as education,
    ):
        seal = government.profile.require_seal()
        for issuers in (["qd-zhengfu"], ["qd-zhengfu", "qd-zhengfuban"]):
            submission = await office.send(
                title="关于进一步做好节能减排工作的意见",
                recipients=["qd-jiaoyu"],
                files=[PartSource(b"%PDF-1.7")],
                issuers=issuers,
                signers=[seal],
                genre="OPINION",
                direction="DOWN",
            )
            envelope = await (await education.delivery(submission.envelope_id)).fetch()
            assert [each.unit for each in envelope.sealed_by] == issuers
        with pytest.raises(SignatureMissing):
            await send(office, issuers=["qd-zhengfu"])  # type: ignore[arg-type]
        with pytest.raises(NotPermitted):
            await education.send(
                title="冒名",
                recipients=["qd-caizheng"],
                files=[PartSource(b"x")],
                issuers=["qd-zhengfu"],
                signers=[seal],
            )


async def test_refusals_name_what_was_wrong(finance: AsyncClient) -> None:
    with pytest.raises(RecipientsRefused) as caught:
        await finance.send(
            title="t", recipients=["qd-jiaoyu", "qd-nobody"], files=[PartSource(b"x")]
        )
    assert "qd-nobody" in caught.value.attributes
    assert "qd-jiaoyu" not in caught.value.attributes
    doc_id = await finance.new_doc_id()
    await send(finance, doc_id=doc_id)
    with pytest.raises(EnvelopeConflict):
        await send(finance, doc_id=doc_id)


async def test_a_unit_sees_nothing_of_what_is_not_its_own(
    finance: AsyncClient, local_centre: LocalCentre
) -> None:
    submission = await send(finance)
    async with local_centre.async_client("qd-tongji") as stranger:
        for look in (stranger.delivery, stranger.track):
            with pytest.raises(NotFound):
                await look(submission.envelope_id)
        assert submission.envelope_id not in {e.envelope_id async for e in stranger.inbox(None)}


async def test_the_directory(finance: AsyncClient) -> None:
    units = await finance.units()
    assert [unit.unit_id for unit in units] == sorted(unit.unit_id for unit in units)
    members = {unit.unit_id for unit in await finance.units("all-departments")}
    assert {"qd-caizheng", "qd-jiaoyu", "qd-tongji"} <= members
    assert "qd-zhengfu" not in members
    assert (await finance.unit("qd-zhengfuban")).acts_for == ("qd-zhengfu",)
    with pytest.raises(NotFound):
        await finance.unit("qd-nobody")


async def test_many_at_once_arrive_once_each(finance: AsyncClient, education: AsyncClient) -> None:
    sent = {
        each.envelope_id
        for each in await asyncio.gather(*(send(finance, os.urandom(50_000)) for _ in range(30)))
    }
    assert len(sent) == 30
    taken: list[str] = []
    async for delivery in education.watch(follow=False):
        if delivery.envelope_id in sent:
            await delivery.read()
            await delivery.sign_for()
            taken.append(delivery.envelope_id)
    assert sorted(taken) == sorted(sent)
