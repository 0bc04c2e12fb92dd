"""Keys that sign, and the algorithms that they sign with.

A private key is used through ``Signer``, so that it may live in a file or in a token. The
algorithms are gathered in a ``SignatureSuite``, so that SM2 with SM3 (GM/T 0010) or ML-DSA can
stand beside the one in use, which is ECDSA on P-256 with SHA-256 (RFC 5758, RFC 5754).
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509 import ObjectIdentifier

from document_exchange.errors import KeyUnusable


class SignatureSuite(Protocol):
    """The algorithms of one kind of signature: a digest, a signature scheme, a kind of key."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def digest_algorithm(self) -> ObjectIdentifier:
        """The digest's name on the wire."""

    @property
    def signature_algorithm(self) -> ObjectIdentifier:
        """The signature scheme's name on the wire; its parameters are absent."""

    def digest(self, content: bytes) -> bytes:
        """The digest of ``content``."""

    def fits(self, key: object) -> bool:
        """Whether this public key is of the kind that the suite uses."""

    def verifies(self, key: object, signature: bytes, data: bytes) -> bool:
        """Whether ``key`` fits and made ``signature`` over ``data``."""


class EcdsaP256Sha256:
    """ECDSA on P-256 over SHA-256."""

    name: Final = "ECDSA on P-256 with SHA-256"
    digest_algorithm: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
    signature_algorithm: Final = ObjectIdentifier("1.2.840.10045.4.3.2")

    def digest(self, content: bytes) -> bytes:
        """SHA-256 of ``content``, 32 bytes."""
        return hashlib.sha256(content).digest()

    def fits(self, key: object) -> bool:
        """Whether ``key`` is an EC public key on P-256."""
        return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)

    def verifies(self, key: object, signature: bytes, data: bytes) -> bool:
        """Whether ``signature``, a DER Ecdsa-Sig-Value, is of ``key`` over ``data``."""
        if not (isinstance(key, ec.EllipticCurvePublicKey) and self.fits(key)):
            return False
        try:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


SUITE: Final[SignatureSuite] = EcdsaP256Sha256()
"""The suite in use."""


class Signer(Protocol):
    """A private key that can be used, wherever it lives, with the certificate of its holder."""

    @property
    def certificate(self) -> x509.Certificate:
        """The holder's certificate."""

    def sign(self, data: bytes) -> bytes:
        """ECDSA on P-256 over the SHA-256 of ``data``, as a DER Ecdsa-Sig-Value."""


class KeySigner:
    """A signer whose private key is in memory."""

    def __init__(self, certificate: x509.Certificate, private_key: PrivateKeyTypes) -> None:
        """Bring a key and its certificate together.

        Raises:
            KeyUnusable: the key is not on P-256, or is not the one that the certificate names.
        """
        if not isinstance(private_key, ec.EllipticCurvePrivateKey) or not SUITE.fits(
            private_key.public_key()
        ):
            raise KeyUnusable(f"the private key does not fit: it must be for {SUITE.name}")
        if private_key.public_key() != certificate.public_key():
            raise KeyUnusable("the private key does not belong to the certificate")
        self._certificate = certificate
        self._private_key = private_key

    @property
    def certificate(self) -> x509.Certificate:
        """The holder's certificate."""
        return self._certificate

    def sign(self, data: bytes) -> bytes:
        """ECDSA on P-256 over the SHA-256 of ``data``, as a DER Ecdsa-Sig-Value."""
        return self._private_key.sign(data, ec.ECDSA(hashes.SHA256()))
