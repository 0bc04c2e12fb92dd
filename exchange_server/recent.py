"""Keeps small parts in memory for a while: most are fetched within seconds of being sent.

Bytes come in by their SHA-256, which was checked, and go out only as a part of an accepted
envelope that has this very digest, to the parties of that envelope. So it is of no account who
brought the bytes, nor under which envelope_id; losing any of it costs one read of ledger and
blob store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from document_exchange.manifest import Part

_PART_OVERHEAD_BYTES = 512
_UNIT_OVERHEAD_BYTES = 128
"""What a part and a party cost besides the bytes, about: one byte to 500 units is not free."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    units: frozenset[str]
    parts: dict[str, str]
    """SHA-256 by part_id, in the manifest's order."""

    @property
    def cost_bytes(self) -> int:
        return len(self.units) * _UNIT_OVERHEAD_BYTES + len(self.parts) * _PART_OVERHEAD_BYTES


class RecentParts:
    """Least recently used small parts, bounded in bytes."""

    def __init__(self, size_bytes: int, largest_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._largest_bytes = min(largest_bytes, size_bytes)
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._count: dict[str, int] = {}
        self._accepted: dict[str, _Accepted] = {}
        self._held_bytes = 0

    @property
    def largest_bytes(self) -> int:
        """Larger parts are not worth their place."""
        return self._largest_bytes

    def remember(self, envelope_id: str, sha256: str, data: bytes) -> None:
        """Keep bytes with this digest, of an envelope that may yet be accepted."""
        key = envelope_id, sha256
        if len(data) > self._largest_bytes or key in self._kept:
            return
        self._kept[key] = data
        self._count[envelope_id] = self._count.get(envelope_id, 0) + 1
        self._held_bytes += len(data) + _PART_OVERHEAD_BYTES
        self._shrink()

    def accepted(self, envelope_id: str, units: Iterable[str], parts: Sequence[Part]) -> None:
        """The envelope is in the ledger with these parts; these units may have them."""
        if envelope_id in self._count and envelope_id not in self._accepted:
            accepted = _Accepted(frozenset(units), {part.part_id: part.sha256 for part in parts})
            self._accepted[envelope_id] = accepted
            self._held_bytes += accepted.cost_bytes
            self._shrink()

    def recall(self, unit: str, envelope_id: str, part_id: str) -> bytes | None:
        """The part, if it is kept and ``unit`` is a party of its accepted envelope."""
        accepted = self._accepted.get(envelope_id)
        if accepted is None or unit not in accepted.units:
            return None
        key = envelope_id, accepted.parts.get(part_id, "")
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
        return data

    def recall_small(self, unit: str, envelope_id: str, at_most: int) -> list[tuple[str, bytes]]:
        """(part_id, bytes) of the envelope's kept parts, in order, while they fit ``at_most``."""
        accepted = self._accepted.get(envelope_id)
        found = []
        for part_id in accepted.parts if accepted is not None else ():
            data = self.recall(unit, envelope_id, part_id)
            if data is not None and len(data) <= at_most:
                at_most -= len(data)
                found.append((part_id, data))
        return found

    def _shrink(self) -> None:
        while self._held_bytes > self._size_bytes:
            (envelope_id, _), data = self._kept.popitem(last=False)
            self._held_bytes -= len(data) + _PART_OVERHEAD_BYTES
            self._count[envelope_id] -= 1
            if self._count[envelope_id] == 0:
                del self._count[envelope_id]
                if accepted := self._accepted.pop(envelope_id, None):
                    self._held_bytes -= accepted.cost_bytes
