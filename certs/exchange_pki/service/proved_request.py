"""A signing request off the wire: a proved P-256 key, and no identity but its holder's."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import IdentityMismatch, InvalidRequest, RequestRefused
from exchange_pki import signing_request
from exchange_pki.keys import key_sha256


@dataclass(frozen=True)
class ProvedRequest:
    """Of a request (PKCS#10, RFC 2986): the key that signed it, and the names that it asks for."""

    field: str
    """The field of the message that it came in."""
    public_key: ec.EllipticCurvePublicKey
    names: tuple[x509.GeneralName, ...]
    """Its subjectAltName; empty if there is none."""

    @property
    def key_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, in hex."""
        return key_sha256(self.public_key)

    @property
    def key_der(self) -> bytes:
        """The SubjectPublicKeyInfo."""
        return self.public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def check_names(self, identity: str) -> None:
        """Refuse a request for anything else than this identity.

        Raises:
            IdentityMismatch: it has a subjectAltName that is not exactly this SPIFFE ID.
        """
        if self.names not in ((), (x509.UniformResourceIdentifier(identity),)):
            raise IdentityMismatch(
                # Whose identity is not said: who asks may have found the token.
                f"{self.field} asks for other names than its sender may have: leave its "
                "subjectAltName out, or put exactly your own SPIFFE ID there, as a URI",
                field=self.field,
            )


def read(data: bytes, field: str) -> ProvedRequest:
    """Read a signing request whose sender proves to hold the private key.

    Args:
        data: PKCS#10, DER, of at most 16 KiB.
        field: the field of the message that it came in.

    Raises:
        RequestRefused: no signing request, a wrong signature, a key that is not on P-256, or
            extensions that can't be read.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        raise RequestRefused(f"{field} is PEM: send it as DER", field=field)
    try:
        public_key = signing_request.proved_key(data)
        names = _names(data)
    except InvalidRequest as error:
        raise RequestRefused(f"{field}: {error.message}", field=field) from error
    except ValueError as error:
        raise RequestRefused(f"{field}: its extensions can't be read", field=field) from error
    if not isinstance(public_key.curve, ec.SECP256R1):
        raise RequestRefused(
            f"{field}: the key is on {public_key.curve.name}; make a P-256 key", field=field
        )
    return ProvedRequest(field, public_key, names)


def _names(data: bytes) -> tuple[x509.GeneralName, ...]:
    """The subjectAltName of a request that was read before.

    Raises:
        ValueError: its extensions can't be read.
    """
    try:
        extensions = x509.load_der_x509_csr(data).extensions
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    return tuple(found.value)
