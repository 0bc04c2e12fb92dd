"""``exchange track``: everything recorded about an envelope, verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import Command, run, settings_of

if TYPE_CHECKING:
    from exchange_client.evidence import Statement
    from exchange_client.tracking import Tracking

_COLUMNS = ("recipient", "seq", "type", "by", "recorded_at", "reason_code", "reason")


@click.command(cls=Command)
@click.argument("envelope")
@click.pass_context
def track(context: click.Context, envelope: str) -> None:
    """Show each recorded step of an ENVELOPE.

    Of every recipient's delivery if your unit sent it, otherwise of its own.

    Every signature is verified before anything is shown. With --json: one object for each step.
    """
    settings = settings_of(context)
    tracking = run(settings, lambda client: client.track(envelope))
    settings.output.table(_rows(tracking), _COLUMNS)
    from document_exchange.certificates import fingerprint

    settings.output.notice("verified", root=fingerprint(tracking.envelope.trust.root))


def _rows(tracking: Tracking) -> Iterator[dict[str, Any]]:
    yield _row(tracking, tracking.envelope.accepted, None)
    for delivery in tracking.deliveries:
        for statement in delivery.statements:
            yield _row(tracking, statement, delivery.recipient)


def _row(tracking: Tracking, statement: Statement, recipient: str | None) -> dict[str, Any]:
    receipt = statement.receipt
    state = statement.state_after
    row = {
        "envelope_id": tracking.envelope.envelope_id,
        "recipient": recipient,
        "seq": statement.seq,
        "type": statement.type.value,
        "state": state.value if state is not None else None,
        "by": statement.by,
        "recorded_at": statement.recorded_at,
        "reason_code": receipt.reason_code.value if receipt.reason_code is not None else None,
        "reason": receipt.reason,
    }
    return {name: value for name, value in row.items() if value is not None}
