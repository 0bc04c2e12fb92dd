"""``exchange refuse``: refuse a delivery with a reason, under the unit's seal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.inbox import row_of
from exchange_client.cli.values import REASONS, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient


@click.command(cls=Command)
@click.argument("envelope")
@click.option(
    "--reason",
    required=True,
    type=OneOf(REASONS),
    help="Why it is refused.",
)
@click.option("--text", help="The reason in words; required with OTHER.")
@click.pass_context
def refuse(context: click.Context, envelope: str, reason: str, text: str | None) -> None:
    """Refuse an ENVELOPE with a reason.

    It must have been received, unless it does not verify.
    """
    if reason == "OTHER" and not (text or "").strip():
        raise click.UsageError("--text is needed with --reason OTHER")
    settings = settings_of(context)
    row = run(settings, lambda client: _refuse(client, envelope, reason, text))
    settings.output.row(row, "changed")


async def _refuse(
    client: AsyncClient, envelope_id: str, reason: str, text: str | None
) -> dict[str, Any]:
    delivery = await client.delivery(envelope_id)
    statement = await delivery.refuse(reason, text)
    code = statement.receipt.reason_code
    return {
        **row_of(delivery),
        "reason_code": code.value if code is not None else None,
        "reason": text,
        "recorded_at": statement.recorded_at,
    }
