"""What a recipient says of deliveries: ``sign``, ``refuse``, ``progress``, ``complete``, ...

Each under the unit's seal, with the centre's admission verified.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.several import Tally
from exchange_client.cli.values import REASONS, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.delivery import AsyncDelivery
    from exchange_client.evidence import Statement

_envelopes = click.argument("envelopes", nargs=-1, required=True, metavar="ENVELOPE...")
_reason = click.option("--reason", metavar="TEXT", help="In words.")
_reason_of_code = click.option(
    "--reason", metavar="TEXT", help="In words; required with --code OTHER."
)


def _check_words(context: click.Context, code: str, reason: str | None) -> None:
    if code == "OTHER" and not (reason or "").strip():
        raise click.UsageError(settings_of(context).output.words("reason_needed"))


def _each(
    context: click.Context,
    envelopes: tuple[str, ...],
    say: Callable[[AsyncDelivery], Awaitable[Statement]],
) -> int:
    """Say the same of each; returns the exit code."""
    settings = settings_of(context)

    async def say_all(client: AsyncClient) -> int:
        tally = Tally(settings)
        for envelope_id in dict.fromkeys(envelopes):
            with tally.guarded():
                tally.recorded(await say(await client.delivery(envelope_id)))
        return tally.exit_code

    return run(settings, say_all)


@click.command(cls=Command)
@_envelopes
@click.pass_context
def sign(context: click.Context, envelopes: tuple[str, ...]) -> int:
    """Sign for ENVELOPEs 签收 that were received.

    `exchange receive --sign` does both at once.
    """
    return _each(context, envelopes, lambda delivery: delivery.sign_for())


@click.command(cls=Command)
@_envelopes
@click.option("--code", required=True, type=OneOf(REASONS), help="Why they are refused.")
@_reason_of_code
@click.pass_context
def refuse(
    context: click.Context, envelopes: tuple[str, ...], code: str, reason: str | None
) -> int:
    """Refuse ENVELOPEs 拒收 with a reason.

    They must have been received, unless they do not verify; once signed for, `exchange return`
    them.
    """
    _check_words(context, code, reason)
    return _each(context, envelopes, lambda delivery: delivery.refuse(code, reason))


@click.command(cls=Command)
@click.argument("envelope")
@click.argument("text")
@click.pass_context
def progress(context: click.Context, envelope: str, text: str) -> int:
    """Tell the sender of an ENVELOPE how it is getting on 办理进展.

    It must have been signed for.
    """
    return _each(context, (envelope,), lambda delivery: delivery.progress(text))


@click.command(cls=Command)
@_envelopes
@_reason
@click.pass_context
def complete(context: click.Context, envelopes: tuple[str, ...], reason: str | None) -> int:
    """Say that ENVELOPEs were dealt with 办结.

    They must have been signed for.
    """
    return _each(context, envelopes, lambda delivery: delivery.complete(reason))


@click.command("return", cls=Command)
@_envelopes
@click.option("--code", required=True, type=OneOf(REASONS), help="Why they are returned.")
@_reason_of_code
@click.pass_context
def send_back(
    context: click.Context, envelopes: tuple[str, ...], code: str, reason: str | None
) -> int:
    """Return ENVELOPEs 退文 to their sender with a reason.

    They must have been signed for; before that, `exchange refuse` them.
    """
    _check_words(context, code, reason)
    return _each(context, envelopes, lambda delivery: delivery.send_back(code, reason))


@click.command(cls=Command)
@_envelopes
@_reason
@click.pass_context
def grant(context: click.Context, envelopes: tuple[str, ...], reason: str | None) -> int:
    """Let the senders of ENVELOPEs withdraw them 同意撤回, as they asked."""
    return _each(context, envelopes, lambda delivery: delivery.grant_withdrawal(reason))


@click.command(cls=Command)
@_envelopes
@_reason
@click.pass_context
def decline(context: click.Context, envelopes: tuple[str, ...], reason: str | None) -> int:
    """Keep ENVELOPEs that their senders asked to withdraw 不同意撤回."""
    return _each(context, envelopes, lambda delivery: delivery.decline_withdrawal(reason))
