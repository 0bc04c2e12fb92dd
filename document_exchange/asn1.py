"""The ASN.1 structures of signatures (CMS) and of time-stamps (RFC 3161), read and written as DER.

Sources: RFC 5652 (CMS), RFC 5035 (signing-certificate-v2), RFC 3161 (time-stamps). Fields are in
the order of the RFCs; ``TLV`` is any one element, not looked into.

This is the only module that knows ``cryptography.hazmat.asn1``, which is provisional.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from cryptography.hazmat import asn1 as _asn1
from cryptography.hazmat.asn1 import TLV, BitString, GeneralizedTime, Null, SetOf, UTCTime
from cryptography.x509 import ObjectIdentifier

__all__ = [
    "TLV",
    "Accuracy",
    "AlgorithmIdentifier",
    "Attribute",
    "BitString",
    "ContentInfo",
    "EncapsulatedContentInfo",
    "EssCertIdV2",
    "GeneralizedTime",
    "IssuerAndSerialNumber",
    "IssuerSerial",
    "MessageImprint",
    "Null",
    "PkiStatusInfo",
    "SetOf",
    "SignedAttributes",
    "SignedData",
    "SignerInfo",
    "SigningCertificateV2",
    "TimeStampRequest",
    "TimeStampResponse",
    "TstInfo",
    "UTCTime",
    "decode",
    "encode",
    "tlv",
]

_T = TypeVar("_T")


def encode(value: object) -> bytes:
    """The DER of a structure."""
    return _asn1.encode_der(value)


def decode(cls: type[_T], der: bytes) -> _T:
    """Read a structure that must be all of ``der``, and in DER.

    The parser is strict; encoding again and comparing makes that not a matter of trust.

    Raises:
        ValueError: it is something else, or in another encoding.
    """
    value = _asn1.decode_der(cls, der)
    if _asn1.encode_der(value) != der:
        raise ValueError("it is not in DER")
    return value


def tlv(der: bytes) -> TLV:
    """One element, from its DER."""
    return _asn1.decode_der(TLV, der)


# -- signatures: RFC 5652 and RFC 5035


@_asn1.sequence
class AlgorithmIdentifier:
    algorithm: ObjectIdentifier
    parameters: Null | None  # RFC 5754: absent for SHA-256, and NULL must be accepted


@_asn1.sequence
class Attribute:
    type: ObjectIdentifier
    values: SetOf[TLV]


@_asn1.sequence
class IssuerAndSerialNumber:
    issuer: TLV
    serial_number: int


@_asn1.sequence
class SignerInfo:
    version: int
    sid: IssuerAndSerialNumber | Annotated[bytes, _asn1.Implicit(0)]
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Annotated[SetOf[Attribute] | None, _asn1.Implicit(0)]
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    unsigned_attributes: Annotated[SetOf[Attribute] | None, _asn1.Implicit(1)]


@_asn1.sequence
class EncapsulatedContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[bytes | None, _asn1.Explicit(0)]


@_asn1.sequence
class SignedData:
    version: int
    digest_algorithms: SetOf[AlgorithmIdentifier]
    encapsulated: EncapsulatedContentInfo
    certificates: Annotated[SetOf[TLV] | None, _asn1.Implicit(0)]
    crls: Annotated[SetOf[TLV] | None, _asn1.Implicit(1)]
    signer_infos: SetOf[SignerInfo]


@_asn1.sequence
class ContentInfo:
    content_type: ObjectIdentifier
    signed_data: Annotated[SignedData, _asn1.Explicit(0)]


@_asn1.sequence
class SignedAttributes:
    attributes: SetOf[Attribute]


@_asn1.sequence
class IssuerSerial:
    issuer: list[TLV]  # GeneralNames
    serial_number: int


@_asn1.sequence
class EssCertIdV2:
    hash_algorithm: AlgorithmIdentifier | None  # absent means SHA-256
    certificate_hash: bytes
    issuer_serial: IssuerSerial | None


@_asn1.sequence
class SigningCertificateV2:
    certificates: list[EssCertIdV2]
    policies: list[TLV] | None


# -- time-stamps: RFC 3161, section 2.4


@_asn1.sequence
class MessageImprint:
    hash_algorithm: AlgorithmIdentifier
    hashed_message: bytes


@_asn1.sequence
class TimeStampRequest:
    version: int
    message_imprint: MessageImprint
    policy: ObjectIdentifier | None
    nonce: int | None
    certificate_wanted: Annotated[bool, _asn1.Default(False)]
    extensions: Annotated[list[TLV] | None, _asn1.Implicit(0)]


@_asn1.sequence
class PkiStatusInfo:
    status: int
    status_string: list[str] | None
    failure: BitString | None


@_asn1.sequence
class TimeStampResponse:
    status: PkiStatusInfo
    token: ContentInfo | None


@_asn1.sequence
class Accuracy:
    seconds: int | None
    milliseconds: Annotated[int | None, _asn1.Implicit(0)]
    microseconds: Annotated[int | None, _asn1.Implicit(1)]


@_asn1.sequence
class TstInfo:
    """Without the name of the service (``tsa [0]``): signing-certificate-v2 says who it was."""

    version: int
    policy: ObjectIdentifier
    message_imprint: MessageImprint
    serial_number: int
    generated_at: GeneralizedTime
    accuracy: Accuracy | None
    ordering: Annotated[bool, _asn1.Default(False)]
    nonce: int | None
    extensions: Annotated[list[TLV] | None, _asn1.Implicit(1)]
