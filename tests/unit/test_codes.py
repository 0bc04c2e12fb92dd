"""Codes: published examples, wrong check characters, and strings made to slip through."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from document_exchange import codes


@pytest.mark.parametrize(
    ("first8", "check"),
    [
        ("00511755", "8"),  # the example of the domain
        ("MB151840", "X"),  # characters 9-17 of 11320000MB151840XJ
        ("00000000", "0"),  # 11 is written 0
    ],
)
def test_check_character_of_an_organisation_code(first8: str, check: str) -> None:
    assert codes.organisation_check_character(first8) == check
    assert codes.is_organisation_code(first8 + check)
    others = set("0123456789X") - {check}
    assert not any(codes.is_organisation_code(first8 + other) for other in others)


@pytest.mark.parametrize(
    "first8", ["", "0051175", "0051175a", "005117558", "0051175\n", "0051175５"]
)
def test_check_character_needs_eight_characters(first8: str) -> None:
    assert not codes.is_organisation_code(first8 + "8")
    with pytest.raises(ValueError, match="8 characters"):
        codes.organisation_check_character(first8)


def test_check_character_of_a_credit_code() -> None:
    assert codes.credit_check_character("11320000MB151840X") == "J"
    assert codes.is_credit_code("11320000MB151840XJ")
    assert codes.credit_check_character("0" * 17) == "0"  # 31 is written 0


@pytest.mark.parametrize("letter", "IOSVZ")
def test_credit_codes_avoid_some_letters(letter: str) -> None:
    assert not codes.is_credit_code(f"11320000MB15184{letter}XJ")
    with pytest.raises(ValueError, match="17 characters"):
        codes.credit_check_character(f"11320000MB15184{letter}X")


@pytest.mark.parametrize(
    "text",
    [
        "005117558-2009-1",
        "005117558-2009-12",
        "11320000MB151840XJ-2009-999999999999999999",
    ],
)
def test_document_identifiers(text: str) -> None:
    assert codes.is_doc_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "005117557-2009-12",  # check character
        "11320000MB151840XK-2009-12",  # check character
        "005117558-2009-0",
        "005117558-2009-012",
        "005117558-209-12",
        "005117558-2009-",
        "005117558-2009-12\n",
        " 005117558-2009-12",
        "005117558-２００９-12",  # digits, but not ASCII ones
        "005117558-2009-1234567890123456789",  # 19 digits
        "005117558-2009-12-1",
    ],
)
def test_what_is_no_document_identifier(text: str) -> None:
    assert not codes.is_doc_id(text)


def test_uuid7_is_the_example_of_rfc_9562() -> None:
    at = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(-timedelta(hours=5)))
    random_a, random_b = 0xCC3, 0x18C4DC0C0C07398F
    entropy = (random_a << 68 | random_b).to_bytes(10, "big")
    assert codes.uuid7(at, entropy) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    assert codes.uuid7_time("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") == at


def test_new_ids_differ_and_are_what_python_takes_for_uuids() -> None:
    at = datetime(2009, 6, 1, tzinfo=UTC)
    made = {codes.new_id(at) for _ in range(100)}
    assert len(made) == 100
    for identifier in made:
        assert codes.uuid7_time(identifier) == at
        parsed = uuid.UUID(identifier)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize(
    ("at", "entropy", "what"),
    [
        (datetime(2009, 6, 1), bytes(10), "time zone"),
        (datetime(1969, 12, 31, tzinfo=UTC), bytes(10), "1970"),
        (datetime(2009, 6, 1, tzinfo=UTC), bytes(9), "10 bytes"),
    ],
)
def test_uuid7_refuses_what_it_cannot_hold(at: datetime, entropy: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        codes.uuid7(at, entropy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",  # version 4
        "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",  # another variant
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
        "e677d21f-dc00-7cc3-98c4-dc0c0c07398f",  # the year 10000
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ],
)
def test_what_is_no_uuid7(text: str) -> None:
    assert not codes.is_uuid7(text)
    with pytest.raises(ValueError, match="UUID version 7"):
        codes.uuid7_time(text)


def test_the_last_millisecond_of_the_calendar_is_a_uuid7() -> None:
    at = codes.uuid7_time("e677d21f-dbff-7fff-bfff-ffffffffffff")
    assert at == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
