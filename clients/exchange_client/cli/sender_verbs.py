"""What a sender says of what it sent: ``withdraw``, ``urge`` and ``offer-again``.

Each under the unit's seal, with the centre's admission verified.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.several import Tally

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.sent import AsyncSent

_envelopes = click.argument("envelopes", nargs=-1, required=True, metavar="ENVELOPE...")
_reason = click.option("--reason", metavar="TEXT", help="In words.")


def _recipients_option(name: str, text: str, *, required: bool = False) -> Callable[[Any], Any]:
    return click.option(
        name,
        "recipients",
        multiple=True,
        required=required,
        metavar="UNIT",
        callback=_units,
        help=f"{text} Several with commas; may be repeated.",
    )


def _units(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The recipients that were named, each once; naming nobody does not mean everybody."""
    names = tuple(dict.fromkeys(name for several in given for name in several.split(",") if name))
    if given and not names:
        raise click.BadParameter(settings_of(context).output.words("nobody_named"))
    return names


@click.command(cls=Command)
@_envelopes
@_recipients_option(
    "--from", "Only from this recipient. Default: all, from whom there is anything to withdraw."
)
@_reason
@click.option(
    "--request",
    metavar="TEXT",
    help="Where it was signed for already, ask the recipient to let it be withdrawn, and say why.",
)
@click.pass_context
def withdraw(
    context: click.Context,
    envelopes: tuple[str, ...],
    recipients: tuple[str, ...],
    reason: str | None,
    request: str | None,
) -> int:
    """Withdraw ENVELOPEs 撤回 that your unit sent.

    Your unit can do so alone before a recipient has signed for it; after that it asks with
    --request, and the recipient grants or declines.
    """

    async def say(sent: AsyncSent, tally: Tally) -> None:
        for withdrawal in await sent.withdraw_from(recipients or None, reason, request):
            with tally.guarded():
                tally.recorded(withdrawal.recorded())

    return _each(context, envelopes, say)


@click.command(cls=Command)
@_envelopes
@_recipients_option("--recipient", "Only this recipient. Default: all who have not done with it.")
@_reason
@click.pass_context
def urge(
    context: click.Context,
    envelopes: tuple[str, ...],
    recipients: tuple[str, ...],
    reason: str | None,
) -> int:
    """Urge the recipients 催办 of ENVELOPEs that your unit sent."""

    async def say(sent: AsyncSent, tally: Tally) -> None:
        from document_exchange.transitions import OPEN

        for recipient in recipients or await sent.standing_at(OPEN):
            with tally.guarded():
                tally.recorded(await sent.urge(recipient, reason))

    return _each(context, envelopes, say)


@click.command("offer-again", cls=Command)
@_envelopes
@_recipients_option("--recipient", "Who has refused it.", required=True)
@_reason
@click.pass_context
def offer_again(
    context: click.Context,
    envelopes: tuple[str, ...],
    recipients: tuple[str, ...],
    reason: str | None,
) -> int:
    """Offer ENVELOPEs again 补发 to recipients that refused them by mistake.

    For other recipients, send a new document with --refers-to.
    """

    async def say(sent: AsyncSent, tally: Tally) -> None:
        for recipient in recipients:
            with tally.guarded():
                tally.recorded(await sent.offer_again(recipient, reason))

    return _each(context, envelopes, say)


def _each(
    context: click.Context,
    envelopes: tuple[str, ...],
    say: Callable[[AsyncSent, Tally], Awaitable[None]],
) -> int:
    """Say it of each envelope; the exit code: 0, or 1 if some failed, or the first failure's."""
    settings = settings_of(context)

    async def say_all(client: AsyncClient) -> int:
        tally = Tally(settings)
        for envelope_id in dict.fromkeys(envelopes):
            with tally.guarded():
                await say(await client.sent(envelope_id), tally)
        return tally.exit_code

    return run(settings, say_all)
