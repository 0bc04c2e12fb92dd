"""Of a signing request (PKCS#10, RFC 2986) only the public key counts, proved by its signature."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import InvalidRequest

LARGEST_BYTES = 16 * 1024


def proved_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of a request in PEM or DER whose sender holds the private key.

    Subject, extensions and attributes of the request are not even looked at.

    Raises:
        InvalidRequest: no signing request, a wrong signature, or a key on no elliptic curve.
    """
    if len(data) > LARGEST_BYTES:
        raise InvalidRequest(
            f"the signing request has {len(data)} bytes, more than {LARGEST_BYTES}", field="request"
        )
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            request = x509.load_pem_x509_csr(data)
        else:
            request = x509.load_der_x509_csr(data)
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise InvalidRequest(f"this is no signing request: {error}", field="request") from error
    if not proved:
        raise InvalidRequest(
            "the signing request is not signed with the key that it holds", field="request"
        )
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidRequest(
            "the key of the signing request is on no elliptic curve: make a P-256 key",
            field="request",
        )
    return key
