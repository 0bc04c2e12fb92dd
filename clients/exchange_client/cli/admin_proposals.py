"""``exchange admin proposals``: changes that need a second person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.admin_changes import DIFFERENCE_COLUMNS, reason_option, rows_of
from exchange_client.cli.admin_changes import standing as in_words
from exchange_client.cli.admin_entries import row_of
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.values import OneOf

if TYPE_CHECKING:
    from document_exchange.entry_changes import Difference
    from exchange_client.admin import Change, Decision, Proposal
    from exchange_client.client import AsyncClient

_DECIDES = "security"
_STANDINGS = ("OPEN", "APPLIED", "REJECTED")
_COLUMNS = ("proposal_id", "standing", "changes", "proposed_by", "proposed_at", "reason")
_CHANGE_COLUMNS = ("verb", "kind", "key", "field", "value")


@click.group()
def proposals() -> None:
    """Changes that await a second member of security staff, or were decided."""


@proposals.command("list", cls=Command)
@click.option(
    "--standing",
    type=OneOf((*_STANDINGS, "ALL")),
    default="OPEN",
    show_default=True,
    help="Only those that stand so.",
)
@click.pass_context
def list_(context: click.Context, standing: str) -> None:
    """List proposals, newest first."""
    settings = settings_of(context)

    async def listed(client: AsyncClient) -> list[dict[str, Any]]:
        from exchange_client.admin import ProposalStanding

        wanted = None if standing == "ALL" else ProposalStanding(standing)
        return [_row(each) async for each in client.admin.proposals(wanted)]

    rows = [in_words(row, "PROPOSAL", settings) for row in run(settings, listed)]
    settings.output.table(rows, _COLUMNS)


@proposals.command(cls=Command)
@click.argument("proposal_id", metavar="PROPOSAL")
@click.pass_context
def show(context: click.Context, proposal_id: str) -> None:
    """Show a proposal; of an open one, what would differ if it were approved now."""
    settings = settings_of(context)
    found, differences = run(settings, lambda client: _looked_at(client, proposal_id))
    changes = [row for each in found.changes for row in _change_rows(each, settings)]
    if settings.json:
        row = {**_row(found), "decided_by": found.decided_by, "decided_at": found.decided_at}
        row |= {"decision_reason": found.decision_reason, "changes": changes}
        row["differences"] = None if differences is None else rows_of(differences)
        settings.output.row(row, "")
        return
    settings.output.table([in_words(_row(found), "PROPOSAL", settings)], _COLUMNS)
    if differences is None:
        settings.output.table(changes, _CHANGE_COLUMNS)
    else:
        settings.output.table(rows_of(differences), DIFFERENCE_COLUMNS)


@proposals.command(cls=Command)
@click.argument("proposal_id", metavar="PROPOSAL")
@reason_option
@click.pass_context
def approve(context: click.Context, proposal_id: str, reason: str) -> None:
    """Approve a proposal of somebody else, which applies it. Look at it with  show  first."""
    _decide(context, proposal_id, approve=True, reason=reason)


@proposals.command(cls=Command)
@click.argument("proposal_id", metavar="PROPOSAL")
@click.option("--reason", required=True, metavar="TEXT", help="Why; stands in the event.")
@click.pass_context
def reject(context: click.Context, proposal_id: str, reason: str) -> None:
    """Reject a proposal, one's own included."""
    _decide(context, proposal_id, approve=False, reason=reason)


def _decide(context: click.Context, proposal_id: str, *, approve: bool, reason: str) -> None:
    settings = settings_of(context)

    async def decide(client: AsyncClient) -> Decision:
        return await client.admin.decide(proposal_id, approve=approve, reason=reason)

    decision = run(settings, decide)
    differences = rows_of(decision.differences)
    row: dict[str, Any] = {
        "proposal_id": decision.proposal.proposal_id,
        "standing": decision.proposal.standing.value,
    }
    if settings.json:
        row["differences"] = differences
    elif differences:
        settings.output.table(differences, DIFFERENCE_COLUMNS)
    settings.output.row(in_words(row, "PROPOSAL", settings), "proposal_decided")


async def _looked_at(
    client: AsyncClient, proposal_id: str
) -> tuple[Proposal, tuple[Difference, ...] | None]:
    """A proposal and what it would change now; None where that is decided, or not ours to ask."""
    from exchange_client.admin import ProposalStanding

    found = await client.admin.proposal(proposal_id)
    if found.standing is not ProposalStanding.OPEN or await client.admin.role() != _DECIDES:
        return found, None
    return found, (await client.admin.apply(found.changes, dry_run=True)).differences


def _row(proposal: Proposal) -> dict[str, Any]:
    return {
        "proposal_id": proposal.proposal_id,
        "standing": proposal.standing.value,
        "changes": len(proposal.changes),
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "reason": proposal.reason,
    }


def _change_rows(change: Change, settings: Settings) -> list[dict[str, Any]]:
    """A change field by field; beside PUT its key is all that it says."""
    head = {"verb": change.verb.value, "kind": change.entry.family, "key": change.entry.key}
    fields = row_of(change.entry, settings)
    fields = {
        name: value
        for name, value in fields.items()
        if value not in ("", (), None) and name not in ("key", *change.entry.key_fields)
    }
    rows = [{**head, "field": name, "value": value} for name, value in fields.items()]
    return rows or [{**head, "field": "", "value": ""}]
