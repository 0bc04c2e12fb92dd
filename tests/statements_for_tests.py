"""One valid manifest, receipt, admission and event each, and ways to break their JSON.

The city's data is made up. ``replaced`` and ``without`` change one place of the JSON, so that a
test says only what is wrong; ``written`` gives RFC 8785 bytes for what structs would not hold.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

from document_exchange import canonical, manifest, receipt
from document_exchange.event import SCHEMA as EVENT_SCHEMA
from document_exchange.event import Event
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
)
from document_exchange.receipt import Admission, Receipt, ReceiptType, State

ENVELOPE_ID = "0121a0c4-5f80-7abc-8def-0123456789ab"
EARLIER_ENVELOPE_ID = "0121a0c4-5f00-7abc-8def-0123456789ab"
RECEIPT_ID = "0121a0c4-6f80-7abc-8def-0123456789ab"
CENTRE_SEAL = "spiffe://exchange.example/centre/seal/main"
RECIPIENT_SEAL = "spiffe://exchange.example/unit/qd-caizheng/seal/main"
AT = "2009-06-01T09:30:00.123Z"


def a_manifest() -> Manifest:
    """青政办发〔2009〕31号, a notice of the government's office to three bureaus."""
    return Manifest(
        schema=manifest.SCHEMA,
        envelope_id=ENVELOPE_ID,
        created_at=AT,
        sender="qd-zhengfuban",
        sender_system="oa",
        document=Document(
            doc_id="005117558-2009-31",
            business="DOCUMENT",
            genre=Genre.NOTICE,
            direction=Direction.DOWN,
            title="关于印发防汛预案的通知",
            number="青政办发〔2009〕31号",
            issuers=("qd-zhengfuban", "qd-shiweiban"),
            signed_date="2009-06-01",
            secrecy=Secrecy.NONE,
            urgency=Urgency.EXTRA_URGENT,
            remark="第一行\n第二行",
        ),
        recipients=(
            Recipient(unit="qd-caizheng", kind=RecipientKind.TO),
            Recipient(unit="qd-jiaoyu", kind=RecipientKind.TO, copies=3),
            Recipient(unit="qd-tongji", kind=RecipientKind.CC),
        ),
        parts=(
            Part(
                part_id="body",
                role=PartRole.BODY,
                filename="通知.pdf",
                media_type="application/pdf",
                size=204_800,
                sha256="a" * 64,
            ),
            Part(
                part_id="attachment-1",
                role=PartRole.ATTACHMENT,
                filename="预案.ofd",
                media_type="application/ofd",
                size=0,
                sha256="b" * 64,
            ),
        ),
        extensions={"archive": Extension(critical=False, value={"years": 30, "box": ["A", "B"]})},
    )


def a_request() -> dict[str, Any]:
    """The JSON of 青民〔2009〕28号, a request: upwards, to one, with a signatory."""
    value = as_json(a_manifest())
    value["document"] |= {"genre": "REQUEST", "direction": "UP", "signatory": "王某某"}
    value["recipients"] = [{"unit": "qd-zhengfu", "kind": "TO"}, {"unit": "qd-ren", "kind": "CC"}]
    return value


def signed_for() -> Receipt:
    """A recipient's receipt."""
    return Receipt(
        schema=receipt.RECEIPT_SCHEMA,
        receipt_id=RECEIPT_ID,
        type=ReceiptType.SIGNED_FOR,
        envelope_id=ENVELOPE_ID,
        recipient="qd-caizheng",
        manifest_sha256="c" * 64,
        by=RECIPIENT_SEAL,
        at=AT,
    )


def accepted() -> Receipt:
    """The centre's receipt for the whole envelope."""
    return Receipt(
        schema=receipt.RECEIPT_SCHEMA,
        receipt_id=RECEIPT_ID,
        type=ReceiptType.ACCEPTED,
        envelope_id=ENVELOPE_ID,
        manifest_sha256="c" * 64,
        by=CENTRE_SEAL,
        at=AT,
        signatures_sha256=("d" * 64, "e" * 64),
        seq=0,
        state_after=State.PENDING,
        leaf="f" * 64,
    )


def delivered() -> Receipt:
    """The centre's receipt for one recipient."""
    return Receipt(
        schema=receipt.RECEIPT_SCHEMA,
        receipt_id=RECEIPT_ID,
        type=ReceiptType.DELIVERED,
        envelope_id=ENVELOPE_ID,
        recipient="qd-caizheng",
        manifest_sha256="c" * 64,
        by=CENTRE_SEAL,
        at=AT,
        seq=1,
        state_before=State.PENDING,
        state_after=State.DELIVERED,
        leaf="f" * 64,
    )


def an_admission() -> Admission:
    """The centre's admission of ``signed_for``."""
    return Admission(
        schema=receipt.ADMISSION_SCHEMA,
        receipt_sha256="a" * 64,
        receipt_signature_sha256="b" * 64,
        envelope_id=ENVELOPE_ID,
        recipient="qd-caizheng",
        seq=2,
        state_before=State.DELIVERED,
        state_after=State.SIGNED_FOR,
        recorded_at=AT,
        by=CENTRE_SEAL,
        leaf="f" * 64,
    )


def an_event() -> Event:
    """That ``signed_for`` was recorded."""
    return Event(
        schema=EVENT_SCHEMA,
        event_id=RECEIPT_ID,
        type="SIGNED_FOR",
        at=AT,
        actor="spiffe://exchange.example/unit/qd-caizheng/system/oa",
        address="127.0.0.1:50000",
        envelope_id=ENVELOPE_ID,
        recipient="qd-caizheng",
        seq=2,
        state_before=State.DELIVERED,
        state_after=State.SIGNED_FOR,
        manifest_sha256="c" * 64,
        receipt_sha256="a" * 64,
        detail={"note": "值班室签收"},
    )


def written(value: object) -> bytes:
    """``value`` as RFC 8785 would write it (for ASCII keys, no fractions)."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def as_json(statement: Manifest | Receipt | Admission | Event) -> dict[str, Any]:
    """The JSON of a statement, to be changed."""
    encoded = canonical.encode(statement)
    value: dict[str, Any] = json.loads(encoded)
    return value


def replaced(value: dict[str, Any], path: str, new: object) -> bytes:
    """``value`` with ``new`` at ``path``, as in ``recipients[1].unit``; written out."""
    return _changed(value, path, lambda holder, key: holder.__setitem__(key, new))


def without(value: dict[str, Any], path: str) -> bytes:
    """``value`` without what stands at ``path``; written out."""
    return _changed(value, path, lambda holder, key: holder.__delitem__(key))


def _changed(value: dict[str, Any], path: str, change: Callable[[Any, Any], None]) -> bytes:
    value = copy.deepcopy(value)
    keys = [int(key) if key.isdigit() else key for key in re.split(r"[.\[\]]+", path) if key]
    holder: Any = value
    for key in keys[:-1]:
        holder = holder[key]
    change(holder, keys[-1])
    return written(value)
