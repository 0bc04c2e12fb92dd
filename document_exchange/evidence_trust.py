"""Who counts as a seal in a bundle: the CAs under one root, and at each moment the lists of then.

The root's fingerprint comes from outside. The CAs come with the bundle, and count only because the
root issued them. After a change of CA there are several; each seal belongs to the one that made it.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from document_exchange.certificates import CrlPair, SealTrust
from document_exchange.errors import (
    ExchangeError,
    RevocationListNotInForce,
    SealExpired,
    SealNotTrusted,
    TimestampRefused,
    VerificationFailed,
)
from document_exchange.identity import Identity
from document_exchange.revocations import RevocationLists, read_crl

T = TypeVar("T")


class BundleTrust:
    """Knows each seal in a bundle, as of any moment, by what is in the bundle alone."""

    def __init__(self, trusts: Sequence[SealTrust], lists: Mapping[str, bytes]) -> None:
        """Sort the revocation lists (DER by path) by the CA that signed them.

        ``strangers`` are the paths of those that are by no CA here; they are passed over.
        """
        self._parts: list[tuple[SealTrust, RevocationLists]] = []
        known: set[str] = set()
        for trust in trusts:
            of_root = {path for path, der in lists.items() if _is_by(der, trust.root)}
            of_ca = {path for path, der in lists.items() if _is_by(der, trust.seal_ca)}
            known |= of_root | of_ca
            ders = [lists[path] for path in sorted(of_root | of_ca)]
            self._parts.append((trust, RevocationLists(ders)))
        self.strangers = tuple(sorted(set(lists) - known))
        self._trust_domain: str | None = None

    def within(self, trust_domain: str) -> BundleTrust:
        """The same, but nobody of another trust domain counts."""
        narrower = copy.copy(self)
        narrower._trust_domain = trust_domain
        return narrower

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of the CAs signed this certificate, whatever it is for."""
        return any(_issued(certificate, trust.seal_ca) for trust, _ in self._parts)

    def check(
        self, certificate: x509.Certificate, *, at: dt.datetime, crls: CrlPair | None = None
    ) -> Identity:
        """Whose seal it is, if it was one at ``at``; see ``SealTrust.check``.

        Args:
            crls: is passed over; the lists in force at ``at`` are looked up.

        Raises:
            SealNotTrusted, SealExpired, SealRevoked: as ``SealTrust.check``; it is of another
                trust domain; ``at`` is the very second of its end.
            RevocationListNotInForce: a list that was in force at ``at`` is missing.
        """
        whose = self.under_one(
            lambda trust, lists: trust.check(certificate, at=at, crls=lists), lambda _: at
        )
        _check_not_ended(certificate, at)
        self.check_domain(str(whose))
        return whose

    def check_domain(self, identity: str) -> None:
        """Refuse an identity of another trust domain than that of the bundle.

        Raises:
            SealNotTrusted
        """
        domain = self._trust_domain
        if domain is not None and not identity.startswith(f"spiffe://{domain}/"):
            raise SealNotTrusted(f"{identity} is not of {domain}, as the index is")

    def under_one(
        self,
        verify: Callable[[SealTrust, CrlPair | None], T],
        moment: Callable[[T], dt.datetime],
    ) -> T:
        """What ``verify`` finds under the CA that it belongs to, with the lists of its ``moment``.

        Called first without lists, since the moment is known only then, and again with them.

        Raises:
            Whatever ``verify`` raises; RevocationListNotInForce: a list of that moment is missing;
            SealExpired: the moment is the very second of the CA's or the root's end.
        """
        refused: ExchangeError = SealNotTrusted("the bundle has no CA for seals under the root")
        for trust, lists in self._parts:
            try:
                found = verify(trust, None)
            except (SealNotTrusted, TimestampRefused) as error:
                refused = error
                continue
            try:
                then = lists.in_force(moment(found), trust)
            except VerificationFailed as error:
                raise RevocationListNotInForce(error.message) from error
            for each in (trust.seal_ca, trust.root):
                _check_not_ended(each, moment(found))
            return verify(trust, then)
        raise refused


def _check_not_ended(certificate: x509.Certificate, at: dt.datetime) -> None:
    # openssl takes the second of notAfter for the end already, and its word must be the same.
    if at >= certificate.not_valid_after_utc:
        raise SealExpired(f"a certificate ended at {certificate.not_valid_after_utc.isoformat()}")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_by(der: bytes, issuer: x509.Certificate) -> bool:
    try:
        read_crl(der, issuer)
    except SealNotTrusted:
        return False
    return True
