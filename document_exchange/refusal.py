"""Say which field of some JSON was wrong, with which value, and what would be right.

Only refusals come here, so nothing of it is fast; all of it is bounded by the input, and what
it quotes is shortened and free of control characters.
"""

from __future__ import annotations

import enum
import functools
import json
import typing
from typing import Any, Final

import msgspec

from document_exchange.errors import ExchangeError, NotCanonical

ABSENT: Final = object()
"""Stands for a value where there is none to show."""

_WHOLE = "$"
"""The name of the document as a whole in ``field``."""

_LONGEST_VALUE = 80
_LONGEST_PATH = 160


def shortened(value: object) -> str:
    """``value`` in a line of its own, printable and of at most 80 characters."""
    if isinstance(value, str):
        value = value[: _LONGEST_VALUE + 1]
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return "an integer of more than 80 digits"
    elif isinstance(value, dict):
        return f"an object of {len(value)} members"
    elif isinstance(value, list | tuple):
        return f"an array of {len(value)} items"
    elif value is None:
        return "null"
    written = repr(value)
    return written if len(written) <= _LONGEST_VALUE else written[: _LONGEST_VALUE - 1] + "…"


def readable(path: str) -> str:
    """A path such as ``recipients[3].unit``, printable and bounded; ``$`` for the whole."""
    if not path:
        return _WHOLE
    written = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in path)
    if len(written) <= _LONGEST_PATH:
        return written
    return written[: _LONGEST_PATH - 1] + "…"


def joined(path: str, name: str) -> str:
    """The path of member ``name`` of the object at ``path``."""
    return f"{path}.{name}" if path else name


def of_schema(
    cls: type, data: bytes, error: msgspec.ValidationError, refused: type[ExchangeError]
) -> ExchangeError:
    """The refusal of JSON ``data`` that the decoder of ``cls`` found invalid with ``error``."""
    try:
        found = _fault(cls, json.loads(data, parse_int=_integer), "")
    except (ValueError, RecursionError):
        return NotCanonical("the bytes are not JSON in UTF-8, or nested too deep", field=_WHOLE)
    if found is None:  # the fault is in the first of two equal keys, or a number of free form
        twice = _duplicate(json.loads(data, object_pairs_hook=_Members, parse_int=_integer), "")
        return _said_twice(twice) if twice else NotCanonical(f"{error}", field=_WHOLE)
    path, why, value = found
    return of_value(refused, path, value, why)


def of_value(refused: type[ExchangeError], path: str, value: object, why: str) -> ExchangeError:
    """The refusal of ``value``, which stands at ``path``; ``why`` says what would be right."""
    field = readable(path)
    if value is ABSENT:
        return refused(f"{field} {why}", field=field)
    shown = shortened(value)
    return refused(f"{field} is {shown}: {why}", field=field, value=shown)


def why_not(expected: Any, value: object) -> str | None:
    """What would be right instead of ``value``, in words; None if it is a value of this type."""
    found = _fault(expected, value, "")
    return None if found is None else found[1]


def of_spelling(data: bytes, canonical: bytes) -> NotCanonical:
    """The refusal of ``data``, which holds a valid value but is not its canonical bytes."""
    twice = _duplicate(json.loads(data, object_pairs_hook=_Members, parse_int=_integer), "")
    if twice is not None:
        return _said_twice(twice)
    received = json.loads(data, parse_int=_integer)
    surplus = _surplus(received, json.loads(canonical, parse_int=_integer), "")
    if surplus is not None:
        field = readable(surplus)
        return NotCanonical(
            f"{field} is written out although it is null or the default: leave it out", field=field
        )
    offset = next(
        (at for at, (one, other) in enumerate(zip(data, canonical, strict=False)) if one != other),
        min(len(data), len(canonical)),
    )
    got = shortened(data[offset : offset + 12].decode(errors="replace"))
    wanted = shortened(canonical[offset : offset + 12].decode(errors="replace"))
    return NotCanonical(
        f"the bytes are not canonical JSON (RFC 8785): at byte {offset} stands {got}, "
        f"the canonical form has {wanted}",
        field=_WHOLE,
        offset=str(offset),
    )


def _said_twice(path: str) -> NotCanonical:
    field = readable(path)
    return NotCanonical(f"{field} appears twice in its object: keep one", field=field)


def _integer(digits: str) -> int:
    """Python refuses to read more than 4300 digits; here any number out of range does as well."""
    return int(digits) if len(digits) <= _LONGEST_VALUE else 10**_LONGEST_VALUE


_Found = tuple[str, str, object]


def _fault(expected: Any, value: object, path: str) -> _Found | None:
    """The deepest place at which ``value`` breaks the type ``expected``: (path, why, value)."""
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        return _inner_fault(expected, value, path) or (path, _why(expected, error), value)
    return None


def _inner_fault(expected: Any, value: object, path: str) -> _Found | None:
    kind = _bare(expected)
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _member_fault(kind, value, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, list) and origin is tuple:
        for index, item in enumerate(value):
            if found := _fault(arguments[0], item, f"{path}[{index}]"):
                return found
    if isinstance(value, dict) and origin is dict:
        for key, item in value.items():
            if _fault(arguments[0], key, ""):
                why = f"is not a good name: expected {_description(arguments[0])}"
                return joined(path, key), why, ABSENT
            if found := _fault(arguments[1], item, joined(path, key)):
                return found
    return None


def _member_fault(cls: type[msgspec.Struct], value: dict[str, object], path: str) -> _Found | None:
    types = _types(cls)
    for key in value:
        if key not in types:
            return joined(path, key), "is not a field of this schema: remove it", ABSENT
    for field in msgspec.structs.fields(cls):
        if field.name in value:
            if found := _fault(types[field.name], value[field.name], joined(path, field.name)):
                return found
        elif field.required:
            return joined(path, field.name), "is missing: it is required", ABSENT
    return None


def _why(expected: Any, error: msgspec.ValidationError) -> str:
    kind = _bare(expected)
    if typing.get_origin(kind) is typing.Literal:
        return f"expected {' or '.join(map(repr, typing.get_args(kind)))}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"expected one of {', '.join(member.value for member in kind)}"
    if description := _description(expected):
        return f"expected {description}"
    return f"{error}".partition(" - at ")[0].replace("`", "").replace("Expected", "expected")


def _bare(expected: Any) -> Any:
    """The type without ``Annotated`` and without ``| None``."""
    while True:
        if typing.get_origin(expected) is typing.Annotated:
            expected = typing.get_args(expected)[0]
            continue
        arguments = [kind for kind in typing.get_args(expected) if kind is not type(None)]
        if type(None) not in typing.get_args(expected) or len(arguments) != 1:
            return expected
        expected = arguments[0]


def _description(expected: Any) -> str:
    """What the annotations of the type say that it is."""
    for argument in typing.get_args(expected):
        if isinstance(argument, msgspec.Meta) and argument.description:
            return argument.description
    for argument in typing.get_args(expected):
        if found := _description(argument) if typing.get_origin(argument) else "":
            return found
    return ""


@functools.cache
def _types(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(cls)}


class _Members(list[tuple[str, object]]):
    """The members of a JSON object as they were written, duplicates included."""


def _duplicate(value: object, path: str) -> str | None:
    """The path of the first key that appears twice in its object."""
    seen: set[str] = set()
    if isinstance(value, _Members):
        for key, item in value:
            if key in seen:
                return joined(path, key)
            seen.add(key)
            if found := _duplicate(item, joined(path, key)):
                return found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if found := _duplicate(item, f"{path}[{index}]"):
                return found
    return None


def _surplus(received: object, canonical: object, path: str) -> str | None:
    """The path of the first member that the canonical form does not have."""
    if isinstance(received, dict) and isinstance(canonical, dict):
        for key, item in received.items():
            if key not in canonical:
                return joined(path, key)
            if found := _surplus(item, canonical[key], joined(path, key)):
                return found
    elif isinstance(received, list) and isinstance(canonical, list):
        for index, (one, other) in enumerate(zip(received, canonical, strict=False)):
            if found := _surplus(one, other, f"{path}[{index}]"):
                return found
    return None
