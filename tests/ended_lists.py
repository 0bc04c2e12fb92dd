"""A registry as it would be, had the authority signed no new revocation list in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from exchange_server.registry import Registry, RegistryFollower
from tests.real_centre import now


def ended_lists(registry: RegistryFollower) -> RegistryFollower:
    """The same, but the list of the seals has ended."""
    return cast(RegistryFollower, _Ended(registry))


@dataclass
class _Ended:
    registry: RegistryFollower

    def current(self) -> Registry:
        found = self.registry.current()
        ended = tuple(
            replace(each, next_update=now() - timedelta(seconds=1)) for each in found.seal_crls
        )
        return replace(found, seal_crls=ended)
