"""``exchange route``: why a document may, or may not, go to a unit."""

from __future__ import annotations

import dataclasses

import click

from document_exchange.errors import NotPermitted
from exchange_client.cli.command import DONE, Command, run, settings_of
from exchange_client.cli.values import DIRECTIONS, GENRES, OneOf

_COLUMNS = ("step", "outcome", "detail")


@click.command(cls=Command)
@click.argument("recipient")
@click.option("--business", default="", help="Line of business. Default: DOCUMENT.")
@click.option("--genre", type=OneOf(GENRES), metavar="GENRE", default=None, help="Default: NONE.")
@click.option("--direction", type=OneOf(DIRECTIONS), help="Default: PARALLEL.")
@click.option("--from", "sender", default="", metavar="UNIT", help="For staff: who would send it.")
@click.pass_context
def route(
    context: click.Context,
    recipient: str,
    business: str,
    genre: str | None,
    direction: str | None,
    sender: str,
) -> int:
    """Say step by step whether RECIPIENT can be sent a document now, and which rule decides.

    Exit code 0: yes; 4: no.
    """
    settings = settings_of(context)
    answer = run(
        settings,
        lambda client: client.check_route(
            recipient,
            business=business,
            genre=genre or "",
            direction=direction or "",
            sender=sender,
        ),
    )
    output = settings.output
    if settings.json:
        output.row({"recipient": recipient, **dataclasses.asdict(answer)}, "")
    else:
        steps = [
            {
                "step": output.words(f"STEP_{step.name}"),
                "outcome": output.words("PASSED" if step.passed else "FAILED"),
                "detail": step.detail,
            }
            for step in answer.steps
        ]
        output.table(steps, _COLUMNS)
        said = "route_allowed" if answer.allowed else "route_denied"
        output.row({"recipient": recipient, "reason": answer.reason}, said)
    return DONE if answer.allowed else NotPermitted.exit_code
