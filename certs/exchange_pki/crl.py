"""Lists of revoked certificates (RFC 5280, section 5): complete, numbered, for seven days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.certificates import fingerprint
from document_exchange.errors import InternalError, InvalidRequest, SealNotTrusted
from document_exchange.revocations import read_crl
from exchange_pki import prepare
from exchange_pki.keys import signature_hash
from exchange_pki.register import Revocation

LIFETIME = timedelta(days=7)
SECOND = timedelta(seconds=1)
"""Dates in a list are whole seconds: they may lie less than this ahead of what they date."""
LARGEST_BYTES = 64 * 1024 * 1024

REASONS: Mapping[str, x509.ReasonFlags] = MappingProxyType(
    {
        reason.value: reason
        for reason in (
            x509.ReasonFlags.unspecified,
            x509.ReasonFlags.key_compromise,
            x509.ReasonFlags.ca_compromise,
            x509.ReasonFlags.affiliation_changed,
            x509.ReasonFlags.superseded,
            x509.ReasonFlags.cessation_of_operation,
            x509.ReasonFlags.privilege_withdrawn,
        )
    }
)
"""The reasons of RFC 5280, section 5.3.1. A certificate put on hold could come back: not here."""


def check_reason(name: str) -> None:
    """Check the name of a reason.

    Raises:
        InvalidRequest: there is no such reason here.
    """
    if name not in REASONS:
        raise InvalidRequest(
            f"{name!r} is no reason; the reasons are {', '.join(REASONS)}",
            field="reason",
            value=name,
        )


def sign(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    number: int,
    now: datetime,
    revocations: Sequence[Revocation],
    *,
    judges_the_past: bool,
) -> x509.CertificateRevocationList:
    """The issuer's complete list as of ``now``, checked as its readers will check it.

    Revocations stay on it beyond the expiry of their certificates: signatures are verified as of
    the day on which they were accepted. A revocation is dated up to the next whole second. A list
    that ``judges_the_past`` begins no sooner: so what the centre recorded earlier in that second
    stays good, and nobody is let in by it, since the ledger decides that. Other lists begin at
    once, as those who ask them whom to let in now need one.
    """
    this_update = now.replace(microsecond=0)
    # Openssl takes each entry of a list in force for revoked, whatever its date. What a clock that
    # was ahead revoked must not keep the list from being in force.
    if judges_the_past and any(this_update < each.revoked_at <= now for each in revocations):
        this_update += SECOND
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(this_update)
        .next_update(this_update + LIFETIME)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                prepare.key_identifier(issuer)
            ),
            critical=False,
        )
    )
    serials: set[int] = set()
    for revocation in revocations:
        builder = builder.add_revoked_certificate(_entry(revocation))
        serials.add(int(revocation.serial, 16))
    crl = builder.sign(key, signature_hash(type(key.curve)))
    try:
        read = read_crl(crl.public_bytes(serialization.Encoding.DER), issuer)
    except SealNotTrusted as error:
        raise InternalError(
            f"the list signed with the key of {fingerprint(issuer)} is wrong: {error.message}"
        ) from error
    if read.since.keys() != serials:
        raise InternalError("the signed list does not hold exactly the revoked certificates")
    return crl


def _up(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole + SECOND


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(int(revocation.serial, 16))
        .revocation_date(_up(revocation.revoked_at))
    )
    reason = REASONS[revocation.reason]
    if reason is not x509.ReasonFlags.unspecified:  # RFC 5280: leave this one out
        entry = entry.add_extension(x509.CRLReason(reason), critical=False)
    return entry.build()
