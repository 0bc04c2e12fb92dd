"""Changes of the registry: what may be done with an entry, how much at once, what differs then."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from document_exchange.errors import LimitExceeded

MOST_CHANGES = 2000
"""As many changes are made at once."""

MOST_MEMBERS = 20_000
"""As many members the groups among them have together: each may be a unit that changes."""


class Verb(StrEnum):
    """What to do with an entry."""

    PUT = "PUT"
    """Make the registry say what the entry says."""
    SUSPEND = "SUSPEND"
    """For a while it may not call (units, systems, staff)."""
    RESUME = "RESUME"
    """It may call again."""
    CLOSE = "CLOSE"
    """It is no more (units, systems, staff); a unit's entry may name its successor."""
    REMOVE = "REMOVE"
    """Forget it (groups, routes, quotas)."""


class Difference(msgspec.Struct, frozen=True):
    """One field of one entry that differs."""

    kind: str
    key: str
    field: str
    before: str
    """Empty for a new entry."""
    after: str
    """Empty for a removed entry."""


def check_count(changes: int) -> None:
    """Whether so many changes may be made at once.

    Raises:
        LimitExceeded
    """
    if changes > MOST_CHANGES:
        raise LimitExceeded(
            f"{changes} changes at once; at most {MOST_CHANGES} are possible",
            field="changes",
            limit=str(MOST_CHANGES),
        )


def check_members(members: int) -> None:
    """Whether the groups among the changes may have so many members together.

    Raises:
        LimitExceeded
    """
    if members > MOST_MEMBERS:
        raise LimitExceeded(
            f"the groups have {members} members together; at most {MOST_MEMBERS} are possible at "
            "once",
            field="changes",
            limit=str(MOST_MEMBERS),
        )
