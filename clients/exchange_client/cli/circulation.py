"""``exchange circulation``: who of all recipients of a document has signed, answered, is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli import standing
from exchange_client.cli.command import Command, run, settings_of

if TYPE_CHECKING:
    from exchange_client.circulation import Circulation, CirculationEntry

_COLUMNS = ("unit_id", "kind", "state", "signed_for_at", "answered_at", "due", "late")


@click.command(cls=Command)
@click.argument("envelope")
@click.pass_context
def circulation(context: click.Context, envelope: str) -> None:
    """Show where all recipients of an ENVELOPE stand 会签, 联办.

    Who has signed, who has answered, who is late. For the unit that sent it; for its recipients
    if it was sent with --open-circulation. With --json: one object.
    """
    settings = settings_of(context)
    output = settings.output
    found = run(settings, lambda client: client.circulation(envelope))
    if settings.json:
        output.row(_object(found), "")
        return
    late = output.words("late")
    output.table([table_row(entry, late) for entry in found.entries], _COLUMNS)
    output.row(_summary(found) | {"recipients": len(found.entries)}, "circulation")


def _summary(found: Circulation) -> dict[str, Any]:
    return {
        "envelope_id": found.envelope_id,
        "sender": found.sender,
        "title": found.title,
        "signed": found.signed,
        "answered": found.answered,
        "late": found.late,
    }


def _object(found: Circulation) -> dict[str, Any]:
    recipients = []
    for entry in found.entries:
        answer = {
            "signed_for_at": entry.signed_for_at,
            "answered_at": entry.answered_at,
            "answered_by": entry.answered_by or None,
        }
        recipients.append(
            {
                "kind": entry.recipient_kind,
                **standing.fields_of(entry.status),
                **{name: value for name, value in answer.items() if value is not None},
            }
        )
    return {**_summary(found), "recipients": recipients}


def table_row(entry: CirculationEntry, late: str) -> dict[str, Any]:
    """A recipient for a table; ``late`` is the word for it."""
    return {
        "unit_id": entry.recipient,
        "kind": entry.recipient_kind,
        "state": entry.status.state.value,
        "signed_for_at": entry.signed_for_at,
        "answered_at": entry.answered_at,
        "due": entry.due,
        "late": late if entry.late else "",
    }
