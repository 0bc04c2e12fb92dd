"""How a delivery stands, in the columns that inbox, outbox and track share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exchange_client.model import DeliveryStatus, DeliverySummary

OPTIONAL_COLUMNS = ("due", "notes", "replaced_by")
"""Shown where at least one row has something there."""


def fields_of(summary: DeliverySummary | DeliveryStatus) -> dict[str, Any]:
    """A summary by field name, without what is empty, and with what is ``due`` next."""
    found = {**dataclasses.asdict(summary), "due": summary.due}
    return {name: value for name, value in found.items() if value not in ("", None)}


def with_notes(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``fields_of`` for a table: what is worth a look in one column."""
    notes = {
        "OVERDUE": row.get("overdue"),
        "WITHDRAWAL_REQUESTED": row.get("withdrawal_requested"),
        "REPLACED": row.get("replaced_by"),
    }
    return {**row, "notes": [note for note, worth_a_look in notes.items() if worth_a_look]}


def columns(fixed: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """``fixed``, and those of the optional ones in which there is anything."""
    used = {column for row in rows for column in OPTIONAL_COLUMNS if row.get(column)}
    return [*fixed, *(column for column in OPTIONAL_COLUMNS if column in used)]
