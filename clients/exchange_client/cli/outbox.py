"""``exchange outbox``: what the own unit sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.inbox import limit_option
from exchange_client.cli.values import STATES, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient

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

    Newest first, with the states of their deliveries.
    """
    settings = settings_of(context)
    rows, more = run(settings, lambda client: _rows(client, states, limit))
    if not settings.json:
        for row in rows:
            row["deliveries"] = Counter(each["state"] for each in row["deliveries"])
    settings.output.table(rows, _COLUMNS)
    if more:
        settings.output.notice("more", limit=limit)


async def _rows(
    client: AsyncClient, states: tuple[str, ...], limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most ``limit`` rows, and whether there are more."""
    import dataclasses

    rows: list[dict[str, Any]] = []
    async for summary in client.submissions(states or None):
        if limit and len(rows) == limit:
            return rows, True
        fields = dataclasses.asdict(summary)
        rows.append({name: value for name, value in fields.items() if value != ""})
    return rows, False
