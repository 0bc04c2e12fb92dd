"""The revocation lists that come with what is verified, and which of them counts at a moment."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from document_exchange.certificates import CrlPair, SealTrust
from document_exchange.errors import VerificationFailed

_REMEMBERED = 64


class RevocationLists:
    """CRLs of any origin; whether they are genuine is checked where they are used."""

    def __init__(self, lists: Iterable[bytes]) -> None:
        """Read DER.

        Raises:
            VerificationFailed: one of them is no CRL.
        """
        self._lists = [_load(der) for der in lists]

    def in_force(self, at: datetime, trust: SealTrust) -> CrlPair:
        """The lists of the root and of the seal CA that were in force at ``at``.

        Raises:
            VerificationFailed: one of the two is not there.
        """
        return CrlPair(
            self._of(trust.root, at, "the root"), self._of(trust.seal_ca, at, "the CA of the seals")
        )

    def _of(
        self, issuer: x509.Certificate, at: datetime, name: str
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


@functools.lru_cache(_REMEMBERED)
def _load(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationFailed(
            f"what should be a revocation list is none: {error}", step="crls"
        ) from error
