"""Keeps small parts in memory for a while: most are fetched within seconds of being sent.

Only bytes whose SHA-256 was checked come in, and only who may see the envelope gets them out;
losing any of it costs one read of the blob store.
"""

from __future__ import annotations

from collections import OrderedDict


class RecentParts:
    """Least recently used small parts, bounded in bytes."""

    def __init__(self, size_bytes: int, largest_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._largest_bytes = min(largest_bytes, size_bytes)
        self._parts: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._held_bytes = 0

    @property
    def largest_bytes(self) -> int:
        """Larger parts are not worth their place."""
        return self._largest_bytes

    def remember(self, envelope_id: str, part_id: str, data: bytes) -> None:
        if len(data) > self._largest_bytes:
            return
        self._forget((envelope_id, part_id))
        self._parts[envelope_id, part_id] = data
        self._held_bytes += len(data)
        while self._held_bytes > self._size_bytes:
            self._forget(next(iter(self._parts)))

    def recall(self, envelope_id: str, part_id: str) -> bytes | None:
        data = self._parts.get((envelope_id, part_id))
        if data is not None:
            self._parts.move_to_end((envelope_id, part_id))
        return data

    def _forget(self, key: tuple[str, str]) -> None:
        data = self._parts.pop(key, None)
        if data is not None:
            self._held_bytes -= len(data)
