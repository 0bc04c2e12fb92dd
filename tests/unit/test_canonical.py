"""Canonical JSON: what has no canonical form, and other spellings of what has."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest

from document_exchange import canonical
from document_exchange.errors import ExchangeError, NotCanonical, ReceiptRefused
from document_exchange.fields import Sequence


class Inner(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    name: str
    count: Sequence = 0


class Outer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    b: tuple[Inner, ...]
    a: bool = False
    free: Any = None


class Colour(enum.StrEnum):
    RED = "RED"


GOOD = Outer(b=(Inner(name="x"), Inner(name="y", count=2)), free={"k": [1, "é"]})
GOOD_BYTES = '{"b":[{"name":"x"},{"count":2,"name":"y"}],"free":{"k":[1,"é"]}}'.encode()


def refusal_of(data: bytes) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        canonical.decode(Outer, data, ReceiptRefused)
    return caught.value


def test_keys_are_sorted_and_what_is_absent_is_left_out() -> None:
    assert canonical.encode(GOOD) == GOOD_BYTES
    assert canonical.decode(Outer, GOOD_BYTES, ReceiptRefused) == GOOD


def test_builtin_values_and_enums_are_encoded() -> None:
    value = {"b": [Colour.RED, True, -(2**53) + 1], "a": {}, "B": ("x",)}
    assert canonical.encode(value) == b'{"B":["x"],"a":{},"b":["RED",true,-9007199254740991]}'


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, "$"),
        (0.5, "$"),
        (float("nan"), "$"),
        ([1, [2, 3.0]], "[1][1]"),
        ({"a": {"b": None}}, "a.b"),
        ({"a": 2**53}, "a"),
        ({"a": -(2**53)}, "a"),
        ({"a": 10**5000}, "a"),
        ({"é": 1}, "é"),
        ({1: 1}, "1"),
        ({"a": "\ud800"}, "a"),
        ({"a": "x\udfff"}, "a"),
        ({"a": b"bytes"}, "a"),
        ({"a": {1, 2}}, "a"),
        (Outer(b=(Inner(name="\ud800"),)), "b[0].name"),
        (Outer(b=(), free={"x": 1.5}), "free.x"),
        (Inner(name=None), "name"),  # type: ignore[arg-type]
        (Inner(name=b"bytes"), "name"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_canonical_form(value: object, field: str) -> None:
    with pytest.raises(NotCanonical) as caught:
        canonical.encode(value)
    assert caught.value.attributes["field"] == field
    assert caught.value.message.isprintable()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded() -> None:
    assert canonical.encode(nested(canonical.MAX_DEPTH)).startswith(b"[[[")
    for depth in (canonical.MAX_DEPTH + 1, 100_000):
        with pytest.raises(NotCanonical, match="nested deeper"):
            canonical.encode(nested(depth))


@pytest.mark.parametrize("depth", [400, 100_000])
def test_depth_in_what_is_read_never_overflows(depth: int) -> None:
    data = b'{"b":[],"free":' + b"[" * depth + b"]" * depth + b" }"
    assert isinstance(refusal_of(data), NotCanonical)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xef\xbb\xbf" + GOOD_BYTES,
        GOOD_BYTES + b"\x00",
        GOOD_BYTES + GOOD_BYTES,
        GOOD_BYTES.decode().encode("utf-16"),
        GOOD_BYTES.replace("é".encode(), b"\xe9"),
        GOOD_BYTES.replace("é".encode(), b"\xed\xa0\x80"),  # a surrogate as if it were UTF-8
        GOOD_BYTES.replace("é".encode(), b"\xc1\xa1"),  # a in two bytes
        GOOD_BYTES.replace("é".encode(), rb"\ud800"),
        GOOD_BYTES.replace("é".encode(), b"\n"),
        GOOD_BYTES.replace(b"[1,", b"[01,"),
        GOOD_BYTES.replace(b"[1,", b"[NaN,"),
        GOOD_BYTES.replace(b"[1,", b"[1e999,"),
    ],
)
def test_what_is_no_json_in_utf8(data: bytes) -> None:
    error = refusal_of(data)
    assert isinstance(error, NotCanonical)
    assert error.attributes["field"] == "$"


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b" " + GOOD_BYTES, 0),
        (GOOD_BYTES + b"\n", len(GOOD_BYTES)),
        (GOOD_BYTES.replace(b",", b", ", 1), 19),
        (GOOD_BYTES.replace(b'"x"', rb'"\u0078"'), 15),
        (GOOD_BYTES.replace(b'"x"', rb'"\/"'), 15),
        (GOOD_BYTES.replace(b'"x"', rb'"\u001F"'), 20),
        (GOOD_BYTES.replace("é".encode(), rb"\u00e9"), 59),
        (b'{"b":[{"name":"y","count":2}]}', 8),
        (b'{"b":[],"free":-0}', 15),
    ],
)
def test_another_spelling_is_refused_with_its_place(data: bytes, offset: int) -> None:
    error = refusal_of(data)
    assert isinstance(error, NotCanonical)
    assert error.attributes == {"field": "$", "offset": str(offset)}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"a":true,"a":true,"b":[]}', "a"),
        (b'{"a":1,"a":true,"b":[]}', "a"),  # the one that is overwritten is wrong besides
        (b'{"b":[{"name":"x","name":"x"}]}', "b[0].name"),
        (b'{"b":[],"free":{"k":[{"x":1,"x":2}]}}', "free.k[0].x"),
        (rb'{"b":[],"free":{"k":1,"\u006b":1}}', "free.k"),
        (b'{"b":[],"free":{"":1,"":1}}', "free."),
    ],
)
def test_a_key_that_stands_twice_is_named(data: bytes, field: str) -> None:
    error = refusal_of(data)
    assert isinstance(error, NotCanonical)
    assert error.attributes == {"field": field}
    assert "twice" in error.message


@pytest.mark.parametrize("number", [b"1.50", b"1E2", b"1e-400", b"9007199254740993.0"])
def test_a_fraction_or_exponent_is_named_however_it_is_spelt(number: bytes) -> None:
    error = refusal_of(b'{"b":[],"free":{"k":[true,' + number + b"]}}")
    assert isinstance(error, NotCanonical)
    assert error.attributes["field"] == "free.k[1]"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"a":false,"b":[]}', "a"),
        (b'{"b":[{"count":0,"name":"x"}]}', "b[0].count"),
        (b'{"b":[],"free":null}', "free"),
    ],
)
def test_a_default_that_is_written_out_is_named(data: bytes, field: str) -> None:
    error = refusal_of(data)
    assert isinstance(error, NotCanonical)
    assert error.attributes == {"field": field}
    assert "leave it out" in error.message


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        (b"[]", "$", "an array of 0 items"),
        (b"null", "$", "null"),
        (b'"x"', "$", "'x'"),
        (b'{"b":{}}', "b", "an object of 0 members"),
        (b'{"b":[{"name":"x"},{"name":7}]}', "b[1].name", "7"),
        (b'{"b":[{"name":null}]}', "b[0].name", "null"),
        (b'{"b":[{"count":1.5,"name":"x"}]}', "b[0].count", "1.5"),
        (b'{"b":[{"count":true,"name":"x"}]}', "b[0].count", "true"),
        (b'{"b":[{"count":"1","name":"x"}]}', "b[0].count", "'1'"),
        (b'{"b":[{"count":' + b"9" * 9000 + b',"name":"x"}]}', "b[0].count", "more than 80 digits"),
        (b'{"b":[{"name":"x"},{}]}', "b[1].name", None),
        (b"{}", "b", None),
        (b'{"b":[],"c":1}', "c", None),
        (b'{"b":[{"name":"x","x":1}]}', "b[0].x", None),
    ],
)
def test_a_wrong_field_is_named_with_its_value(data: bytes, field: str, value: str | None) -> None:
    error = refusal_of(data)
    assert type(error) is ReceiptRefused
    assert error.attributes["field"] == field
    if value is not None:
        assert value in error.attributes["value"]
        assert value in error.message


def test_what_is_quoted_is_short_and_printable() -> None:
    hostile = "\x1b[2J\u202e" + "x" * 100_000
    for data in ({hostile: 1}, {"b": hostile}, {"b": [{"name": "x", hostile: 1}]}):
        error = refusal_of(msgspec.json.encode(data))
        assert error.message.isprintable()
        assert all(text.isprintable() for text in error.attributes.values())
        assert len(error.message) < 400
        assert "xxx…" in error.message


def test_a_text_of_too_many_values_is_not_even_read() -> None:
    """A megabyte of empty lists would become twenty megabytes of objects."""
    data = b'{"b":[],"free":[' + b"[]," * 20_000 + b"[]]}"
    with pytest.raises(NotCanonical, match="more than 20000 values"):
        canonical.decode(Outer, data, ReceiptRefused)
