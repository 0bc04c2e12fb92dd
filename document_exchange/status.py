"""Errors as they cross the wire: one pair of functions between the tree and google.rpc.Status."""

from __future__ import annotations

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from document_exchange.errors import BY_CODE, ExchangeError, StateConflict
from document_exchange.v1 import envelope_pb2

DOMAIN = "document-exchange"
"""``google.rpc.ErrorInfo.domain`` of every error of this service."""

_MAX_ATTRIBUTES = 512
_MAX_DETAIL_BYTES = 8 * 1024
"""Status details travel in HTTP/2 trailers, which peers limit (gRPC: 8 KiB soft, 16 KiB hard)."""

_BY_GRPC_STATUS = {
    "UNAUTHENTICATED": BY_CODE["UNAUTHENTICATED"],
    "PERMISSION_DENIED": BY_CODE["NOT_PERMITTED"],
    "NOT_FOUND": BY_CODE["NOT_FOUND"],
    "INVALID_ARGUMENT": BY_CODE["INVALID_REQUEST"],
    "RESOURCE_EXHAUSTED": BY_CODE["LIMIT_EXCEEDED"],
    "UNAVAILABLE": BY_CODE["UNAVAILABLE"],
    "DEADLINE_EXCEEDED": BY_CODE["DEADLINE_PASSED"],
    "CANCELLED": BY_CODE["UNAVAILABLE"],
    "INTERNAL": BY_CODE["INTERNAL"],
}


def to_status(error: ExchangeError) -> status_pb2.Status:
    """``error`` as google.rpc.Status with ErrorInfo and, for StateConflict, the winning Statement.

    Attributes that would not fit into HTTP/2 trailers are left out, and counted under
    ``omitted``.
    """
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.grpc_status), message=error.message[:2000]
    )
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    room = _MAX_DETAIL_BYTES
    omitted = 0
    for number, (name, value) in enumerate(error.attributes.items()):
        room -= len(name.encode()) + len(value.encode()) + 8
        if room < 0 or number >= _MAX_ATTRIBUTES:
            omitted += 1
        else:
            info.metadata[name] = value
    if omitted:
        info.metadata["omitted"] = str(omitted)
    _pack(status, info)
    if isinstance(error, StateConflict) and error.winning is not None:
        receipt, receipt_signature, admission, admission_signature = error.winning
        _pack(
            status,
            envelope_pb2.Statement(
                receipt=envelope_pb2.SignedBytes(content=receipt, signature=receipt_signature),
                admission=envelope_pb2.SignedBytes(content=admission, signature=admission_signature)
                if admission
                else None,
            ),
        )
    return status


def from_status(status: status_pb2.Status) -> ExchangeError:
    """The error that ``to_status`` packed; the nearest class for a status made elsewhere."""
    info = error_details_pb2.ErrorInfo()
    statement: envelope_pb2.Statement | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(envelope_pb2.Statement.DESCRIPTOR):
            statement = envelope_pb2.Statement()
            detail.Unpack(statement)
    cls = BY_CODE.get(info.reason) if info.domain == DOMAIN else None
    if cls is None:
        name = code_pb2.Code.Name(status.code) if status.code in _KNOWN_CODES else "UNKNOWN"
        cls = _BY_GRPC_STATUS.get(name, ExchangeError)
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
    return cls(status.message, **info.metadata)


_KNOWN_CODES = frozenset(code_pb2.Code.values())


def _pack(status: status_pb2.Status, message: object) -> None:
    detail = any_pb2.Any()
    detail.Pack(message)  # type: ignore[arg-type]
    status.details.append(detail)
