"""What a sender says of what it sent: ``withdraw``, ``urge`` and ``offer-again``.

Each under the unit's seal, with the centre's admission verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from document_exchange.errors import StateConflict
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.several import Tally

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.evidence import Statement
    from exchange_client.sent import AsyncSent

_EVERYBODY = "all"
_OPEN = ("PENDING", "DELIVERED", "SIGNED_FOR")
_WITHDRAWABLE = (*_OPEN, "COMPLETED")
"""Where the document is with its recipient, or may come to it; a refusal is worth knowing."""
_REFUSED = ("REFUSED",)

_envelopes = click.argument("envelopes", nargs=-1, required=True, metavar="ENVELOPE...")
_reason = click.option("--reason", metavar="TEXT", help="In words.")


def _recipients_option(name: str, text: str, *, required: bool = False) -> Callable[[Any], Any]:
    return click.option(
        name,
        "recipients",
        multiple=True,
        required=required,
        metavar="UNIT",
        help=f"{text} Several with commas; may be repeated.",
    )


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

    async def say(sent: AsyncSent, recipient: str) -> Statement:
        try:
            return await sent.withdraw(recipient, reason)
        except StateConflict as conflict:
            if request is None or conflict.attributes.get("state") != "SIGNED_FOR":
                raise
        return await sent.request_withdrawal(recipient, request)

    return _Each(recipients, _WITHDRAWABLE).run(context, envelopes, say)


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

    async def say(sent: AsyncSent, recipient: str) -> Statement:
        return await sent.urge(recipient, reason)

    return _Each(recipients, _OPEN).run(context, envelopes, say)


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

    async def say(sent: AsyncSent, recipient: str) -> Statement:
        return await sent.offer_again(recipient, reason)

    return _Each(recipients, _REFUSED).run(context, envelopes, say)


class _Each:
    """Says the same of each envelope to each of its recipients that it is for."""

    def __init__(self, given: tuple[str, ...], concerned: tuple[str, ...]) -> None:
        """``given``: recipients; none, or "all": those whose delivery is in a state ``concerned``.

        Who is named is always tried: a refusal then says what came first.
        """
        names = (name for several in given for name in several.split(",") if name)
        self._given = tuple(dict.fromkeys(names))
        self._concerned = concerned

    def run(
        self,
        context: click.Context,
        envelopes: tuple[str, ...],
        say: Callable[[AsyncSent, str], Awaitable[Statement]],
    ) -> int:
        """The exit code: 0, or 1 if some failed, or the first failure's if all did."""
        settings = settings_of(context)

        async def say_all(client: AsyncClient) -> int:
            tally = Tally(settings)
            for envelope_id in dict.fromkeys(envelopes):
                with tally.guarded():
                    sent = await client.sent(envelope_id)
                    for recipient in await self._recipients(sent):
                        with tally.guarded():
                            tally.recorded(await say(sent, recipient))
            return tally.exit_code

        return run(settings, say_all)

    async def _recipients(self, sent: AsyncSent) -> Sequence[str]:
        if self._given and self._given != (_EVERYBODY,):
            return self._given
        if len(sent.recipients) == 1:
            return sent.recipients
        states = {each.recipient: each.state.value for each in (await sent.track()).deliveries}
        found = [recipient for recipient in states if states[recipient] in self._concerned]
        if not found:
            counts = Counter(states.values()).items()
            raise StateConflict(
                f"no recipient of envelope {sent.envelope_id} is left for that: "
                + ", ".join(f"{count} {state}" for state, count in counts),
                envelope_id=sent.envelope_id,
            )
        return found
