"""``exchange admin import`` and ``export``: many entries at once, as TOML or CSV."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from document_exchange.errors import ExchangeError, NotPermitted
from exchange_client.cli.admin_changes import (
    Mode,
    reason_option,
    show_outcome,
    upon_what_is_there,
)
from exchange_client.cli.admin_kinds import KINDS
from exchange_client.cli.command import Command, Settings, run, settings_of

if TYPE_CHECKING:
    from document_exchange.entries import Entry
    from exchange_client.admin import Outcome
    from exchange_client.client import AsyncClient

_FAULT_COLUMNS = ("kind", "row", "column", "fault")
_PLACE = re.compile(r"(?:changes\[)?([0-9]{1,4})\b")
_KEPT_BY_SECURITY = ("staff", "route")
"""By security staff alone; operators keep the other kinds."""
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
    in the file stay as they are. Every fault of the file is shown with its row and column. A
    status counts for what is new; what is there is suspended, resumed and closed by those verbs.
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

    async def work(client: AsyncClient) -> Outcome:
        kept, version = await _without_known_statuses(client, entries, settings)
        changes = [Change(Verb.PUT, entry) for entry in kept]
        return await client.admin.apply(changes, dry_run=not apply_, reason=reason, version=version)

    try:
        outcome = run(settings, lambda client: upon_what_is_there(lambda: work(client)))
        show_outcome(settings, outcome, Mode(not apply_, "--apply"))
    except ExchangeError as error:
        _name_the_entry(error, entries)
        raise


async def _without_known_statuses(
    client: AsyncClient, entries: list[Entry], settings: Settings
) -> tuple[list[Entry], int]:
    """The entries, of those that are there without status, and the version they are put upon."""
    from exchange_client.entries import without_status

    stateful = {entry.family for entry in entries if hasattr(entry, "status")}
    listings = [await client.admin.listing(kind) for kind in _NAMES if kind in stateful]
    known = {(e.family, e.key): e for listing in listings for e in listing.entries}
    kept = []
    for entry in entries:
        there = known.get((entry.family, entry.key))
        kept.append(entry if there is None else without_status(entry))
        was, wanted = getattr(there, "status", ""), getattr(entry, "status", "")
        if wanted and was and was != wanted:
            told = f"{entry.family} {entry.key}"
            settings.output.notice("status_stays", entry=told, status=was)
    return kept, min((listing.version for listing in listings), default=0)


def _name_the_entry(error: ExchangeError, entries: list[Entry]) -> None:
    """Say of a refusal which entry it is about; the centre knows them by their place only."""
    place = error.attributes.get("change") or error.attributes.get("field", "")
    found = _PLACE.match(place)
    if found and int(found[1]) < len(entries):
        entry = entries[int(found[1])]
        if entry.key not in error.message:
            error.message = f"{entry.family} {entry.key}: {error.message}"
        if isinstance(error, NotPermitted):
            error.message += _without_kinds_of_others(entry, entries)


def _without_kinds_of_others(refused: Entry, entries: list[Entry]) -> str:
    """How to import only what the caller's role keeps of a file for several roles."""
    kinds = dict.fromkeys(entry.family for entry in entries)
    others_keep = refused.family in _KEPT_BY_SECURITY
    own = [kind for kind in kinds if (kind in _KEPT_BY_SECURITY) != others_keep]
    if not own:
        return ""
    return "; import only what your role keeps: " + " ".join(f"--kind {kind}" for kind in own)


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
