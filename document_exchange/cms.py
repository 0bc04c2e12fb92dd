"""CMS SignedData by one signer of level CAdES-B: made, and verified over exact bytes.

Sources: RFC 5652 (CMS), RFC 5035 (signing-certificate-v2), RFC 5754 and 5758 (algorithm
identifiers), ETSI EN 319 122-1 section 6.3 (baseline B-B). Documents' signatures are detached and
over id-data; time-stamp tokens carry their content, which is of another type. All else is alike.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from typing import Final, NamedTuple, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ObjectIdentifier

from document_exchange import asn1
from document_exchange.errors import SignatureInvalid
from document_exchange.signer import SUITE, Signer

__all__ = ["ID_DATA", "named_certificate", "sign", "verify"]

ID_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
"""The content type of plain bytes."""

_REMEMBERED_CERTIFICATES: Final = 256  # bounded by a certificate's length too: that of a signature

_ID_SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE: Final = ObjectIdentifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_TIME: Final = ObjectIdentifier("1.2.840.113549.1.9.5")
_SIGNING_CERTIFICATE_V2: Final = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
_SHA_256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")

_BY_ISSUER: Final = 1  # how a SignerInfo names the signer, as its version says
_BY_KEY_IDENTIFIER: Final = 3

_T = TypeVar("_T")

_Attributes = dict[ObjectIdentifier, asn1.Attribute]

_DIGEST_ALGORITHM: Final = asn1.AlgorithmIdentifier(
    algorithm=SUITE.digest_algorithm, parameters=None
)
_SIGNATURE_ALGORITHM: Final = asn1.AlgorithmIdentifier(
    algorithm=SUITE.signature_algorithm, parameters=None
)


def sign(
    content: bytes,
    signer: Signer,
    *,
    at: dt.datetime,
    content_type: ObjectIdentifier = ID_DATA,
    attached: bool = False,
    certificate_inside: bool = True,
) -> asn1.ContentInfo:
    """Sign ``content``, with the signer's certificate inside unless told otherwise.

    Args:
        content: the exact bytes.
        signer: the key, with the certificate of its holder.
        at: the signer's clock, aware; becomes signingTime, in whole seconds.
        content_type: what ``content`` is.
        attached: whether ``content`` goes inside too.
        certificate_inside: whether the signer's certificate does.

    Raises:
        ValueError: ``at`` has no time zone.
    """
    by = _of_signer(signer.certificate, content_type)
    attributes = asn1.SetOf(
        [
            by.content_type,
            _attribute(_MESSAGE_DIGEST, SUITE.digest(content)),
            _attribute(_SIGNING_TIME, _time(at)),
            by.signing_certificate,
        ]
    )
    signer_info = asn1.SignerInfo(
        version=_BY_ISSUER,
        sid=by.sid,
        digest_algorithm=_DIGEST_ALGORITHM,
        signed_attributes=attributes,
        signature_algorithm=_SIGNATURE_ALGORITHM,
        signature=signer.sign(_signed_bytes(attributes)),
        unsigned_attributes=None,
    )
    signed_data = asn1.SignedData(
        version=_version(_BY_ISSUER, content_type),
        digest_algorithms=asn1.SetOf([_DIGEST_ALGORITHM]),
        encapsulated=asn1.EncapsulatedContentInfo(
            content_type=content_type, content=content if attached else None
        ),
        certificates=by.certificates if certificate_inside else None,
        crls=None,
        signer_infos=asn1.SetOf([signer_info]),
    )
    return asn1.ContentInfo(content_type=_ID_SIGNED_DATA, signed_data=signed_data)


class _OfSigner(NamedTuple):
    """What is the same in every signature of one certificate's holder over one type of content."""

    certificates: asn1.SetOf[asn1.TLV]
    sid: asn1.IssuerAndSerialNumber
    content_type: asn1.Attribute
    signing_certificate: asn1.Attribute


@functools.lru_cache(16)
def _of_signer(certificate: x509.Certificate, content_type: ObjectIdentifier) -> _OfSigner:
    der = certificate.public_bytes(serialization.Encoding.DER)
    ess_id = asn1.EssCertIdV2(
        hash_algorithm=None,
        certificate_hash=hashlib.sha256(der).digest(),
        issuer_serial=None,  # EN 319 122-1: the hash says it all
    )
    return _OfSigner(
        certificates=asn1.SetOf([asn1.tlv(der)]),
        sid=asn1.IssuerAndSerialNumber(
            issuer=asn1.tlv(certificate.issuer.public_bytes()),
            serial_number=certificate.serial_number,
        ),
        content_type=_attribute(_CONTENT_TYPE, content_type),
        signing_certificate=_attribute(
            _SIGNING_CERTIFICATE_V2, asn1.SigningCertificateV2(certificates=[ess_id], policies=None)
        ),
    )


def verify(
    content_info: asn1.ContentInfo,
    content: bytes,
    *,
    content_type: ObjectIdentifier = ID_DATA,
    attached: bool = False,
) -> x509.Certificate:
    """Check that this is a CAdES-B signature over exactly the bytes of ``content``.

    1. It is SignedData over ``content_type``, digested with SHA-256 alone; ``content`` itself is
       inside exactly where it should be.
    2. It has exactly one SignerInfo, with the algorithms of the suite.
    3. Its signed attributes are there, none of them twice: contentType is ``content_type``,
       messageDigest is the digest of ``content``, signingTime is a time.
    4. The certificate whose digest signing-certificate-v2 holds is inside, and is the one that
       the SignerInfo names.
    5. The key in that certificate is of the suite's kind, and made the signature over the DER
       encoding of the SET OF signed attributes.

    What the caller must still do: have read ``content_info`` from DER, and judge the certificate.

    Returns:
        The signer's certificate.

    Raises:
        SignatureInvalid: a step failed; nothing else is raised.
    """
    # 1. and 2. What it is, and by whom.
    signed_data = content_info.signed_data
    _check_signed_data(
        content_info.content_type, signed_data, content_type, content if attached else None
    )
    signer_info = _only_signer(signed_data)
    _check_signer_info(signed_data, signer_info)
    # 3. What was signed.
    signed = _signed_set(signer_info)
    attributes = _once_each(signed)
    _check_attributes(attributes, content, content_type)
    # 4. Which certificate. By digest first: names and serials are the issuer's to give twice.
    certificate = _signing_certificate(attributes, signed_data, signer_info)
    # 5. The signature itself.
    try:
        key = _public_key(certificate)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid(f"the key in the signer's certificate is unusable: {error}") from error
    if not SUITE.fits(key):
        raise _invalid(f"the key in the signer's certificate does not fit {SUITE.name}")
    if not SUITE.verifies(key, signer_info.signature, _signed_bytes(signed)):
        raise _invalid("it was not made with the key in the signer's certificate")
    return certificate


def named_certificate(content_info: asn1.ContentInfo) -> x509.Certificate:
    """The certificate inside that the one signer's signed attributes name, whatever the algorithms.

    Nothing is verified: this says which certificate a verified signature must have been made with
    (RFC 5035, section 5.4).

    Raises:
        SignatureInvalid: there is not one signer, or no certificate that it names.
    """
    signed_data = content_info.signed_data
    signer_info = _only_signer(signed_data)
    return _signing_certificate(_once_each(_signed_set(signer_info)), signed_data, signer_info)


def _check_signed_data(
    type_: ObjectIdentifier,
    signed_data: asn1.SignedData,
    content_type: ObjectIdentifier,
    content: bytes | None,
) -> None:
    if type_ != _ID_SIGNED_DATA:
        raise _invalid("it is not SignedData")
    algorithms = [each.algorithm for each in signed_data.digest_algorithms.as_list()]
    if algorithms != [SUITE.digest_algorithm]:
        raise _invalid(f"its digest algorithms do not fit {SUITE.name}")
    if signed_data.encapsulated.content_type != content_type:
        raise _invalid(f"its content type is not {_named(content_type)}")
    inside = signed_data.encapsulated.content
    if inside is not None and content is None:
        raise _invalid("it carries content; it must be detached")
    if inside != content:
        raise _invalid("it does not carry the content")


def _only_signer(signed_data: asn1.SignedData) -> asn1.SignerInfo:
    signer_infos = signed_data.signer_infos.as_list()
    if len(signer_infos) != 1:
        raise _invalid(f"it has {len(signer_infos)} signers; it must have one")
    return signer_infos[0]


def _check_signer_info(signed_data: asn1.SignedData, signer_info: asn1.SignerInfo) -> None:
    version = _BY_KEY_IDENTIFIER if isinstance(signer_info.sid, bytes) else _BY_ISSUER
    versions = _version(version, signed_data.encapsulated.content_type), version
    if (signed_data.version, signer_info.version) != versions:
        raise _invalid("its versions do not fit its form")
    if signer_info.digest_algorithm.algorithm != SUITE.digest_algorithm:
        raise _invalid(f"its digest algorithm does not fit {SUITE.name}")
    algorithm = signer_info.signature_algorithm
    if algorithm.algorithm != SUITE.signature_algorithm or algorithm.parameters is not None:
        raise _invalid(f"its signature algorithm does not fit {SUITE.name}")


def _version(signer_info: int, content_type: ObjectIdentifier) -> int:
    """The version of SignedData around such a SignerInfo (RFC 5652, section 5.1)."""
    return signer_info if content_type == ID_DATA else 3


def _named(content_type: ObjectIdentifier) -> str:
    return "id-data" if content_type == ID_DATA else content_type.dotted_string


def _signed_set(signer_info: asn1.SignerInfo) -> asn1.SetOf[asn1.Attribute]:
    if signer_info.signed_attributes is None:
        raise _invalid("it has no signed attributes")
    return signer_info.signed_attributes


def _once_each(attributes: asn1.SetOf[asn1.Attribute]) -> _Attributes:
    by_type: _Attributes = {}
    for attribute in attributes.as_list():
        if attribute.type in by_type:
            raise _invalid(f"the signed attribute {attribute.type.dotted_string} occurs twice")
        by_type[attribute.type] = attribute
    return by_type


def _check_attributes(
    attributes: _Attributes, content: bytes, content_type: ObjectIdentifier
) -> None:
    if _value(attributes, _CONTENT_TYPE, ObjectIdentifier) != content_type:
        raise _invalid(f"the signed content type is not {_named(content_type)}")
    if _value(attributes, _MESSAGE_DIGEST, bytes) != SUITE.digest(content):
        raise _invalid("it was made over other bytes")
    _value(attributes, _SIGNING_TIME, asn1.UTCTime, asn1.GeneralizedTime)


def _signing_certificate(
    attributes: _Attributes, signed_data: asn1.SignedData, signer_info: asn1.SignerInfo
) -> x509.Certificate:
    """The certificate that signing-certificate-v2 names first (RFC 5035, section 5.4.1)."""
    named = _value(attributes, _SIGNING_CERTIFICATE_V2, asn1.SigningCertificateV2).certificates
    if not named:
        raise _invalid("its signing-certificate-v2 is empty")
    ess_id = named[0]
    if ess_id.hash_algorithm is not None and ess_id.hash_algorithm.algorithm != _SHA_256:
        raise _invalid("its signing-certificate-v2 does not use SHA-256")
    candidates = [] if signed_data.certificates is None else signed_data.certificates.as_list()
    for candidate in candidates:
        der = asn1.encode(candidate)
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
    name: asn1.IssuerAndSerialNumber | asn1.IssuerSerial | bytes,
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
    if isinstance(name, asn1.IssuerSerial):  # GeneralNames with one directoryName, [4]
        if len(name.issuer) != 1 or name.issuer[0].tag_bytes != b"\xa4":
            return False
        same_issuer = bytes(name.issuer[0].data) == issuer
    else:
        same_issuer = asn1.encode(name.issuer) == issuer
    return same_issuer and name.serial_number == certificate.serial_number


def _signed_bytes(attributes: asn1.SetOf[asn1.Attribute]) -> bytes:
    """The attributes as they are signed: tagged SET OF, not [0] (RFC 5652, section 5.4).

    asn1 encodes no bare SET OF, so it goes through a sequence, whose header is then taken off.
    """
    return bytes(asn1.tlv(asn1.encode(asn1.SignedAttributes(attributes=attributes))).data)


def _attribute(kind: ObjectIdentifier, value: object) -> asn1.Attribute:
    return asn1.Attribute(type=kind, values=asn1.SetOf([asn1.tlv(asn1.encode(value))]))


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


def _invalid(why: str) -> SignatureInvalid:
    return SignatureInvalid(f"the signature is not acceptable: {why}")
