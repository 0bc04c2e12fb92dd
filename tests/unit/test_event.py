"""Events: the leaf that commits to them, and what is no event."""

from __future__ import annotations

import hashlib

import pytest

from document_exchange import event
from document_exchange.errors import NotCanonical, VerificationFailed
from tests import statements_for_tests as samples


def test_an_event_is_read_as_it_was_written() -> None:
    made = samples.an_event()
    assert event.decode(event.encode(made)) == made


def test_the_leaf_is_the_digest_of_salt_and_event() -> None:
    salt, data = bytes(range(32)), event.encode(samples.an_event())
    assert event.leaf(salt, data) == hashlib.sha256(salt + data).hexdigest()
    assert event.leaf(salt, data) != event.leaf(bytes(32), data)


def test_salts_are_fresh_and_of_32_bytes() -> None:
    salts = {event.new_salt() for _ in range(50)}
    assert len(salts) == 50
    assert {len(salt) for salt in salts} == {32}


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_leaf_needs_a_salt_of_32_bytes(salt: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        event.leaf(salt, b"{}")


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("schema", "document-exchange/event/2"),
        ("event_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("envelope_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("type", "signed for"),
        ("at", "2009-02-30T00:00:00.000Z"),
        ("actor", "two\nlines"),
        ("address", ""),
        ("recipient", "QD"),
        ("seq", -1),
        ("seq", 2**53),
        ("state_after", "LOST"),
        ("receipt_sha256", "A" * 64),
        ("detail", {}),
        ("detail.note", 1),
        ("surplus", "x"),
    ],
)
def test_a_wrong_field_is_named(path: str, new: object) -> None:
    with pytest.raises(VerificationFailed) as caught:
        event.decode(samples.replaced(samples.as_json(samples.an_event()), path, new))
    assert caught.value.attributes["field"] == path


def test_a_detail_with_another_name_is_named() -> None:
    value = samples.as_json(samples.an_event()) | {"detail": {"with space": "x"}}
    with pytest.raises(VerificationFailed) as caught:
        event.decode(samples.written(value))
    assert caught.value.attributes["field"] == "detail.with space"


def test_an_event_has_a_bound() -> None:
    with pytest.raises(NotCanonical, match="65537 bytes"):
        event.decode(b" " * (event.MAX_BYTES + 1))
