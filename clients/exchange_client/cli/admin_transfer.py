"""``exchange admin import`` and ``export``: many entries at once, as TOML or CSV."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from document_exchange.errors import ExchangeError
from exchange_client.cli.admin_changes import Mode, change, reason_option
from exchange_client.cli.admin_kinds import KINDS
from exchange_client.cli.command import Command, run, settings_of

if TYPE_CHECKING:
    from document_exchange.entries import Entry
    from exchange_client.client import AsyncClient

_FAULT_COLUMNS = ("kind", "row", "column", "fault")
_PLACE = re.compile(r"(?:changes\[)?([0-9]{1,4})\b")
_NAMES = tuple(kind.name for kind in KINDS)


@click.command("import", cls=Command)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Of a CSV file: what its rows are. Of TOML: only these entries; may be repeated.",
)
@click.option("--apply", "apply_", is_flag=True, help="Do it; without, it is only shown.")
@reason_option
@click.pass_context
def import_(
    context: click.Context, file: Path, kinds: tuple[str, ...], apply_: bool, reason: str
) -> None:
    """Make the registry say what FILE (.toml or .csv) says: all of it or nothing.

    First run it without --apply: it shows what differs and changes nothing. Entries that are not
    in the file stay as they are. Every fault of the file is shown with its row and column.
    """
    from document_exchange.entry_changes import Verb
    from exchange_client.admin import Change
    from exchange_client.admin_faults import FileFaulty
    from exchange_client.admin_files import read_entries

    settings = settings_of(context)
    try:
        entries = read_entries(file, kinds)
    except FileFaulty as error:
        settings.output.table([dataclasses.asdict(each) for each in error.faults], _FAULT_COLUMNS)
        raise
    changes = [Change(Verb.PUT, entry) for entry in entries]
    try:
        change(settings, changes, Mode(not apply_, "--apply"), reason)
    except ExchangeError as error:
        _name_the_entry(error, entries)
        raise


def _name_the_entry(error: ExchangeError, entries: list[Entry]) -> None:
    """Say of a refusal which entry it is about; the centre knows them by their place only."""
    place = error.attributes.get("change") or error.attributes.get("field", "")
    found = _PLACE.match(place)
    if found and int(found[1]) < len(entries):
        entry = entries[int(found[1])]
        if entry.key not in error.message:
            error.message = f"{entry.family} {entry.key}: {error.message}"


@click.command(cls=Command)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Only this kind; a CSV file holds one. May be repeated for TOML. Default: every kind.",
)
@click.option(
    "-o",
    "--output",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to: a name that ends in .toml or .csv.",
)
@click.option("--replace", is_flag=True, help="Take the place of a file of this name.")
@click.pass_context
def export(context: click.Context, kinds: tuple[str, ...], file: Path, replace: bool) -> None:
    """Write the registry to a file that  exchange admin import  takes."""
    from exchange_client.admin_files import write_entries

    if file.exists() and not replace:
        raise click.UsageError(f"{file} exists: give another name, or --replace")
    settings = settings_of(context)
    chosen = kinds or _NAMES

    async def listed(client: AsyncClient) -> list[Entry]:
        return [entry for kind in chosen for entry in await client.admin.entries(kind)]

    entries = run(settings, listed)
    write_entries(file, entries, chosen)
    settings.output.row({"file": str(file), "count": len(entries)}, "exported")
