"""``exchange news`` and ``exchange seen``: what a unit has not taken note of yet."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from document_exchange.errors import NotFound
from exchange_client.cli import standing
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.several import Tally
from exchange_client.cli.values import STATES, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.model import SubmissionSummary
    from exchange_client.tracking import TrackedDelivery, Tracking


@click.command(cls=Command)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=OneOf(STATES),
    help="Only of deliveries in this state. May be repeated.",
)
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--seen/--no-seen",
    default=False,
    show_default=True,
    help="Take note of what was shown, so that it does not come again.",
)
@click.pass_context
def news(context: click.Context, states: tuple[str, ...], follow: bool, seen: bool) -> None:
    """Show what happened to documents that your unit sent.

    A line for each delivery with something that your unit has not taken note of; it comes again
    until it has, with --seen or with `exchange seen`.
    """
    settings = settings_of(context)
    run(settings, lambda client: _news(client, settings, states, follow, seen))


async def _news(
    client: AsyncClient, settings: Settings, states: tuple[str, ...], follow: bool, seen: bool
) -> None:
    found = False
    async with aclosing(client.watch_submissions(states or None, follow=follow)) as changes:
        async for change in changes:
            found = True
            settings.output.row(_news_row(change), "news")
            if seen:
                status = change.deliveries[0]
                await client.confirm_seen(change.envelope_id, status.recipient, status.seq)
    if not found:
        settings.output.notice("nothing")


def _news_row(change: SubmissionSummary) -> dict[str, Any]:
    status = standing.fields_of(change.deliveries[0])
    return {
        "envelope_id": change.envelope_id,
        "title": change.title,
        # What this version does not know is at least some step that led to this state.
        "type": status.pop("last_type", status["state"]),
        **status,
    }


@click.command(cls=Command)
@click.argument("envelopes", nargs=-1, required=True, metavar="ENVELOPE...")
@click.option(
    "--recipient", metavar="UNIT", help="Only of the delivery to this unit. Default: of all."
)
@click.pass_context
def seen(context: click.Context, envelopes: tuple[str, ...], recipient: str | None) -> int:
    """Take note of all that was recorded of ENVELOPEs, sent or received.

    `exchange news` and `exchange receive` then leave it out until there is something new.
    """
    settings = settings_of(context)

    async def note_all(client: AsyncClient) -> int:
        tally = Tally(settings)
        for envelope_id in dict.fromkeys(envelopes):
            with tally.guarded():
                tracking = await client.track(envelope_id)
                for delivery in _to(tracking, recipient):
                    await _note(client, tracking, delivery)
                    settings.output.row(_seen_row(envelope_id, delivery), "seen")
                    tally.done += 1
        return tally.exit_code

    return run(settings, note_all)


def _to(tracking: Tracking, recipient: str | None) -> list[TrackedDelivery]:
    found = [each for each in tracking.deliveries if recipient in (None, each.recipient)]
    if not found:
        envelope_id = tracking.envelope.envelope_id
        raise NotFound(
            f"{recipient} is no recipient of envelope {envelope_id} that your unit may see",
            envelope_id=envelope_id,
            recipient=recipient or "",
        )
    return found


async def _note(client: AsyncClient, tracking: Tracking, delivery: TrackedDelivery) -> None:
    """As whichever party the own unit is; a unit that sends to itself is both."""
    envelope_id = tracking.envelope.envelope_id
    if tracking.envelope.manifest.sender == client.unit_id:
        await client.confirm_seen(envelope_id, delivery.recipient, delivery.seq)
    if delivery.recipient == client.unit_id:
        await (await client.delivery(envelope_id)).confirm_seen(delivery.seq)


def _seen_row(envelope_id: str, delivery: TrackedDelivery) -> dict[str, Any]:
    return {
        "envelope_id": envelope_id,
        "recipient": delivery.recipient,
        "state": delivery.state.value,
        "seq": delivery.seq,
    }
