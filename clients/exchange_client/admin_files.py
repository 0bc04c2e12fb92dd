"""Files of registry entries: TOML of every kind, and CSV of one kind for spreadsheets.

TOML has the shape of the registry file that ``exchange-server import-units`` reads: a table for
each entry, ``[[unit]]``, ``[[system]]``, ..., and ``[[acts_for]]`` with ``unit`` and ``issuer``.
What an entry leaves out is empty; only its status, and the members of a group, then stay as they
are. CSV (``admin_csv``) has a column for each field.

All faults of a file are found before anything is done with it.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
import tomli_w

from document_exchange.entries import KINDS, Entry, UnitEntry, kind_named
from document_exchange.errors import InvalidRequest
from exchange_client.admin_csv import csv_of, rows_of
from exchange_client.admin_faults import Collector, FileFaulty

MAX_FILE_BYTES = 16 * 1024 * 1024
_RELATION = "acts_for"


def read_entries(path: Path, kinds: Collection[str] = ()) -> list[Entry]:
    """The entries of a file, checked as far as that is possible without the registry.

    Args:
        path: ``*.toml`` or ``*.csv``.
        kinds: of a CSV file, the one kind of its rows; of a TOML file, only these; none: all.

    Raises:
        FileFaulty: with every fault, its row and column.
        InvalidRequest: the file can't be read at all, or a CSV file's kind was not said.
    """
    wanted = [kind_named(kind) for kind in kinds]
    collector = Collector()
    match path.suffix.lower():
        case ".toml":
            _read_toml(path, collector)
        case ".csv":
            rows_of(_text(path), _only(path, wanted), collector)
        case _:
            raise InvalidRequest(f"{path}: the name must end in .toml or .csv", file=str(path))
    if collector.faults:
        raise FileFaulty(path, collector.faults)
    order = list(KINDS)
    chosen = (entry for entry in collector.entries if not wanted or type(entry) in wanted)
    return sorted(chosen, key=lambda entry: order.index(entry.family))


def write_entries(path: Path, entries: Iterable[Entry], kinds: Collection[str] = ()) -> None:
    """Write a file that ``read_entries`` takes; it is there whole or not at all.

    Args:
        path: ``*.toml``, or ``*.csv`` with one of ``kinds``; what is there is replaced.
        entries: in the order in which they shall stand.
        kinds: of a CSV file, the one kind of its rows.

    Raises:
        InvalidRequest: another suffix, or a CSV file without its kind.
    """
    match path.suffix.lower():
        case ".toml":
            content = toml_of(entries)
        case ".csv":
            content = csv_of(_only(path, [kind_named(kind) for kind in kinds]), entries)
        case _:
            raise InvalidRequest(f"{path}: the name must end in .toml or .csv", file=str(path))
    _replace(path, content)


def toml_of(entries: Iterable[Entry]) -> bytes:
    """Entries as TOML; what is empty is left out.

    Beside units, groups are written without their members: each unit says where it belongs, and
    a file that says it twice could contradict itself once somebody has edited it.
    """
    listed = list(entries)
    has_units = any(isinstance(entry, UnitEntry) for entry in listed)
    tables: dict[str, list[dict[str, Any]]] = {}
    relations: list[dict[str, Any]] = []
    for entry in listed:
        values = msgspec.structs.asdict(entry)
        issuers = values.pop(_RELATION, ())
        relations.extend({"unit": entry.key, "issuer": issuer} for issuer in issuers)
        if has_units:
            values.pop("members", None)
        table = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value not in ("", (), None)
        }
        tables.setdefault(entry.family, []).append(table)
    if relations:
        tables[_RELATION] = relations
    return tomli_w.dumps(tables).encode()


def _only(path: Path, kinds: Sequence[type[Entry]]) -> type[Entry]:
    if len(kinds) != 1:
        raise InvalidRequest(
            f"{path}: a CSV file holds one kind of entries: say which with --kind, one of"
            f" {', '.join(KINDS)}",
            field="kind",
        )
    return kinds[0]


def _text(path: Path) -> str:
    """The text of a file of at most ``MAX_FILE_BYTES``; a byte order mark is left out.

    Raises:
        InvalidRequest: it can't be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}", file=str(path)) from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"{path} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB", file=str(path)
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{path} is not UTF-8 (byte {error.start + 1}): save it as  CSV UTF-8", file=str(path)
        ) from error


def _read_toml(path: Path, collector: Collector) -> None:
    text = _text(path)
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: an integer of thousands of digits
        raise InvalidRequest(f"{path} is not TOML: {error}", file=str(path)) from error
    issuers = _issuers(found.pop(_RELATION, []), collector)
    for name, tables in found.items():
        if name not in KINDS:
            collector.fault(name, 1, "", f"there are {', '.join(f'[[{k}]]' for k in KINDS)} only")
            continue
        for row, values in _tables(name, tables, collector):
            key = values.get("unit_id")
            if name == "unit" and isinstance(key, str) and (more := issuers.pop(key, None)):
                own = values.get(_RELATION, [])
                together = sorted({*own, *more}) if _is_texts(own) else own
                values = {**values, _RELATION: together}
            collector.add(KINDS[name], row, values)
    for unit, rows in issuers.items():
        for row in rows.values():
            collector.fault(_RELATION, row, "unit", f"{unit!r} is no unit of the file")


def _issuers(tables: object, collector: Collector) -> dict[str, dict[str, int]]:
    """For whom units act: the rows of the relations, by unit and issuer."""
    found: dict[str, dict[str, int]] = {}
    for row, values in _tables(_RELATION, tables, collector):
        unit, issuer = values.get("unit"), values.get("issuer")
        if isinstance(unit, str) and isinstance(issuer, str) and len(values) == 2:
            found.setdefault(unit, {})[issuer] = row
        else:
            collector.fault(_RELATION, row, "", "needs  unit  and  issuer, and no more")
    return found


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _tables(
    name: str, tables: object, collector: Collector
) -> list[tuple[int, Mapping[str, object]]]:
    """The tables of one name with their numbers."""
    listed = tables if isinstance(tables, list) else [tables]
    found: list[tuple[int, Mapping[str, object]]] = []
    for row, values in enumerate(listed, start=1):
        if isinstance(tables, list) and isinstance(values, dict):
            found.append((row, values))
        else:
            collector.fault(name, row, "", f"must be a table [[{name}]]")
    return found


def _replace(path: Path, content: bytes) -> None:
    directory = path.parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
