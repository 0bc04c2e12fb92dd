"""Whether a certificate is a seal of this exchange: chain, purpose, period and revocation.

The root is given from outside; below it one CA issues the seals. What that CA issued for signing
documents is a seal, and nothing else is. Sources: RFC 5280 section 6.1 (paths), RFC 9336 (the
purpose documentSigning).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

from document_exchange import identity
from document_exchange.errors import (
    ConfigurationError,
    RevocationListNotInForce,
    SealExpired,
    SealNotTrusted,
    SealRevoked,
    Unauthenticated,
)
from document_exchange.identity import Identity, Kind
from document_exchange.revocations import CrlPair, read_crl

__all__ = [
    "DOCUMENT_SIGNING",
    "EMAIL_PROTECTION",
    "SEAL_CA_PURPOSES",
    "SEAL_PURPOSES",
    "CrlPair",
    "SealTrust",
    "fingerprint",
    "load_chain_pem",
    "load_pem",
]

DOCUMENT_SIGNING: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
EMAIL_PROTECTION: Final = ExtendedKeyUsageOID.EMAIL_PROTECTION
SEAL_PURPOSES: Final = frozenset({DOCUMENT_SIGNING, EMAIL_PROTECTION})
"""The extended key usages of a seal, all of them and no others (openssl wants the second)."""

SEAL_CA_PURPOSES: Final = SEAL_PURPOSES | {ExtendedKeyUsageOID.TIME_STAMPING}
"""The most that the CA of the seals may be for."""

_REMEMBERED_SEALS: Final = 4096
_REMEMBERED_CRLS: Final = 8


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of the certificate's DER, as 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def load_pem(data: bytes) -> x509.Certificate:
    """The first certificate in PEM text.

    Raises:
        ConfigurationError: there is none, or it is damaged.
    """
    return load_chain_pem(data)[0]


def load_chain_pem(data: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates in PEM text, in its order, at least one.

    Raises:
        ConfigurationError: there is none, or one is damaged.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigurationError(f"no usable certificate in this PEM text: {error}") from error


class SealTrust:
    """The root and the one CA whose seals are accepted. Immutable; may be used by many threads."""

    def __init__(self, root: x509.Certificate, seal_ca: x509.Certificate) -> None:
        """Trust ``root``, which the caller has from outside, and ``seal_ca`` because of it.

        Raises:
            SealNotTrusted: ``seal_ca`` is not a CA for seals (path length 0, purposes) that this
                root issued.
        """
        self.root = root
        self.seal_ca = seal_ca
        self._store = verification.Store([root])
        if self._build_chain(seal_ca, [], _SEAL_CA_POLICY) != [seal_ca, root]:
            raise SealNotTrusted("the CA of the seals was not issued by the root")
        # Both keep results of what never changes; periods and dates are compared each time.
        self._identity_of = functools.lru_cache(_REMEMBERED_SEALS)(self._verify_chain)
        self._revocations = functools.lru_cache(_REMEMBERED_CRLS)(read_crl)

    @classmethod
    def from_chain(
        cls, root_fingerprint: str, certificates: Iterable[x509.Certificate]
    ) -> SealTrust:
        """Pick root and seal CA out of certificates of any origin, such as those of a bundle.

        Args:
            root_fingerprint: SHA-256 of the root in hex, which the user has from outside;
                capitals and colons, as openssl prints them, are allowed.
            certificates: root and seal CA, in any order; others are passed over.

        Raises:
            SealNotTrusted: the root is not there, or not exactly one CA for seals under it.
        """
        wanted = root_fingerprint.replace(":", "").lower()
        by_fingerprint = {fingerprint(certificate): certificate for certificate in certificates}
        root = by_fingerprint.pop(wanted, None)
        if root is None:
            raise SealNotTrusted(f"no certificate has the fingerprint {wanted} of the root")
        found = []
        for certificate in by_fingerprint.values():
            try:
                found.append(cls(root, certificate))
            except SealNotTrusted:
                continue
        if len(found) != 1:
            raise SealNotTrusted(f"there are {len(found)} CAs for seals under the root, not one")
        return found[0]

    def check(
        self, certificate: x509.Certificate, *, at: dt.datetime, crls: CrlPair | None
    ) -> Identity:
        """Whose seal this is, if it was one at the moment ``at``.

        1. It chains through the seal CA to the root, and is made for sealing: purposes exactly
           documentSigning and emailProtection, key usage for signatures alone, not a CA.
        2. Its identity is a unit's seal or the centre's, and its only name.
        3. ``at`` lies within its period and those of both CAs.
        4. Both CRLs are signed by their CAs, complete, and in force at ``at``; neither the seal
           CA nor the seal had been revoked by then.

        What the caller must still do: decide whether this seal may speak here (unit, centre). With
        ``crls=None`` step 4 is left out, and the caller must know of revocations otherwise: by
        serial number, or by admitting known fingerprints only. Never by looking for revoked
        fingerprints, since anybody can give a certificate another one: where ECDSA signed it as
        (r, s), (r, -s) is as good.

        Args:
            certificate: the signer's certificate.
            at: the moment that counts, aware; for stored documents that of their acceptance.
            crls: the lists in force at that moment.

        Raises:
            SealNotTrusted: step 1, step 2, or a CRL that can't answer.
            SealExpired: step 3.
            SealRevoked: step 4.
        """
        return self._check(certificate, _SEAL, at, crls)

    def check_time_stamping(
        self, certificate: x509.Certificate, *, at: dt.datetime, crls: CrlPair | None
    ) -> Identity:
        """Which time-stamping service this is, if it was one of the exchange at the moment ``at``.

        As ``check``, but its one purpose is timeStamping, critical (RFC 3161, section 2.3), and its
        identity is a TSA of the centre.

        Args:
            certificate: the certificate that made the token.
            at: the token's time, aware.
            crls: the lists in force at that moment; None as for ``check``.

        Raises:
            SealNotTrusted, SealExpired, SealRevoked: as ``check`` does.
        """
        return self._check(certificate, _TIME_STAMPING, at, crls)

    def _check(
        self, certificate: x509.Certificate, use: _Use, at: dt.datetime, crls: CrlPair | None
    ) -> Identity:
        # 1. and 2. The same at every moment, hence remembered.
        whose = self._identity_of(certificate, use)
        # 3. Periods.
        for name, each in (
            (f"{use.name} {whose}", certificate),
            ("the CA of the seals", self.seal_ca),
            ("the root", self.root),
        ):
            if not each.not_valid_before_utc <= at <= each.not_valid_after_utc:
                raise SealExpired(
                    f"{name} was valid from {each.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to "
                    f"{each.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}, not at {at.isoformat()}",
                    identity=str(whose),
                )
        # 4. Revocation.
        if crls is not None:
            self._check_revocation(use, whose, certificate, at, crls)
        return whose

    def _verify_chain(self, certificate: x509.Certificate, use: _Use) -> Identity:
        if self._build_chain(certificate, [self.seal_ca], use.policy) != [
            certificate,
            self.seal_ca,
            self.root,
        ]:
            raise SealNotTrusted("the signing certificate was not issued by the CA of the seals")
        try:
            whose = identity.of_certificate(certificate)
        except Unauthenticated as error:
            raise SealNotTrusted(f"the signing certificate names nobody: {error}") from error
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        if len(names.value) != 1:
            raise SealNotTrusted(f"{whose} has other names beside it", identity=str(whose))
        if whose.kind not in use.kinds:
            raise SealNotTrusted(f"{whose} is not {use.kind_name}", identity=str(whose))
        return whose

    def _build_chain(
        self,
        certificate: x509.Certificate,
        intermediates: list[x509.Certificate],
        policy: ExtensionPolicy,
    ) -> list[x509.Certificate]:
        """Build the path at the first moment at which all of its certificates are valid."""
        try:
            moment = max(
                each.not_valid_before_utc for each in (certificate, *intermediates, self.root)
            )
            return (
                verification.PolicyBuilder()
                .store(self._store)
                .time(moment)
                .max_chain_depth(len(intermediates))
                .extension_policies(ca_policy=_CA_POLICY, ee_policy=policy)
                .build_client_verifier()
                .verify(certificate, intermediates)
                .chain
            )
        except (verification.VerificationError, ValueError, x509.UnsupportedGeneralNameType) as why:
            reason = str(why).partition(" (encountered processing")[0].rpartition("Error: ")[2]
            raise SealNotTrusted(
                f"the certificate is not acceptable under this root: {reason}",
                certificate=fingerprint(certificate),
            ) from why

    def _check_revocation(
        self,
        use: _Use,
        whose: Identity,
        certificate: x509.Certificate,
        at: dt.datetime,
        crls: CrlPair,
    ) -> None:
        for name, revocable, issuer, crl in (
            ("the CA of the seals", self.seal_ca, self.root, crls.root_crl),
            (f"{use.name} {whose}", certificate, self.seal_ca, crls.seal_crl),
        ):
            revocations = self._revocations(crl.public_bytes(serialization.Encoding.DER), issuer)
            if not revocations.this_update <= at < revocations.next_update:
                raise RevocationListNotInForce(
                    f"the revocation list that covers {name} was in force from "
                    f"{revocations.this_update:%Y-%m-%dT%H:%M:%SZ} to "
                    f"{revocations.next_update:%Y-%m-%dT%H:%M:%SZ}, not at {at.isoformat()}",
                    identity=str(whose),
                )
            since = revocations.since.get(revocable.serial_number)
            if since is not None and since <= at:
                raise SealRevoked(
                    f"{name} had been revoked since {since:%Y-%m-%dT%H:%M:%SZ}",
                    identity=str(whose),
                )


# What the path validation asks of extensions. What is critical and not known to it, it refuses.


def _require_ca(_: Policy, __: x509.Certificate, value: x509.BasicConstraints) -> None:
    if not value.ca:
        raise ValueError("it is not a CA")


def _require_last_ca(_: Policy, __: x509.Certificate, value: x509.BasicConstraints) -> None:
    if not value.ca or value.path_length != 0:
        raise ValueError("it is not a CA of path length 0")


def _require_ca_usage(_: Policy, __: x509.Certificate, value: x509.KeyUsage) -> None:
    if not (value.key_cert_sign and value.crl_sign):
        raise ValueError("its key is not for signing certificates and revocation lists")


def _require_seal_ca_purposes(
    _: Policy, __: x509.Certificate, value: x509.ExtendedKeyUsage
) -> None:
    if not SEAL_PURPOSES <= frozenset(value) <= SEAL_CA_PURPOSES:
        raise ValueError("its purposes are not those of a CA for seals")


def _refuse_ca(_: Policy, __: x509.Certificate, value: x509.BasicConstraints | None) -> None:
    if value is not None and value.ca:
        raise ValueError("it is a CA, not a seal")


def _require_signing_only(_: Policy, __: x509.Certificate, value: x509.KeyUsage) -> None:
    if not (value.digital_signature or value.content_commitment):
        raise ValueError("its key is not for signatures")
    if (
        value.key_cert_sign
        or value.crl_sign
        or value.key_agreement
        or value.key_encipherment
        or value.data_encipherment
    ):
        raise ValueError("its key is for more than signatures")


def _require_time_stamping(_: Policy, __: x509.Certificate, value: x509.ExtendedKeyUsage) -> None:
    if list(value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise ValueError("its purpose is not timeStamping alone")


def _require_seal_purposes(_: Policy, __: x509.Certificate, value: x509.ExtendedKeyUsage) -> None:
    if frozenset(value) != SEAL_PURPOSES:
        raise ValueError("its purposes are not those of a seal")


_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _require_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_ca_usage)
)
_SEAL_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _require_last_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_ca_usage)
    .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_seal_ca_purposes)
)
_SEAL_POLICY = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _refuse_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing_only)
    .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_seal_purposes)
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
)
_TIME_STAMPING_POLICY = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _refuse_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing_only)
    .require_present(x509.ExtendedKeyUsage, Criticality.CRITICAL, _require_time_stamping)
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
)


@dataclass(frozen=True, eq=False)
class _Use:
    """What a certificate of the seal CA is for: how to name it, and whose and how it must be."""

    name: str
    kind_name: str
    kinds: frozenset[Kind]
    policy: ExtensionPolicy


_SEAL = _Use("the seal", "a seal", frozenset({Kind.SEAL, Kind.CENTRE_SEAL}), _SEAL_POLICY)
_TIME_STAMPING = _Use(
    "the time-stamping service",
    "a time-stamping service",
    frozenset({Kind.CENTRE_TSA}),
    _TIME_STAMPING_POLICY,
)
