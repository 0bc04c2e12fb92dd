"""The step of verification about time-stamps: by when the centre's signatures existed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography import x509

from document_exchange import evidence, times, timestamp
from document_exchange import receipt as receipts
from document_exchange.errors import EvidenceRefused, ExchangeError
from document_exchange.evidence import Index, Step
from document_exchange.evidence_files import BundleFiles
from document_exchange.evidence_report import Findings, Verdict
from document_exchange.evidence_trust import BundleTrust
from document_exchange.receipt import SIGNED_BY_CENTRE
from document_exchange.times import format_time
from document_exchange.timestamp import Stamp

CLOCKS_DIFFER: Final = dt.timedelta(seconds=120)
"""How far the clocks of the centre and of a time-stamping service may be apart."""
_LATE: Final = dt.timedelta(days=1)
"""A stamp this long after the statement says little about when that was made."""

_LINES = re.compile(rb"(?:[0-9a-f]{64}\n)+")


class _Signature(NamedTuple):
    """A signature of the centre that is to be stamped, and when its statement says it was made."""

    path: str
    at: dt.datetime | None
    """None where the statement can't be read; then another step has failed."""


def check_timestamps(
    findings: Findings,
    files: BundleFiles,
    trust: BundleTrust | None,
    tsa_root: str | None,
    index: Index | None,
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
    made_at = times.parse_time(index.made_at) if index else None
    stamped: dict[str, dt.datetime] = {}
    for pair in pairs:
        with findings.step(Step.TIMESTAMP, pair) as outcome:
            data, response = files.read(f"{pair}.txt"), files.read(f"{pair}.tsr")
            dated = _lines(data) & signatures.keys()
            if not dated:
                raise EvidenceRefused(f"{pair}.txt holds no signature of this bundle")
            stamp = _stamp(files, response, data, trust, tsa_root)
            if stamp is None:
                outcome.verdict = Verdict.NOTE
                outcome.detail = "not checked: by a service whose root's fingerprint is needed"
                continue
            _check_moment(stamp.at, [signatures[digest] for digest in dated], made_at)
            for digest in dated:
                stamped[digest] = min(stamp.at, stamped.get(digest, stamp.at))
            outcome.detail = (
                f"{len(dated)} signatures existed at {format_time(stamp.at)}, says {stamp.tsa}"
            )
    for digest, (path, at) in sorted(signatures.items(), key=lambda item: item[1].path):
        if digest not in stamped:
            why = "this signature is not time-stamped"
            findings.add(Step.TIMESTAMP, path, Verdict.NOTE, why)
        elif at is not None and (late := _whole(stamped[digest]) - _whole(at)) > _LATE:
            why = f"stamped {late.days} days later"
            findings.add(Step.TIMESTAMP, path, Verdict.NOTE, why)


def _check_moment(
    stamped_at: dt.datetime, signatures: Sequence[_Signature], made_at: dt.datetime | None
) -> None:
    """No signature is stamped before it was made, nor after it came into the bundle."""
    second = _whole(stamped_at)
    for path, at in sorted(signatures):
        if at is not None and second < _whole(at) - CLOCKS_DIFFER:
            raise EvidenceRefused(
                f"{path} is stamped at {format_time(stamped_at)}, before {format_time(at)}, "
                "when it says that it was made",
                file=path,
            )
    if made_at is not None and second > _whole(made_at) + CLOCKS_DIFFER:
        raise EvidenceRefused(
            f"it is of {format_time(stamped_at)}, after the index, of {format_time(made_at)}"
        )


def _whole(at: dt.datetime) -> dt.datetime:
    # A shell counts whole seconds, and its word must be the same.
    return at.replace(microsecond=0)


def _centres_signatures(files: BundleFiles) -> dict[str, _Signature]:
    """By SHA-256 what is stamped: the signatures of ACCEPTED, the centre's receipts, admissions."""
    found = {}
    for path in files.names:
        statement = evidence.statement_of(path)
        if statement is None:
            by_centre = path == evidence.ACCEPTED + evidence.RECEIPT_SIGNATURE_SUFFIX
            stamped = by_centre
        else:
            name, suffix = statement
            by_centre = name.type in SIGNED_BY_CENTRE
            stamped = suffix == (
                evidence.RECEIPT_SIGNATURE_SUFFIX
                if by_centre
                else evidence.ADMISSION_SIGNATURE_SUFFIX
            )
        if stamped:
            content = path.removesuffix(".p7s") + ".json"
            found[files.sha256(path)] = _Signature(path, _moment(files, content, by_centre))
    return found


def _moment(files: BundleFiles, path: str, by_centre: bool) -> dt.datetime | None:
    try:
        content = files.read(path)
        if by_centre:
            return times.parse_time(receipts.decode_receipt(content).at)
        return times.parse_time(receipts.decode_admission(content).recorded_at)
    except ExchangeError:
        return None


def _stamp(
    files: BundleFiles, response: bytes, data: bytes, trust: BundleTrust, tsa_root: str | None
) -> Stamp | None:
    """What a stamp says; None where the root of the service that made it is not known.

    Whoever has a certificate of the exchange counts by its rules alone: what these refuse is not
    taken for the stamp of some other service.
    """
    signer = timestamp.signer_of(response, data)
    chain = _chain(files)
    if trust.issued(signer) or not chain:
        return _own(response, data, trust)
    if tsa_root is None:
        return None
    return timestamp.verify_external(response, data, chain, tsa_root)


def _lines(data: bytes) -> set[str]:
    if _LINES.fullmatch(data) is None:
        raise EvidenceRefused("the stamped text is not made of SHA-256s, one on a line")
    lines = data.decode("ascii").splitlines()
    if lines != sorted(set(lines)):
        raise EvidenceRefused("the lines of the stamped text are not sorted, each one once")
    return set(lines)


def _own(response: bytes, data: bytes, trust: BundleTrust) -> Stamp:
    """A stamp by the exchange's own service, as of its own time."""
    stamp = trust.under_one(
        lambda authority, lists: timestamp.verify(response, data, authority, lists),
        lambda stamp: stamp.at,
    )
    trust.check_domain(stamp.tsa)
    return stamp


def _chain(files: BundleFiles) -> list[x509.Certificate]:
    paths = filter(evidence.is_tsa, files.matching("certificates/"))
    try:
        return [x509.load_der_x509_certificate(files.read(path)) for path in paths]
    except (ValueError, x509.InvalidVersion) as error:
        raise EvidenceRefused(f"certificates/tsa-*.der: {error}") from error
