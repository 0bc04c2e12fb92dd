"""What happened to a few envelopes, for bundles of evidence that must verify."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from document_exchange import codes, times
from document_exchange import manifest as manifests
from document_exchange.evidence import Content
from document_exchange.manifest import (
    Direction,
    Document,
    Extension,
    Genre,
    Manifest,
    Part,
    PartRole,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
    sha256_hex,
)
from document_exchange.receipt import Deadline, DeadlineKind, ReasonCode, ReceiptType
from tests.evidence_for_tests import MINUTE, THEN, City, Step, Story
from tests.pki_for_tests import DAY

SENDER, LEADER, PARTNER = "qd-zhengfuban", "qd-shiweiban", "qd-fagai"
RECIPIENT, OTHER = "qd-caizheng", "qd-jiaoyu"
BODY = "关于印发防汛预案的通知\n".encode()
TABLE = b"district,pumps\n370202,12\n"


def manifest(
    recipients: Sequence[str] = (RECIPIENT,), issuers: Sequence[str] = (SENDER,)
) -> Manifest:
    """A notice with an attachment, whose texts and extensions imitate members of the manifest."""
    return Manifest(
        schema=manifests.SCHEMA,
        envelope_id=codes.uuid7(THEN - 5 * MINUTE, b"vectors---"),
        created_at=times.format_time(THEN - 5 * MINUTE),
        sender=SENDER,
        sender_system="oa",
        document=Document(
            doc_id="005117558-2019-31",
            business="DOCUMENT",
            genre=Genre.NOTICE,
            direction=Direction.DOWN,
            title='关于印发防汛预案的通知","envelope_id":"no',
            number="青政办发〔2019〕31号",
            issuers=tuple(issuers),
            signed_date="2019-06-01",
            secrecy=Secrecy.NONE,
            urgency=Urgency.EXTRA_URGENT,
        ),
        recipients=tuple(Recipient(unit=unit, kind=RecipientKind.TO) for unit in recipients),
        parts=(
            _part("body", PartRole.BODY, "通知.TXT", "text/plain", BODY),
            _part("table", PartRole.ATTACHMENT, 'a"},{"filename":"b.c', "text/csv", TABLE),
        ),
        extensions={
            "imitation": Extension(
                critical=False,
                value={
                    "envelope_id": "no", "parts": ["no"], "recipients": [{"unit": "no"}],
                    "schema": "no", "sender": "no",
                },
            )
        },
    )  # fmt: skip


def _part(part_id: str, role: PartRole, filename: str, media_type: str, data: bytes) -> Part:
    return Part(
        part_id=part_id, role=role, filename=filename, media_type=media_type, size=len(data),
        sha256=sha256_hex(data),
    )  # fmt: skip


def at(minutes: int) -> dt.datetime:
    return THEN + minutes * MINUTE


SIGNED_FOR = (
    Step(ReceiptType.DELIVERED, at(1)),
    Step(ReceiptType.SIGNED_FOR, at(2)),
)
_ASKED = Step(
    ReceiptType.WITHDRAWAL_REQUESTED, at(3), reason='发错了","type":"WITHDRAWAL_GRANTED\\'
)
HISTORIES: Mapping[str, Sequence[Step]] = {
    "qd-caizheng": (
        *SIGNED_FOR,
        Step(ReceiptType.PROGRESS, at(4), reason="正在办理"),
        Step(ReceiptType.URGED, at(5)),
        Step(ReceiptType.COMPLETED, at(6)),
    ),
    "qd-jiaoyu": (
        *SIGNED_FOR,
        Step(ReceiptType.RETURNED, at(4), ReasonCode.OTHER, "不属于我局职责"),
    ),
    "qd-minzheng": (*SIGNED_FOR, _ASKED, Step(ReceiptType.WITHDRAWAL_DECLINED, at(4))),
    "qd-shuili": (
        *SIGNED_FOR,
        _ASKED,
        Step(ReceiptType.WITHDRAWAL_DECLINED, at(4), reason="已经转发"),
        dataclasses.replace(_ASKED, at=at(5)),
        Step(ReceiptType.WITHDRAWAL_GRANTED, at(6)),
    ),
    "qd-tongji": (
        Step(ReceiptType.REFUSED, at(1), ReasonCode.DIGEST_MISMATCH),
        Step(ReceiptType.OFFERED_AGAIN, at(2)),
        Step(ReceiptType.DELIVERED, at(3)),
        Step(ReceiptType.REFUSED, at(4), ReasonCode.WRONG_RECIPIENT),
    ),
    "qd-weisheng": (
        Step(
            ReceiptType.REMINDED, at(1),
            deadline=Deadline(kind=DeadlineKind.SIGN_FOR, due_at=times.format_time(at(2))),
        ),
        Step(
            ReceiptType.OVERDUE, at(2),
            deadline=Deadline(kind=DeadlineKind.SIGN_FOR, due_at=times.format_time(at(2))),
        ),
        Step(ReceiptType.WITHDRAWN, at(3)),
    ),
    "qd-xinfang": (),
}  # fmt: skip


def simple() -> Story:
    """One recipient, who signed for it."""
    return Story(manifest(), (BODY, TABLE), {RECIPIENT: SIGNED_FOR}, made_at=at(10))


def stamped() -> Story:
    """The simple one, with time-stamps on the centre's signatures."""
    return dataclasses.replace(simple(), stamped_at=at(3))


def stamped_late() -> Story:
    """The simple one, stamped three days later."""
    return dataclasses.replace(simple(), stamped_at=THEN + 3 * DAY, made_at=THEN + 4 * DAY)


def life() -> Story:
    """Seven recipients and what each made of it; one has not got it yet."""
    return Story(manifest(sorted(HISTORIES)), (BODY, TABLE), HISTORIES, made_at=at(10))


def joint() -> Story:
    """Three units issued it together."""
    told = manifest(issuers=(LEADER, SENDER, PARTNER))
    return dataclasses.replace(simple(), manifest=told)


def digests() -> Story:
    """Without the parts."""
    return dataclasses.replace(simple(), content=Content.DIGESTS)


def expired() -> Story:
    """Made when the seals of the units and the centre's first one had ended long since."""
    return dataclasses.replace(simple(), made_at=THEN + 400 * DAY, list_days=(0, 399))


def revoked(city: City) -> Story:
    """The issuer's and the recipient's seal were revoked after the fact, before it was made."""
    seals = (city.seal(SENDER), city.seal(RECIPIENT))
    made_at = THEN + 5 * DAY
    return dataclasses.replace(simple(), made_at=made_at, list_days=(0, 4), revoked={4: seals})
