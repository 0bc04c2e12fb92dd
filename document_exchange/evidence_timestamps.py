"""The step of verification about time-stamps: by when the centre's signatures existed."""

from __future__ import annotations

import re

from cryptography import x509

from document_exchange import evidence, timestamp
from document_exchange.errors import EvidenceRefused, TimestampRefused
from document_exchange.evidence import Step
from document_exchange.evidence_files import BundleFiles
from document_exchange.evidence_report import Findings, Verdict
from document_exchange.evidence_trust import BundleTrust
from document_exchange.receipt import SIGNED_BY_CENTRE
from document_exchange.times import format_time
from document_exchange.timestamp import Stamp

_LINES = re.compile(rb"(?:[0-9a-f]{64}\n)+")


def check_timestamps(
    findings: Findings, files: BundleFiles, trust: BundleTrust | None, tsa_root: str | None
) -> None:
    """Each pair of lines and token holds; which of the centre's signatures they date is noted."""
    pairs = sorted({path.rpartition(".")[0] for path in files.matching("timestamps/")})
    if not pairs:
        findings.add(Step.TIMESTAMP, "timestamps", Verdict.NOTE, "no signature is time-stamped")
        return
    if trust is None:
        findings.skip(Step.TIMESTAMP, "timestamps", "no CA for seals is trusted")
        return
    signatures = _centres_signatures(files)
    stamped: set[str] = set()
    for pair in pairs:
        with findings.step(Step.TIMESTAMP, pair) as outcome:
            data, response = files.read(f"{pair}.txt"), files.read(f"{pair}.tsr")
            dated = _lines(data) & signatures.keys()
            if not dated:
                raise EvidenceRefused(f"{pair}.txt holds no signature of this bundle")
            chain = _chain(files)
            try:
                stamp = _own(response, data, trust)
            except TimestampRefused:
                if not chain:
                    raise
                if tsa_root is None:
                    outcome.verdict = Verdict.NOTE
                    outcome.detail = "not checked: by a service whose root's fingerprint is needed"
                    continue
                stamp = timestamp.verify_external(response, data, chain, tsa_root)
            stamped |= dated
            outcome.detail = (
                f"{len(dated)} signatures existed at {format_time(stamp.at)}, says {stamp.tsa}"
            )
    for digest in sorted(signatures.keys() - stamped, key=lambda digest: signatures[digest]):
        why = "this signature is not time-stamped"
        findings.add(Step.TIMESTAMP, signatures[digest], Verdict.NOTE, why)


def _centres_signatures(files: BundleFiles) -> dict[str, str]:
    """By SHA-256, the paths of what is stamped: ACCEPTED, the centre's receipts, admissions."""
    found = {}
    for path in files.names:
        statement = evidence.statement_of(path)
        if statement is None:
            stamped = path == evidence.ACCEPTED + evidence.RECEIPT_SIGNATURE_SUFFIX
        else:
            name, suffix = statement
            by_centre = name.type in SIGNED_BY_CENTRE
            stamped = suffix == (
                evidence.RECEIPT_SIGNATURE_SUFFIX
                if by_centre
                else evidence.ADMISSION_SIGNATURE_SUFFIX
            )
        if stamped:
            found[files.sha256(path)] = path
    return found


def _lines(data: bytes) -> set[str]:
    if _LINES.fullmatch(data) is None:
        raise EvidenceRefused("the stamped text is not made of SHA-256s, one on a line")
    lines = data.decode("ascii").splitlines()
    if lines != sorted(set(lines)):
        raise EvidenceRefused("the lines of the stamped text are not sorted, each one once")
    return set(lines)


def _own(response: bytes, data: bytes, trust: BundleTrust) -> Stamp:
    """A stamp by the exchange's own service, as of its own time."""
    return trust.under_one(
        lambda authority, lists: timestamp.verify(response, data, authority, lists),
        lambda stamp: stamp.at,
    )


def _chain(files: BundleFiles) -> list[x509.Certificate]:
    paths = filter(evidence.is_tsa, files.matching("certificates/"))
    try:
        return [x509.load_der_x509_certificate(files.read(path)) for path in paths]
    except (ValueError, x509.InvalidVersion) as error:
        raise EvidenceRefused(f"certificates/tsa-*.der: {error}") from error
