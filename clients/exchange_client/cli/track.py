"""``exchange track``: everything recorded about an envelope, verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from document_exchange import times
from exchange_client.cli import standing
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.several import recorded_row

if TYPE_CHECKING:
    from exchange_client.evidence import Statement
    from exchange_client.tracking import Tracking

_COLUMNS = ("recipient", "seq", "type", "by", "recorded_at", "reason_code", "reason")
_OF_DEADLINES = ("deadline", "due_at")
_STANDING = ("recipient", "state")


@click.command(cls=Command)
@click.argument("envelope")
@click.pass_context
def track(context: click.Context, envelope: str) -> None:
    """Show each recorded step of an ENVELOPE.

    Of every recipient's delivery if your unit sent it, otherwise of its own.

    Every signature is verified before anything is shown. Below, how each delivery stands now: what
    is due next, overdue, asked to be withdrawn, or replaced. With --json: one object for each step;
    the first one, ACCEPTED, has how the deliveries stand.
    """
    settings = settings_of(context)
    output = settings.output
    tracking = run(settings, lambda client: client.track(envelope))
    rows = list(_rows(tracking))
    stand = [standing.fields_of(delivery.status) for delivery in tracking.deliveries]
    if settings.json:
        rows[0]["deliveries"] = stand
        output.table(rows, ())
    else:
        with_deadlines = any("deadline" in row for row in rows)
        output.table(rows, [*_COLUMNS, *(_OF_DEADLINES if with_deadlines else ())])
        noted = [standing.with_notes(each) for each in stand]
        output.table(noted, standing.columns(_STANDING, noted))
    from document_exchange.certificates import fingerprint

    output.notice("verified", root=fingerprint(tracking.envelope.trust.root))


def _rows(tracking: Tracking) -> Iterator[dict[str, Any]]:
    yield recorded_row(tracking.envelope.accepted)
    for delivery in tracking.deliveries:
        for statement in delivery.statements:
            yield _row(statement)


def _row(statement: Statement) -> dict[str, Any]:
    row, deadline = recorded_row(statement), statement.receipt.deadline
    if deadline is not None:
        row |= {"deadline": deadline.kind.value, "due_at": times.parse_time(deadline.due_at)}
    return row
