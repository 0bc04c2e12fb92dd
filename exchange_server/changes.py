"""The values of administration: changes, the entries that they are made to, what differs then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from document_exchange.entries import AnyEntry, Entry, SystemEntry, UnitEntry, texts
from document_exchange.entry_changes import Difference, Verb

Key = tuple[str, str]
"""(kind, key of the entry)"""

_Kind = TypeVar("_Kind", bound=Entry)


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. ``entry`` is there for PUT alone; ``successor`` for closing a unit."""

    verb: Verb
    kind: str
    key: str
    entry: AnyEntry | None = None
    successor: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {self.key}"


def put(entry: Entry) -> Change:
    """The change that makes the registry say what the entry says."""
    assert isinstance(entry, AnyEntry)
    return Change(verb=Verb.PUT, kind=entry.family, key=entry.key, entry=entry)


@dataclass(frozen=True, slots=True)
class Entries:
    """One consistent reading of all entries."""

    version: int
    """Rises with every change of an entry."""
    by_key: Mapping[Key, Entry]
    held: frozenset[Key] = frozenset()
    """The units and systems that security staff suspended, and alone resume."""
    second_person: bool = True
    """Whether changes of rights need a second member of security staff."""

    def of(self, cls: type[_Kind]) -> Iterator[_Kind]:
        """All entries of a kind, in no order."""
        return (entry for entry in self.by_key.values() if isinstance(entry, cls))

    def find(self, cls: type[_Kind], key: str) -> _Kind | None:
        """One entry, if there is such."""
        found = self.by_key.get((cls.family, key))
        return found if isinstance(found, cls) else None

    def members(self) -> Mapping[str, Sequence[str]]:
        """The units of each group that are not closed, in order."""
        found: dict[str, list[str]] = {}
        for unit in sorted(self.of(UnitEntry), key=lambda unit: unit.unit_id):
            if unit.status != "CLOSED":
                for group_id in unit.groups:
                    found.setdefault(group_id, []).append(unit.unit_id)
        return found


@dataclass(frozen=True, slots=True)
class Changed:
    """An entry before (None: there was none) and after (None: it is removed); they differ."""

    before: Entry | None
    after: Entry | None
    held_before: bool = False
    """Whether security staff had suspended it, and they alone could resume it."""
    held_after: bool = False

    @property
    def entry(self) -> Entry:
        """The entry as it is, or was last."""
        found = self.after or self.before
        assert found is not None
        return found

    def differences(self) -> tuple[Difference, ...]:
        """Every field that differs; of a new or removed entry those that say something."""
        before = _texts(self.before, self.held_before)
        after = _texts(self.after, self.held_after)
        kind, key = self.entry.family, self.entry.key
        return tuple(
            Difference(
                kind=kind,
                key=key,
                field=name,
                before=before.get(name, ""),
                after=after.get(name, ""),
            )
            for name in (before or after)
            if before.get(name, "") != after.get(name, "")
        )

    def detail(self) -> dict[str, str]:
        """What the event REGISTRY_CHANGED says of it (docs/formats.md)."""
        detail = {"kind": self.entry.family, "key": self.entry.key}
        for each in self.differences():
            if self.before:
                detail[f"{each.field}_before"] = each.before
            if self.after:
                detail[f"{each.field}_after"] = each.after
        return detail

    def __str__(self) -> str:
        """One line for people."""
        if self.before is None:
            told = "new"
        elif self.after is None:
            told = "removed"
        else:
            told = ", ".join(
                f"{each.field} {each.before or 'none'} -> {each.after or 'none'}"
                for each in self.differences()
            )
        return f"{self.entry.family} {self.entry.key}: {told}"


def _texts(entry: Entry | None, held: bool) -> dict[str, str]:
    if entry is None:
        return {}
    if isinstance(entry, UnitEntry | SystemEntry):
        return {**texts(entry), "held_by": "security" if held else ""}
    return texts(entry)
