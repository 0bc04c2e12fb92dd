"""How the commands for staff make a change: dry run or act, and what they print of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import Settings, run
from exchange_client.cli.output import Output

if TYPE_CHECKING:
    from document_exchange.entry_changes import Difference
    from exchange_client.admin import Change, Outcome
    from exchange_client.client import AsyncClient

_TRIES = 5

DIFFERENCE_COLUMNS = ("kind", "key", "field", "before", "after")

reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why; stands in the event."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would differ.")
yes_option = click.option("--yes", is_flag=True, help="Do it; without, it is only shown.")


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """Whether a command acts, and what the user says to have it the other way."""

    dry_run: bool
    option: str
    """The option with which the command acts; --dry-run: without which."""

    def tell(self, output: Output) -> None:
        """Say that nothing was changed."""
        without = self.option == "--dry-run"
        output.notice("repeat_without" if without else "repeat_with", option=self.option)


def change(settings: Settings, changes: Iterable[Change], mode: Mode, reason: str) -> None:
    """Apply changes, or show what they would do."""
    listed = list(changes)

    async def apply(client: AsyncClient) -> Outcome:
        return await client.admin.apply(listed, dry_run=mode.dry_run, reason=reason)

    show_outcome(settings, run(settings, apply), mode)


async def upon_what_is_there(attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Read and change again for as long as others change the registry in between."""
    from document_exchange.errors import EntriesChanged

    for _ in range(_TRIES - 1):
        with contextlib.suppress(EntriesChanged):
            return await attempt()
    return await attempt()


def show_outcome(settings: Settings, outcome: Outcome, mode: Mode) -> None:
    """Print the differences, and what became of them."""
    output = settings.output
    if settings.json:
        row = {
            "applied": outcome.applied,
            "dry_run": mode.dry_run,
            "proposal_id": outcome.proposal_id,
            "differences": rows_of(outcome.differences),
        }
        output.row(row, "")
        return
    if not outcome.differences:
        output.notice("unchanged")
        return
    output.table(rows_of(outcome.differences), DIFFERENCE_COLUMNS)
    if mode.dry_run:
        mode.tell(output)
    elif outcome.proposal_id:
        output.row({"proposal_id": outcome.proposal_id}, "proposed")
    else:
        count = len(outcome.differences)
        output.row({"count": count}, "changed_registry" if count != 1 else "changed_one_field")


def rows_of(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Differences as rows of a table."""
    import msgspec

    return [msgspec.structs.asdict(each) for each in differences]


def standing(row: dict[str, Any], what: str, settings: Settings) -> dict[str, Any]:
    """``row`` with its standing in words; ``what`` it is the standing of: TOKEN, SEAL, PROPOSAL."""
    if settings.json:
        return row
    return {**row, "standing": settings.output.words(f"{what}_{row['standing']}")}
