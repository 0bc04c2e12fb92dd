"""What is wrong with a file of registry entries: every fault, with its row and column."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from document_exchange import refusal
from document_exchange.entries import Entry, UnitEntry, field_types, required_fields
from document_exchange.entry_rules import arranged, broken_codes, broken_rules
from document_exchange.errors import InvalidRequest


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong at one place of a file."""

    kind: str
    row: int
    """CSV: the row in a spreadsheet, the header being 1. TOML: which table of its kind, from 1."""
    column: str
    """The field; empty where the whole row is meant."""
    fault: str


class FileFaulty(InvalidRequest):
    """The file has faults; nothing was done with it."""

    def __init__(self, path: Path, faults: Iterable[Fault]) -> None:
        """``faults`` are all that were found, and at least one."""
        self.faults = tuple(sorted(faults))
        first = self.faults[0]
        place = " ".join(word for word in (first.kind, f"row {first.row}", first.column) if word)
        more = f", and {len(self.faults) - 1} more" if len(self.faults) > 1 else ""
        super().__init__(
            f"{path}: {place}: {first.fault}{more}; nothing was changed", file=str(path)
        )


class Collector:
    """Makes entries of values that come from outside, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.entries: list[Entry] = []
        self._rows: dict[tuple[str, str], int] = {}

    def fault(self, kind: str, row: int, column: str, text: str) -> None:
        """Note one."""
        self.faults.append(Fault(kind, row, column, text))

    def add(
        self,
        kind: type[Entry],
        row: int,
        values: Mapping[str, object],
        noted: Collection[str] = (),
    ) -> None:
        """Take an entry whose ``values`` have names of fields, or note why not.

        That those in ``noted`` are missing was noted before, once for all rows.
        """
        known = len(self.faults)
        types = field_types(kind)
        converted: dict[str, Any] = {}
        for name, value in values.items():
            if name not in types:
                self.fault(kind.family, row, name, f"a {kind.family} has no such field")
                continue
            if why := refusal.why_not(types[name], value):
                self.fault(kind.family, row, name, f"{refusal.shortened(value)}: {why}")
            else:
                converted[name] = msgspec.convert(value, types[name])
        for name in required_fields(kind):
            if values.get(name, "") == "" and name not in noted:
                self.fault(kind.family, row, name, "is missing")
        self._check_codes(kind, row, converted)
        if len(self.faults) > known or noted:
            return
        entry = kind(**converted)
        first = self._rows.setdefault((kind.family, entry.key), row)
        if first != row:
            self.fault(
                kind.family, row, kind.key_fields[0], f"{entry.key} stands in row {first} too"
            )
        for name, why in broken_rules(entry):
            self.fault(kind.family, row, name, why)
        self.entries.append(arranged(entry))

    def _check_codes(self, kind: type[Entry], row: int, values: Mapping[str, str]) -> None:
        if kind is UnitEntry:
            given = (values.get(name, "") for name in ("organisation_code", "credit_code"))
            for name, why in broken_codes(*given):
                self.fault(kind.family, row, name, why)
