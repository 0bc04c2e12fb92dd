"""Evidence from the real centre: what it proves, to whom it is given, and that it stands alone."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import secrets
import socket
import subprocess
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from cryptography import x509
from exchange_client import AsyncClient, PartSource, verify_evidence
from exchange_client.testing import LocalCentre

from document_exchange import (
    evidence,
    identity,
    signature,
    times,
    timestamp,
    timestamp_answer,
)
from document_exchange.codes import organisation_check_character
from document_exchange.errors import NotFound, Unavailable, VerificationFailed
from document_exchange.evidence import Content, Index, Step
from document_exchange.evidence_report import Verdict
from document_exchange.receipt import ReceiptType
from document_exchange.signature import KeySigner
from exchange_server import unit_import
from exchange_server.evidence_plan import STATEMENTS_AT_ONCE
from exchange_server.registry_file import RegistryFile
from tests.evidence_calls import collected, stamped
from tests.life_for_tests import Parties
from tests.real_centre import CentreInside, admitted, now
from tests.shell_for_tests import Shell

SENDER, FIRST, SECOND, STRANGER = "qd-caizheng", "qd-jiaoyu", "qd-zhengfu", "qd-tongji"
BODY, ATTACHMENT = b"%PDF-1.7 " + bytes(300_000), b"PK\3\4 table"


@pytest.fixture
async def finance(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(SENDER) as client:
        yield client


@pytest.fixture
async def education(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(FIRST) as client:
        yield client


@pytest.fixture
async def office(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(SECOND) as client:
        yield client


@dataclass(frozen=True)
class Told:
    """A document whose whole history has been told, and the root's fingerprint."""

    envelope_id: str
    root: str


@pytest.fixture
async def told(
    inside: CentreInside,
    finance: AsyncClient,
    education: AsyncClient,
    office: AsyncClient,
    tmp_path: Path,
) -> Told:
    """Sent to two: one asks for patience and completes it, the other returns it."""
    sent = await finance.send(
        title="关于编制部门预算的通知",
        recipients=[FIRST, SECOND],
        files=[
            PartSource(BODY, filename="通知.PDF"),
            PartSource(ATTACHMENT, filename="附件 一.xlsx"),
        ],
    )
    own = await finance.sent(sent.envelope_id)
    await own.urge(FIRST, "请尽快签收")
    first = await education.delivery(sent.envelope_id)
    await first.download(tmp_path / "first")
    await first.sign_for()
    await first.progress("正在办理")
    await own.request_withdrawal(FIRST, "文件有误")
    await first.decline_withdrawal("已经办理")
    await first.complete()
    second = await office.delivery(sent.envelope_id)
    await second.download(tmp_path / "second")
    await second.sign_for()
    await second.send_back("NOT_OUR_REMIT")
    await stamped(inside, sent.envelope_id)
    return Told(sent.envelope_id, finance.profile.root_fingerprint)


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def index_of(path: Path) -> Index:
    with zipfile.ZipFile(path) as archive:
        return evidence.decode(archive.read(evidence.INDEX))


async def test_evidence_proves_a_whole_history_of_two_recipients(
    finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    saved = await finance.evidence(told.envelope_id, to=tmp_path / "evidence.zip")
    assert saved.report.ok
    listed = names(saved.path)
    assert listed == sorted(listed)
    assert [name for name in listed if name.startswith("parts/")] == [
        "parts/001.pdf",
        "parts/002.xlsx",
    ]
    for unit, types in (
        (FIRST, "URGED DELIVERED SIGNED_FOR PROGRESS WITHDRAWAL_REQUESTED WITHDRAWAL_DECLINED"),
        (SECOND, "DELIVERED SIGNED_FOR RETURNED"),
    ):
        stems = [f"{n:04d}-{type_}" for n, type_ in enumerate(types.split(), 1)]
        for stem in stems:
            assert f"deliveries/{unit}/{stem}.p7s" in listed
    index = index_of(saved.path)
    assert index.recipients == (FIRST, SECOND)
    assert set(index.files) == set(listed) - evidence.NOT_INDEXED
    with zipfile.ZipFile(saved.path) as archive:
        assert archive.read("parts/001.pdf") == BODY
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}

    found = {
        (each.step, each.subject): each.verdict
        for each in verify_evidence(saved.path, told.root).findings
    }
    assert found[Step.HISTORY, f"deliveries/{FIRST}"] is Verdict.PASSED
    assert found[Step.HISTORY, f"deliveries/{SECOND}"] is Verdict.PASSED
    assert found[Step.ADMISSION, f"deliveries/{FIRST}/0007-COMPLETED"] is Verdict.PASSED


async def test_the_same_evidence_has_the_same_bytes_for_every_party(
    finance: AsyncClient, education: AsyncClient, told: Told, tmp_path: Path
) -> None:
    first = await finance.evidence(told.envelope_id, [FIRST], to=tmp_path / "1.zip")
    again = await finance.evidence(told.envelope_id, [FIRST], to=tmp_path / "2.zip")
    of_recipient = await education.evidence(told.envelope_id, to=tmp_path / "3.zip")
    contents = {each.path.read_bytes() for each in (first, again, of_recipient)}
    assert len(contents) == 1
    assert index_of(first.path).recipients == (FIRST,)
    assert not any(name.startswith(f"deliveries/{SECOND}") for name in names(first.path))


async def test_without_content_the_digests_stay(
    finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    saved = await finance.evidence(told.envelope_id, content=False, to=tmp_path / "evidence.zip")
    assert saved.report.ok
    assert index_of(saved.path).content is Content.DIGESTS
    assert not any(name.startswith("parts/") for name in names(saved.path))


async def test_a_document_that_nobody_has_touched_yet_has_evidence_too(
    finance: AsyncClient, tmp_path: Path
) -> None:
    sent = await finance.send(title="函", recipients=FIRST, files=PartSource(b"", filename="x"))
    saved = await finance.evidence(sent.envelope_id, to=tmp_path / "evidence.zip")
    assert saved.report.ok
    assert "parts/001" in names(saved.path)
    assert not any(name.startswith("deliveries/") for name in names(saved.path))


async def test_only_parties_get_evidence_and_only_about_what_they_may_see(
    local_centre: LocalCentre,
    finance: AsyncClient,
    education: AsyncClient,
    told: Told,
    tmp_path: Path,
) -> None:
    to = tmp_path / "evidence.zip"
    async with local_centre.async_client(STRANGER) as stranger:
        with pytest.raises(NotFound):
            await stranger.evidence(told.envelope_id, to=to)
    with pytest.raises(NotFound):
        await education.evidence(told.envelope_id, [SECOND], to=to)
    with pytest.raises(NotFound):
        await finance.evidence(told.envelope_id, [FIRST, STRANGER], to=to)
    assert list(tmp_path.glob("*.zip")) == []
    assert list(tmp_path.glob(".*")) == []


async def test_the_shell_verifies_it_with_openssl_alone(
    finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    saved = await finance.evidence(told.envelope_id, to=tmp_path / "evidence.zip")
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(saved.path) as archive:
        archive.extractall(folder)

    def shell(root: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "verify.sh", root],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    verdict = shell(told.root)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert verify_evidence(folder, told.root).ok
    assert shell("0" * 64).returncode != 0

    path = folder / "deliveries" / FIRST / "0003-SIGNED_FOR.json"
    path.write_bytes(path.read_bytes().replace(b"SIGNED_FOR", b"SIGNED_F0R"))
    assert shell(told.root).returncode != 0
    report = verify_evidence(folder, told.root)
    assert report.first_failure is not None
    assert report.first_failure.step is Step.FILES


async def test_it_is_verified_without_network_and_without_a_clock(
    finance: AsyncClient, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = await finance.evidence(told.envelope_id, to=tmp_path / "evidence.zip")

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("verification is offline")

    class NoClock(dt.datetime):
        now = refuse
        today = refuse
        utcnow = refuse

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(dt, "datetime", NoClock)
    assert verify_evidence(saved.path, told.root).ok


async def test_what_was_revoked_afterwards_stays_evidence(
    inside: CentreInside, tmp_path: Path, local_centre: LocalCentre
) -> None:
    seal = inside.issue("seal", SENDER, f"e{secrets.token_hex(4)}")
    system = inside.issue("system", SENDER, f"e{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, system)
    async with Parties(inside, _seals={SENDER: seal}) as parties:
        paper = await parties.send([SECOND])
        await parties.say(paper, ReceiptType.URGED, SECOND)
    async with local_centre.async_client(SENDER) as finance:
        before = await finance.evidence(paper.envelope_id, to=tmp_path / "before.zip")

        # Within the second of the acceptance, it may be; the list begins with the next one.
        await inside.revoke(seal)
        inside.authority().issue_crls()
        second = now().replace(microsecond=0)
        while now().replace(microsecond=0) == second:
            await inside.admits(system)
        await inside.revoke(system)
        async with asyncio.timeout(10):
            while await inside.admits(system):  # then the seal is known to be revoked, too
                pass
        async with Parties(inside) as parties:
            await parties.say(paper, ReceiptType.DELIVERED, SECOND)
        after = await finance.evidence(paper.envelope_id, to=tmp_path / "after.zip")
        root = finance.profile.root_fingerprint

    assert verify_evidence(before.path, root).ok
    report = verify_evidence(after.path, root)
    assert report.ok
    whose = str(identity.of_certificate(seal.certificate))
    by_seal = {each.step for each in report.findings if whose in each.detail}
    assert by_seal == {Step.SEALS, Step.RECEIPT}
    with zipfile.ZipFile(after.path) as archive:
        lists = [
            x509.load_der_x509_crl(archive.read(name))
            for name in archive.namelist()
            if name.startswith("crls/seal-ca-")
        ]
    serial = seal.certificate.serial_number
    revoked = [each.get_revoked_certificate_by_serial_number(serial) for each in lists]
    assert any(revoked)
    assert not all(revoked)


async def test_what_the_centre_sends_is_verified_before_it_gets_a_name(
    finance: AsyncClient, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "evidence.zip"
    to.write_bytes(b"older")
    another = property(lambda _: "0" * 64)
    monkeypatch.setattr(type(finance.session.profile), "root_fingerprint", another)
    with pytest.raises(VerificationFailed) as refused:
        await finance.evidence(told.envelope_id, to=to)
    assert refused.value.attributes["step"] == "root"
    assert to.read_bytes() == b"older"
    assert not list(tmp_path.glob(".incoming-*"))


async def test_files_come_in_order_in_messages_of_bounded_size(
    inside: CentreInside, told: Told
) -> None:
    files = await collected(inside, envelope_id=told.envelope_id)
    assert list(files) == sorted(files)
    index = evidence.decode(files[evidence.INDEX])
    made = signature.verify(files[evidence.INDEX], files[evidence.INDEX_SIGNATURE])
    assert str(identity.of_certificate(made)) == index.by
    for path, digest in index.files.items():
        if not evidence.is_part(path):
            assert hashlib.sha256(files[path]).hexdigest() == digest


async def test_each_new_index_is_an_event_and_no_index_is_sealed_twice(
    inside: CentreInside, finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    for name in ("1.zip", "2.zip"):
        await finance.evidence(told.envelope_id, to=tmp_path / name)
    await finance.evidence(told.envelope_id, content=False, to=tmp_path / "3.zip")
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select actor from exchange.events where type = 'EVIDENCE_SEALED' "
            "and envelope_id = $1::uuid",
            told.envelope_id,
        )
    assert len(rows) == 2
    assert all(row["actor"].endswith(f"/unit/{SENDER}/system/oa") for row in rows)


async def test_a_centre_that_cannot_sign_gives_what_it_has_sealed_before_and_says_so_otherwise(
    local_centre: LocalCentre,
    inside: CentreInside,
    told: Told,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seal = inside.issue("centre-seal", None, f"s{secrets.token_hex(4)}")
    await inside.publish()
    (tmp_path / "seal.pem").write_bytes(seal.pem)
    (tmp_path / "seal.key").write_bytes(seal.key_pem)
    (tmp_path / "seal.key").chmod(0o600)
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__CERTIFICATE", str(tmp_path / "seal.pem"))
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__KEY", str(tmp_path / "seal.key"))
    other = CentreInside(local_centre)
    async with inside.second_server(tmp_path / "log"):
        before = await collected(inside, envelope_id=told.envelope_id)
        index = evidence.decode(before[evidence.INDEX])
        assert index.by == str(identity.of_certificate(seal.certificate))
        await inside.revoke(seal)
        async with asyncio.timeout(20):
            refusal = ""
            while "its seal has been revoked" not in refusal:
                with pytest.raises(Unavailable) as refused:
                    await collected(inside, envelope_id=told.envelope_id, recipients=[FIRST])
                refusal = refused.value.message
        # What it sealed is as good as ever, and another process with a good seal gives the same.
        assert await collected(inside, envelope_id=told.envelope_id) == before
        assert await collected(other, envelope_id=told.envelope_id) == before


async def test_a_bundle_about_many_recipients_is_collected_page_by_page(
    inside: CentreInside, local_centre: LocalCentre, tmp_path: Path
) -> None:
    units = [f"unit-{number:03d}" for number in range(STATEMENTS_AT_ONCE // 2)]
    units += [f"{unit}-a" for unit in units]  # "unit-000-a/" sorts before "unit-000/"
    registered = msgspec.convert(
        {
            "unit": [
                {
                    "unit_id": unit,
                    "name_zh": unit,
                    "name_en": unit,
                    "short_zh": unit,
                    "kind": "DEPARTMENT",
                    "organisation_code": organisation_code(number),
                }
                for number, unit in enumerate(units)
            ]
        },
        RegistryFile,
    )
    await unit_import.import_file(inside.description["ledger"]["dsn_owner"], registered)
    async with local_centre.async_client(SENDER) as finance:
        async with asyncio.timeout(20):
            while len(await finance.units()) < len(units):
                pass
        sent = await finance.send(
            title="通知", recipients=units, files=PartSource(b"x", filename="x.txt")
        )
        own = await finance.sent(sent.envelope_id)
        for _ in range(2):
            for start in range(0, len(units), 20):
                await asyncio.gather(*map(own.urge, units[start : start + 20]))
        saved = await finance.evidence(sent.envelope_id, to=tmp_path / "evidence.zip")
    assert saved.report.ok
    listed = names(saved.path)
    assert listed == sorted(listed)
    assert len([name for name in listed if name.endswith("-URGED.admission.p7s")]) == 2 * len(units)


def organisation_code(number: int) -> str:
    """One that no other unit of these tests has, with its check character."""
    first8 = f"8{number:07d}"
    return first8 + organisation_check_character(first8)


async def test_the_time_stamps_that_have_come_are_part_of_it(
    inside: CentreInside, finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    """By the exchange's own service, over signatures of this envelope and of another."""
    before = await finance.evidence(told.envelope_id, to=tmp_path / "before.zip")
    with zipfile.ZipFile(before.path) as archive:
        accepted = archive.read("accepted.p7s")
        admission = archive.read(f"deliveries/{FIRST}/0003-SIGNED_FOR.admission.p7s")
    digests = [hashlib.sha256(each).hexdigest() for each in (accepted, admission, b"another")]
    lines = "".join(f"{digest}\n" for digest in sorted(digests)).encode()
    at = now().replace(microsecond=0)
    query = timestamp.query(hashlib.sha256(lines).digest(), nonce=1 << 64)
    tsa = inside.issue("tsa", None, f"t{secrets.token_hex(4)}").signer
    policy = x509.ObjectIdentifier("1.2.3.4.1")
    token = timestamp_answer.respond(query, tsa, at=at, serial=1 << 64, policy=policy).der
    async with inside.ledger() as ledger:
        await ledger.execute(
            "delete from exchange.stamps where envelope_id = $1::uuid", told.envelope_id
        )
        batch = await ledger.fetchval(
            "insert into exchange.stamp_batches (lines, made_at, oldest_at, response, stamped_at) "
            "values ($1, $2, $2, $3, $2) returning batch",
            lines, at, token,
        )  # fmt: skip
        await ledger.executemany(
            "insert into exchange.stamps values ($1::uuid, $2, $3, $4)",
            [(told.envelope_id, "", 0, batch), (told.envelope_id, FIRST, 3, batch)],
        )
    after = await finance.evidence(told.envelope_id, to=tmp_path / "after.zip")
    assert {f"timestamps/{batch:08d}.tsr", f"timestamps/{batch:08d}.txt"} <= set(names(after.path))
    dated = [
        each.detail
        for each in after.report.findings
        if each.step is Step.TIMESTAMP and each.verdict is Verdict.PASSED
    ]
    assert dated == [f"2 signatures existed at {times.format_time(at)}, says {tsa_of(tsa)}"]
    notes = [f.subject for f in after.report.findings if f.verdict is Verdict.NOTE]
    assert f"deliveries/{FIRST}/0007-COMPLETED.admission.p7s" in notes
    assert "accepted.p7s" not in notes


async def test_no_index_is_older_than_what_another_servers_clock_recorded(
    inside: CentreInside, finance: AsyncClient, told: Told, tmp_path: Path
) -> None:
    ahead = now() + dt.timedelta(minutes=1)
    async with inside.ledger() as ledger, ledger.transaction():
        # The bytes stay as they are: only what the centre goes by is a minute ahead.
        for change in (
            "update exchange.events v set at = $2 from exchange.statements s "
            "where s.envelope_id = $1::uuid and s.recipient = $3 and s.seq = 7 "
            "and v.event_no = s.event_no and v.at = s.recorded_at",
            "update exchange.statements set recorded_at = $2 "
            "where envelope_id = $1::uuid and recipient = $3 and seq = 7",
        ):
            assert await ledger.execute(change, told.envelope_id, ahead, FIRST) == "UPDATE 1"
    saved = await finance.evidence(told.envelope_id, to=tmp_path / "saved.zip")
    assert saved.report.index is not None
    assert saved.report.index.made_at == times.format_time(ahead)


def tsa_of(signer: KeySigner) -> str:
    return str(identity.of_certificate(signer.certificate))


async def test_the_command_line_saves_and_verifies(
    local_centre: LocalCentre, told: Told, tmp_path: Path
) -> None:
    shell = Shell(local_centre.config_dir, tmp_path)
    arguments = ("evidence", told.envelope_id, "--recipient", FIRST, "-o", "e.zip")
    (saved,) = await asyncio.to_thread(shell.rows, "--profile", SENDER, *arguments)
    assert (saved["recipients"], saved["content"]) == ([FIRST], "PARTS")
    elsewhere = Shell(tmp_path / "no-profiles", tmp_path)
    verify = ("verify", "e.zip", "--root-fingerprint")
    *steps, verdict = await asyncio.to_thread(elsewhere.rows, *verify, told.root)
    assert verdict["ok"]
    assert {each["step"] for each in steps} >= {"root", "seals", "admission", "history"}
    assert all(each["ok"] for each in steps)
    assert list(verdict["states"]) == [FIRST]
    assert (verdict["recipients"], verdict["without_content"]) == (1, False)
    assert verdict["of_recipients"] > verdict["recipients"]
    assert verdict["notes"] == sum(each["verdict"] == "NOTE" for each in steps)

    said = await asyncio.to_thread(elsewhere.run, "--lang", "zh", *verify, told.root)
    assert "证据成立" in said.stdout
    assert f"个收文单位中的 1 个：{FIRST} " in said.stdout
    assert "含正文附件" in said.stdout
    assert "根证书：与给定指纹一致" in said.stdout
    said = await asyncio.to_thread(elsewhere.run, *verify, "0" * 64, code=6)
    assert "THE EVIDENCE DOES NOT HOLD" in said.stdout
    said = await asyncio.to_thread(elsewhere.run, "verify", "e.zip", code=2)
    assert "never from who brings" in said.stderr
