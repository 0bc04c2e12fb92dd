"""Canonical JSON (RFC 8785) for the subset of values that is ever signed here.

Values are strings, booleans, integers within 2^53-1 either way, arrays, and objects with ASCII
keys: no null, no fraction, no exponent. For these, keys sorted by code point and msgspec's
escapes are what RFC 8785 prescribes. Reading is decode, encode again, compare: what differs by
a single byte is refused, so one value has one spelling and signatures have one reading.
"""

from __future__ import annotations

import enum
import functools
from typing import Any, NoReturn, TypeVar

import msgspec

from document_exchange import refusal
from document_exchange.errors import ExchangeError, NotCanonical
from document_exchange.fields import MAX_INTEGER

MAX_DEPTH = 32
"""Arrays and objects within each other, at most, in a value of free form."""

MAX_VALUES = 20_000
"""Values in one text, at most: several times what the largest manifest needs, and read quickly."""

_ENCODER = msgspec.json.Encoder(order="sorted")
_OTHER_TYPES = (bytes, bytearray, memoryview)

T = TypeVar("T", bound=msgspec.Struct)


def encode(value: object) -> bytes:
    """The canonical bytes of a struct or of builtin values. ``None`` defaults are left out.

    Raises:
        NotCanonical: something in it has no canonical form here; ``field`` says where.
    """
    try:
        check_value(value)
        return _ENCODER.encode(value)
    except RecursionError:
        _refuse_depth("")


def decode(cls: type[T], data: bytes, refused: type[ExchangeError]) -> T:
    """Read ``data`` as the struct ``cls``; its canonical bytes must be exactly ``data``.

    Fields of type ``Any`` are compared too, but whether their values lie within the subset is
    the caller's to ask, with ``check_value``.

    Raises:
        NotCanonical: not JSON, or JSON spelt in another way than ``encode`` does: spaces,
            escapes, order, duplicate keys, null, a default written out; or too many values.
        refused: a field is unknown, missing or out of its bounds; ``field`` names it.
    """
    # Each value but the first of its list follows one of these, so there are no more than these.
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise NotCanonical(f"it may hold more than {MAX_VALUES} values: shorten it", field="$")
    try:
        value: T = _decoder(cls).decode(data)
        again = _ENCODER.encode(value)
        if again != data:
            check_value(value)  # a value that has no canonical form is the better reason
            raise refusal.of_spelling(data, again)
    except msgspec.ValidationError as error:
        raise refusal.of_schema(cls, data, error, refused) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise NotCanonical(f"the bytes are not JSON in UTF-8: {error}", field="$") from error
    except RecursionError:
        _refuse_depth("")
    return value


def check_value(value: object, path: str = "", depth: int = 0) -> None:
    """Check that a value lies within the subset; ``path`` is what to call it in the refusal.

    Raises:
        NotCanonical: it holds something else; ``field`` says where.
    """
    if depth > MAX_DEPTH:
        _refuse_depth(path)
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value, builtin_types=_OTHER_TYPES)
    elif isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        _check_string(value, path)
    elif isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            _refuse(path, value, "integers lie between -(2^53-1) and 2^53-1: write it as a string")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_value(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                _refuse(refusal.joined(path, str(key)), key, "keys are ASCII strings: rename it")
            check_value(item, refusal.joined(path, key), depth + 1)
    elif value is None:
        _refuse(path, value, "null is not used: leave the field out")
    elif isinstance(value, float):
        _refuse(path, value, "fractions and exponents are not used: write it as a string")
    else:
        _refuse(path, value, f"a {type(value).__name__} has no canonical form: use a string")


def _check_string(value: str, path: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(path, value, "half of a surrogate pair is no character: remove it")


def _refuse(path: str, value: object, why: str) -> NoReturn:
    raise refusal.of_value(NotCanonical, path, value, why)


def _refuse_depth(path: str) -> NoReturn:
    field = refusal.readable(path)
    raise NotCanonical(f"{field} is nested deeper than {MAX_DEPTH} levels: flatten it", field=field)


@functools.cache
def _decoder(cls: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)
