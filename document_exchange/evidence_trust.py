"""Who counts as a seal in a bundle: the CAs under one root, and at each moment the lists of then.

The root's fingerprint comes from outside. The CAs come with the bundle, and count only because the
root issued them. After a change of CA there are several; each seal belongs to the one that made it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cryptography import x509

from document_exchange.certificates import CrlPair, SealTrust
from document_exchange.errors import (
    ExchangeError,
    RevocationListNotInForce,
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

    def check(
        self, certificate: x509.Certificate, *, at: dt.datetime, crls: CrlPair | None = None
    ) -> Identity:
        """Whose seal it is, if it was one at ``at``; see ``SealTrust.check``.

        Args:
            crls: is passed over; the lists in force at ``at`` are looked up.

        Raises:
            SealNotTrusted, SealExpired, SealRevoked: as ``SealTrust.check``.
            RevocationListNotInForce: a list that was in force at ``at`` is missing.
        """
        return self.under_one(
            lambda trust, lists: trust.check(certificate, at=at, crls=lists), lambda _: at
        )

    def under_one(
        self,
        verify: Callable[[SealTrust, CrlPair | None], T],
        moment: Callable[[T], dt.datetime],
    ) -> T:
        """What ``verify`` finds under the CA that it belongs to, with the lists of its ``moment``.

        Called first without lists, since the moment is known only then, and again with them.

        Raises:
            Whatever ``verify`` raises; RevocationListNotInForce: a list of that moment is missing.
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
            return verify(trust, then)
        raise refused


def _is_by(der: bytes, issuer: x509.Certificate) -> bool:
    try:
        read_crl(der, issuer)
    except SealNotTrusted:
        return False
    return True
