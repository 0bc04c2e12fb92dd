"""The SDK against a centre that breaks connections and lies (tests/centre_for_tests.py)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from exchange_client import AsyncClient, AsyncDelivery, PartSource, State, Submission, Timing
from exchange_client.receive import MAX_READ_BYTES

from document_exchange import manifest
from document_exchange.errors import (
    CertificateExpired,
    ConfigurationError,
    InvalidRequest,
    NotFound,
    NotPermitted,
    RecipientsRefused,
    ShuttingDown,
    SignatureMissing,
    StateConflict,
    Unauthenticated,
    Unavailable,
    VerificationFailed,
)
from document_exchange.manifest import Recipient, RecipientKind
from document_exchange.v1 import envelope_pb2, exchange_pb2
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import CLIENT, Pki, make_leaf, unit_seal_id

QUICK = Timing(retry_budget_s=5, watch_pause_max_s=0.05)
NO_RETRY = Timing(retry_budget_s=0)
DOC_ID = "005117558-2009-16"


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedCentre]:
    with ScriptedCentre(Pki()) as centre:
        yield centre


@pytest.fixture
def centre(running: ScriptedCentre) -> ScriptedCentre:
    running.forget()
    return running


def finance(centre: ScriptedCentre, timing: Timing = QUICK) -> AsyncClient:
    return AsyncClient(centre.profile("qd-caizheng"), timing)


def education(centre: ScriptedCentre, timing: Timing = QUICK) -> AsyncClient:
    return AsyncClient(centre.profile("qd-jiaoyu"), timing)


async def send(client: AsyncClient, *parts: bytes) -> Submission:
    return await client.send(
        title="关于编制部门预算的通知",
        recipients=["qd-jiaoyu"],
        files=[PartSource(part, filename="通知.pdf") for part in parts or (b"%PDF",)],
        doc_id=DOC_ID,
        genre="NOTICE",
    )


async def delivered(centre: ScriptedCentre, client: AsyncClient, *parts: bytes) -> AsyncDelivery:
    async with finance(centre) as sender:
        submission = await send(sender, *parts)
    return await client.delivery(submission.envelope_id)


async def test_a_client_that_is_closed_says_so(centre: ScriptedCentre) -> None:
    async with education(centre) as client:
        delivery = await delivered(centre, client)
    with pytest.raises(ConfigurationError, match="with block"):
        await client.unit("qd-jiaoyu")
    with pytest.raises(ConfigurationError, match="with block"):
        await delivery.track()
    with pytest.raises(ConfigurationError, match="with block"):
        await delivery.sign_for()


class TestOneOrMore:
    """One alone is as good as a list of one; a text is never taken apart."""

    async def test_one_of_each(self, centre: ScriptedCentre, tmp_path: Path) -> None:
        notice = tmp_path / "notice.txt"
        notice.write_text("通知")
        async with finance(centre) as client:
            for files in (notice, str(notice), PartSource(notice)):
                submission = await client.send(
                    title="通知",
                    recipients="qd-jiaoyu",
                    files=files,
                    cc=Recipient(unit="qd-tongji", kind=RecipientKind.CC),
                    issuers="qd-caizheng",
                )
                sent = submission.manifest
                assert [each.unit for each in sent.recipients] == ["qd-jiaoyu", "qd-tongji"]
                assert [part.filename for part in sent.parts] == ["notice.txt"]
                assert sent.document.issuers == ("qd-caizheng",)

    async def test_one_state(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client)
            found = [each.envelope_id async for each in client.inbox("PENDING")]
        assert delivery.envelope_id in found

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("recipients", None),
            ("recipients", [7]),
            ("recipients", b"qd-jiaoyu"),
            ("cc", 7),
            ("files", b"the bytes themselves"),
            ("files", [b"the bytes themselves"]),
            ("issuers", [None]),
        ],
    )
    async def test_anything_else_is_refused_by_name(
        self, field: str, wrong: object, centre: ScriptedCentre
    ) -> None:
        given: dict[str, Any] = {"recipients": "qd-jiaoyu", "files": PartSource(b"1")}
        async with finance(centre) as client:
            with pytest.raises(InvalidRequest, match=field) as raised:
                await client.send(title="通知", **{**given, field: wrong})
        assert raised.value.attributes["field"] == field


class TestSending:
    async def test_the_accepted_receipt_is_verified_and_returned(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as client:
            submission = await send(client, b"body", b"attachment")
        held = centre.held[submission.envelope_id]
        assert not submission.repeated
        assert submission.manifest_sha256 == manifest.sha256_hex(held.content)
        assert list(held.parts.values()) == [b"body", b"attachment"]
        assert [part.role.value for part in held.manifest.parts] == ["BODY", "ATTACHMENT"]
        assert held.manifest.parts[0].media_type == "application/pdf"

    async def test_a_lost_answer_is_asked_for_again_and_nothing_is_sent_twice(
        self, centre: ScriptedCentre
    ) -> None:
        centre.faults.lose_answer_of = {"Submit"}
        async with finance(centre) as client:
            submission = await send(client, os.urandom(3_000_000))
        assert submission.repeated
        assert len(centre.held) == 1

    async def test_what_may_pass_is_tried_again(self, centre: ScriptedCentre) -> None:
        centre.faults.submit = lambda attempt: ShuttingDown() if attempt < 3 else None
        async with finance(centre) as client:
            submission = await send(client)
        assert submission.envelope_id in centre.held

    @pytest.mark.parametrize("size", [10, 20_000_000])
    async def test_an_early_refusal_arrives_as_its_own_type(
        self, centre: ScriptedCentre, size: int
    ) -> None:
        centre.faults.submit = lambda attempt: RecipientsRefused(
            "qd-jiaoyu is closed", **{"qd-jiaoyu": "the unit is closed"}
        )
        async with finance(centre) as client:
            with pytest.raises(RecipientsRefused) as caught:
                await send(client, bytes(size))
        assert caught.value.attributes["qd-jiaoyu"] == "the unit is closed"

    async def test_the_budget_ends_with_the_last_error(self, centre: ScriptedCentre) -> None:
        centre.faults.submit = lambda attempt: ShuttingDown()
        async with finance(centre, NO_RETRY) as client:
            with pytest.raises(ShuttingDown):
                await send(client)

    async def test_a_receipt_over_another_manifest_is_no_receipt(
        self, centre: ScriptedCentre
    ) -> None:
        def forge(statement: envelope_pb2.Statement) -> None:
            content = re.sub(
                rb'"manifest_sha256":"[0-9a-f]{64}"',
                b'"manifest_sha256":"' + b"0" * 64 + b'"',
                statement.receipt.content,
            )
            statement.receipt.content = content

        centre.faults.statement = forge
        async with finance(centre) as client:
            with pytest.raises(VerificationFailed):
                await send(client)

    async def test_an_event_that_the_leaf_does_not_commit_to_is_noticed(
        self, centre: ScriptedCentre
    ) -> None:
        def forge(statement: envelope_pb2.Statement) -> None:
            statement.event_salt = bytes(32)

        centre.faults.statement = forge
        async with finance(centre) as client:
            with pytest.raises(VerificationFailed) as caught:
                await send(client)
        assert caught.value.attributes["step"] == "leaf"

    async def test_a_file_is_streamed_from_disk(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        content = os.urandom(2_500_000)
        path = tmp_path / "big.bin"
        path.write_bytes(content)
        async with finance(centre) as client:
            submission = await client.send(
                title="数据", recipients=["qd-jiaoyu"], files=[path], doc_id=DOC_ID
            )
        held = centre.held[submission.envelope_id]
        assert held.parts == {"part-1": content}
        assert held.manifest.parts[0].filename == "big.bin"

    async def test_a_missing_seal_of_an_issuer_is_named_before_anything_is_sent(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as client:
            with pytest.raises(SignatureMissing) as caught:
                await client.send(
                    title="联合发文",
                    recipients=["qd-jiaoyu"],
                    files=[PartSource(b"x")],
                    doc_id=DOC_ID,
                    issuers=["qd-caizheng", "qd-tongji"],
                )
        assert caught.value.attributes["unit"] == "qd-tongji"
        assert centre.calls == []

    async def test_a_joint_issue_carries_both_seals_in_the_order_of_the_issuers(
        self, centre: ScriptedCentre
    ) -> None:
        other = centre.leaf(unit_seal_id("qd-tongji"), centre.pki.seal_ca).signer
        async with finance(centre) as client, education(centre) as recipient:
            submission = await client.send(
                title="联合发文",
                recipients=["qd-jiaoyu"],
                files=[PartSource(b"x")],
                doc_id=DOC_ID,
                issuers=["qd-caizheng", "qd-tongji"],
                signers=[other],
            )
            envelope = await (await recipient.delivery(submission.envelope_id)).fetch()
        assert [seal.unit for seal in envelope.sealed_by] == ["qd-caizheng", "qd-tongji"]

    async def test_a_doc_id_is_made_from_the_issuers_code(self, centre: ScriptedCentre) -> None:
        async with finance(centre) as client:
            made = [await client.new_doc_id() for _ in range(20)]
        assert len(set(made)) == 20
        assert all(doc_id.startswith("005117558-") for doc_id in made)
        assert centre.calls == ["GetUnit"]

    async def test_a_manifest_sealed_elsewhere_can_be_submitted_and_repeated(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as client:
            first = await send(client, b"body")
            held = centre.held[first.envelope_id]
            again = await client.send_manifest(held.content, held.signatures, [PartSource(b"body")])
            with pytest.raises(InvalidRequest):
                await client.send_manifest(held.content, held.signatures, [PartSource(b"bodY")])
        assert again.repeated
        assert again.accepted.signed_receipt == first.accepted.signed_receipt

    async def test_after_a_repetition_with_a_new_seal_the_first_signatures_stay(
        self, centre: ScriptedCentre
    ) -> None:
        async with finance(centre) as client:
            first = await send(client, b"body")
            held = centre.held[first.envelope_id]
            again = await client.send_manifest(held.content, [b"another"], [PartSource(b"body")])
            assert again.accepted.signed_receipt == first.accepted.signed_receipt
            assert "GetEnvelope" in centre.calls


class TestReceiving:
    async def test_download_confirms_only_what_is_on_disk(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        big = os.urandom(2_000_000)
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body", big)
            document = await delivery.download(tmp_path)
            assert delivery.state is State.DELIVERED
        assert document.body.read_bytes() == b"body"
        assert document.parts[1].path.read_bytes() == big
        assert document.parts[1].path.name == "通知 (2).pdf"
        assert document.delivered is not None
        found = {str(path.relative_to(document.directory)) for path in tmp_path.rglob("*")}
        assert found >= {
            "manifest.json",
            "manifest.json.p7s",
            "parts/通知.pdf",
            "receipts/000-ACCEPTED.json",
            "receipts/000-ACCEPTED.json.p7s",
            "receipts/001-DELIVERED.json",
            "receipts/001-DELIVERED.json.p7s",
            "certs/root.pem",
            "certs/chain.pem",
            "certs/crls.pem",
        }
        held = centre.held[delivery.envelope_id]
        assert (document.directory / "manifest.json").read_bytes() == held.content

    async def test_a_repeated_download_finds_everything_there(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"same", b"same")
            first = await delivery.download(tmp_path)
            files = {path: path.stat().st_ino for path in tmp_path.rglob("*")}
            centre.offsets.clear()
            again = await (await client.delivery(delivery.envelope_id)).download(tmp_path)
        assert [part.path for part in again.parts] == [part.path for part in first.parts]
        assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == files
        assert centre.offsets == []

    async def test_a_damaged_file_is_left_and_fetched_again_beside_it(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            first = await delivery.download(tmp_path)
            first.body.write_bytes(b"bodY")
            again = await delivery.download(tmp_path)
        assert first.body.read_bytes() == b"bodY"
        assert again.body.read_bytes() == b"body"

    async def test_broken_downloads_go_on_where_they_broke(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        content = os.urandom(1_500_000)
        centre.faults.break_downloads_after = [300_000, 0, 700_000]
        async with education(centre) as client:
            delivery = await delivered(centre, client, content)
            document = await delivery.download(tmp_path)
        assert document.body.read_bytes() == content
        assert len(centre.offsets) == 4
        assert centre.offsets == sorted(centre.offsets)
        assert centre.offsets[-1] > 900_000

    @pytest.mark.parametrize("size", [1_000, 2_000_000])
    async def test_other_bytes_get_no_name_and_are_not_confirmed(
        self, centre: ScriptedCentre, tmp_path: Path, size: int
    ) -> None:
        centre.faults.part = lambda content: b"X" + content[1:]
        async with education(centre) as client:
            delivery = await delivered(centre, client, bytes(size))
            with pytest.raises(VerificationFailed) as caught:
                await delivery.download(tmp_path)
            assert caught.value.attributes["code"] == "PART_DIGEST_MISMATCH"
            assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
            assert "ConfirmDelivery" not in centre.calls
            statement = await delivery.refuse("DIGEST_MISMATCH")
        assert statement.state_after is State.REFUSED

    async def test_enclosed_parts_are_not_downloaded(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        centre.faults.encloses = True
        async with education(centre) as client:
            read = await (await delivered(centre, client, b"body", b"")).read()
            document = await (await delivered(centre, client, b"other")).download(tmp_path)
        assert read.parts == {"part-1": b"body", "part-2": b""}
        assert [part.path.read_bytes() for part in document.parts] == [b"other"]
        assert centre.offsets == []

    @pytest.mark.parametrize("lie", [b"boby", b"", b"body and more"])
    async def test_enclosed_parts_are_verified(
        self, centre: ScriptedCentre, tmp_path: Path, lie: bytes
    ) -> None:
        centre.faults.encloses = True
        centre.faults.part = lambda content: lie
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            with pytest.raises(VerificationFailed) as caught:
                await delivery.download(tmp_path)
        assert caught.value.attributes["code"].startswith("PART_")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert "ConfirmDelivery" not in centre.calls

    async def test_too_many_bytes_are_noticed(self, centre: ScriptedCentre) -> None:
        centre.faults.part = lambda content: content + b"!"
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            with pytest.raises(VerificationFailed) as caught:
                await delivery.read()
        assert caught.value.attributes["code"] == "PART_SIZE_MISMATCH"

    async def test_read_gives_verified_bytes_and_confirms(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            contents = await (await delivered(centre, client, b"body", b"")).read()
        assert contents.body == b"body"
        assert contents.parts == {"part-1": b"body", "part-2": b""}
        assert contents.delivered is not None
        assert MAX_READ_BYTES == 64 * 1024 * 1024

    @pytest.mark.parametrize(
        "forge",
        [
            lambda e: e.__setattr__("manifest", e.manifest.replace(b"NORMAL", b"URGENT")),
            lambda e: e.signatures.pop(),
            lambda e: e.signatures.append(e.signatures[0]),
            lambda e: e.revocation_lists.pop(),
            lambda e: e.revocation_lists.pop(0),
            lambda e: e.accepted.receipt.__setattr__("signature", e.signatures[0]),
            lambda e: e.chain.pop(0),
            lambda e: e.chain.__setitem__(0, b"\x30\x00"),
            lambda e: e.__setattr__("manifest", b"{}"),
            lambda e: e.accepted.receipt.__setattr__("content", b"{}"),
        ],
    )
    async def test_a_forged_envelope_is_never_handed_out_but_can_be_refused(
        self, centre: ScriptedCentre, forge: object
    ) -> None:
        assert callable(forge)
        centre.faults.envelope = forge
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            for attempt in (delivery.fetch, delivery.read, delivery.sign_for):
                with pytest.raises(VerificationFailed):
                    await attempt()
            assert centre.offsets == []
            statement = await delivery.refuse("bad_signature", "does not verify")
        assert statement.receipt.reason_code == "BAD_SIGNATURE"
        assert delivery.state is State.REFUSED

    async def test_an_envelope_for_another_unit_is_not_taken(self, centre: ScriptedCentre) -> None:
        async with AsyncClient(centre.profile("qd-tongji"), QUICK) as client:
            delivery = await delivered(centre, client, b"body")
            with pytest.raises(VerificationFailed):
                await delivery.fetch()

    async def test_the_root_comes_from_the_profile_alone(self, centre: ScriptedCentre) -> None:
        other = Pki()
        profile = centre.profile("qd-jiaoyu", trust=other.trust, root_fingerprint="0" * 64)
        async with AsyncClient(profile, QUICK) as client:
            delivery = await delivered(centre, client, b"body")
            with pytest.raises(VerificationFailed):
                await delivery.fetch()


class TestAcknowledging:
    async def test_signing_for_hands_in_the_same_bytes_after_a_lost_answer(
        self, centre: ScriptedCentre, tmp_path: Path
    ) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            document = await delivery.download(tmp_path)
            centre.faults.lose_answer_of = {"RecordReceipt"}
            statement = await delivery.sign_for()
            again = await delivery.sign_for()
        assert delivery.state is State.SIGNED_FOR
        assert statement.signed_receipt == again.signed_receipt
        assert len(centre.held[delivery.envelope_id].statements) == 2
        for kind in ("receipts", "admissions"):
            assert (document.directory / kind / "002-SIGNED_FOR.json.p7s").is_file()

    async def test_what_was_not_downloaded_cant_be_signed_for(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            with pytest.raises(StateConflict):
                await delivery.sign_for()

    async def test_another_receipt_in_the_answer_is_noticed(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            delivery = await delivered(centre, client, b"body")
            await delivery.read()
            centre.faults.statement = lambda s: s.receipt.__setattr__("content", b"{}")
            with pytest.raises(VerificationFailed):
                await delivery.sign_for()

    async def test_without_a_seal_nothing_is_signed(self, centre: ScriptedCentre) -> None:
        async with AsyncClient(centre.profile("qd-jiaoyu", seal=None), QUICK) as client:
            delivery = await delivered(centre, client, b"body")
            await delivery.read()
            with pytest.raises(ConfigurationError):
                await delivery.sign_for()

    async def test_confirm_seen_says_as_whom(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client, finance(centre) as sender:
            delivery = await delivered(centre, client, b"body")
            await delivery.confirm_seen()
            await sender.confirm_seen(delivery.envelope_id, "qd-jiaoyu", 3)
        assert centre.calls[-2:] == ["ConfirmSeen qd-jiaoyu 0 1", "ConfirmSeen qd-jiaoyu 3 2"]

    async def test_tracking_verifies_the_whole_history(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client, finance(centre) as sender:
            delivery = await delivered(centre, client, b"body")
            await delivery.read()
            await delivery.sign_for()
            tracking = await sender.track(delivery.envelope_id)
            history = [each.type.value for each in tracking.deliveries[0].statements]
            assert history == ["DELIVERED", "SIGNED_FOR"]
            centre.held[delivery.envelope_id].statements.pop(0)
            with pytest.raises(VerificationFailed) as caught:
                await sender.track(delivery.envelope_id)
        assert caught.value.attributes["step"] == "history"


class TestWatching:
    def scripted(self, centre: ScriptedCentre, *streams: list[tuple[str, int] | None]) -> None:
        """Queue streams: each (envelope_id, seq), None for the mark that it caught up."""
        for stream in streams:
            centre.watches.put(
                [
                    exchange_pb2.WatchDeliveriesResponse(caught_up=exchange_pb2.CaughtUp())
                    if each is None
                    else exchange_pb2.WatchDeliveriesResponse(
                        delivery=envelope_pb2.Delivery(
                            envelope_id=each[0],
                            recipient="qd-jiaoyu",
                            seq=each[1],
                            state=envelope_pb2.DELIVERY_STATE_PENDING,
                        )
                    )
                    for each in stream
                ]
            )

    async def test_nothing_is_shown_twice_across_broken_streams(
        self, centre: ScriptedCentre
    ) -> None:
        self.scripted(
            centre,
            [("a", 0), ("b", 0), None, ("c", 0)],
            [("a", 0), ("c", 0), ("b", 1)],
            [("b", 1), ("a", 0), None, ("a", 2)],
        )
        shown: list[tuple[str, int]] = []
        async with education(centre) as client:
            watch = client.watch()
            for _ in range(5):
                delivery = await anext(watch)
                shown.append((delivery.envelope_id, delivery.seq))
            with pytest.raises(Unauthenticated):  # the script's end
                await anext(watch)
        assert shown == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("a", 2)]

    async def test_a_watch_can_end_when_it_has_caught_up(self, centre: ScriptedCentre) -> None:
        self.scripted(centre, [("a", 0)], [("a", 0), ("b", 0), None])
        async with education(centre) as client:
            shown = [each.envelope_id async for each in client.watch(follow=False)]
        assert shown == ["a", "b"]

    async def test_a_watch_left_early_ends_its_call(self, centre: ScriptedCentre) -> None:
        self.scripted(centre, [("a", 0), ("b", 0)])
        async with education(centre) as client, aclosing(client.watch()) as deliveries:
            async for delivery in deliveries:
                assert delivery.envelope_id == "a"
                break

    async def test_lists_turn_their_pages(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            made = [(await delivered(centre, client, b"x")).envelope_id for _ in range(5)]
            assert [each.envelope_id async for each in client.inbox()] == made
            assert [each async for each in client.inbox(["signed_for"])] == []


class TestConnecting:
    async def test_a_client_must_be_open(self, centre: ScriptedCentre) -> None:
        client = finance(centre)
        with pytest.raises(ConfigurationError):
            await client.units()
        async with client:
            with pytest.raises(ConfigurationError):
                await client.__aenter__()
            assert len(await client.units()) == 2

    async def test_an_unknown_envelope_is_not_found(self, centre: ScriptedCentre) -> None:
        async with education(centre) as client:
            with pytest.raises(NotFound):
                await client.delivery("0121a0c4-5f80-7abc-8def-0123456789ab")

    async def test_an_error_without_details_is_mapped_by_its_status(
        self, centre: ScriptedCentre
    ) -> None:
        async with education(centre) as client:
            with pytest.raises(NotPermitted):
                [each async for each in client.submissions()]

    async def test_a_server_of_another_authority_is_named_as_such(
        self, centre: ScriptedCentre
    ) -> None:
        profile = centre.profile("qd-jiaoyu", tls_ca=Pki().tls_ca.pem)
        async with AsyncClient(profile, NO_RETRY) as client:
            with pytest.raises(ConfigurationError, match="tls_ca"):
                await client.units()

    async def test_a_server_of_another_name_is_named_as_such(self, centre: ScriptedCentre) -> None:
        profile = centre.profile("qd-jiaoyu", server_name="other.example")
        async with AsyncClient(profile, QUICK) as client:
            with pytest.raises(ConfigurationError, match="server_name"):
                await client.units()

    async def test_a_certificate_that_is_not_accepted_is_hinted_at(
        self, centre: ScriptedCentre
    ) -> None:
        system = make_leaf(
            "spiffe://exchange.example/unit/qd-jiaoyu/system/oa",
            issuer=Pki().tls_ca,
            purposes=CLIENT,
        )
        profile = centre.profile("qd-jiaoyu", system_chain=system.pem, system_key=system.key_pem)
        async with AsyncClient(profile, NO_RETRY) as client:
            with pytest.raises(Unavailable, match="system certificate"):
                await client.units()

    async def test_a_server_that_is_not_there_is_unavailable(self, centre: ScriptedCentre) -> None:
        profile = centre.profile("qd-jiaoyu", address="127.0.0.1:1")
        async with AsyncClient(profile, NO_RETRY) as client:
            with pytest.raises(Unavailable):
                await client.units()

    async def test_an_expired_system_certificate_is_named_before_any_call(
        self, centre: ScriptedCentre
    ) -> None:
        system = make_leaf(
            "spiffe://exchange.example/unit/qd-jiaoyu/system/oa",
            issuer=centre.pki.tls_ca,
            not_after=centre.system("x1").certificate.not_valid_before_utc,
        )
        client = AsyncClient(
            centre.profile("qd-jiaoyu", system_certificate=system.certificate), QUICK
        )
        with pytest.raises(CertificateExpired):
            await client.__aenter__()
