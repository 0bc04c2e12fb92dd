"""From our values to the messages of the wire contract, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InvalidRequest
from document_exchange.receipt import State
from document_exchange.v1 import authority_pb2, directory_pb2, envelope_pb2
from exchange_server.directory import GroupOfUnits
from exchange_server.own_certificates import IssuedCertificate
from exchange_server.registry import Unit
from exchange_server.values import (
    AcceptedEnvelope,
    DeliveryStatus,
    DeliverySummary,
    StatementRecord,
    SubmissionSummary,
)


def statement(record: StatementRecord) -> envelope_pb2.Statement:
    made = envelope_pb2.Statement(
        receipt=envelope_pb2.SignedBytes(
            content=record.receipt, signature=record.receipt_signature
        ),
        event=record.event,
        event_salt=record.event_salt,
    )
    if record.admission:
        made.admission.content = record.admission
        made.admission.signature = record.admission_signature
    return made


def envelope(accepted: AcceptedEnvelope, chain: Iterable[bytes]) -> envelope_pb2.Envelope:
    return envelope_pb2.Envelope(
        manifest=accepted.manifest,
        signatures=accepted.signatures,
        accepted=statement(accepted.accepted),
        chain=chain,
        revocation_lists=[revocation_list(der) for der in (accepted.root_crl, accepted.seal_crl)],
    )


def revocation_list(der: bytes) -> envelope_pb2.RevocationList:
    return envelope_pb2.RevocationList(der=der)


def delivery(summary: DeliverySummary) -> envelope_pb2.Delivery:
    return envelope_pb2.Delivery(
        envelope_id=summary.envelope_id,
        recipient=summary.recipient,
        sender=summary.sender,
        state=state_number(summary.state),
        seq=summary.seq,
        title=summary.title,
        doc_id=summary.doc_id,
        number=summary.number,
        business=summary.business,
        genre=summary.genre,
        urgency=summary.urgency,
        recipient_kind=summary.kind,
        part_count=summary.part_count,
        size_bytes=summary.size_bytes,
        accepted_at=timestamp(summary.accepted_at),
        updated_at=timestamp(summary.updated_at),
        last_type=summary.last_type.value,
        withdrawal_requested=summary.withdrawal_requested,
        sign_due=optional_timestamp(summary.sign_due),
        reply_due=optional_timestamp(summary.reply_due),
        overdue=summary.overdue,
        replaced_by=summary.replaced_by,
    )


def delivery_status(status: DeliveryStatus) -> envelope_pb2.DeliveryStatus:
    return envelope_pb2.DeliveryStatus(
        recipient=status.recipient,
        state=state_number(status.state),
        seq=status.seq,
        updated_at=timestamp(status.updated_at),
        last_type=status.last_type.value,
        withdrawal_requested=status.withdrawal_requested,
        sign_due=optional_timestamp(status.sign_due),
        reply_due=optional_timestamp(status.reply_due),
        overdue=status.overdue,
        replaced_by=status.replaced_by,
    )


def submission(summary: SubmissionSummary) -> envelope_pb2.Submission:
    return envelope_pb2.Submission(
        envelope_id=summary.envelope_id,
        title=summary.title,
        doc_id=summary.doc_id,
        number=summary.number,
        accepted_at=timestamp(summary.accepted_at),
        deliveries=[delivery_status(status) for status in summary.deliveries],
    )


def unit(record: Unit) -> directory_pb2.Unit:
    return directory_pb2.Unit(
        unit_id=record.unit_id,
        name_zh=record.name_zh,
        name_en=record.name_en,
        short_zh=record.short_zh,
        kind=record.kind,
        organisation_code=record.organisation_code,
        credit_code=record.credit_code,
        region=record.region,
        issuer_marks=record.issuer_marks,
        groups=record.groups,
        acts_for=record.acts_for,
        status=unit_status(record.status),
        contact=record.contact,
        successor=record.successor,
    )


def unit_status(status: str) -> directory_pb2.UnitStatus.ValueType:
    return directory_pb2.UnitStatus.Value(f"UNIT_STATUS_{status}")


def group(record: GroupOfUnits) -> directory_pb2.Group:
    return directory_pb2.Group(
        group_id=record.group_id,
        name_zh=record.name_zh,
        name_en=record.name_en,
        members=record.members,
    )


def certificate(record: IssuedCertificate) -> authority_pb2.CertificateRecord:
    return authority_pb2.CertificateRecord(
        fingerprint=record.fingerprint.hex(),
        serial=record.serial,
        identity=record.identity,
        profile=record.profile,
        role=record.role,
        not_before=timestamp(record.not_before),
        not_after=timestamp(record.not_after),
        issued_at=timestamp(record.issued_at),
        revoked_at=optional_timestamp(record.revoked_at),
        revocation_reason=record.revocation_reason,
    )


def own_certificate(record: IssuedCertificate) -> directory_pb2.OwnCertificate:
    return directory_pb2.OwnCertificate(
        certificate=certificate(record),
        issued_event=record.issued_event,
        revoked_event=record.revoked_event,
    )


def states(numbers: Iterable[int]) -> list[State]:
    """The states of a filter; none means all.

    Raises:
        InvalidRequest: a number is no state.
    """
    found = []
    for number in numbers:
        if number == envelope_pb2.DELIVERY_STATE_UNSPECIFIED:
            continue
        if number not in envelope_pb2.DeliveryState.values():
            raise InvalidRequest(f"{number} is not a state of a delivery", field="states")
        name = envelope_pb2.DeliveryState.Name(envelope_pb2.DeliveryState.ValueType(number))
        found.append(State(name.removeprefix("DELIVERY_STATE_")))
    return found


def state_number(state: State) -> envelope_pb2.DeliveryState.ValueType:
    """The number on the wire of a state."""
    return envelope_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.value}")


def optional_timestamp(at: datetime | None) -> Timestamp | None:
    return timestamp(at) if at is not None else None


def timestamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made
