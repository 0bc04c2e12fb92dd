"""Keys and signing requests as a unit makes them, good ones and bad ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from exchange_pki.service.enrolment import Application

from document_exchange import identity
from tests.authority_for_tests import TRUST_DOMAIN, new_private_key

UNIT, OTHER_UNIT = "qd-caizheng", "qd-jiaoyu"


def system_id(unit: str = UNIT, name: str = "oa") -> str:
    return f"spiffe://{TRUST_DOMAIN}/unit/{unit}/system/{name}"


def identity_in(der: bytes) -> str:
    """The SPIFFE ID of a certificate."""
    return str(identity.of_certificate(x509.load_der_x509_certificate(der)))


def signing_request(key: ec.EllipticCurvePrivateKey, *names: x509.GeneralName) -> bytes:
    """PKCS#10 in DER with this subjectAltName, if any."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        san = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(san, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def public_sha256(key: ec.EllipticCurvePrivateKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, hex."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


@dataclass(frozen=True)
class Pair:
    """The keys that a unit made for one token."""

    system: ec.EllipticCurvePrivateKey = field(default_factory=new_private_key)
    seal: ec.EllipticCurvePrivateKey | None = field(default_factory=new_private_key)

    def application(self, token: str, unit: str = "") -> Application:
        return Application(
            token=token,
            system_request=signing_request(self.system),
            seal_request=signing_request(self.seal) if self.seal else b"",
            unit=unit,
        )

    @property
    def seal_sha256(self) -> str:
        assert self.seal is not None
        return public_sha256(self.seal)


def without_seal() -> Pair:
    return Pair(seal=None)
