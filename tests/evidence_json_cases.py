"""Bundles whose JSON says more than it may, or hides what it says from who searches it as text.

Whoever wrote these signed them well, and the centre recorded and indexed them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from document_exchange.evidence import MANIFEST, Step
from tests.evidence_faults import DELIVERED, SIGNED, Case, by
from tests.evidence_for_tests import Files, Value
from tests.evidence_stories import OTHER

_ADMISSION, _EVENT = f"{SIGNED}.admission.json", f"{SIGNED}.event.json"


def _with(path: str, **members: Any) -> Callable[[], Files]:
    """With these members besides, or instead."""
    return by(rewritten={path: lambda value: value | members})


def _within(path: str, *way: str | int, **members: Any) -> Callable[[], Files]:
    """With these in an inner object."""

    def change(value: Value) -> Value:
        inner: Any = value
        for step in way:
            inner = inner[step]
        inner.update(members)
        return value

    return by(rewritten={path: change})


def _without(path: str, name: str) -> Callable[[], Files]:
    def change(value: Value) -> Value:
        return {each: inner for each, inner in value.items() if each != name}

    return by(rewritten={path: change})


def _without_title(value: Value) -> Value:
    del value["document"]["title"]
    return value


def _respelt(path: str, old: bytes, new: bytes) -> Callable[[], Files]:
    def respell(content: bytes) -> bytes:
        assert content.count(old) == 1, (path, old)
        return content.replace(old, new)

    return by(respelt={path: respell})


_SENDER_TOO = {"schema": "document-exchange/manifest/1", "sender": OTHER}
_TYPE = b'"type":"SIGNED_FOR"'

OF_JSON: Mapping[str, Case] = {
    "manifest-with-member": Case(
        Step.MANIFEST, "the manifest has an unknown member", _with(MANIFEST, note="x")
    ),
    "manifest-document-with-member": Case(
        Step.MANIFEST,
        "the document in the manifest has an unknown member",
        _within(MANIFEST, "document", note="x"),
    ),
    "manifest-without-title": Case(
        Step.MANIFEST, "the document has no title", by(rewritten={MANIFEST: _without_title})
    ),
    "manifest-sender-hidden": Case(
        Step.MANIFEST,
        "a recipient in the manifest has members that imitate the sender",
        _within(MANIFEST, "recipients", 0, **_SENDER_TOO),
    ),
    "manifest-issuers-hidden": Case(
        Step.MANIFEST,
        "an unknown member of the document holds another list of issuers before the true one",
        _within(MANIFEST, "document", category={"issuers": [OTHER]}),
    ),
    "manifest-part-hidden": Case(
        Step.MANIFEST,
        "a part in the manifest has an object with another digest and size",
        _within(MANIFEST, "parts", 0, zz={"sha256": "0" * 64, "size": 1}),
    ),
    "manifest-critical-extension": Case(
        Step.MANIFEST,
        "an extension is critical, and no verifier knows it",
        _within(MANIFEST, "extensions", "imitation", critical=True),
    ),
    "manifest-extension-with-member": Case(
        Step.MANIFEST,
        "an extension has another member besides critical and value",
        _within(MANIFEST, "extensions", "imitation", note="x"),
    ),
    "manifest-with-null": Case(
        Step.MANIFEST, "a member of the manifest is null", _with(MANIFEST, operator=None)
    ),
    "accepted-with-member": Case(
        Step.ACCEPTED, "ACCEPTED has an unknown member", _with("accepted.json", note="x")
    ),
    "accepted-with-deadline": Case(
        Step.ACCEPTED,
        "ACCEPTED has a member that belongs to other receipts",
        _with("accepted.json", deadline={"due_at": "2019-06-04T01:30:00.000Z", "kind": "REPLY"}),
    ),
    "receipt-with-member": Case(
        Step.RECEIPT, "a receipt has an unknown member", _with(f"{SIGNED}.json", note="x")
    ),
    "receipt-with-object": Case(
        Step.RECEIPT,
        "the text of a receipt is an object",
        _with(f"{SIGNED}.json", reason={"text": "x"}),
    ),
    "receipt-with-effect": Case(
        Step.RECEIPT,
        "a recipient's receipt has a member that only the centre's have",
        _with(f"{SIGNED}.json", state_after="COMPLETED"),
    ),
    "receipt-with-reason-code": Case(
        Step.RECEIPT,
        "a receipt that refuses nothing has a reason code",
        _with(f"{SIGNED}.json", reason_code="OTHER"),
    ),
    "receipt-without-id": Case(
        Step.RECEIPT, "a receipt lacks its receipt_id", _without(f"{SIGNED}.json", "receipt_id")
    ),
    "receipt-with-member-twice": Case(
        Step.RECEIPT,
        "a receipt has a member twice, with different values",
        _respelt(f"{SIGNED}.json", _TYPE, b'"type":"REFUSED",' + _TYPE),
    ),
    "receipt-with-name-escaped": Case(
        Step.RECEIPT,
        "a receipt has a member whose name is spelt with an escape, and has it once more",
        _respelt(f"{SIGNED}.json", _TYPE, _TYPE + rb',"\\u0074ype":"REFUSED"'),
    ),
    "receipt-with-spaces": Case(
        Step.RECEIPT,
        "a receipt is spelt with white space",
        _respelt(f"{SIGNED}.json", _TYPE, b" " + _TYPE),
    ),
    "receipt-not-sorted": Case(
        Step.RECEIPT,
        "the members of a receipt are not sorted",
        _respelt(
            f"{SIGNED}.json",
            b"," + _TYPE + b"}",
            b',"reason":"x"}'.replace(b'"reason":"x"', _TYPE + b',"reason":"x"'),
        ),
    ),
    "delivered-with-member": Case(
        Step.RECEIPT,
        "a receipt of the centre has an unknown member",
        _with(f"{DELIVERED}.json", note="x"),
    ),
    "delivered-with-log-member": Case(
        Step.RECEIPT,
        "what a receipt of the centre says of the log has an unknown member",
        _with(f"{DELIVERED}.json", log={"max_merge_delay_s": 1, "note": "x", "origin": "a.b/c"}),
    ),
    "delivered-with-number-as-text": Case(
        Step.RECEIPT, "a number is written as a string", _with(f"{DELIVERED}.json", seq="1")
    ),
    "admission-with-member": Case(
        Step.RECEIPT, "an admission has an unknown member", _with(_ADMISSION, note="x")
    ),
    "admission-with-member-twice": Case(
        Step.RECEIPT,
        "an admission has a member twice, with different values",
        _respelt(_ADMISSION, b'"seq":2', b'"seq":3,"seq":2'),
    ),
    "event-with-member": Case(Step.LEAF, "an event has an unknown member", _with(_EVENT, note="x")),
    "event-type-hidden": Case(
        Step.LEAF,
        "an event is of another type; an unknown member behind it imitates the right one",
        _with(_EVENT, type="COMPLETED", zz={"type": "SIGNED_FOR"}),
    ),
    "event-time-hidden": Case(
        Step.LEAF,
        "an event is of another time; an unknown member before it imitates the right one",
        _with(_EVENT, actor={"at": "2019-06-03T01:32:00.000Z"}, at="2019-06-03T01:31:00.000Z"),
    ),
    "event-detail-with-object": Case(
        Step.LEAF,
        "the detail of an event holds an object",
        _with(_EVENT, detail={"a": {"type": "SIGNED_FOR"}}),
    ),
}
"""By name."""
