"""Verify a bundle of evidence: offline, step by step, as of the moments that it states.

Only the root's fingerprint comes from outside. No clock is asked: a signature counts as of the
moment that the centre's statement names, with the revocation lists of that moment. So it does not
matter that certificates have expired since, or that a seal was revoked later. docs/formats.md
describes each step; verify.sh in the bundle takes the same ones with openssl alone.
"""

from __future__ import annotations

import hmac
import re

from cryptography import x509

from document_exchange import evidence, identity, offline, refusal, signature, times
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    EvidenceRefused,
    ExchangeError,
    InvalidRequest,
    SealNotTrusted,
    SealOfAnotherUnit,
)
from document_exchange.evidence import Index, Step
from document_exchange.evidence_deliveries import check_deliveries
from document_exchange.evidence_envelope import check_envelope, check_manifest, check_parts
from document_exchange.evidence_files import Bundle, BundleFiles
from document_exchange.evidence_report import Findings, Report, Verdict, signed_at
from document_exchange.evidence_timestamps import check_timestamps
from document_exchange.evidence_trust import BundleTrust
from document_exchange.manifest import sha256_hex

_REQUIRED = (
    evidence.INDEX,
    evidence.INDEX_SIGNATURE,
    evidence.INDEX_SUMS,
    evidence.MANIFEST,
    evidence.ROOT_CERTIFICATE,
    evidence.seal_ca_path(),
    evidence.signature_path(1),
    *(evidence.ACCEPTED + suffix for suffix in evidence.STATEMENT_SUFFIXES),
)
_MOST_FAULTS = 100
"""Faults of one kind that a report names one by one."""


def verify(
    bundle: Bundle, root_fingerprint: str, *, tsa_root_fingerprint: str | None = None
) -> Report:
    """Verify everything that is in the bundle; what fails does not keep the rest from being done.

    What the caller must still do: have the fingerprint from somebody else than who brings the
    bundle; and judge by ``Report.ok`` alone, since each finding proves its own step only.

    Args:
        root_fingerprint: SHA-256 of the exchange's root in hex; colons and capitals are allowed.
        tsa_root_fingerprint: of another time-stamping service's root, if the bundle has stamps of
            one; without it these are noted as not checked.

    Raises:
        InvalidRequest: a fingerprint is none.
    """
    wanted = _fingerprint(root_fingerprint, "root_fingerprint")
    tsa = tsa_root_fingerprint and _fingerprint(tsa_root_fingerprint, "tsa_root_fingerprint")
    findings = Findings()
    files = BundleFiles(bundle)
    if not _check_bundle(findings, files):
        return Report(tuple(findings.made))
    trust = _check_authorities(findings, files, _check_root(findings, files, wanted))
    index = _check_index(findings, files, trust)
    if trust is not None and index is not None:
        trust = trust.within(identity.parse(index.by).trust_domain)
    _check_files(findings, files, index)
    manifest = check_manifest(findings, files, index)
    accepted_at = check_envelope(findings, files, manifest, trust)
    check_parts(findings, files, manifest, index)
    states = check_deliveries(findings, files, manifest, trust, accepted_at, index)
    check_timestamps(findings, files, trust, tsa or None, index)
    for path in files.matching("log/"):
        findings.add(Step.LOG, path, Verdict.NOTE, "not checked by this version")
    return Report(tuple(findings.made), index, manifest, states)


def _fingerprint(text: str, field: str) -> str:
    wanted = text.replace(":", "").strip().lower()
    if re.fullmatch(r"[0-9a-f]{64}", wanted) is None:
        why = "a SHA-256 fingerprint has 64 hex digits, with or without colons"
        raise refusal.of_value(InvalidRequest, field, text, why)
    return wanted


def _check_bundle(findings: Findings, files: BundleFiles) -> bool:
    """Known names, all that is needed, bounded sizes. Whether there is anything to go on with."""
    most = evidence.MAX_FILES + len(evidence.NOT_INDEXED)
    with findings.step(Step.BUNDLE, ".") as outcome:
        if len(files.names) > most:
            raise EvidenceRefused(f"it has {len(files.names)} files; at most {most} are read")
        unknown = sorted(path for path in files.names if not evidence.is_known(path))
        if unknown:
            shown = ", ".join(map(refusal.shortened, unknown[:5]))
            raise EvidenceRefused(f"no bundle has files of these names: {shown}")
        missing = [path for path in _REQUIRED if path not in files.names]
        if missing:
            raise EvidenceRefused(f"files are missing: {', '.join(missing)}", file=missing[0])
        for path in sorted(files.names):
            files.check_size(path)
        outcome.detail = f"{len(files.names)} files"
    return len(files.names) <= most


def _check_root(findings: Findings, files: BundleFiles, wanted: str) -> x509.Certificate | None:
    root = None
    with findings.step(Step.ROOT, evidence.ROOT_CERTIFICATE) as outcome:
        der = files.read(evidence.ROOT_CERTIFICATE)
        found = sha256_hex(der)
        if not hmac.compare_digest(found, wanted):
            raise SealNotTrusted(
                f"its fingerprint is {found}, not {wanted}: another root than the one to be trusted"
            )
        root = _certificate(der, evidence.ROOT_CERTIFICATE)
        outcome.detail = f"SHA-256 {found}"
    return root if outcome.passed else None


def _check_authorities(
    findings: Findings, files: BundleFiles, root: x509.Certificate | None
) -> BundleTrust | None:
    """Each CA for seals under the root alone; which of the lists are theirs."""
    if root is None:
        findings.skip(Step.AUTHORITIES, evidence.seal_ca_path(), "the root is not trusted")
        return None
    trusts: list[SealTrust] = []
    for path in filter(evidence.is_seal_ca, files.matching("certificates/")):
        with findings.step(Step.AUTHORITIES, path) as outcome:
            trusts.append(SealTrust(root, _certificate(files.read(path), path)))
            outcome.detail = "a CA for seals under this root"
    lists: dict[str, bytes] = {}
    for path in filter(evidence.is_crl, files.matching("crls/")):
        try:
            lists[path] = files.read(path)
        except ExchangeError as error:
            findings.add(Step.AUTHORITIES, path, Verdict.FAILED, error.message, error.code)
    trust = BundleTrust(trusts, lists)
    for path in trust.strangers:
        why = "it is no revocation list of an authority in the bundle"
        findings.add(Step.AUTHORITIES, path, Verdict.FAILED, why, SealNotTrusted.code)
    return trust if trusts else None


def _check_index(findings: Findings, files: BundleFiles, trust: BundleTrust | None) -> Index | None:
    """The centre sealed it, and ``index.sha256`` holds for it to the byte."""
    if trust is None:
        findings.skip(Step.INDEX, evidence.INDEX, "no CA for seals is trusted")
    else:
        with findings.step(Step.INDEX, evidence.INDEX) as outcome:
            content = files.read(evidence.INDEX)
            made = files.read(evidence.INDEX_SIGNATURE)
            sums = evidence.index_sums(sha256_hex(content), sha256_hex(made))
            if files.read(evidence.INDEX_SUMS) != sums:
                raise EvidenceRefused(f"{evidence.INDEX_SUMS} does not hold", field="$")
            index = evidence.decode(content)
            at = times.parse_time(index.made_at)
            whose = trust.check(signature.verify(content, made), at=at)
            if str(whose) != index.by:
                raise SealOfAnotherUnit(f"it says that {index.by} made it, but {whose} signed it")
            outcome.detail = signed_at(str(whose), index.made_at)
    try:
        return evidence.decode(files.read(evidence.INDEX))
    except ExchangeError:
        return None


def _check_files(findings: Findings, files: BundleFiles, index: Index | None) -> None:
    """Every digest holds, none is missing, and there is none besides."""
    if index is None:
        findings.skip(Step.FILES, evidence.INDEX, "the index can't be read")
        return
    faults = 0

    def fault(path: str, why: str, code: str = EvidenceRefused.code) -> None:
        nonlocal faults
        faults += 1
        if faults <= _MOST_FAULTS:
            findings.add(Step.FILES, path, Verdict.FAILED, why, code)

    for path, digest in sorted(index.files.items()):
        try:
            found = files.sha256(path)
        except ExchangeError as error:
            fault(path, error.message, error.code)
            continue
        if found != digest:
            fault(path, f"its SHA-256 is {found}, the index has {digest}")
    for path in sorted(files.names - index.files.keys() - evidence.NOT_INDEXED):
        fault(path, "it is not in the index")
    for path in sorted(index.files):
        statement = evidence.statement_of(path)
        if statement is not None and statement[0].unit not in index.recipients:
            fault(path, "it is about a recipient that the index does not name")
    if not faults:
        detail = f"{len(index.files)} digests"
        findings.add(Step.FILES, evidence.INDEX, Verdict.PASSED, detail)
    _note_other_texts(findings, files)


def _note_other_texts(findings: Findings, files: BundleFiles) -> None:
    """Nobody sealed verify.sh and VERIFY.md: whoever hands on a bundle may have rewritten them."""
    for path, text in offline.texts().items():
        if path not in files.names:
            continue
        try:
            same = files.read(path) == text
        except ExchangeError as error:
            findings.add(Step.FILES, path, Verdict.FAILED, error.message, error.code)
            continue
        if not same:
            why = "not the text of this release: do not run or believe it"
            findings.add(Step.FILES, path, Verdict.NOTE, why)


def _certificate(der: bytes, path: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise EvidenceRefused(f"{path} is no certificate: {error}", file=path) from error
