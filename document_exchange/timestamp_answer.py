"""How a time-stamping service answers a question: with a token, or with why not (RFC 3161).

The service brings its key, its clock and a serial number that it never gave before; everything else
is decided here. What it answers, ``timestamp.verify`` accepts.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import ObjectIdentifier

from document_exchange import asn1, cms
from document_exchange.signer import Signer
from document_exchange.timestamp import DIGESTS, ID_TST_INFO

__all__ = ["Answer", "Failure", "refuse", "respond"]

_GRANTED: Final = 0
_REJECTION: Final = 2
_LARGEST_NONCE: Final = 2**256


class Failure(enum.IntEnum):
    """Why there is no token: the bits of PKIFailureInfo (RFC 3161, section 2.4.2)."""

    BAD_ALGORITHM = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    SYSTEM_FAILURE = 25


@dataclass(frozen=True, slots=True)
class Answer:
    """A TimeStampResp in DER, and why it has no token; None where it has one."""

    der: bytes
    failure: Failure | None = None


class _Unanswerable(Exception):
    def __init__(self, failure: Failure, why: str) -> None:
        super().__init__(why)
        self.failure = failure


def respond(
    query: bytes, signer: Signer, *, at: dt.datetime, serial: int, policy: ObjectIdentifier
) -> Answer:
    """Answer a question, whatever its bytes.

    Args:
        query: a TimeStampReq in DER, or anything else.
        signer: the service's key, with its certificate.
        at: the service's clock, aware; what the token says, in milliseconds.
        serial: positive, at most 160 bits, and never used by this service before.
        policy: under which tokens are made; a question may name this one or none.
    """
    try:
        request = _read(query, policy)
    except _Unanswerable as reason:
        return refuse(reason.failure, str(reason))
    whole_ms = at.astimezone(dt.UTC).replace(microsecond=at.microsecond // 1000 * 1000)
    info = asn1.TstInfo(
        version=1,
        policy=policy,
        message_imprint=request.message_imprint,
        serial_number=serial,
        generated_at=asn1.GeneralizedTime(whole_ms),
        accuracy=asn1.Accuracy(seconds=1, milliseconds=None, microseconds=None),
        ordering=False,
        nonce=request.nonce,
        extensions=None,
    )
    token = cms.sign(
        asn1.encode(info),
        signer,
        at=whole_ms,
        content_type=ID_TST_INFO,
        attached=True,
        certificate_inside=request.certificate_wanted,
    )
    granted = asn1.PkiStatusInfo(status=_GRANTED, status_string=None, failure=None)
    return Answer(asn1.encode(asn1.TimeStampResponse(status=granted, token=token)))


def refuse(failure: Failure, why: str) -> Answer:
    """The answer that says why there is no token."""
    status = asn1.PkiStatusInfo(
        status=_REJECTION, status_string=[why], failure=_named_bit(failure.value)
    )
    return Answer(asn1.encode(asn1.TimeStampResponse(status=status, token=None)), failure)


def _read(query: bytes, policy: ObjectIdentifier) -> asn1.TimeStampRequest:
    try:
        request = asn1.decode(asn1.TimeStampRequest, query)
    except ValueError:
        raise _Unanswerable(
            Failure.BAD_DATA_FORMAT, "the question is not a TimeStampReq in DER"
        ) from None
    if request.version != 1:
        raise _Unanswerable(Failure.BAD_REQUEST, "the version must be 1")
    digest = DIGESTS.get(request.message_imprint.hash_algorithm.algorithm)
    if digest is None:
        raise _Unanswerable(Failure.BAD_ALGORITHM, "the digest must be SHA-256, SHA-384 or SHA-512")
    if len(request.message_imprint.hashed_message) != hashlib.new(digest).digest_size:
        raise _Unanswerable(Failure.BAD_DATA_FORMAT, "the digest has a wrong length")
    if request.nonce is not None and abs(request.nonce) >= _LARGEST_NONCE:
        raise _Unanswerable(Failure.BAD_REQUEST, "the nonce has more than 256 bits")
    if request.policy not in (None, policy):
        raise _Unanswerable(
            Failure.UNACCEPTED_POLICY, f"the one policy here is {policy.dotted_string}"
        )
    if request.extensions is not None:
        raise _Unanswerable(Failure.UNACCEPTED_EXTENSION, "no extensions are understood")
    return request


def _named_bit(bit: int) -> asn1.BitString:
    """A named bit list with one bit: without trailing zeros, as DER has it."""
    return asn1.BitString(bytes([*bytes(bit // 8), 0x80 >> bit % 8]), 7 - bit % 8)
