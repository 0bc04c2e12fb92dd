"""The names of a bundle's files, and its index: what is a path, and what is refused."""

from __future__ import annotations

import hashlib

import pytest
from msgspec import structs

from document_exchange import evidence
from document_exchange.errors import EvidenceRefused, ExchangeError, NotCanonical
from document_exchange.evidence import Content, Index, StatementName
from document_exchange.manifest import Part, PartRole
from document_exchange.receipt import SIGNED_BY_CENTRE, ReceiptType
from tests.statements_for_tests import ENVELOPE_ID

DIGEST = "a" * 64
INDEX = Index(
    schema=evidence.SCHEMA,
    envelope_id=ENVELOPE_ID,
    manifest_sha256=DIGEST,
    content=Content.PARTS,
    recipients=("qd-caizheng", "qd-jiaoyu"),
    made_at="2026-11-20T09:30:00.000Z",
    by="spiffe://exchange.example/centre/seal/main",
    files={"manifest.json": DIGEST, "deliveries/qd-caizheng/0001-DELIVERED.json": "b" * 64},
)


@pytest.mark.parametrize(
    "path",
    [
        "VERIFY.md",
        "index.json.p7s",
        "manifest.json",
        "signatures/01.p7s",
        "signatures/32.p7s",
        "accepted.event.json",
        "parts/001.pdf",
        "parts/064",
        "deliveries/--/0001-DELIVERED.json",
        "deliveries/qd-caizheng/9999-WITHDRAWAL_GRANTED.admission.p7s",
        "certificates/seal-ca-2.der",
        "certificates/tsa-1.der",
        "crls/root-0.der",
        "crls/seal-ca-17.der",
        "crls/seal-ca-2-17.der",
        "timestamps/00000001.tsr",
        "log/1/checkpoint",
        "log/2/tile/0/x001/067.p",
    ],
)
def test_a_file_of_a_bundle(path: str) -> None:
    assert evidence.is_known(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/manifest.json",
        "../manifest.json",
        "./manifest.json",
        "manifest.json/",
        "manifest.json\n",
        "manifest.json\x00",
        "Manifest.json",
        "accepted.admission.json",
        "signatures/00.p7s",
        "signatures/1.p7s",
        "signatures/100.p7s",
        "parts/1.pdf",
        "parts/001.PDF",
        "parts/001.",
        "parts/001.tar.gz",
        "parts/001.abcdefghi",
        "parts/００１.pdf",
        "deliveries/qd-caizheng/1-DELIVERED.json",
        "deliveries/qd-caizheng/0000-ACCEPTED.json",
        "deliveries/qd-caizheng/0001-DELIVERED",
        "deliveries/QD/0001-DELIVERED.json",
        "deliveries/../0001-DELIVERED.json",
        "certificates/root-2.der",
        "certificates/seal-ca-1.der",
        "certificates/tls-ca.der",
        "crls/root-01.der",
        "crls/tls-ca-1.der",
        "timestamps/1.txt",
        "log/0/x",
        "log/1",
        "log/1/..",
        "log/1/.hidden",
        "log/1/a//b",
        "verify.sh.bak",
        ".DS_Store",
    ],
)
def test_no_file_of_a_bundle(path: str) -> None:
    assert not evidence.is_known(path)


def test_every_statement_has_a_path_of_its_own_that_reads_back() -> None:
    for kind in ReceiptType:
        name = StatementName("qd-caizheng", 12, kind)
        for suffix in (*evidence.STATEMENT_SUFFIXES, *evidence.ADMISSION_SUFFIXES):
            found = evidence.statement_of(name.stem + suffix)
            own = kind in SIGNED_BY_CENTRE and suffix in evidence.ADMISSION_SUFFIXES
            none = own or kind is ReceiptType.ACCEPTED
            assert found == (None if none else (name, suffix))
    assert evidence.statement_of("accepted.json") is None


@pytest.mark.parametrize(
    ("filename", "path"),
    [
        ("通知.pdf", "parts/007.pdf"),
        ("A.B.OFD", "parts/007.ofd"),
        (".xlsx", "parts/007.xlsx"),
        ("no extension", "parts/007"),
        ("dot.", "parts/007"),
        ("too.extraordinary", "parts/007"),
        ("evil.../../x", "parts/007"),
        ("a.b/c", "parts/007"),
        ("new\n.pdf\n", "parts/007"),
        ("全角.ｐｄｆ", "parts/007"),
        ("kelvin.\u212a", "parts/007"),  # lower() makes it a plain k
    ],
)
def test_a_part_has_the_extension_of_its_file_name_if_that_is_plain(
    filename: str, path: str
) -> None:
    part = Part(
        part_id="p",
        role=PartRole.BODY,
        filename=filename,
        media_type="application/pdf",
        size=1,
        sha256=DIGEST,
    )
    assert evidence.part_path(7, part) == path
    assert evidence.is_part(path)


def test_an_index_reads_back() -> None:
    assert evidence.decode(evidence.encode(INDEX)) == INDEX


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"recipients": ("qd-jiaoyu", "qd-caizheng")}, "recipients"),
        ({"recipients": ("qd-jiaoyu", "qd-jiaoyu")}, "recipients"),
        ({"recipients": ()}, "recipients"),
        ({"files": {}}, "files"),
        ({"files": {"index.json": DIGEST}}, "files"),
        ({"files": {"../manifest.json": DIGEST}}, "files.../manifest.json"),
        ({"files": {"manifest.json": DIGEST.upper()}}, "files.manifest.json"),
        ({"made_at": "2026-02-30T00:00:00.000Z"}, "made_at"),
        ({"by": "spiffe://exchange.example/unit/qd-caizheng/seal/main"}, "by"),
        ({"by": "spiffe://nobody"}, "by"),
        ({"envelope_id": "ffffffff-ffff-7fff-bfff-ffffffffffff"}, "envelope_id"),
        ({"schema": "document-exchange/evidence/2"}, "schema"),
    ],
)
def test_a_wrong_index_is_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(EvidenceRefused) as refused:
        evidence.decode(evidence.encode(structs.replace(INDEX, **changes)))
    assert refused.value.attributes["field"] == field


def test_an_index_has_one_spelling() -> None:
    data = evidence.encode(INDEX)
    for other in (data + b"\n", data.replace(b":", b": ", 1), data.replace(b"{", b'{"a":1,', 1)):
        with pytest.raises((NotCanonical, EvidenceRefused)):
            evidence.decode(other)


def test_the_largest_index_is_read_and_a_larger_one_refused() -> None:
    units = tuple(sorted(f"unit-{number:035d}" for number in range(500)))
    stems = [
        StatementName(units[number % 500], number // 500 + 1, ReceiptType.WITHDRAWAL_REQUESTED).stem
        for number in range(evidence.MAX_FILES + 1)
    ]
    files = {f"{stem}.admission.json": DIGEST for stem in stems[:-1]}
    largest = structs.replace(INDEX, recipients=units, files=files)
    assert len(evidence.decode(evidence.encode(largest)).files) == evidence.MAX_FILES
    more = structs.replace(largest, files=files | {f"{stems[-1]}.json": DIGEST})
    with pytest.raises(ExchangeError):
        evidence.decode(evidence.encode(more))


def test_the_sums_are_what_sha256sum_reads() -> None:
    one, other = (hashlib.sha256(each).hexdigest() for each in (b"1", b"2"))
    expected = f"{one}  index.json\n{other}  index.json.p7s\n"
    assert evidence.index_sums(one, other) == expected.encode()
