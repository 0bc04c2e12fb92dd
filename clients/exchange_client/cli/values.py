"""The values that options take one of, as the formats name them.

Repeated here so that ``--help`` need not load the formats; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

STATES = (
    "PENDING",
    "DELIVERED",
    "SIGNED_FOR",
    "COMPLETED",
    "REFUSED",
    "RETURNED",
    "WITHDRAWN",
    "EXPIRED",
)
OPEN_STATES = ("PENDING", "DELIVERED", "SIGNED_FOR")
"""In which the recipient still has something to do."""
REASONS = (
    "NOT_OUR_REMIT",
    "RULE_VIOLATION",
    "GENRE_OR_FORMAT",
    "NOT_CONSULTED",
    "BAD_SIGNATURE",
    "DIGEST_MISMATCH",
    "WRONG_RECIPIENT",
    "DUPLICATE",
    "OTHER",
)
DIRECTIONS = ("UP", "DOWN", "PARALLEL")
URGENCIES = ("NORMAL", "URGENT", "EXTRA_URGENT")
CATEGORIES = ("PARTY", "GOVERNMENT", "OTHER")
GENRES = (
    "NONE",
    "RESOLUTION",
    "DECISION",
    "ORDER",
    "COMMUNIQUE",
    "PROCLAMATION",
    "ANNOUNCEMENT",
    "OPINION",
    "NOTICE",
    "CIRCULAR",
    "REPORT",
    "REQUEST",
    "REPLY",
    "MOTION",
    "LETTER",
    "MINUTES",
)


class OneOf(click.Choice[str]):
    """One of the formats' values; capitals do not matter."""

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__(values)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as the formats write it; one that is none of them is named as it was given."""
        capitals = str(value).upper()
        return super().convert(capitals if capitals in self.choices else value, param, ctx)
