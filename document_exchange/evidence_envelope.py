"""The steps of verification about the document: manifest, acceptance, the issuers' seals, parts."""

from __future__ import annotations

from datetime import datetime

from document_exchange import evidence, verification
from document_exchange import manifest as manifests
from document_exchange.errors import (
    EvidenceRefused,
    ExchangeError,
    PartDigestMismatch,
    PartSizeMismatch,
)
from document_exchange.evidence import Content, Index, Step
from document_exchange.evidence_files import BundleFiles
from document_exchange.evidence_report import Findings, Verdict, signed_at
from document_exchange.evidence_trust import BundleTrust
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.verification import Signed, VerifiedEnvelope

_SIGNATURES = "signatures"
_STEP_OF = {
    "envelope.3": Step.ACCEPTED,
    "envelope.4": Step.ACCEPTED,
    "envelope.5": Step.SEALS,
    "envelope.6": Step.SEALS,
}
"""Our steps by those of ``verification.verify_envelope``."""


def check_manifest(findings: Findings, files: BundleFiles, index: Index | None) -> Manifest | None:
    """It is canonical, keeps all rules, and is the one that the index is about."""
    manifest: Manifest | None = None
    with findings.step(Step.MANIFEST, evidence.MANIFEST) as outcome:
        content = files.read(evidence.MANIFEST)
        manifest = manifests.decode(content)
        digest = sha256_hex(content)
        if index is not None:
            if (index.envelope_id, index.manifest_sha256) != (manifest.envelope_id, digest):
                raise EvidenceRefused("the index is about another manifest", field="envelope_id")
            units = {each.unit for each in manifest.recipients}
            if strangers := sorted(set(index.recipients) - units):
                raise EvidenceRefused(f"{strangers[0]} is not among its recipients")
        outcome.detail = f"{manifest.envelope_id}, SHA-256 {digest}"
    return manifest


def check_envelope(
    findings: Findings, files: BundleFiles, manifest: Manifest | None, trust: BundleTrust | None
) -> datetime | None:
    """The centre accepted it with these signatures, and all issuers had sealed it by then.

    Returns:
        When it was accepted; None if that can't be believed.
    """
    if manifest is None or trust is None:
        because = "there is no manifest" if manifest is None else "no CA for seals is trusted"
        findings.skip(Step.ACCEPTED, evidence.ACCEPTED, because)
        findings.skip(Step.SEALS, _SIGNATURES, because)
        return None
    try:
        found = _envelope(files, trust)
    except ExchangeError as error:
        code = error.attributes.get("code", error.code)
        failed = _STEP_OF.get(error.attributes.get("step", ""), Step.ACCEPTED)
        if failed is Step.ACCEPTED:
            findings.add(failed, evidence.ACCEPTED, Verdict.FAILED, error.message, code)
            findings.skip(Step.SEALS, _SIGNATURES, "it is not known as of when they count")
        else:
            accepted = "the centre accepted this manifest with these signatures"
            findings.add(Step.ACCEPTED, evidence.ACCEPTED, Verdict.PASSED, accepted)
            findings.add(failed, _signature(error), Verdict.FAILED, error.message, code)
        return None
    at = found.accepted.at
    findings.add(Step.ACCEPTED, evidence.ACCEPTED, Verdict.PASSED, signed_at(found.accepted.by, at))
    seals = ", ".join(map(str, found.sealed_by))
    findings.add(Step.SEALS, _SIGNATURES, Verdict.PASSED, signed_at(seals, at))
    with findings.step(Step.LEAF, evidence.ACCEPTED) as outcome:
        event = files.read(evidence.ACCEPTED + evidence.EVENT_SUFFIX)
        salt = files.read(evidence.ACCEPTED + evidence.SALT_SUFFIX)
        verification.verify_leaf(found.accepted, None, event, salt)
        outcome.detail = f"SHA-256(salt || event) is {found.accepted.leaf}"
    return found.accepted_at


def _envelope(files: BundleFiles, trust: BundleTrust) -> VerifiedEnvelope:
    accepted = Signed(
        files.read(evidence.ACCEPTED + evidence.RECEIPT_SUFFIX),
        files.read(evidence.ACCEPTED + evidence.RECEIPT_SIGNATURE_SUFFIX),
    )
    return verification.verify_envelope(
        files.read(evidence.MANIFEST),
        [files.read(path) for path in files.matching(f"{_SIGNATURES}/")],
        accepted,
        trust,
        None,
        recipient=None,
        envelope_id=None,
    )


def _signature(error: ExchangeError) -> str:
    """The path of the signature that an error is about, if it is about one."""
    index = error.attributes.get("signature", "")
    return evidence.signature_path(int(index) + 1) if index.isdigit() else _SIGNATURES


def check_parts(
    findings: Findings, files: BundleFiles, manifest: Manifest | None, index: Index | None
) -> None:
    """Each part has the size and digest that the manifest says; or none is in the bundle."""
    if manifest is None or index is None:
        because = "there is no manifest" if manifest is None else "the index can't be read"
        findings.skip(Step.PARTS, "parts", because)
        return
    here = files.matching("parts/")
    if index.content is Content.DIGESTS:
        with findings.step(Step.PARTS, "parts") as outcome:
            if here:
                raise EvidenceRefused(f"{here[0]} is there, and the index says digests only")
            outcome.detail = "digests only: compare the document with those in the manifest"
        return
    expected = {
        evidence.part_path(number, part): part for number, part in enumerate(manifest.parts, 1)
    }
    for path, part in expected.items():
        with findings.step(Step.PARTS, path) as outcome:
            size = files.size(path)
            if size != part.size:
                raise PartSizeMismatch(f"{path} has {size} bytes, the manifest says {part.size}")
            if files.sha256(path) != part.sha256:
                raise PartDigestMismatch(f"{path} is not the part {part.part_id} of the manifest")
            outcome.detail = f"{part.size} bytes, SHA-256 {part.sha256}"
    for path in here:
        if path not in expected:
            why = "the manifest has no such part"
            findings.add(Step.PARTS, path, Verdict.FAILED, why, EvidenceRefused.code)
