"""``exchange inbox``: what was sent to the own unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli import standing
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.values import OPEN_STATES, STATES, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.delivery_view import DeliveryView

_COLUMNS = ("envelope_id", "state", "urgency", "sender", "number", "title", "accepted_at")

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="At most so many; 0: all.",
)


@click.command(cls=Command)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=OneOf(STATES),
    help="Only in this state. May be repeated. Default: PENDING and DELIVERED.",
)
@click.option(
    "--open",
    "to_do",
    is_flag=True,
    help="Also what was signed for and is not done with.",
)
@click.option("--all", "everything", is_flag=True, help="In any state.")
@limit_option
@click.pass_context
def inbox(
    context: click.Context, states: tuple[str, ...], to_do: bool, everything: bool, limit: int
) -> None:
    """List the deliveries to your unit.

    Newest first; by default those that wait for you. Where there is any: what is due next, what
    is overdue, what its sender asks to withdraw, and what was replaced by which envelope.
    """
    settings = settings_of(context)
    if sum(map(bool, (states, to_do, everything))) > 1:
        raise click.UsageError(settings.output.words("one_choice_of_states"))
    if to_do:
        states = OPEN_STATES
    rows, more = run(settings, lambda client: _rows(client, states, everything, limit))
    if not settings.json:
        rows = [standing.with_notes(row) for row in rows]
    settings.output.table(rows, standing.columns(_COLUMNS, rows))
    if more:
        settings.output.notice("more", limit=limit)


async def _rows(
    client: AsyncClient, states: tuple[str, ...], everything: bool, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """At most ``limit`` rows, and whether there are more."""
    deliveries = (
        client.inbox(None if everything else states) if states or everything else (client.inbox())
    )
    rows: list[dict[str, Any]] = []
    async for delivery in deliveries:
        if limit and len(rows) == limit:
            return rows, True
        rows.append(row_of(delivery))
    return rows, False


def row_of(delivery: DeliveryView) -> dict[str, Any]:
    """A delivery's summary by field name, without what is empty."""
    return standing.fields_of(delivery.summary)
