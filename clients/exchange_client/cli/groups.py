"""``exchange groups``: the named lists of units 通讯组 that can be written to."""

from __future__ import annotations

import dataclasses

import click

from exchange_client.cli.command import Command, run, settings_of

_COLUMNS = ("group_id", "name", "members")


@click.command(cls=Command)
@click.pass_context
def groups(context: click.Context) -> None:
    """List the groups.  exchange send --to group:GROUP  writes to all members of one."""
    settings = settings_of(context)
    rows = [dataclasses.asdict(each) for each in run(settings, lambda client: client.groups())]
    if not settings.json:
        language = "name_zh" if settings.output.words.language == "zh" else "name_en"
        rows = [{**row, "name": row[language]} for row in rows]
    settings.output.table(rows, _COLUMNS)
