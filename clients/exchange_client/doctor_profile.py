"""What can be said of a profile on this machine alone: files, certificates, chains, dates."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509

from document_exchange import certificates
from document_exchange.errors import ExchangeError
from document_exchange.identity import Kind
from exchange_client.diagnosis import Check, failed, fault, ok, warning
from exchange_client.profile import Profile
from exchange_client.renewal import due_at
from exchange_client.trust_bundle import TlsTrust

_LAST_PART = 10
"""In the last tenth of a certificate's life, renewals must have been failing for long."""


def check_profile(profile: Profile, at: datetime) -> Iterator[Check]:
    """Everything about a profile that could be read, at the moment ``at``."""
    yield _check_directory(profile)
    yield _check_dates("certificate", profile.system_certificate, at)
    yield _check_chain(profile, at)
    if profile.system.kind is Kind.SYSTEM:
        yield from _check_seal(profile, at)


def _check_directory(profile: Profile) -> Check:
    directory = profile.directory
    if directory is None:
        return ok("files", "in_memory")
    if _others_may_write(directory):
        return warning("files", "directory_open", directory=str(directory))
    return ok("files", "private", directory=str(directory))


def _others_may_write(directory: Path) -> bool:
    return bool(stat.S_IMODE(directory.stat().st_mode) & 0o022)


def _check_dates(name: str, certificate: x509.Certificate, at: datetime) -> Check:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    values = {"not_before": begin, "not_after": end}
    if at < begin:
        return fault(name, "not_yet_valid", **values)
    if at > end:
        return fault(name, "expired", **values)
    if (end - at) * _LAST_PART < end - begin:
        return warning(name, "ending", **values)
    due = due_at(certificate)
    if at >= due:
        return warning(name, "renewal_due", due=due, **values)
    return ok(name, "valid", due=due, **values)


def _check_chain(profile: Profile, at: datetime) -> Check:
    # A certificate that is out of date still has a chain: its dates were checked already.
    certificate = profile.system_certificate
    moment = min(max(at, certificate.not_valid_before_utc), certificate.not_valid_after_utc)
    try:
        trust = TlsTrust(profile.trust.root, certificates.load_pem(profile.tls_ca))
        trust.check_client(certificate, moment)
    except ExchangeError as error:
        return failed("chain", error)
    return ok("chain", "chained", root=profile.root_fingerprint)


def _check_seal(profile: Profile, at: datetime) -> Iterator[Check]:
    if profile.seal is None:
        yield warning("seal", "no_seal")
        return
    certificate = profile.seal.certificate
    dates = _check_dates("seal", certificate, at)
    moment = min(max(at, certificate.not_valid_before_utc), certificate.not_valid_after_utc)
    try:
        profile.trust.check(certificate, at=moment, crls=None)
    except ExchangeError as error:
        yield failed("seal", error)
        return
    yield dates
