"""Every format, for any value: one spelling, nothing lost, and no change that goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import jsonschema
import msgspec
import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from document_exchange import canonical, codes, event, manifest, receipt, times
from document_exchange.errors import (
    ExchangeError,
    ManifestRefused,
    NotCanonical,
    ReceiptRefused,
    SecrecyRefused,
    VerificationFailed,
)
from document_exchange.schemas import json_schemas
from tests import statements_for_tests as samples
from tests.property import strategies

FORMATS = settings(max_examples=60, deadline=None, print_blob=True)

Decode = Callable[[bytes], msgspec.Struct]
DECODERS: dict[type[msgspec.Struct], tuple[Decode, type[ExchangeError]]] = {
    manifest.Manifest: (manifest.decode, ManifestRefused),
    receipt.Receipt: (receipt.decode_receipt, ReceiptRefused),
    receipt.Admission: (receipt.decode_admission, ReceiptRefused),
    event.Event: (event.decode, VerificationFailed),
}
SAMPLES: list[msgspec.Struct] = [
    samples.a_manifest(),
    samples.signed_for(),
    samples.accepted(),
    samples.delivered(),
    samples.an_admission(),
    samples.an_event(),
]

VALIDATORS = {
    cls: jsonschema.Draft202012Validator(
        json.loads(json_schemas()[f"{cls.__name__.lower()}.schema.json"])
    )
    for cls in DECODERS
}

statements = (
    strategies.manifests() | strategies.receipts() | strategies.admissions | strategies.events
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53, -(2**53), 10**400, 0.5, 1e300, -0.0])
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def decode(cls: type[msgspec.Struct], data: bytes) -> msgspec.Struct | ExchangeError:
    """The value, or the refusal, which must be of the right kind and say what and where."""
    decoder, refused = DECODERS[cls]
    try:
        return decoder(data)
    except ExchangeError as error:
        found = error
    assert isinstance(found, refused | NotCanonical | SecrecyRefused)
    assert found.attributes["field"]
    assert found.message.isprintable()
    assert len(found.message) < 1000
    return found


@FORMATS
@given(statements)
def test_decoding_gives_back_what_was_encoded(statement: msgspec.Struct) -> None:
    data = canonical.encode(statement)
    assert decode(type(statement), data) == statement


@FORMATS
@given(statements)
def test_the_encoding_is_that_of_rfc_8785(statement: msgspec.Struct) -> None:
    data = canonical.encode(statement)
    assert rfc8785.dumps(json.loads(data)) == data


@FORMATS
@given(strategies.free_values)
@example({"\x7f": '\u2028\x00\x1f\b\f\n\r\t"\\/\x7f😀é', "": [], "A": {}, "a": -0})
def test_values_of_free_form_are_encoded_as_rfc_8785_says(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


def test_every_character_is_encoded_as_rfc_8785_says() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert canonical.encode(every) == rfc8785.dumps(every)


@FORMATS
@given(statements, st.data())
def test_a_changed_byte_is_refused_or_gives_another_value(
    statement: msgspec.Struct, data: st.DataObject
) -> None:
    original = canonical.encode(statement)
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
    found = decode(type(statement), bytes(changed))
    if not isinstance(found, ExchangeError):
        assert found != statement
        assert canonical.encode(found) == changed


@pytest.mark.parametrize("statement", SAMPLES, ids=lambda s: f"{type(s).__name__}")
def test_each_flipped_bit_is_refused_or_gives_another_value(statement: msgspec.Struct) -> None:
    original = canonical.encode(statement)
    refused = 0
    for position in range(len(original) * 8):
        changed = bytearray(original)
        changed[position // 8] ^= 1 << position % 8
        found = decode(type(statement), bytes(changed))
        if isinstance(found, ExchangeError):
            refused += 1
        else:
            assert found != statement
            assert canonical.encode(found) == changed
    assert refused > len(original)


@FORMATS
@given(statements, st.data())
def test_a_lost_or_added_byte_is_refused_or_gives_another_value(
    statement: msgspec.Struct, data: st.DataObject
) -> None:
    original = canonical.encode(statement)
    at = data.draw(st.integers(0, len(original)))
    inserted = data.draw(st.binary(max_size=3) | st.sampled_from([b" ", b"\n", b"0", b",", b"\0"]))
    lost = data.draw(st.integers(0, 3))
    changed = original[:at] + inserted + original[at + lost :]
    found = decode(type(statement), changed)
    if not isinstance(found, ExchangeError):
        assert (found == statement) is (changed == original)
        assert canonical.encode(found) == changed


@FORMATS
@given(statements, st.data())
def test_another_spelling_of_the_same_value_is_refused(
    statement: msgspec.Struct, data: st.DataObject
) -> None:
    original = canonical.encode(statement)
    respelt = _Respeller(data).written(json.loads(original)).encode("utf-8", "surrogatepass")
    assert json.loads(respelt) == json.loads(original)
    found = decode(type(statement), respelt)
    if respelt == original:
        assert found == statement
    else:
        assert isinstance(found, NotCanonical)


@FORMATS
@given(statements, st.data())
def test_a_key_that_stands_twice_is_refused_by_name(
    statement: msgspec.Struct, data: st.DataObject
) -> None:
    value = json.loads(canonical.encode(statement))
    paths = [path for path, node in _places(value) if path and isinstance(path[-1], str)]
    path = data.draw(st.sampled_from(paths))
    holder = _at(value, path[:-1])
    twin = f"{_plain(path[-1])}:{_plain(holder[path[-1]])}"
    doubled = _plain(value, path[:-1], twin).encode()
    assert json.loads(doubled) == value
    found = decode(type(statement), doubled)
    assert isinstance(found, NotCanonical)
    assert "twice" in found.message


@FORMATS
@given(statements, st.data())
def test_null_for_what_is_absent_is_refused(statement: msgspec.Struct, data: st.DataObject) -> None:
    value = json.loads(canonical.encode(statement))
    absent = [f.name for f in msgspec.structs.fields(statement) if f.name not in value]
    if absent:
        name = data.draw(st.sampled_from(absent))
        found = decode(type(statement), samples.written(value | {name: None}))
        assert isinstance(found, NotCanonical)
        assert found.attributes["field"] == name


@FORMATS
@given(statements, st.data())
def test_anything_put_anywhere_is_read_or_refused_with_a_place(
    statement: msgspec.Struct, data: st.DataObject
) -> None:
    value = json.loads(canonical.encode(statement))
    path = data.draw(st.sampled_from([path for path, _ in _places(value)]))
    new = data.draw(json_values)
    if path:
        _at(value, path[:-1])[path[-1]] = new
    else:
        value = new
    written = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    found = decode(type(statement), written.encode("utf-8", "surrogatepass"))
    if not isinstance(found, ExchangeError):
        assert canonical.encode(found) == written.encode()


@FORMATS
@given(st.sampled_from(list(DECODERS)), st.binary(max_size=200))
@example(manifest.Manifest, b"[" * 500_000)
@example(manifest.Manifest, b'{"extensions":{"a":{"value":' + b"[" * 500_000)
@example(manifest.Manifest, b'{"a":' * 100_000)
@example(event.Event, b"9" * 500_000)
@example(event.Event, b"\xef\xbb\xbf{}")
@example(receipt.Receipt, b'{"seq":' + b"9" * 60_000 + b"}")
@example(receipt.Receipt, b'{"' + b"x" * 60_000 + b'":1}')
@example(receipt.Receipt, b'{"\\u0000\\u001b[2J\\ud800":1}')
@example(receipt.Admission, b"")
def test_bytes_of_any_kind_are_refused(cls: type[msgspec.Struct], data: bytes) -> None:
    assert isinstance(decode(cls, data), ExchangeError)


@FORMATS
@given(statements)
def test_the_json_schema_accepts_what_is_valid(statement: msgspec.Struct) -> None:
    VALIDATORS[type(statement)].validate(json.loads(canonical.encode(statement)))


@FORMATS
@given(strategies.instants, st.binary(min_size=10, max_size=10))
def test_an_envelope_id_holds_its_millisecond(at: Any, entropy: bytes) -> None:
    identifier = codes.uuid7(at, entropy)
    assert codes.is_uuid7(identifier)
    assert timedelta() <= at - codes.uuid7_time(identifier) < timedelta(milliseconds=1)


@FORMATS
@given(strategies.instants, strategies.instants)
def test_times_keep_their_millisecond_and_order(one: Any, other: Any) -> None:
    first, second = times.format_time(one), times.format_time(other)
    assert timedelta() <= one - times.parse_time(first) < timedelta(milliseconds=1)
    assert (first < second) is (times.parse_time(first) < times.parse_time(second))


@FORMATS
@given(
    strategies.credit_codes, st.integers(0, 17), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY")
)
def test_one_wrong_character_in_a_credit_code_is_noticed(code: str, at: int, other: str) -> None:
    changed = code[:at] + other + code[at + 1 :]
    assert codes.is_credit_code(changed) is (changed == code)


@FORMATS
@given(st.from_regex(r"\A[0-9]{8}\Z"), st.integers(0, 7), st.sampled_from("0123456789"))
def test_one_wrong_digit_in_an_organisation_code_is_noticed(
    first: str, at: int, other: str
) -> None:
    code = first + codes.organisation_check_character(first)
    changed = code[:at] + other + code[at + 1 :]
    assert codes.is_organisation_code(changed) is (changed == code)


class _Respeller:
    """Writes JSON as a careless program might: spaces, order and escapes as drawn."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def written(self, value: Any) -> str:
        if isinstance(value, dict):
            members = list(value.items())
            if len(members) > 1 and self._rarely():
                members = self._draw(st.permutations(members))
            inside = (f"{self._string(key)}:{self.written(item)}" for key, item in members)
            return self._space() + "{" + ",".join(inside) + "}" + self._space()
        if isinstance(value, list):
            return "[" + ",".join(map(self.written, value)) + "]" + self._space()
        return self._string(value) if isinstance(value, str) else json.dumps(value)

    def _string(self, text: str) -> str:
        if not text or not self._rarely():
            return _plain(text)
        at = self._draw(st.integers(0, len(text) - 1))
        units = text[at].encode("utf-16-be")
        escape = "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
        return f"{_plain(text[:at])[:-1]}{escape}{_plain(text[at + 1 :])[1:]}"

    def _space(self) -> str:
        return self._draw(st.sampled_from([" ", "\n", "\t", "\r"])) if self._rarely() else ""

    def _rarely(self) -> bool:
        return self._draw(st.integers(0, 9)) == 7


def _plain(value: Any, path: tuple[Any, ...] | None = None, extra: str = "") -> str:
    """``value`` as canonical JSON, with ``extra`` before the members of the object at ``path``."""
    if isinstance(value, dict):
        members = [
            f"{_plain(key)}:{_plain(item, _below(path, key), extra)}"
            for key, item in sorted(value.items())
        ]
        return "{" + ",".join([extra, *members] if path == () else members) + "}"
    if isinstance(value, list):
        items = (_plain(item, _below(path, at), extra) for at, item in enumerate(value))
        return "[" + ",".join(items) + "]"
    return rfc8785.dumps(value).decode()


def _below(path: tuple[Any, ...] | None, key: Any) -> tuple[Any, ...] | None:
    return path[1:] if path and path[0] == key else None


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Each node of the JSON with the keys and indices that lead there."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [(path, value), *(place for key, item in inner for place in _places(item, (*path, key)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
