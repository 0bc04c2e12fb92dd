"""``exchange units``: who can be written to."""

from __future__ import annotations

import dataclasses

import click

from exchange_client.cli.command import Command, run, settings_of

_COLUMNS = ("unit_id", "name", "kind", "organisation_code", "status")


@click.command(cls=Command)
@click.option("--group", metavar="GROUP", help="Only members of this group.")
@click.pass_context
def units(context: click.Context, group: str | None) -> None:
    """List the units that take part."""
    settings = settings_of(context)
    found = run(settings, lambda client: client.units(group))
    chinese = settings.output.words.language == "zh"
    rows = [
        {**dataclasses.asdict(unit), "name": unit.name_zh if chinese else unit.name_en}
        for unit in found
    ]
    if settings.json:
        for row in rows:
            del row["name"]
    settings.output.table(rows, _COLUMNS)
