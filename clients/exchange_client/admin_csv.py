"""CSV of registry entries of one kind: a header row, a column for each field, UTF-8.

Several values of a cell are separated by semicolons. A cell that a spreadsheet would take for a
formula is written with an apostrophe before it, which reading takes away again (OWASP, CSV
injection).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from document_exchange.entries import Entry, field_types, is_list
from document_exchange.errors import InvalidRequest
from exchange_client.admin_faults import Collector

_SEPARATOR = ";"
_GUARD = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_GUARDED = (*_FORMULA, _GUARD)
_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
_MAY_BE_ABSENT = frozenset({"status"})
"""The columns without which nothing is emptied: who may call stays as it is."""


def rows_of(text: str, kind: type[Entry], collector: Collector) -> None:
    """Hand every row of a file's text to ``collector``.

    A column that is not there can't be told from one that shall be emptied, so all must be.

    Raises:
        InvalidRequest: it is not CSV at all.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise InvalidRequest(f"line {reader.line_num} is not CSV: {error}") from error
    if not rows:
        collector.fault(kind.family, 1, "", f"the header is missing: {','.join(field_types(kind))}")
        return
    header = rows[0]
    missing = _check_header(header, kind, collector)
    types = field_types(kind)
    for row, cells in enumerate(rows[1:], start=2):
        if not any(cells):
            continue  # spreadsheets leave such rows at the end
        if len(cells) != len(header):
            text = f"has {len(cells)} cells, the header has {len(header)}"
            collector.fault(kind.family, row, "", text)
            continue
        values = {
            name: _value(_unguarded(cell), types[name])
            for name, cell in zip(header, cells, strict=True)
            if name in types and cell
        }
        collector.add(kind, row, values, missing)


def csv_of(kind: type[Entry], entries: Iterable[Entry]) -> bytes:
    """Entries as CSV with a byte order mark, without which Excel misreads Chinese.

    Raises:
        InvalidRequest: one of several values of a field holds a semicolon: only TOML can hold it.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = tuple(field_types(kind))
    writer.writerow(names)
    for entry in entries:
        values = msgspec.structs.asdict(entry)
        writer.writerow([_guarded(_cell(entry, name, values[name])) for name in names])
    return text.getvalue().encode("utf-8-sig")


def _check_header(header: Sequence[str], kind: type[Entry], collector: Collector) -> frozenset[str]:
    """Note what is wrong with the header; returns the columns that are missing."""
    names = tuple(field_types(kind))
    for place, name in enumerate(header, start=1):
        if name not in names:
            known = ", ".join(names)
            text = f"column {place} is no field of a {kind.family}; they are {known}"
            collector.fault(kind.family, 1, name, text)
        elif name in header[: place - 1]:
            collector.fault(kind.family, 1, name, "stands there twice")
    missing = frozenset(names) - frozenset(header) - _MAY_BE_ABSENT
    for name in missing:
        collector.fault(kind.family, 1, name, "there is no such column")
    return missing


def _value(cell: str, field_type: Any) -> object:
    """What a cell says, as TOML would give it; what is no number stays text, and so is refused."""
    if is_list(field_type):
        return [value for each in cell.split(_SEPARATOR) if (value := each.strip())]
    if _is_number(field_type) and _INTEGER.fullmatch(cell):
        return int(cell)
    return cell


def _is_number(field_type: Any) -> bool:
    return getattr(field_type, "__origin__", None) is int


def _cell(entry: Entry, name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, tuple):
        return str(value)
    for each in value:
        if _SEPARATOR in each:
            raise InvalidRequest(
                f"{entry.family} {entry.key}: {name} holds {each!r}, which has a semicolon:"
                " export it as TOML",
                field=name,
            )
    return _SEPARATOR.join(value)


def _guarded(cell: str) -> str:
    return _GUARD + cell if cell.startswith(_GUARDED) else cell


def _unguarded(cell: str) -> str:
    bare = cell.removeprefix(_GUARD)
    return bare if bare.startswith(_GUARDED) else cell
