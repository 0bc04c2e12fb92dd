"""The certificates above every leaf, pinned by the root's fingerprint, and chains checked to them.

Where the fingerprint comes from decides everything: it must be given to the user by the operator,
never be taken from what is to be checked with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from document_exchange import certificates
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    CertificateExpired,
    ConfigurationError,
    ExchangeError,
    VerificationFailed,
)

Extension = TypeVar("Extension", bound=x509.ExtensionType)

_TLS_PURPOSES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})
_CLIENT_PURPOSE = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


class TlsTrust:
    """The root and the one CA below it that issues what opens connections. Immutable."""

    def __init__(self, root: x509.Certificate, tls_ca: x509.Certificate) -> None:
        """Trust ``root``, which the caller has from outside, and ``tls_ca`` because of it.

        Raises:
            VerificationFailed: ``tls_ca`` is not a CA for TLS (path length 0, purposes) that this
                root issued.
        """
        self.root = root
        self.tls_ca = tls_ca
        _require_issued(tls_ca, root, "the CA of the TLS certificates", "the root")
        basic = _extension(tls_ca, x509.BasicConstraints)
        usage = _extension(tls_ca, x509.KeyUsage)
        purposes = frozenset(_extension(tls_ca, x509.ExtendedKeyUsage))
        may_issue = basic.ca and basic.path_length == 0 and usage.key_cert_sign
        if not may_issue or not _CLIENT_PURPOSE <= purposes <= _TLS_PURPOSES:
            raise VerificationFailed("the CA of the TLS certificates is not made for that")

    def check_client(self, certificate: x509.Certificate, at: datetime) -> None:
        """Whether this certificate may open connections at the moment ``at``, if not revoked.

        1. The TLS CA issued it, and that one the root.
        2. It is no CA, and its purpose is exactly clientAuth.
        3. ``at`` lies within its period and those of both CAs.

        What the caller must still do: see whose certificate it is.

        Raises:
            VerificationFailed: step 1 or 2.
            CertificateExpired: step 3.
        """
        # 1. Chain; that of the TLS CA was checked when this object was made.
        _require_issued(certificate, self.tls_ca, "the certificate", "the CA of TLS certificates")
        # 2. Purpose.
        basic = _extension(certificate, x509.BasicConstraints)
        purposes = frozenset(_extension(certificate, x509.ExtendedKeyUsage))
        if basic.ca or purposes != _CLIENT_PURPOSE:
            raise VerificationFailed("the certificate is not one of a client")
        # 3. Periods.
        for name, each in (
            ("the certificate", certificate),
            ("the CA of TLS certificates", self.tls_ca),
            ("the root", self.root),
        ):
            if not each.not_valid_before_utc <= at <= each.not_valid_after_utc:
                raise CertificateExpired(
                    f"{name} is valid from {each.not_valid_before_utc.isoformat()} to"
                    f" {each.not_valid_after_utc.isoformat()}, and now is {at.isoformat()}"
                )


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """Root, TLS CA and seal CA, once they are known to belong together."""

    tls: TlsTrust
    seals: SealTrust

    @classmethod
    def pinned(
        cls, root: bytes, tls_ca: bytes, seal_ca: bytes, root_fingerprint: str
    ) -> TrustBundle:
        """The bundle out of certificates of any origin.

        Args:
            root: DER or PEM, as the following two.
            tls_ca: issues the certificates of systems, staff and servers.
            seal_ca: issues the seals.
            root_fingerprint: SHA-256 of the root's DER, from outside, as ``normalised``.

        Raises:
            VerificationFailed: the root has another fingerprint, or the others are not below it.
        """
        root_certificate = _load(root, "the root")
        found = certificates.fingerprint(root_certificate)
        if found != root_fingerprint:
            raise VerificationFailed(
                f"this is not the authority that the fingerprint names: its root has {found},"
                f" not {root_fingerprint}; compare it with what the operator gave you, and tell"
                " the operator if it is the same",
                root_fingerprint=found,
            )
        try:
            return cls(
                TlsTrust(root_certificate, _load(tls_ca, "the CA of TLS certificates")),
                SealTrust(root_certificate, _load(seal_ca, "the CA of the seals")),
            )
        except VerificationFailed:
            raise
        except ExchangeError as error:
            raise VerificationFailed(str(error)) from error

    @property
    def root_pem(self) -> bytes:
        """The root."""
        return _pem(self.tls.root)

    @property
    def tls_ca_pem(self) -> bytes:
        """What the certificates of servers must chain to."""
        return _pem(self.tls.tls_ca)

    @property
    def seal_ca_pem(self) -> bytes:
        """What seals must chain to."""
        return _pem(self.seals.seal_ca)


def normalised(root_fingerprint: str) -> str:
    """A fingerprint as 64 lower-case hex digits; capitals, colons and spaces are allowed.

    Raises:
        ConfigurationError: it is no SHA-256.
    """
    digits = re.sub(r"[:\s]", "", root_fingerprint).lower()
    if _FINGERPRINT.fullmatch(digits) is None:
        raise ConfigurationError(
            f"{root_fingerprint!r} is no fingerprint: 64 hex digits (SHA-256) are needed, as the"
            " operator gave them with the token",
            field="fingerprint",
        )
    return digits


def _load(data: bytes, name: str) -> x509.Certificate:
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationFailed(f"what came as {name} is no certificate: {error}") from error


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _require_issued(
    certificate: x509.Certificate, issuer: x509.Certificate, name: str, issuer_name: str
) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise VerificationFailed(f"{name} was not issued by {issuer_name}") from error


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise VerificationFailed(f"the certificate is malformed: {error}") from error
