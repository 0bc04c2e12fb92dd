"""Directory: which units take part."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from document_exchange import fields
from document_exchange.errors import NotFound
from exchange_server.registry import RegistryFollower, Unit
from exchange_server.requests import check_shape, page_limit


@dataclass(frozen=True, slots=True)
class Directory:
    """Answers from the registry in memory."""

    registry: RegistryFollower

    def list_units(self, group: str, page_size: int, page_token: str) -> tuple[list[Unit], str]:
        """One page of units by unit_id, and the token of the next page ("" at the end).

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit = page_limit(page_size)
        if page_token:
            check_shape(page_token, fields.UnitId, "page_token")
        units = self.registry.current().units
        names = sorted(name for name, unit in units.items() if not group or group in unit.groups)
        start = bisect_right(names, page_token) if page_token else 0
        page = names[start : start + limit]
        more = start + limit < len(names)
        return [units[name] for name in page], page[-1] if more else ""

    def unit(self, unit_id: str) -> Unit:
        """One unit.

        Raises:
            NotFound
        """
        unit = self.registry.current().units.get(unit_id)
        if unit is None:
            raise NotFound(f"there is no unit {unit_id[:64]!r}", unit=unit_id[:64])
        return unit
