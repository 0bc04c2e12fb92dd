"""Writes one delivery as files that prove it to a third party, with the commands that check them.

Layout of the bundle::

    VERIFY.md                       the commands; openssl, sha256sum, grep and sed suffice
    manifest.json                   what the issuers sealed
    manifest.json.p7s               (manifest.json.2.p7s ... when several units sealed it)
    parts/                          the document's files
    receipts/<seq>-<TYPE>.json      each with its .p7s
    admissions/<seq>-<TYPE>.json    each with its .p7s
    certs/root.pem chain.pem crls.pem
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_client.evidence import Statement
from exchange_client.tracking import Tracking

from demo import verify_guide
from demo.verify_guide import Guide, Step
from document_exchange import identity
from document_exchange.certificates import fingerprint
from document_exchange.manifest import Manifest
from document_exchange.receipt import decode_admission, decode_receipt
from document_exchange.verification import Signed


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that proves one delivery, as bytes and paths.

    ``steps`` are the receipts by their number, ACCEPTED first; the centre's own have no admission.
    ``chain`` are the certificates between seals and root; ``revocation_lists`` those of root and
    seal CA in force at the acceptance, DER.
    """

    manifest: Manifest
    manifest_bytes: bytes
    signatures: Sequence[bytes]
    sealed_by: Sequence[str]
    recipient: str
    parts: Sequence[Path]
    steps: Sequence[tuple[str, Signed, Signed | None]]
    root: x509.Certificate
    chain: Sequence[x509.Certificate]
    revocation_lists: Sequence[bytes]


def of_delivery(parts: Sequence[Path], tracking: Tracking, recipient: str) -> Bundle:
    """The files that the recipient holds, and what the centre recorded about the delivery."""
    envelope = tracking.envelope
    [delivery] = [each for each in tracking.deliveries if each.recipient == recipient]
    return Bundle(
        manifest=envelope.manifest,
        manifest_bytes=envelope.manifest_bytes,
        signatures=envelope.signatures,
        sealed_by=[str(whose) for whose in envelope.sealed_by],
        recipient=recipient,
        parts=parts,
        steps=[_step(statement) for statement in (envelope.accepted, *delivery.statements)],
        root=envelope.trust.root,
        chain=envelope.issuing,
        revocation_lists=envelope.revocation_lists,
    )


def write(bundle: Bundle, target: Path) -> None:
    """Write the bundle into ``target``, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    for name in ("parts", "receipts", "admissions", "certs"):
        (target / name).mkdir(parents=True)
    (target / "manifest.json").write_bytes(bundle.manifest_bytes)
    seals = []
    for place, signature in enumerate(bundle.signatures, start=1):
        name = f"manifest.json{'' if place == 1 else f'.{place}'}.p7s"
        (target / name).write_bytes(signature)
        seals.append((name, bundle.sealed_by[place - 1]))
    for path in bundle.parts:
        shutil.copyfile(path, target / "parts" / path.name)
    for name, receipt, admission in bundle.steps:
        _write_signed(target / "receipts" / f"{name}.json", receipt)
        if admission is not None:
            _write_signed(target / "admissions" / f"{name}.json", admission)
    _write_certificates(bundle, target / "certs")
    guide = verify_guide.text(_guide(bundle, seals))
    (target / "VERIFY.md").write_text(guide, encoding="utf-8")


def _guide(bundle: Bundle, seals: Sequence[tuple[str, str]]) -> Guide:
    steps = []
    for name, receipt, admission in bundle.steps:
        statement = decode_receipt(receipt.content)
        steps.append(
            Step(
                name=name,
                by=statement.by,
                unit=identity.parse(statement.by).unit,
                recipient=statement.recipient,
                admitted_by=decode_admission(admission.content).by if admission else None,
            )
        )
    document = bundle.manifest.document
    return Guide(
        title=document.title,
        number=document.number or document.doc_id,
        issuers=document.issuers,
        recipient=bundle.recipient,
        part_count=len(bundle.manifest.parts),
        root_fingerprint=fingerprint(bundle.root),
        seals=seals,
        steps=steps,
    )


def _step(statement: Statement) -> tuple[str, Signed, Signed | None]:
    name = f"{statement.seq:03}-{statement.type.value}"
    return name, statement.signed_receipt, statement.signed_admission


def _write_signed(path: Path, signed: Signed) -> None:
    path.write_bytes(signed.content)
    path.with_name(f"{path.name}.p7s").write_bytes(signed.signature)


def _write_certificates(bundle: Bundle, target: Path) -> None:
    (target / "root.pem").write_bytes(bundle.root.public_bytes(Encoding.PEM))
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in bundle.chain)
    (target / "chain.pem").write_bytes(chain)
    lists = (x509.load_der_x509_crl(der) for der in bundle.revocation_lists)
    crls = b"".join(each.public_bytes(Encoding.PEM) for each in lists)
    (target / "crls.pem").write_bytes(crls)
