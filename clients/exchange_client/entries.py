"""Entries of the registry as the client handles them: named by key, changed, on the wire.

What an entry is stands in ``document_exchange.entries``. Verbs beside PUT need no more than the
key, so an entry may be had of which only that is given (``keyed``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import msgspec

from document_exchange import refusal
from document_exchange.entries import (
    KINDS,
    Entry,
    field_types,
    is_list,
    kind_named,
    required_fields,
)
from document_exchange.entry_rules import read_key
from document_exchange.errors import InternalError, InvalidRequest
from document_exchange.v1 import admin_pb2, directory_pb2

_STATUS_PREFIX = "UNIT_STATUS_"


def keyed(name: str, key: str) -> Entry:
    """An entry with nothing but its key, for verbs that need no more.

    Raises:
        InvalidRequest: there is no such kind, or the key has not its shape.
    """
    kind = kind_named(name)
    parts = key.split("/")
    if len(parts) != len(kind.key_fields):
        raise InvalidRequest(
            f"{key!r} is no key of a {name}: it must be {'/'.join(kind.key_fields).upper()}",
            field="key",
        )
    values = dict(zip(kind.key_fields, parts, strict=True))
    read_key(name, values)
    return kind(**(dict.fromkeys(required_fields(kind), "") | values))


def changed(entry: Entry, values: Mapping[str, Any]) -> Entry:
    """The entry with other values for some fields.

    Dates may be texts; an empty text empties a field.

    Raises:
        InvalidRequest: there is no such field, or the value is none for it; ``field`` names it.
    """
    types = field_types(type(entry))
    converted: dict[str, Any] = {}
    for name, value in values.items():
        place = f"{entry.family}.{name}"
        if name not in types:
            raise InvalidRequest(f"{place}: a {entry.family} has no such field", field=place)
        given = None if value == "" and types[name] == (date | None) else value
        if why := refusal.why_not(types[name], given):
            raise refusal.of_value(InvalidRequest, place, given, why)
        converted[name] = msgspec.convert(given, types[name])
    return msgspec.structs.replace(entry, **converted)


def without_status(entry: Entry) -> Entry:
    """The entry as a put of one that is there takes it: verbs alone change a status."""
    return msgspec.structs.replace(entry, status="") if hasattr(entry, "status") else entry


def to_message(entry: Entry) -> admin_pb2.Entry:
    """The entry on the wire."""
    values = msgspec.structs.asdict(entry)
    fields = {name: _wire(name, value) for name, value in values.items() if value is not None}
    made: dict[str, Any] = {entry.family: fields}
    return admin_pb2.Entry(**made)


def from_message(message: admin_pb2.Entry) -> Entry:
    """The entry that came over the wire, unchecked; of one that was only named, the key.

    Raises:
        InternalError: of a kind, or with a value, that this version does not know.
    """
    name = message.WhichOneof("entry")
    if name is None:
        raise InternalError("the centre listed an entry of a kind that is not known here: update")
    kind = KINDS[name]
    body = getattr(message, name)
    return kind(
        **{
            field: _plain(field, field_type, getattr(body, field))
            for field, field_type in field_types(kind).items()
        }
    )


def name_of(names: Callable[[Any], str], number: int, prefix: str) -> str:
    """What a number on the wire stands for, without the prefix of its names.

    Raises:
        InternalError: this version does not know the number.
    """
    try:
        return names(number).removeprefix(prefix)
    except ValueError as error:
        raise InternalError(
            f"the centre gave {prefix}{number}, which this version does not know: update it"
        ) from error


def _wire(field: str, value: Any) -> Any:
    if field == "status":
        return f"{_STATUS_PREFIX}{value or 'UNSPECIFIED'}"
    return value.isoformat() if isinstance(value, date) else value


def _plain(field: str, field_type: Any, value: Any) -> Any:
    if field == "status":
        found = name_of(directory_pb2.UnitStatus.Name, value, _STATUS_PREFIX)
        return "" if found == "UNSPECIFIED" else found
    if field_type == (date | None):
        try:
            return date.fromisoformat(value) if value else None
        except ValueError as error:
            raise InternalError(f"the centre gave {value!r} as {field}") from error
    return tuple(value) if is_list(field_type) else value
