"""``exchange units``: who can be written to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from exchange_client.cli.command import Command, run, settings_of

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.model import Unit

_COLUMNS = ("unit_id", "name", "kind", "organisation_code", "status", "groups")


@click.command(cls=Command)
@click.option("--group", metavar="GROUP", help="Only members of this group.")
@click.pass_context
def units(context: click.Context, group: str | None) -> None:
    """List the units that take part."""
    settings = settings_of(context)
    found = run(settings, lambda client: _units(client, group))
    chinese = settings.output.words.language == "zh"
    rows = [
        {**dataclasses.asdict(unit), "name": unit.name_zh if chinese else unit.name_en}
        for unit in found
    ]
    if settings.json:
        for row in rows:
            del row["name"]
    settings.output.table(rows, _COLUMNS)


async def _units(client: AsyncClient, group: str | None) -> list[Unit]:
    from exchange_client import directory

    return await directory.members(client.session, group) if group else await client.units()
