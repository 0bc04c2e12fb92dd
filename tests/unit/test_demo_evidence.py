"""The bundle that the demonstration leaves: plain openssl verifies it, and nothing forged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from demo import evidence
from document_exchange import codes, manifest, receipt, signature, times
from document_exchange.manifest import (
    Direction,
    Document,
    Genre,
    Manifest,
    Part,
    PartRole,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
    sha256_hex,
)
from document_exchange.receipt import Admission, Receipt, ReceiptType, State
from document_exchange.verification import Signed
from tests.pki_for_tests import CENTRE_SEAL_ID, CLIENT, NOW, Holder, Pki, make_leaf, unit_seal_id

ISSUERS = ("qd-shiweiban", "qd-zhengfuban")
RECIPIENT = "qd-caizheng"
BODY = b"%PDF-1.4 made up\n"
TABLE = "项目,金额\r\n一,2\r\n".encode()
LATER = NOW + timedelta(seconds=20)


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


def a_manifest() -> Manifest:
    parts = [
        Part(
            part_id=f"p{place}",
            role=role,
            filename=name,
            media_type=media_type,
            size=len(content),
            sha256=sha256_hex(content),
        )
        for place, (role, name, media_type, content) in enumerate(
            (
                (PartRole.BODY, "正文.pdf", "application/pdf", BODY),
                (PartRole.ATTACHMENT, "附件 1.csv", "text/csv", TABLE),
            )
        )
    ]
    return Manifest(
        schema=manifest.SCHEMA,
        envelope_id=codes.new_id(NOW),
        created_at=times.format_time(NOW),
        sender=ISSUERS[0],
        sender_system="oa",
        document=Document(
            doc_id="005117558-2009-7",
            business="DOCUMENT",
            genre=Genre.OPINION,
            direction=Direction.DOWN,
            title="关于推行电子政务的意见 ```sh false ```",
            number="青办发〔2009〕7号",
            issuers=ISSUERS,
            signed_date="2009-06-18",
            secrecy=Secrecy.NONE,
            urgency=Urgency.NORMAL,
        ),
        recipients=(Recipient(unit=RECIPIENT, kind=RecipientKind.TO),),
        parts=tuple(parts),
    )


class Statements:
    """Makes receipts about one envelope, signed as asked."""

    def __init__(self, pki: Pki, content: bytes, signatures: list[bytes]) -> None:
        self.pki = pki
        self.content = content
        self.signatures = signatures
        self.envelope_id = manifest.decode(content).envelope_id

    def signed(self, value: Receipt | Admission, holder: Holder) -> Signed:
        content = receipt.encode(value)
        return Signed(content, signature.sign(content, holder.signer, at=LATER))

    def a_receipt(self, kind: ReceiptType, by: str, seq: int | None) -> Receipt:
        accepted = kind is ReceiptType.ACCEPTED
        named = tuple(sha256_hex(each) for each in self.signatures) if accepted else None
        after = {ReceiptType.ACCEPTED: State.PENDING, ReceiptType.DELIVERED: State.DELIVERED}
        return Receipt(
            schema=receipt.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(NOW),
            type=kind,
            envelope_id=self.envelope_id,
            recipient=None if accepted else RECIPIENT,
            manifest_sha256=sha256_hex(self.content),
            by=by,
            at=times.format_time(LATER),
            signatures_sha256=named,
            seq=seq,
            state_before=State.PENDING if kind is ReceiptType.DELIVERED else None,
            state_after=after.get(kind),
            leaf=None if seq is None else "f" * 64,
        )

    def admission(self, of: Signed) -> Admission:
        return Admission(
            schema=receipt.ADMISSION_SCHEMA,
            receipt_sha256=sha256_hex(of.content),
            receipt_signature_sha256=sha256_hex(of.signature),
            envelope_id=self.envelope_id,
            recipient=RECIPIENT,
            seq=2,
            state_before=State.DELIVERED,
            state_after=State.SIGNED_FOR,
            recorded_at=times.format_time(LATER),
            by=CENTRE_SEAL_ID,
            leaf="f" * 64,
        )


def write_bundle(
    pki: Pki, directory: Path, *, signer: Holder | None = None, revoked: bool = False
) -> Path:
    """A bundle; ``signer`` signs for the recipient instead of its own seal."""
    content = manifest.encode(a_manifest())
    signatures = [signature.sign(content, pki.seal(each).signer, at=NOW) for each in ISSUERS]
    statements = Statements(pki, content, signatures)
    accepted = statements.a_receipt(ReceiptType.ACCEPTED, CENTRE_SEAL_ID, 0)
    delivered = statements.a_receipt(ReceiptType.DELIVERED, CENTRE_SEAL_ID, 1)
    own = statements.a_receipt(ReceiptType.SIGNED_FOR, unit_seal_id(RECIPIENT), None)
    signed_for = statements.signed(own, signer or pki.seal(RECIPIENT))
    admission = statements.signed(statements.admission(signed_for), pki.centre_seal)
    received = directory / "received"
    received.mkdir()
    (received / "正文.pdf").write_bytes(BODY)
    (received / "附件 1.csv").write_bytes(TABLE)
    gone = [(pki.seal(RECIPIENT).certificate, NOW - timedelta(days=1))] if revoked else []
    crls = pki.crls(revoked=gone)
    bundle = evidence.Bundle(
        manifest=manifest.decode(content),
        manifest_bytes=content,
        signatures=signatures,
        sealed_by=[unit_seal_id(each) for each in ISSUERS],
        recipient=RECIPIENT,
        parts=sorted(received.iterdir()),
        steps=[
            ("000-ACCEPTED", statements.signed(accepted, pki.centre_seal), None),
            ("001-DELIVERED", statements.signed(delivered, pki.centre_seal), None),
            ("002-SIGNED_FOR", signed_for, admission),
        ],
        root=pki.root.certificate,
        chain=[pki.seal_ca.certificate],
        revocation_lists=[
            each.public_bytes(Encoding.DER) for each in (crls.root_crl, crls.seal_crl)
        ],
    )
    target = directory / "evidence"
    evidence.write(bundle, target)
    return target


def verify(bundle: Path, *, keep_going: bool = False) -> subprocess.CompletedProcess[str]:
    """Paste every command of VERIFY.md into a shell, as its reader does."""
    text = (bundle / "VERIFY.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    options = ["bash"] if keep_going else ["bash", "-e"]
    return subprocess.run(
        [*options, "-c", commands], cwd=bundle, capture_output=True, text=True, check=False
    )


def test_commands_accept_what_is_genuine(pki: Pki, tmp_path: Path) -> None:
    bundle = write_bundle(pki, tmp_path)
    files = sorted(path.name for path in bundle.rglob("*") if path.is_file())

    result = verify(bundle)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "FALSE" not in result.stdout
    assert result.stdout.splitlines()[-1].startswith("all right: ")
    for name, who in (
        ("manifest.json", unit_seal_id("qd-shiweiban")),
        ("manifest.json", unit_seal_id("qd-zhengfuban")),
        ("receipts/000-ACCEPTED.json", CENTRE_SEAL_ID),
        ("receipts/001-DELIVERED.json", CENTRE_SEAL_ID),
        ("receipts/002-SIGNED_FOR.json", unit_seal_id(RECIPIENT)),
        ("admissions/002-SIGNED_FOR.json", CENTRE_SEAL_ID),
    ):
        assert f"ok   {name}: signed by {who}" in result.stdout
    assert "ok   parts/附件 1.csv" in result.stdout
    assert sorted(path.name for path in bundle.rglob("*") if path.is_file()) == files


def flip(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


Forgery = Callable[[Path], object]


@pytest.mark.parametrize(
    ("forge", "complaint"),
    [
        (lambda at: flip(at / "manifest.json", b"NORMAL", b"URGENT"), "FALSE manifest.json"),
        (lambda at: flip(at / "parts/正文.pdf", b"made", b"fake"), "FALSE parts/正文.pdf"),
        (lambda at: (at / "parts/附件 1.csv").unlink(), "FALSE the number of files"),
        (lambda at: (at / "parts/more.pdf").write_bytes(b"x"), "FALSE parts/more.pdf"),
        (
            lambda at: flip(at / "receipts/002-SIGNED_FOR.json", b"SIGNED_FOR", b"REFUSED"),
            "FALSE receipts/002-SIGNED_FOR.json: not signed",
        ),
        (
            lambda at: (at / "receipts/001-DELIVERED.json.p7s").write_bytes(
                (at / "receipts/000-ACCEPTED.json.p7s").read_bytes()
            ),
            "FALSE receipts/001-DELIVERED.json: not signed",
        ),
        (
            lambda at: (at / "manifest.json.p7s").write_bytes(
                (at / "manifest.json.2.p7s").read_bytes()
            ),
            f"FALSE manifest.json: not signed by {unit_seal_id('qd-shiweiban')}",
        ),
        (
            lambda at: flip(at / "certs/root.pem", b"BEGIN CERT", b"BEGIN CART"),
            "FALSE root certificate",
        ),
    ],
    ids=[
        "manifest",
        "part",
        "missing part",
        "further part",
        "receipt",
        "signature of another receipt",
        "the other issuer's signature",
        "root",
    ],
)
def test_commands_find_what_is_forged(
    pki: Pki, tmp_path: Path, forge: Forgery, complaint: str
) -> None:
    bundle = write_bundle(pki, tmp_path)
    forge(bundle)
    files = sorted(bundle.rglob("*"))

    shown = verify(bundle, keep_going=True).stdout

    assert complaint in shown
    assert "FALSE" in shown
    assert shown.splitlines()[-1].startswith("NOT right: ")
    assert sorted(bundle.rglob("*")) == files


def test_a_check_that_was_left_out_is_noticed(pki: Pki, tmp_path: Path) -> None:
    bundle = write_bundle(pki, tmp_path)
    guide = bundle / "VERIFY.md"
    text = guide.read_text(encoding="utf-8")
    left_out = 'says receipts/000-ACCEPTED.json manifest_sha256 "$(digest manifest.json)"\n'
    assert text.count(left_out) == 1
    guide.write_text(text.replace(left_out, ""), encoding="utf-8")

    shown = verify(bundle, keep_going=True).stdout

    assert "FALSE" not in shown
    assert shown.splitlines()[-1].startswith("NOT right: 0 false, ")


def test_headings_stand_apart(pki: Pki, tmp_path: Path) -> None:
    """Without a blank line before it a heading is part of the paragraph for some readers."""
    text = (write_bundle(pki, tmp_path) / "VERIFY.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(re.findall(r"\n\n## ", text))


def test_commands_find_another_root(pki: Pki, tmp_path: Path) -> None:
    """A bundle that is in order under a root of its own is worth nothing under ours."""
    bundle = write_bundle(Pki(), tmp_path)
    assert verify(bundle).returncode == 0
    (bundle / "certs/root.pem").write_bytes(pki.root.pem)

    result = verify(bundle, keep_going=True)

    assert "FALSE root certificate" in result.stdout
    assert "ok   manifest.json" not in result.stdout


def test_commands_find_another_signer(pki: Pki, tmp_path: Path) -> None:
    """Another unit's seal, and a TLS certificate with the right name, are both no seal of it."""
    (tmp_path / "a").mkdir()
    other_unit = write_bundle(pki, tmp_path / "a", signer=pki.seal("qd-jiaoyu"))
    (tmp_path / "b").mkdir()
    client = make_leaf(unit_seal_id(RECIPIENT), issuer=pki.tls_ca, purposes=CLIENT)
    tls = write_bundle(pki, tmp_path / "b", signer=client)

    for bundle in (other_unit, tls):
        assert verify(bundle).returncode != 0
        shown = verify(bundle, keep_going=True).stdout
        assert "FALSE receipts/002-SIGNED_FOR.json: not signed" in shown
        assert "ok   admissions/002-SIGNED_FOR.json: signed" in shown


def test_commands_find_a_revoked_seal(pki: Pki, tmp_path: Path) -> None:
    bundle = write_bundle(pki, tmp_path, revoked=True)

    result = verify(bundle, keep_going=True)

    assert "FALSE receipts/002-SIGNED_FOR.json: not signed" in result.stdout
    assert "certificate revoked" in result.stdout
