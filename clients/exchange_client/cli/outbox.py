"""``exchange outbox``: what the own unit sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli import standing
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.inbox import limit_option
from exchange_client.cli.values import STATES, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.model import SubmissionSummary

_COLUMNS = ("envelope_id", "doc_id", "number", "title", "accepted_at", "deliveries")


@click.command(cls=Command)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=OneOf(STATES),
    help="Only with a delivery in this state. May be repeated.",
)
@limit_option
@click.pass_context
def outbox(context: click.Context, states: tuple[str, ...], limit: int) -> None:
    """List the documents that your unit sent.

    Newest first, with the states of their deliveries. Where there is any: what is due next, how
    many are overdue, were asked to be withdrawn, or were replaced by which envelope.
    """
    settings = settings_of(context)
    rows, more = run(settings, lambda client: _rows(client, states, limit))
    if not settings.json:
        rows = [_counted(row) for row in rows]
    settings.output.table(rows, standing.columns(_COLUMNS, rows))
    if more:
        settings.output.notice("more", limit=limit)


async def _rows(
    client: AsyncClient, states: tuple[str, ...], limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most ``limit`` rows, and whether there are more."""
    rows: list[dict[str, Any]] = []
    async for summary in client.submissions(states or None):
        if limit and len(rows) == limit:
            return rows, True
        rows.append(row_of(summary))
    return rows, False


def row_of(summary: SubmissionSummary) -> dict[str, Any]:
    """A submission's summary by field name, without what is empty."""
    found = {
        "envelope_id": summary.envelope_id,
        "title": summary.title,
        "doc_id": summary.doc_id,
        "number": summary.number,
        "accepted_at": summary.accepted_at,
        "deliveries": [standing.fields_of(status) for status in summary.deliveries],
    }
    return {name: value for name, value in found.items() if value != ""}


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """A row for a table: of its deliveries how many there are of each kind."""
    deliveries = [standing.with_notes(each) for each in row["deliveries"]]
    return {
        **row,
        "deliveries": Counter(each["state"] for each in deliveries),
        "due": min((each["due"] for each in deliveries if "due" in each), default=None),
        "notes": Counter(note for each in deliveries for note in each["notes"]),
        "replaced_by": sorted(
            {each["replaced_by"] for each in deliveries if "replaced_by" in each}
        ),
    }
