"""Errors as they cross the wire: one pair of functions between the tree and google.rpc.Status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from document_exchange.errors import (
    BY_CODE,
    ConfigurationError,
    DeadlinePassed,
    ExchangeError,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    StateConflict,
    Unauthenticated,
    Unavailable,
)
from document_exchange.v1 import envelope_pb2

DOMAIN = "document-exchange"
"""``google.rpc.ErrorInfo.domain`` of every error of this service."""

_MAX_TRAILER_BYTES = 8 * 1024
"""Of HTTP/2 trailers: the default limit of gRPC (from there on up to 16 KiB it drops answers by
chance, "soft limit") and of grpc-java. Measured as they are written on the wire: details in
base64, the message with percent signs."""
_OTHER_TRAILERS_BYTES = 512
"""Names, the status, and what HTTP/2 counts besides for each field (RFC 9113, 6.5.2)."""
_MAX_MESSAGE_BYTES = 2 * 1024
_FRAMING_BYTES = 10
"""Tags and lengths of an entry or detail, at most."""

_BY_GRPC_STATUS = {
    "CANCELLED": Unavailable,
    "UNKNOWN": Unavailable,
    "INVALID_ARGUMENT": InvalidRequest,
    "DEADLINE_EXCEEDED": DeadlinePassed,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Refused,
    "PERMISSION_DENIED": NotPermitted,
    "RESOURCE_EXHAUSTED": Unavailable,
    "FAILED_PRECONDITION": Refused,
    "ABORTED": Unavailable,
    "OUT_OF_RANGE": InvalidRequest,
    "UNIMPLEMENTED": ConfigurationError,
    "INTERNAL": InternalError,
    "UNAVAILABLE": Unavailable,
    "DATA_LOSS": InternalError,
    "UNAUTHENTICATED": Unauthenticated,
}
"""What a status without our details means: gRPC itself or something in between made it.

The centre never answers so. Where the outcome is unknown it may be tried again, since every call
is safe to repeat: CANCELLED, UNKNOWN and INTERNAL are what a broken stream looks like (HTTP/2
resets, https://github.com/grpc/grpc/blob/master/doc/statuscodes.md), RESOURCE_EXHAUSTED is what a
peer says that is short of something for the moment.
"""

_TOO_LARGE = ("larger than max", "size exceeds")
"""What gRPC says with RESOURCE_EXHAUSTED of a message or metadata that will never pass."""


def to_status(error: ExchangeError) -> status_pb2.Status:
    """``error`` as google.rpc.Status with ErrorInfo and, for StateConflict, the winning Statement.

    It fits into HTTP/2 trailers: a long message is cut; attributes that don't fit, and then the
    Statement, are left out and counted under ``_omitted``,
    which is no name of a unit.
    """
    message = _fitting(error.message)
    status = status_pb2.Status(code=code_pb2.Code.Value(error.grpc_status), message=message)
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    details = [_packed(info)]
    if isinstance(error, QuotaExceeded):
        details.append(_packed(_retry_info(error.retry_after_s)))
    room = (_MAX_TRAILER_BYTES - _OTHER_TRAILERS_BYTES - _percent_encoded_size(message)) * 3 // 4
    room -= status.ByteSize() + sum(each.ByteSize() + _FRAMING_BYTES for each in details)
    omitted = 0
    for name, value in error.attributes.items():
        size = len(name.encode()) + len(value.encode()) + _FRAMING_BYTES
        if size <= room:
            room -= size
            info.metadata[name] = value
        else:
            omitted += 1
    if isinstance(error, StateConflict) and error.winning is not None:
        statement = _packed(_statement(*error.winning))
        if statement.ByteSize() + _FRAMING_BYTES <= room:
            details.append(statement)
        else:
            omitted += 1
    if omitted:
        info.metadata["_omitted"] = str(omitted)
    details[0] = _packed(info)
    status.details.extend(details)
    return status


def from_status(status: status_pb2.Status) -> ExchangeError:
    """The error that ``to_status`` packed; the nearest class for a status made elsewhere."""
    info = error_details_pb2.ErrorInfo()
    statement: envelope_pb2.Statement | None = None
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(envelope_pb2.Statement.DESCRIPTOR):
            statement = envelope_pb2.Statement()
            detail.Unpack(statement)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            detail.Unpack(retry)
    cls = BY_CODE.get(info.reason) if info.domain == DOMAIN else None
    if cls is None:
        cls = _made_elsewhere(status)
    if issubclass(cls, StateConflict) and statement is not None:
        return cls(
            status.message,
            winning=(
                statement.receipt.content,
                statement.receipt.signature,
                statement.admission.content,
                statement.admission.signature,
            ),
            **info.metadata,
        )
    if issubclass(cls, QuotaExceeded):
        # By hand: timedelta holds less than a Duration can say.
        retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        return cls(status.message, retry_after_s=max(0.0, retry_after_s), **info.metadata)
    return cls(status.message, **info.metadata)


def _made_elsewhere(status: status_pb2.Status) -> type[ExchangeError]:
    name = code_pb2.Code.Name(status.code) if status.code in _KNOWN_CODES else "UNKNOWN"
    if name == "RESOURCE_EXHAUSTED" and any(sign in status.message for sign in _TOO_LARGE):
        return LimitExceeded
    return _BY_GRPC_STATUS.get(name, ExchangeError)


_KNOWN_CODES = frozenset(code_pb2.Code.values())


_WRITTEN_AS_THEY_ARE = bytes(byte for byte in range(0x20, 0x7F) if byte != 0x25)


def _fitting(message: str) -> str:
    """The message, or as much of it as fits."""
    if _percent_encoded_size(message) <= _MAX_MESSAGE_BYTES:
        return message
    size = 0
    for place, character in enumerate(message):
        size += _percent_encoded_size(character)
        if size > _MAX_MESSAGE_BYTES:
            return message[:place] + "…"
    return message


def _percent_encoded_size(text: str) -> int:
    """How long gRPC writes it (PROTOCOL-HTTP2.md, Percent-Encoded)."""
    data = text.encode()
    return len(data) + 2 * len(data.translate(None, _WRITTEN_AS_THEY_ARE))


def _statement(
    receipt: bytes, receipt_signature: bytes, admission: bytes, admission_signature: bytes
) -> envelope_pb2.Statement:
    return envelope_pb2.Statement(
        receipt=envelope_pb2.SignedBytes(content=receipt, signature=receipt_signature),
        admission=envelope_pb2.SignedBytes(content=admission, signature=admission_signature)
        if admission
        else None,
    )


def _retry_info(delay_s: float) -> Any:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=delay_s))
    return info


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
