"""``exchange receive``: bring documents to disk, verified, confirm them, and sign for them."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from document_exchange.errors import StateConflict
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.inbox import row_of
from exchange_client.cli.several import Tally, recorded_before

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.delivery import AsyncDelivery

_REMARKS = ("URGED", "REMINDED", "OVERDUE")
"""Worth telling of what waits, too."""


@click.command(cls=Command)
@click.argument("envelopes", nargs=-1, metavar="[ENVELOPE]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("received"),
    show_default=True,
    help="Where documents go, each into a directory of its own.",
)
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--sign/--no-sign",
    default=False,
    show_default=True,
    help="Sign for each document with your unit's seal once it is on disk.",
)
@click.pass_context
def receive(
    context: click.Context, envelopes: tuple[str, ...], out: Path, follow: bool, sign: bool
) -> int:
    """Download what waits for your unit, or the ENVELOPEs named.

    Everything is verified before it gets a name on disk; the centre is told only when all of a
    document is there. Nothing is overwritten, and repeating is safe. What was superseded or
    declared void since is brought, too, and named with the envelope that did so.
    """
    settings = settings_of(context)
    if envelopes and follow:
        raise click.UsageError(settings.output.words("follow_takes_all"))
    taking = _Taking(settings, out, sign, Tally(settings))
    return run(settings, lambda client: taking.take_all(client, envelopes, follow))


@dataclass(slots=True)
class _Taking:
    """Takes deliveries one after the other and counts what became of them."""

    settings: Settings
    out: Path
    sign: bool
    tally: Tally
    told: bool = False
    """Whether there was news of deliveries that are not to be taken."""

    async def take_all(self, client: AsyncClient, envelopes: tuple[str, ...], follow: bool) -> int:
        """The exit code: 0, or 1 if some failed, or the first failure's if all did."""
        if envelopes:
            for envelope_id in envelopes:
                await self._guarded(client, envelope_id)
        else:
            async with aclosing(client.watch(follow=follow)) as deliveries:
                async for delivery in deliveries:
                    await self._guarded(client, delivery)
        if not (self.tally.done or self.tally.first_failure or self.told or envelopes):
            self.settings.output.notice("nothing")
        return self.tally.exit_code

    async def _guarded(self, client: AsyncClient, given: AsyncDelivery | str) -> None:
        with self.tally.guarded():
            if isinstance(given, str):
                await self._take(await client.delivery(given))
            elif self._concerns(given):
                await self._take(given)

    def _concerns(self, delivery: AsyncDelivery) -> bool:
        """Whether a delivery from the watch is still to be taken; tells of others that changed."""
        state = delivery.state.value
        if state not in ("PENDING", "DELIVERED") or delivery.last_type in _REMARKS:
            self.told = True
            self.settings.output.notice("changed", **{"last_type": state, **row_of(delivery)})
        return state == "PENDING" or (state == "DELIVERED" and self.sign)

    async def _take(self, delivery: AsyncDelivery) -> None:
        try:
            document = await delivery.download(self.out)
        except OSError as error:  # names what is inside by its last part alone
            raise OSError(error.errno, error.strerror, str(self.out.absolute())) from error
        state = delivery.state.value
        if delivery.replaced_by:  # said before it is signed for: it does not hold as it stands
            self.settings.output.notice(
                "was_replaced",
                envelope_id=delivery.envelope_id,
                replaced_by=delivery.replaced_by,
                title=delivery.summary.title,
            )
        if self.sign and state == "DELIVERED":
            state = await sign_for(delivery)
        self.tally.done += 1
        row = {
            **row_of(delivery),
            "state": state,
            "directory": str(document.directory),
            "parts": [
                {
                    "part_id": received.part.part_id,
                    "role": received.part.role.value,
                    "filename": received.part.filename,
                    "path": str(received.path),
                }
                for received in document.parts
            ],
        }
        self.settings.output.row(row, "received")


async def sign_for(delivery: AsyncDelivery) -> str:
    """Unless somebody else of the unit has just done so; the state after it."""
    try:
        await delivery.sign_for()
    except StateConflict as conflict:
        if recorded_before(conflict) is None:
            raise
    return "SIGNED_FOR"
