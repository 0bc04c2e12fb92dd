"""Receipts and admissions: the signed statements that one step of a delivery happened.

A receipt is a party's statement, or the centre's own. What counts of a party's receipt is the
centre's admission of it: when it was recorded and with which effect. Both are canonical JSON.
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from document_exchange import canonical, codes, identity, refusal, times
from document_exchange.errors import ReceiptRefused, Unauthenticated
from document_exchange.fields import (
    DelaySeconds,
    EnvelopeId,
    LogOrigin,
    Sequence,
    Sha256,
    SpiffeId,
    Text,
    Time,
    UnitId,
)

RECEIPT_SCHEMA: Literal["document-exchange/receipt/1"] = "document-exchange/receipt/1"
ADMISSION_SCHEMA: Literal["document-exchange/admission/1"] = "document-exchange/admission/1"
MAX_BYTES = 64 * 1024
MAX_SIGNATURES = 32

T = TypeVar("T", bound=msgspec.Struct)


class ReceiptType(enum.StrEnum):
    """What a receipt says has happened."""

    ACCEPTED = "ACCEPTED"
    DELIVERED = "DELIVERED"
    REMINDED = "REMINDED"
    OVERDUE = "OVERDUE"
    EXPIRED = "EXPIRED"
    SIGNED_FOR = "SIGNED_FOR"
    REFUSED = "REFUSED"
    RETURNED = "RETURNED"
    PROGRESS = "PROGRESS"
    COMPLETED = "COMPLETED"
    WITHDRAWAL_GRANTED = "WITHDRAWAL_GRANTED"
    WITHDRAWAL_DECLINED = "WITHDRAWAL_DECLINED"
    WITHDRAWN = "WITHDRAWN"
    WITHDRAWAL_REQUESTED = "WITHDRAWAL_REQUESTED"
    URGED = "URGED"
    OFFERED_AGAIN = "OFFERED_AGAIN"


SIGNED_BY_CENTRE = frozenset(
    {
        ReceiptType.ACCEPTED,
        ReceiptType.DELIVERED,
        ReceiptType.REMINDED,
        ReceiptType.OVERDUE,
        ReceiptType.EXPIRED,
    }
)
SIGNED_BY_RECIPIENT = frozenset(
    {
        ReceiptType.SIGNED_FOR,
        ReceiptType.REFUSED,
        ReceiptType.RETURNED,
        ReceiptType.PROGRESS,
        ReceiptType.COMPLETED,
        ReceiptType.WITHDRAWAL_GRANTED,
        ReceiptType.WITHDRAWAL_DECLINED,
    }
)
SIGNED_BY_SENDER = frozenset(
    {
        ReceiptType.WITHDRAWN,
        ReceiptType.WITHDRAWAL_REQUESTED,
        ReceiptType.URGED,
        ReceiptType.OFFERED_AGAIN,
    }
)
WITH_REASON_CODE = frozenset({ReceiptType.REFUSED, ReceiptType.RETURNED})
"""These need a reason code; no other receipt has one."""
WITH_TEXT = frozenset({ReceiptType.PROGRESS, ReceiptType.WITHDRAWAL_REQUESTED})
"""These say nothing without a text in ``reason``."""
WITH_DEADLINE = frozenset({ReceiptType.REMINDED, ReceiptType.OVERDUE})
"""These say of which deadline; no other receipt does."""


class State(enum.StrEnum):
    """Where a delivery is."""

    PENDING = "PENDING"  # 待送达
    DELIVERED = "DELIVERED"  # 已送达
    SIGNED_FOR = "SIGNED_FOR"  # 已签收
    COMPLETED = "COMPLETED"  # 已办结
    REFUSED = "REFUSED"  # 已拒收
    RETURNED = "RETURNED"  # 已退文
    WITHDRAWN = "WITHDRAWN"  # 已撤回
    EXPIRED = "EXPIRED"  # 已失效


class ReasonCode(enum.StrEnum):
    """Why a document was refused or returned; OTHER needs ``reason`` besides."""

    NOT_OUR_REMIT = "NOT_OUR_REMIT"
    RULE_VIOLATION = "RULE_VIOLATION"
    GENRE_OR_FORMAT = "GENRE_OR_FORMAT"
    NOT_CONSULTED = "NOT_CONSULTED"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    WRONG_RECIPIENT = "WRONG_RECIPIENT"
    DUPLICATE = "DUPLICATE"
    OTHER = "OTHER"


class DeadlineKind(enum.StrEnum):
    """By when a recipient is to do what."""

    SIGN_FOR = "SIGN_FOR"
    REPLY = "REPLY"


class Deadline(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The deadline that comes near (REMINDED) or has passed (OVERDUE)."""

    kind: DeadlineKind
    due_at: Time


class Log(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The transfer log that will hold the leaf, and within how many seconds."""

    origin: LogOrigin
    max_merge_delay_s: DelaySeconds


class Receipt(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One party's statement. From ``signatures_sha256`` on, fields are the centre's own only."""

    schema: Literal["document-exchange/receipt/1"]
    receipt_id: EnvelopeId
    type: ReceiptType
    envelope_id: EnvelopeId
    recipient: UnitId | None = None
    manifest_sha256: Sha256
    by: SpiffeId
    at: Time
    reason_code: ReasonCode | None = None
    reason: Text | None = None
    signatures_sha256: (
        Annotated[
            tuple[Sha256, ...],
            Meta(
                min_length=1,
                max_length=MAX_SIGNATURES,
                description=f"the digests of 1 to {MAX_SIGNATURES} different signatures",
                extra_json_schema={"uniqueItems": True},
            ),
        ]
        | None
    ) = None
    seq: Sequence | None = None
    state_before: State | None = None
    state_after: State | None = None
    leaf: Sha256 | None = None
    log: Log | None = None
    deadline: Deadline | None = None


class Admission(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The centre's statement that it recorded a party's receipt, when, and with which effect."""

    schema: Literal["document-exchange/admission/1"]
    receipt_sha256: Sha256
    receipt_signature_sha256: Sha256
    envelope_id: EnvelopeId
    recipient: UnitId
    seq: Sequence
    state_before: State
    state_after: State
    recorded_at: Time
    by: SpiffeId
    leaf: Sha256
    log: Log | None = None


def encode(statement: Receipt | Admission) -> bytes:
    """The canonical bytes of a receipt or admission.

    Raises:
        NotCanonical: a value has no canonical form; ``field`` says which.
    """
    return canonical.encode(statement)


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt and check what its type demands. Who sealed it is not checked here.

    Raises:
        NotCanonical: the bytes are not the canonical form of their value.
        ReceiptRefused: the size, a field or a rule; ``field`` names the place.
    """
    receipt = _decode(Receipt, data)
    for field, identifier in (
        ("receipt_id", receipt.receipt_id),
        ("envelope_id", receipt.envelope_id),
    ):
        _check_identifier(field, identifier)
    _check_time("at", receipt.at)
    centre = receipt.type in SIGNED_BY_CENTRE
    _check_signer(receipt.by, identity.Kind.CENTRE_SEAL if centre else identity.Kind.SEAL)
    _check_reason(receipt)
    _check_recipient(receipt)
    _check_centre_fields(receipt)
    return receipt


def decode_admission(data: bytes) -> Admission:
    """Read an admission. Whether the centre's seal signed it is not checked here.

    Raises:
        NotCanonical: the bytes are not the canonical form of their value.
        ReceiptRefused: the size, a field or a rule; ``field`` names the place.
    """
    admission = _decode(Admission, data)
    _check_identifier("envelope_id", admission.envelope_id)
    _check_time("recorded_at", admission.recorded_at)
    _check_signer(admission.by, identity.Kind.CENTRE_SEAL)
    if admission.seq == 0:
        _refuse("seq", admission.seq, "0 is ACCEPTED's own, which needs no admission")
    return admission


def _decode(cls: type[T], data: bytes) -> T:
    if len(data) > MAX_BYTES:
        raise ReceiptRefused(
            f"the {cls.__name__.lower()} has {len(data)} bytes; at most {MAX_BYTES} are accepted",
            field="$",
            size=str(len(data)),
            limit=str(MAX_BYTES),
        )
    return canonical.decode(cls, data, ReceiptRefused)


def _check_identifier(field: str, identifier: str) -> None:
    if not codes.is_uuid7(identifier):
        _refuse(field, identifier, "its time lies after the year 9999")


def _check_time(field: str, at: str) -> None:
    if not times.is_time(at):
        _refuse(field, at, "there is no such instant in the calendar")


def _check_signer(by: str, kind: identity.Kind) -> None:
    try:
        signer = identity.parse(by)
    except Unauthenticated:
        _refuse("by", by, "it has none of the shapes of an identity of this exchange")
        return
    if signer.kind is not kind:
        _refuse("by", by, f"this statement is signed by a {kind.value}")


def _check_reason(receipt: Receipt) -> None:
    code = receipt.reason_code
    if receipt.type in WITH_REASON_CODE:
        if code is None:
            _missing("reason_code", f"{receipt.type} needs a reason")
        if code is ReasonCode.OTHER and receipt.reason is None:
            _missing("reason", "the reason code OTHER needs a text")
    elif code is not None:
        _refuse("reason_code", code.value, f"{receipt.type} has none, write a text into reason")
    if receipt.type in WITH_TEXT and receipt.reason is None:
        _missing("reason", f"{receipt.type} needs a text")


def _check_recipient(receipt: Receipt) -> None:
    if receipt.type is ReceiptType.ACCEPTED:
        if receipt.recipient is not None:
            _refuse("recipient", receipt.recipient, "ACCEPTED is for all, leave it out")
    elif receipt.recipient is None:
        _missing("recipient", f"{receipt.type} is about one recipient")


def _check_centre_fields(receipt: Receipt) -> None:
    """The centre's receipts carry their own admission; a party's can't."""
    accepted = receipt.type is ReceiptType.ACCEPTED
    needed = {"signatures_sha256": accepted}
    needed |= dict.fromkeys(("seq", "state_after", "leaf"), receipt.type in SIGNED_BY_CENTRE)
    needed["state_before"] = needed["seq"] and not accepted
    needed["deadline"] = receipt.type in WITH_DEADLINE
    for field, needs in needed.items():
        value = getattr(receipt, field)
        if needs and value is None:
            _missing(field, f"the centre's {receipt.type} carries it")
        if not needs and value is not None:
            _refuse(field, value, f"{receipt.type} does not carry it, leave it out")
    if receipt.log is not None and not needed["leaf"]:
        _refuse("log", refusal.ABSENT, f"has no place in {receipt.type}: leave it out")
    if receipt.seq is not None and (receipt.seq == 0) is not accepted:
        _refuse("seq", receipt.seq, "ACCEPTED is 0, all others count from 1")
    if receipt.deadline is not None:
        _check_time("deadline.due_at", receipt.deadline.due_at)
    signatures = receipt.signatures_sha256 or ()
    if len(set(signatures)) != len(signatures):
        _refuse("signatures_sha256", signatures, "a digest stands there twice, keep one")


def _missing(field: str, why: str) -> None:
    _refuse(field, refusal.ABSENT, f"is missing: {why}")


def _refuse(field: str, value: object, why: str) -> None:
    raise refusal.of_value(ReceiptRefused, field, value, why)
