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

This is the only module that knows ``cryptography.hazmat.asn1``, which is provisional.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from typing import Annotated, Final, NamedTuple, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ObjectIdentifier

from document_exchange.errors import SignatureInvalid
from document_exchange.signer import SUITE, KeySigner, Signer

__all__ = ["MAX_SIGNATURE_BYTES", "KeySigner", "Signer", "sign", "verify"]

MAX_SIGNATURE_BYTES: Final = 16 * 1024
"""Room for a chain and a time stamp; what is longer takes long to read."""

_REMEMBERED_CERTIFICATES: Final = 256  # bounded by a certificate's length too: that of a signature

_ID_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
_ID_SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE: Final = ObjectIdentifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_TIME: Final = ObjectIdentifier("1.2.840.113549.1.9.5")
_SIGNING_CERTIFICATE_V2: Final = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
_SHA_256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")

_T = TypeVar("_T")


# The structures, in the order of the RFCs. asn1.TLV is any one element, not looked into.


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None  # RFC 5754: absent for SHA-256, and NULL must be accepted


@asn1.sequence
class _Attribute:
    type: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _IssuerAndSerialNumber:
    issuer: asn1.TLV
    serial_number: int


@asn1.sequence
class _SignerInfo:
    version: int
    sid: _IssuerAndSerialNumber | Annotated[bytes, asn1.Implicit(0)]
    digest_algorithm: _AlgorithmIdentifier
    signed_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(0)]
    signature_algorithm: _AlgorithmIdentifier
    signature: bytes
    unsigned_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class _EncapsulatedContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[_AlgorithmIdentifier]
    encapsulated: _EncapsulatedContentInfo
    certificates: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)]
    crls: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _ContentInfo:
    content_type: ObjectIdentifier
    signed_data: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _SignedAttributes:
    attributes: asn1.SetOf[_Attribute]


@asn1.sequence
class _IssuerSerial:
    issuer: list[asn1.TLV]  # GeneralNames
    serial_number: int


@asn1.sequence
class _EssCertIdV2:
    hash_algorithm: _AlgorithmIdentifier | None  # absent means SHA-256
    certificate_hash: bytes
    issuer_serial: _IssuerSerial | None


@asn1.sequence
class _SigningCertificateV2:
    certificates: list[_EssCertIdV2]
    policies: list[asn1.TLV] | None


_Attributes = dict[ObjectIdentifier, _Attribute]

_DIGEST_ALGORITHM: Final = _AlgorithmIdentifier(algorithm=SUITE.digest_algorithm, parameters=None)
_SIGNATURE_ALGORITHM: Final = _AlgorithmIdentifier(
    algorithm=SUITE.signature_algorithm, parameters=None
)


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
    by = _of_signer(signer.certificate)
    attributes = asn1.SetOf(
        [
            by.content_type,
            _attribute(_MESSAGE_DIGEST, SUITE.digest(content)),
            _attribute(_SIGNING_TIME, _time(at)),
            by.signing_certificate,
        ]
    )
    signer_info = _SignerInfo(
        version=1,
        sid=by.sid,
        digest_algorithm=_DIGEST_ALGORITHM,
        signed_attributes=attributes,
        signature_algorithm=_SIGNATURE_ALGORITHM,
        signature=signer.sign(_signed_bytes(attributes)),
        unsigned_attributes=None,
    )
    signed_data = _SignedData(
        version=1,
        digest_algorithms=asn1.SetOf([_DIGEST_ALGORITHM]),
        encapsulated=_EncapsulatedContentInfo(content_type=_ID_DATA, content=None),
        certificates=by.certificates,
        crls=None,
        signer_infos=asn1.SetOf([signer_info]),
    )
    return asn1.encode_der(_ContentInfo(content_type=_ID_SIGNED_DATA, signed_data=signed_data))


class _OfSigner(NamedTuple):
    """What is the same in every signature of one certificate's holder."""

    certificates: asn1.SetOf[asn1.TLV]
    sid: _IssuerAndSerialNumber
    content_type: _Attribute
    signing_certificate: _Attribute


@functools.lru_cache(16)
def _of_signer(certificate: x509.Certificate) -> _OfSigner:
    der = certificate.public_bytes(serialization.Encoding.DER)
    ess_id = _EssCertIdV2(
        hash_algorithm=None,
        certificate_hash=hashlib.sha256(der).digest(),
        issuer_serial=None,  # EN 319 122-1: the hash says it all
    )
    return _OfSigner(
        certificates=asn1.SetOf([_tlv(der)]),
        sid=_IssuerAndSerialNumber(
            issuer=_tlv(certificate.issuer.public_bytes()),
            serial_number=certificate.serial_number,
        ),
        content_type=_attribute(_CONTENT_TYPE, _ID_DATA),
        signing_certificate=_attribute(
            _SIGNING_CERTIFICATE_V2, _SigningCertificateV2(certificates=[ess_id], policies=None)
        ),
    )


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
    # 1. One encoding. The parser is strict; comparing makes that not a matter of trust.
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise _invalid(f"it has {len(signature)} bytes, and {MAX_SIGNATURE_BYTES} are allowed")
    content_info = _decode(_ContentInfo, signature, "it is not a CMS signature in DER")
    if asn1.encode_der(content_info) != signature:
        raise _invalid("it is not in DER")
    # 2. and 3. What it is, and by whom.
    signed_data = content_info.signed_data
    _check_signed_data(content_info.content_type, signed_data)
    signer_info = _only_signer(signed_data)
    # 4. What was signed.
    if signer_info.signed_attributes is None:
        raise _invalid("it has no signed attributes")
    attributes = _once_each(signer_info.signed_attributes)
    _check_attributes(attributes, content)
    # 5. Which certificate. By digest first: names and serials are the issuer's to give twice.
    certificate = _signing_certificate(attributes, signed_data, signer_info)
    # 6. The signature itself.
    try:
        key = _public_key(certificate)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid(f"the key in the signer's certificate is unusable: {error}") from error
    if not SUITE.fits(key):
        raise _invalid(f"the key in the signer's certificate does not fit {SUITE.name}")
    if not SUITE.verifies(key, signer_info.signature, _signed_bytes(signer_info.signed_attributes)):
        raise _invalid("it was not made with the key in the signer's certificate")
    return certificate


def _check_signed_data(content_type: ObjectIdentifier, signed_data: _SignedData) -> None:
    if content_type != _ID_SIGNED_DATA:
        raise _invalid("it is not SignedData")
    algorithms = [each.algorithm for each in signed_data.digest_algorithms.as_list()]
    if algorithms != [SUITE.digest_algorithm]:
        raise _invalid(f"its digest algorithms do not fit {SUITE.name}")
    if signed_data.encapsulated.content_type != _ID_DATA:
        raise _invalid("its content type is not id-data")
    if signed_data.encapsulated.content is not None:
        raise _invalid("it carries content; it must be detached")


def _only_signer(signed_data: _SignedData) -> _SignerInfo:
    signer_infos = signed_data.signer_infos.as_list()
    if len(signer_infos) != 1:
        raise _invalid(f"it has {len(signer_infos)} signers; it must have one")
    signer_info = signer_infos[0]
    version = 3 if isinstance(signer_info.sid, bytes) else 1
    if (signed_data.version, signer_info.version) != (version, version):
        raise _invalid("its versions do not fit its form")
    if signer_info.digest_algorithm.algorithm != SUITE.digest_algorithm:
        raise _invalid(f"its digest algorithm does not fit {SUITE.name}")
    algorithm = signer_info.signature_algorithm
    if algorithm.algorithm != SUITE.signature_algorithm or algorithm.parameters is not None:
        raise _invalid(f"its signature algorithm does not fit {SUITE.name}")
    return signer_info


def _once_each(attributes: asn1.SetOf[_Attribute]) -> _Attributes:
    by_type: _Attributes = {}
    for attribute in attributes.as_list():
        if attribute.type in by_type:
            raise _invalid(f"the signed attribute {attribute.type.dotted_string} occurs twice")
        by_type[attribute.type] = attribute
    return by_type


def _check_attributes(attributes: _Attributes, content: bytes) -> None:
    if _value(attributes, _CONTENT_TYPE, ObjectIdentifier) != _ID_DATA:
        raise _invalid("the signed content type is not id-data")
    if _value(attributes, _MESSAGE_DIGEST, bytes) != SUITE.digest(content):
        raise _invalid("it was made over other bytes")
    _value(attributes, _SIGNING_TIME, asn1.UTCTime, asn1.GeneralizedTime)


def _signing_certificate(
    attributes: _Attributes, signed_data: _SignedData, signer_info: _SignerInfo
) -> x509.Certificate:
    """The certificate that signing-certificate-v2 names first (RFC 5035, section 5.4.1)."""
    named = _value(attributes, _SIGNING_CERTIFICATE_V2, _SigningCertificateV2).certificates
    if not named:
        raise _invalid("its signing-certificate-v2 is empty")
    ess_id = named[0]
    if ess_id.hash_algorithm is not None and ess_id.hash_algorithm.algorithm != _SHA_256:
        raise _invalid("its signing-certificate-v2 does not use SHA-256")
    candidates = [] if signed_data.certificates is None else signed_data.certificates.as_list()
    for candidate in candidates:
        der = asn1.encode_der(candidate)
        if hashlib.sha256(der).digest() == ess_id.certificate_hash:
            break
    else:
        raise _invalid("the certificate that its signing-certificate-v2 names is not inside")
    try:
        certificate, issuer = _load(der)
        agrees = _names(signer_info.sid, certificate, issuer) and (
            ess_id.issuer_serial is None or _names(ess_id.issuer_serial, certificate, issuer)
        )
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise _invalid(f"the signer's certificate is malformed: {error}") from error
    if not agrees:
        raise _invalid("its signer is not the one that its signing-certificate-v2 names")
    return certificate


# The same few certificates sign nearly everything, so what was read of them is kept.


@functools.lru_cache(_REMEMBERED_CERTIFICATES)
def _load(der: bytes) -> tuple[x509.Certificate, bytes]:
    """The certificate and its issuer's name in DER; raises what the parser does."""
    certificate = x509.load_der_x509_certificate(der)
    return certificate, certificate.issuer.public_bytes()


@functools.lru_cache(_REMEMBERED_CERTIFICATES)
def _public_key(certificate: x509.Certificate) -> object:
    return certificate.public_key()


def _names(
    name: _IssuerAndSerialNumber | _IssuerSerial | bytes,
    certificate: x509.Certificate,
    issuer: bytes,
) -> bool:
    """Whether an issuer with serial, or a key identifier, is that of ``certificate``."""
    if isinstance(name, bytes):
        try:
            own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except (x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
            return False
        return own.key_identifier == name
    if isinstance(name, _IssuerSerial):  # GeneralNames with one directoryName, [4]
        if len(name.issuer) != 1 or name.issuer[0].tag_bytes != b"\xa4":
            return False
        same_issuer = bytes(name.issuer[0].data) == issuer
    else:
        same_issuer = asn1.encode_der(name.issuer) == issuer
    return same_issuer and name.serial_number == certificate.serial_number


def _signed_bytes(attributes: asn1.SetOf[_Attribute]) -> bytes:
    """The attributes as they are signed: tagged SET OF, not [0] (RFC 5652, section 5.4).

    asn1 encodes no bare SET OF, so it goes through a sequence, whose header is then taken off.
    """
    return bytes(_tlv(asn1.encode_der(_SignedAttributes(attributes=attributes))).data)


def _attribute(kind: ObjectIdentifier, value: object) -> _Attribute:
    return _Attribute(type=kind, values=asn1.SetOf([_tlv(asn1.encode_der(value))]))


def _value(attributes: _Attributes, kind: ObjectIdentifier, *classes: type[_T]) -> _T:
    """The one value of a signed attribute that must be there, as the first class that fits."""
    values = attributes[kind].values.as_list() if kind in attributes else []
    if len(values) != 1:
        raise _invalid(f"it needs the signed attribute {kind.dotted_string}, with one value")
    for cls in classes:
        try:
            return cast(_T, values[0].parse(cls))
        except ValueError:
            continue
    raise _invalid(f"its signed attribute {kind.dotted_string} is malformed")


def _time(at: dt.datetime) -> asn1.UTCTime | asn1.GeneralizedTime:
    """UTCTime from 1950 to 2049, GeneralizedTime otherwise (RFC 5652, section 11.3)."""
    if at.tzinfo is None:
        raise ValueError("a signing time needs a time zone")
    whole = at.astimezone(dt.UTC).replace(microsecond=0)
    return asn1.UTCTime(whole) if 1950 <= whole.year < 2050 else asn1.GeneralizedTime(whole)


def _tlv(der: bytes) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, der)


def _decode(cls: type[_T], der: bytes, otherwise: str) -> _T:
    try:
        return asn1.decode_der(cls, der)
    except ValueError as error:
        raise _invalid(f"{otherwise}: {error}") from error


def _invalid(why: str) -> SignatureInvalid:
    return SignatureInvalid(f"the signature is not acceptable: {why}")
