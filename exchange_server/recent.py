"""Keeps small parts in memory for a while: most are fetched within seconds of being sent.

Only bytes whose SHA-256 was checked come in, and only the parties of an accepted envelope get
them out, which never change; losing any of it costs one read of ledger and blob store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class RecentParts:
    """Least recently used small parts, bounded in bytes."""

    def __init__(self, size_bytes: int, largest_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._largest_bytes = min(largest_bytes, size_bytes)
        self._parts: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._parties: dict[str, frozenset[str]] = {}
        self._count: dict[str, int] = {}
        self._held_bytes = 0

    @property
    def largest_bytes(self) -> int:
        """Larger parts are not worth their place."""
        return self._largest_bytes

    def remember(self, envelope_id: str, part_id: str, data: bytes) -> None:
        """Keep a part of an envelope that may yet be accepted."""
        if len(data) > self._largest_bytes:
            return
        self._forget((envelope_id, part_id))
        self._parts[envelope_id, part_id] = data
        self._count[envelope_id] = self._count.get(envelope_id, 0) + 1
        self._held_bytes += len(data)
        while self._held_bytes > self._size_bytes:
            self._forget(next(iter(self._parts)))

    def accepted(self, envelope_id: str, units: Iterable[str]) -> None:
        """The envelope is in the ledger; these units may have its parts."""
        if envelope_id in self._count:
            self._parties[envelope_id] = frozenset(units)

    def recall(self, unit: str, envelope_id: str, part_id: str) -> bytes | None:
        """The part, if it is kept and ``unit`` is a party of its envelope."""
        if unit not in self._parties.get(envelope_id, ()):
            return None
        data = self._parts.get((envelope_id, part_id))
        if data is not None:
            self._parts.move_to_end((envelope_id, part_id))
        return data

    def _forget(self, key: tuple[str, str]) -> None:
        data = self._parts.pop(key, None)
        if data is None:
            return
        self._held_bytes -= len(data)
        envelope_id = key[0]
        self._count[envelope_id] -= 1
        if self._count[envelope_id] == 0:
            del self._count[envelope_id]
            self._parties.pop(envelope_id, None)
