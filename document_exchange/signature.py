"""Signatures over exact bytes: detached CMS SignedData of level CAdES-B, made and verified.

Sources: RFC 5652 (CMS), RFC 5035 (signing-certificate-v2), RFC 5754 and 5758 (algorithm
identifiers), ETSI EN 319 122-1 section 6.3 (baseline B-B). Everything is DER, and what is in use
is laid down so narrowly that a signature of ours has no byte that could change unnoticed::

    ContentInfo                     id-signedData
      SignedData                    version as the SignerInfo's
        digestAlgorithms            {SHA-256}
        encapContentInfo            id-data, without content: the signature is detached
        certificates [0]            the signer's; further ones are ignored
        crls [1]                    ignored
        signerInfos                 exactly one
          version, sid              1 with issuer and serial, or 3 with subject key identifier
          digestAlgorithm           SHA-256
          signedAttrs [0]           contentType, messageDigest, signingTime and
                                    signing-certificate-v2, once each; others are ignored
          signatureAlgorithm        ecdsa-with-SHA256
          unsignedAttrs [1]         ignored (time stamps, for example)
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from cryptography import x509

from document_exchange import asn1, cms
from document_exchange.errors import SignatureInvalid
from document_exchange.signer import KeySigner, Signer

__all__ = ["MAX_SIGNATURE_BYTES", "KeySigner", "Signer", "sign", "verify"]

MAX_SIGNATURE_BYTES: Final = 16 * 1024
"""Room for a chain and a time stamp; what is longer takes long to read."""


def sign(content: bytes, signer: Signer, *, at: dt.datetime) -> bytes:
    """Sign ``content``, leaving it outside, with the signer's certificate inside.

    Args:
        content: the exact bytes.
        signer: the key, with the certificate of its holder.
        at: the signer's clock, aware; becomes signingTime, in whole seconds.

    Returns:
        A CMS ContentInfo in DER, about 1 KiB.

    Raises:
        ValueError: ``at`` has no time zone.
    """
    return asn1.encode(cms.sign(content, signer, at=at))


def verify(content: bytes, signature: bytes) -> x509.Certificate:
    """Check that ``signature`` is a CAdES-B signature over exactly the bytes of ``content``.

    1. It has at most 16 KiB, is a ContentInfo in DER, and has no other encoding.
    2. It is SignedData over id-data, detached, digested with SHA-256 alone.
    3. It has exactly one SignerInfo, with the algorithms of the suite.
    4. Its signed attributes are there, none of them twice: contentType is id-data, messageDigest
       is the digest of ``content``, signingTime is a time.
    5. The certificate whose digest signing-certificate-v2 holds is inside, and is the one that
       the SignerInfo names.
    6. The key in that certificate is of the suite's kind, and made the signature over the DER
       encoding of the SET OF signed attributes.

    What the caller must still do: find out whether that certificate is a seal, whose, and whether
    it was valid at the moment that counts (``certificates.SealTrust.check``). Here anybody's
    certificate will do. signingTime is the signer's word and proves nothing.

    Returns:
        The signer's certificate.

    Raises:
        SignatureInvalid: a step failed; nothing else is raised, whatever the bytes.
    """
    # 1. One encoding.
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise _invalid(f"it has {len(signature)} bytes, and {MAX_SIGNATURE_BYTES} are allowed")
    try:
        content_info = asn1.decode(asn1.ContentInfo, signature)
    except ValueError as error:
        raise _invalid(f"it is not a CMS signature in DER: {error}") from error
    # 2. to 6. What it is, by whom, over which bytes.
    return cms.verify(content_info, content)


def _invalid(why: str) -> SignatureInvalid:
    return SignatureInvalid(f"the signature is not acceptable: {why}")
