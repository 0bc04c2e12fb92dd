"""Time-stamps (RFC 3161): asking for one, making one, and verifying one as of its own time.

A time-stamp proves that some bytes existed at a moment, on the word of a time-stamping service. The
exchange has one of its own, certified by the CA of the seals; any other can be used instead. Both
hand out the same thing, a TimeStampResp: ``openssl ts -verify`` accepts what is accepted here.

Of its own service's responses exactly one form is accepted, in DER: status granted, a token by one
signer in the form of ``cms``, and in it a TSTInfo over SHA-256, SHA-384 or SHA-512 without
extensions. Of other services' responses, what rfc3161-client accepts, and more is checked here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import rfc3161_client
from cryptography import x509
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client.errors import VerificationError

from document_exchange import asn1, cms
from document_exchange.certificates import CrlPair, SealTrust, fingerprint
from document_exchange.errors import SignatureRefused, TimestampRefused

__all__ = [
    "DIGESTS",
    "ID_TST_INFO",
    "MAX_RESPONSE_BYTES",
    "Stamp",
    "query",
    "signer_of",
    "verify",
    "verify_external",
]

MAX_RESPONSE_BYTES: Final = 64 * 1024
"""Room for a chain of RSA certificates; a response of the exchange's own has about 1.5 KiB."""

ID_TST_INFO: Final = ObjectIdentifier("1.2.840.113549.1.9.16.1.4")
SHA_256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
DIGESTS: Final[Mapping[ObjectIdentifier, str]] = {
    SHA_256: "sha256",
    ObjectIdentifier("2.16.840.1.101.3.4.2.2"): "sha384",
    ObjectIdentifier("2.16.840.1.101.3.4.2.3"): "sha512",
}
"""What may be stamped: digests by these algorithms, as hashlib names them."""

_GRANTED: Final = 0


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a time-stamp says: when, and on whose word.

    ``at`` is aware, UTC. ``tsa`` is the SPIFFE ID of the exchange's own service, or the subject of
    another's certificate (RFC 4514).
    """

    at: dt.datetime
    tsa: str


def query(digest: bytes, nonce: int) -> bytes:
    """What to send to a time-stamping service, as ``application/timestamp-query``.

    Args:
        digest: SHA-256 of what is to be stamped, 32 bytes.
        nonce: a random number of 64 bits or more, positive; the answer must hold it.

    Returns:
        A TimeStampReq in DER that asks for the service's certificate too.
    """
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a SHA-256 has 32 bytes")
    return asn1.encode(
        asn1.TimeStampRequest(
            version=1,
            message_imprint=asn1.MessageImprint(
                hash_algorithm=asn1.AlgorithmIdentifier(algorithm=SHA_256, parameters=asn1.Null()),
                hashed_message=digest,
            ),
            policy=None,
            nonce=nonce,
            certificate_wanted=True,
            extensions=None,
        )
    )


def signer_of(response: bytes, data: bytes) -> x509.Certificate:
    """Whose certificate a time-stamp names, of any service: whom to ask about it.

    Only its form is checked, and that it says to be over ``data``. No signature is.

    Raises:
        TimestampRefused: it is no granted response with one signer, or over other bytes.
    """
    token = _granted(response)
    try:
        signer = cms.named_certificate(token)
        imprint = rfc3161_client.decode_timestamp_response(response).tst_info.message_imprint
    except (SignatureRefused, ValueError, OverflowError) as error:
        raise _refused(f"its signer is unclear: {error}") from error
    digest = DIGESTS.get(ObjectIdentifier(imprint.hash_algorithm.dotted_string))
    if digest is None or imprint.message != hashlib.new(digest, data).digest():
        raise _refused("it was made over other bytes")
    return signer


def verify(
    response: bytes,
    data: bytes,
    trust: SealTrust,
    crls: CrlPair | None,
    *,
    nonce: int | None = None,
) -> Stamp:
    """Check a time-stamp of the exchange's own service over exactly the bytes of ``data``.

    1. It has at most 64 KiB, and is a TimeStampResp in DER that grants a token.
    2. The token is signed by one signer, as ``cms.verify`` demands, and carries a TSTInfo.
    3. The TSTInfo is of version 1, without extensions, over a digest of ``data``; it holds
       ``nonce``, where one is given.
    4. The signer was a time-stamping service of the exchange at the token's time: issued by the
       CA of the seals for timeStamping alone, to ``…/centre/tsa/…``, valid and not revoked then.

    Args:
        response: a TimeStampResp.
        data: what was stamped.
        trust: root and CA of the seals.
        crls: the lists in force at the token's time; None leaves revocation to the caller.
        nonce: what the question held, for who asked it.

    Raises:
        TimestampRefused: a step failed; nothing else is raised, whatever the bytes.
    """
    # 1. A response that grants.
    token = _granted(response)
    # 2. Who made it.
    content = token.signed_data.encapsulated.content
    if content is None:
        raise _refused("its token is empty")
    try:
        signer = cms.verify(token, content, content_type=ID_TST_INFO, attached=True)
    except SignatureRefused as error:
        raise _refused(f"its token is not signed as it must be: {error}") from error
    # 3. What it says.
    info = _tst_info(content)
    _check_imprint(info.message_imprint, data)
    if nonce is not None and info.nonce != nonce:
        raise _refused("it answers another question: the nonce differs")
    # 4. Whether that counted at that moment.
    at = info.generated_at.as_datetime()
    try:
        return Stamp(at, str(trust.check_time_stamping(signer, at=at, crls=crls)))
    except SignatureRefused as error:
        raise _refused(f"its maker does not count: {error}") from error


def verify_external(
    response: bytes,
    data: bytes,
    chain: Sequence[x509.Certificate],
    root_fingerprint: str,
    *,
    nonce: int | None = None,
) -> Stamp:
    """Check a time-stamp of any other service, whose root the caller has from outside.

    1. It has at most 64 KiB, and is a TimeStampResp in DER that grants a token by one signer.
    2. ``rfc3161_client`` verifies signature, digest, nonce and chain as of the token's time; the
       chain ends at the root with that fingerprint, and nothing else in ``chain`` is trusted.
    3. The signer's certificate is the one that signing-certificate-v2 names (RFC 5816), and is for
       timeStamping alone, critical (RFC 3161, section 2.3).

    What nobody checks here: whether that service's certificate was revoked.

    Args:
        response: a TimeStampResp.
        data: what was stamped.
        chain: the root, and what stands between it and the service, in any order.
        root_fingerprint: SHA-256 of the root's DER in hex.
        nonce: what the question held, for who asked it.

    Raises:
        TimestampRefused: a step failed; nothing else is raised, whatever the bytes.
    """
    # 1. A response that grants, by one signer.
    token = _granted(response)
    try:
        signer = cms.named_certificate(token)
    except SignatureRefused as error:
        raise _refused(f"its signer is unclear: {error}") from error
    # 2. Signature, digest, nonce, chain. What is self-issued could end a chain: only the root may.
    wanted = root_fingerprint.replace(":", "").lower()
    roots = [each for each in chain if fingerprint(each) == wanted][:1]
    if not roots:
        raise _refused(f"no certificate has the fingerprint {wanted} of its root")
    between = [each for each in chain if each.issuer != each.subject]
    builder = rfc3161_client.VerifierBuilder(
        roots=roots, intermediates=between, tsa_certificate=signer, nonce=nonce
    )
    try:
        decoded = rfc3161_client.decode_timestamp_response(response)
        builder.build().verify_message(decoded, data)
        at = decoded.tst_info.gen_time
    except (VerificationError, ValueError, OverflowError) as error:
        raise _refused(str(error)) from error
    # 3. Made for this alone.
    _check_purpose(signer)
    return Stamp(at.astimezone(dt.UTC), signer.subject.rfc4514_string())


def _granted(response: bytes) -> asn1.ContentInfo:
    if len(response) > MAX_RESPONSE_BYTES:
        raise _refused(f"it has {len(response)} bytes, and {MAX_RESPONSE_BYTES} are allowed")
    try:
        decoded = asn1.decode(asn1.TimeStampResponse, response)
    except ValueError as error:
        raise _refused(f"it is not a TimeStampResp in DER: {error}") from error
    if decoded.status.status != _GRANTED:
        said = "; ".join(decoded.status.status_string or ())
        raise _refused(f"the service did not grant it: status {decoded.status.status} {said}")
    if decoded.token is None:
        raise _refused("there is no token in it")
    return decoded.token


def _tst_info(content: bytes) -> asn1.TstInfo:
    try:
        info = asn1.decode(asn1.TstInfo, content)
    except ValueError as error:
        raise _refused(f"its TSTInfo is malformed: {error}") from error
    if info.version != 1:
        raise _refused(f"its version is {info.version}, not 1")
    if info.extensions is not None:
        raise _refused("its TSTInfo has extensions")
    return info


def _check_imprint(imprint: asn1.MessageImprint, data: bytes) -> None:
    digest = DIGESTS.get(imprint.hash_algorithm.algorithm)
    if digest is None:
        raise _refused(f"its digest {imprint.hash_algorithm.algorithm.dotted_string} is not known")
    if imprint.hashed_message != hashlib.new(digest, data).digest():
        raise _refused("it was made over other bytes")


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise _refused(f"its maker's certificate says no purpose: {error}") from error
    if not purposes.critical or list(purposes.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise _refused("its maker's certificate is not for time-stamping alone")


def _refused(why: str) -> TimestampRefused:
    return TimestampRefused(f"the time-stamp is not acceptable: {why}")
