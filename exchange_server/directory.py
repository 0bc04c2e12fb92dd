"""Directory: which units take part, and the named lists that they are addressed by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from document_exchange import fields
from document_exchange.errors import NotFound
from exchange_runtime.requests import check_shape, page_limit
from exchange_server.registry import Group, RegistryFollower, Unit


@dataclass(frozen=True, slots=True)
class GroupOfUnits:
    """A named list of units 通讯组."""

    group_id: str
    name_zh: str
    name_en: str
    """Names are empty where the registry only knows who belongs to it."""
    members: tuple[str, ...]
    """Unit ids in order, closed units left out."""


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
        names = (name for name, unit in units.items() if not group or group in unit.groups)
        page, token = _page(names, limit, page_token)
        return [units[name] for name in page], token

    def list_groups(self, page_size: int, page_token: str) -> tuple[list[GroupOfUnits], str]:
        """One page of groups by group_id, and the token of the next page ("" at the end).

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit = page_limit(page_size)
        if page_token:
            check_shape(page_token, fields.UnitId, "page_token")
        registry = self.registry.current()
        members: dict[str, list[str]] = {group_id: [] for group_id in registry.groups}
        for unit_id, unit in sorted(registry.units.items()):
            if unit.status != "CLOSED":
                for group_id in unit.groups:
                    members.setdefault(group_id, []).append(unit_id)
        page, token = _page(members, limit, page_token)
        found = []
        for group_id in page:
            named = registry.groups.get(group_id) or Group(group_id, "", "")
            found.append(
                GroupOfUnits(group_id, named.name_zh, named.name_en, tuple(members[group_id]))
            )
        return found, token

    def unit(self, unit_id: str) -> Unit:
        """One unit.

        Raises:
            NotFound
        """
        unit = self.registry.current().units.get(unit_id)
        if unit is None:
            raise NotFound(f"there is no unit {unit_id[:64]!r}", unit=unit_id[:64])
        return unit


def _page(keys: Iterable[str], limit: int, after: str) -> tuple[list[str], str]:
    """A page of these keys in order, and the token of the next page ("" at the end)."""
    ordered = sorted(keys)
    start = bisect_right(ordered, after) if after else 0
    page = ordered[start : start + limit]
    return page, page[-1] if start + limit < len(ordered) else ""
