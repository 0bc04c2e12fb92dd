"""Receipts and admissions: what each type must carry, must not carry, and who signs it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from document_exchange import receipt
from document_exchange.errors import ExchangeError, NotCanonical, ReceiptRefused
from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    ReceiptType,
)
from tests import statements_for_tests as samples

SIGNED_FOR = samples.as_json(samples.signed_for())
ACCEPTED = samples.as_json(samples.accepted())
DELIVERED = samples.as_json(samples.delivered())
ADMISSION = samples.as_json(samples.an_admission())


def refusal_of(value: dict[str, Any]) -> ExchangeError:
    decode = receipt.decode_receipt if "receipt_id" in value else receipt.decode_admission
    with pytest.raises(ExchangeError) as caught:
        decode(samples.written(value))
    assert type(caught.value) is ReceiptRefused
    return caught.value


def test_each_type_is_signed_by_one_party() -> None:
    parties = [SIGNED_BY_CENTRE, SIGNED_BY_RECIPIENT, SIGNED_BY_SENDER]
    assert sum(map(len, parties)) == len(ReceiptType)
    assert frozenset().union(*parties) == frozenset(ReceiptType)


@pytest.mark.parametrize("made", [samples.signed_for(), samples.accepted(), samples.delivered()])
def test_a_receipt_is_read_as_it_was_written(made: receipt.Receipt) -> None:
    assert receipt.decode_receipt(receipt.encode(made)) == made


def test_an_admission_is_read_as_it_was_written() -> None:
    made = samples.an_admission()
    assert receipt.decode_admission(receipt.encode(made)) == made
    logged = msgspec.structs.replace(
        made, log=receipt.Log(origin="exchange.example/log", max_merge_delay_s=10)
    )
    assert receipt.decode_admission(receipt.encode(logged)) == logged


@pytest.mark.parametrize("kind", sorted(SIGNED_BY_RECIPIENT | SIGNED_BY_SENDER))
def test_each_receipt_of_a_party_is_read(kind: ReceiptType) -> None:
    value = SIGNED_FOR | {"type": kind.value}
    if kind in receipt.WITH_REASON_CODE:
        value["reason_code"] = "DUPLICATE"
    if kind in receipt.WITH_TEXT:
        value["reason"] = "see the annex"
    assert receipt.decode_receipt(samples.written(value)).type is kind


@pytest.mark.parametrize("name", ["schema", "receipt_id", "type", "envelope_id", "by", "at"])
def test_a_missing_field_is_named(name: str) -> None:
    value = {key: item for key, item in SIGNED_FOR.items() if key != name}
    with pytest.raises(ReceiptRefused) as caught:
        receipt.decode_receipt(samples.written(value))
    assert caught.value.attributes == {"field": name}


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("schema", "document-exchange/admission/1"),
        ("receipt_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("envelope_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("envelope_id", "x"),
        ("type", "LOST"),
        ("recipient", "全体"),
        ("manifest_sha256", "c" * 63),
        ("by", "qd-caizheng"),
        ("by", "spiffe://exchange.example/unit/qd-caizheng"),
        ("by", "spiffe://exchange.example/unit/qd-caizheng/system/oa"),
        ("by", samples.CENTRE_SEAL),
        ("at", "2009-02-30T00:00:00.000Z"),
        ("reason_code", "DUPLICATE"),
        ("reason", "\x1b[2J"),
        ("signatures_sha256", ["d" * 64]),
        ("seq", 1),
        ("state_before", "PENDING"),
        ("state_after", "SIGNED_FOR"),
        ("leaf", "f" * 64),
        ("log", {"origin": "exchange.example/log", "max_merge_delay_s": 10}),
        ("surplus", 1),
    ],
)
def test_a_wrong_field_of_a_party_is_named(name: str, new: object) -> None:
    assert refusal_of(SIGNED_FOR | {name: new}).attributes["field"] == name


@pytest.mark.parametrize(
    ("value", "name", "new"),
    [
        (ACCEPTED, "by", samples.RECIPIENT_SEAL),
        (ACCEPTED, "by", "spiffe://exchange.example/centre/server/main"),
        (ACCEPTED, "recipient", "qd-caizheng"),
        (ACCEPTED, "seq", 1),
        (ACCEPTED, "state_before", "PENDING"),
        (ACCEPTED, "signatures_sha256", []),
        (ACCEPTED, "signatures_sha256", ["d" * 64, "d" * 64]),
        (ACCEPTED, "signatures_sha256", [f"{n:064x}" for n in range(33)]),
        (ACCEPTED, "reason_code", "OTHER"),
        (DELIVERED, "seq", 0),
        (DELIVERED, "seq", 2**53),
        (DELIVERED, "signatures_sha256", ["d" * 64]),
        (DELIVERED, "by", samples.RECIPIENT_SEAL),
        (ADMISSION, "schema", "document-exchange/receipt/1"),
        (ADMISSION, "envelope_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        (ADMISSION, "seq", 0),
        (ADMISSION, "seq", True),
        (ADMISSION, "state_after", "LOST"),
        (ADMISSION, "recorded_at", "2009-02-30T00:00:00.000Z"),
        (ADMISSION, "by", samples.RECIPIENT_SEAL),
        (ADMISSION, "leaf", ""),
        (ADMISSION, "surplus", 1),
    ],
)
def test_a_wrong_field_of_the_centre_is_named(value: Any, name: str, new: object) -> None:
    assert refusal_of(value | {name: new}).attributes["field"] == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (SIGNED_FOR, "recipient"),
        *((ACCEPTED, name) for name in ("signatures_sha256", "seq", "state_after", "leaf")),
        *((DELIVERED, name) for name in ("recipient", "seq", "leaf")),
        *((DELIVERED, name) for name in ("state_before", "state_after")),
        *((ADMISSION, name) for name in ADMISSION),
    ],
)
def test_what_a_type_must_carry_is_named(value: dict[str, Any], name: str) -> None:
    error = refusal_of({key: item for key, item in value.items() if key != name})
    assert error.attributes == {"field": name}
    assert "missing" in error.message


@pytest.mark.parametrize("kind", ["REFUSED", "RETURNED"])
def test_a_refusal_needs_a_reason(kind: str) -> None:
    value = SIGNED_FOR | {"type": kind}
    assert refusal_of(value).attributes == {"field": "reason_code"}
    assert refusal_of(value | {"reason_code": "OTHER"}).attributes == {"field": "reason"}
    receipt.decode_receipt(samples.written(value | {"reason_code": "NOT_CONSULTED"}))
    receipt.decode_receipt(samples.written(value | {"reason_code": "OTHER", "reason": "缺页"}))


def test_bytes_that_are_not_canonical_are_refused() -> None:
    for decode, value in (
        (receipt.decode_receipt, SIGNED_FOR),
        (receipt.decode_admission, ADMISSION),
    ):
        with pytest.raises(NotCanonical):
            decode(samples.written(value) + b"\n")
        with pytest.raises(NotCanonical):
            decode(samples.written(value | {"log": None}))
        with pytest.raises(ReceiptRefused, match="65537 bytes"):
            decode(b"[" * (receipt.MAX_BYTES + 1))
