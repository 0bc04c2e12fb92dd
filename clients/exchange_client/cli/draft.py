"""``exchange draft``: begin a joint issue, a document that several units seal before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exchange_client.cli import joint_tables
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.document_options import arguments_of, document_options


@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the draft goes: a new or empty directory.",
)
@document_options
@click.command(cls=Command)
@click.pass_context
def draft(context: click.Context, /, out: Path, **options: Any) -> None:
    """Write FILES as a draft for several issuers to seal 联合行文; nothing is sent.

    Options as of  exchange send.  Name every issuer with --issuer, the leading one first. Your
    unit's seal is on it, if it is one of them; the others' come with  exchange countersign.

    Your unit will have to send it, so it must be one of the issuers or act for the leading one;
    that is asked of the directory now.
    """
    settings = settings_of(context)
    arguments = arguments_of(options, settings.output.words)
    made = run(settings, lambda client: client.joint.draft(out, **arguments))
    fields = joint_tables.fields_of_draft(made)
    if settings.json:
        settings.output.row(fields, "")
    joint_tables.show(settings, fields)
    joint_tables.advise(settings, out, made.missing)
