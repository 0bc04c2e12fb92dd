"""What a certificate revocation list says, once all of it has been checked, and which one counts.

Source: RFC 5280, sections 5 and 6.3.3. Only complete lists by the issuing CA itself are accepted.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import SealNotTrusted, VerificationFailed

_REMEMBERED_LISTS: Final = 64


@dataclass(frozen=True, slots=True)
class CrlPair:
    """The lists that belong to one moment: of the root (for the CAs) and of the seal CA."""

    root_crl: x509.CertificateRevocationList
    seal_crl: x509.CertificateRevocationList

    @classmethod
    def from_der(cls, root: bytes, seal: bytes) -> CrlPair:
        """Read both lists; what they say is checked where they are used.

        Raises:
            SealNotTrusted: one of them is no CRL.
        """
        try:
            return cls(x509.load_der_x509_crl(root), x509.load_der_x509_crl(seal))
        except (ValueError, x509.InvalidVersion) as error:
            raise SealNotTrusted(f"what should be a revocation list is none: {error}") from error


@dataclass(frozen=True, slots=True)
class Revocations:
    """When a list is in force, this_update <= t < next_update, and what it holds.

    ``since`` has the moment of revocation by serial number.
    """

    this_update: dt.datetime
    next_update: dt.datetime
    since: Mapping[int, dt.datetime]


class Authorities(Protocol):
    """The two whose lists belong together."""

    root: x509.Certificate
    seal_ca: x509.Certificate


class RevocationLists:
    """CRLs of any origin; whether they are genuine is checked where they are used."""

    def __init__(self, lists: Iterable[bytes]) -> None:
        """Read DER.

        Raises:
            VerificationFailed: one of them is no CRL.
        """
        self._lists = [_load(der) for der in lists]

    def in_force(self, at: dt.datetime, trust: Authorities) -> CrlPair:
        """The lists of the root and of the seal CA that were in force at ``at``.

        Raises:
            VerificationFailed: one of the two is not there.
        """
        return CrlPair(
            self._of(trust.root, at, "the root"), self._of(trust.seal_ca, at, "the CA of the seals")
        )

    def _of(
        self, issuer: x509.Certificate, at: dt.datetime, name: str
    ) -> x509.CertificateRevocationList:
        found = [
            crl
            for crl in self._lists
            if crl.issuer == issuer.subject
            and crl.next_update_utc is not None
            and crl.last_update_utc <= at < crl.next_update_utc
        ]
        if not found:
            raise VerificationFailed(
                f"no revocation list of {name} that was in force at {at.isoformat()} came with it",
                step="crls",
            )
        return max(found, key=lambda crl: crl.last_update_utc)


@functools.lru_cache(_REMEMBERED_LISTS)
def _load(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationFailed(
            f"what should be a revocation list is none: {error}", step="crls"
        ) from error


def read_crl(der: bytes, issuer: x509.Certificate) -> Revocations:
    """Check all of a CRL that does not depend on the moment: whose it is, and that it is complete.

    Args:
        der: the CRL.
        issuer: the CA that must have signed it.

    Raises:
        SealNotTrusted: it is malformed, signed by another, or not a plain complete list.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        key = issuer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or crl.issuer != issuer.subject:
            raise SealNotTrusted("the revocation list is not by the CA that it is needed from")
        if not crl.is_signature_valid(key):
            raise SealNotTrusted("the signature of the revocation list does not verify")
        if crl.next_update_utc is None:
            raise SealNotTrusted("the revocation list does not say until when it is in force")
        _refuse_special(crl.extensions)
        since: dict[int, dt.datetime] = {}
        for entry in crl:
            _refuse_special(entry.extensions)
            revoked_at = entry.revocation_date_utc
            since[entry.serial_number] = min(revoked_at, since.get(entry.serial_number, revoked_at))
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise SealNotTrusted(f"the revocation list is malformed: {error}") from error
    return Revocations(crl.last_update_utc, crl.next_update_utc, since)


def _refuse_special(extensions: x509.Extensions) -> None:
    """Refuse what changes the meaning of a list or entry: delta, partial, indirect, unknown.

    All of that must be critical (RFC 5280, section 5.2); the known ones are refused either way.
    """
    special = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint, x509.CertificateIssuer)
    for extension in extensions:
        if extension.critical or isinstance(extension.value, special):
            raise SealNotTrusted(
                "the revocation list is not a plain, complete one: it has the extension "
                f"{extension.oid.dotted_string}"
            )
