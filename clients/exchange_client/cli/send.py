"""``exchange send``: seal files as a document and hand it to the centre."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from document_exchange.errors import SignatureMissing
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.values import CATEGORIES, DIRECTIONS, GENRES, URGENCIES, OneOf

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.compose import Metadata

_METADATA: tuple[tuple[str, str], ...] = (
    ("genre", "NOTICE, LETTER, REPORT, REQUEST, REPLY, ... 文种. Default: by direction."),
    ("business", "Line of business. Default: DOCUMENT."),
    ("direction", "Towards a superior, a subordinate or a peer. Default: PARALLEL."),
    ("urgency", "How soon it must be read. Default: NORMAL."),
    ("number", "Document number 发文字号."),
    ("signatory", "Who approved it 签发人; required when it goes UP."),
    ("signed-date", "YYYY-MM-DD. Default: today."),
    ("category", "Whose document it is."),
    ("reply-to", "Envelope that this one replies to."),
    ("answers", "What a REPLY answers, if that is no envelope."),
    ("reply-due", "YYYY-MM-DD by which a reply is expected."),
    ("supersedes", "Earlier envelope that this one replaces."),
    ("refers-to", "Earlier envelope that this one passes on to others."),
    ("contact", "Whom to ask about it."),
    ("remark", "Remark 附注."),
    ("operator", "Who sends it."),
)

_VALUES = {"genre": GENRES, "direction": DIRECTIONS, "urgency": URGENCIES, "category": CATEGORIES}


def _metadata_options(command: click.Command) -> click.Command:
    """The options for fields of the document, ready to be passed on by name."""
    for name, text in _METADATA:
        values = _VALUES.get(name)
        kind = click.STRING if values is None else OneOf(values)
        # All kinds of documents would fill a screen; a wrong one is answered with all of them.
        metavar = "GENRE" if name == "genre" else None
        command.params.append(click.Option([f"--{name}"], type=kind, metavar=metavar, help=text))
    return command


@_metadata_options
@click.command(cls=Command)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--to",
    multiple=True,
    required=True,
    metavar="UNIT",
    help="Recipient: a unit's id, several with commas, or group:GROUP. May be repeated.",
)
@click.option("--cc", multiple=True, metavar="UNIT", help="Who receives a copy; as --to.")
@click.option("--title", required=True, help="Title of the document.")
@click.option(
    "--doc-id",
    metavar="CODE-YEAR-SERIAL",
    help="Document identifier. Default: the leading issuer's code, this year, and the time in "
    "milliseconds as serial.",
)
@click.option(
    "--issuer",
    multiple=True,
    metavar="UNIT",
    help="Issuing unit, the leading one first. Default: your unit. May be repeated.",
)
@click.option(
    "--seal",
    multiple=True,
    metavar="PROFILE",
    help="Profile whose seal is needed besides your own (joint issue). May be repeated.",
)
@click.pass_context
def send(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    to: tuple[str, ...],
    cc: tuple[str, ...],
    title: str,
    doc_id: str | None,
    issuer: tuple[str, ...],
    seal: tuple[str, ...],
    **metadata: str | None,
) -> None:
    """Seal FILES as one document, the first as its body, and send it.

    Returns when the centre has it durably. Safe to interrupt: a document is accepted whole or
    not at all.
    """
    settings = settings_of(context)
    given: dict[str, Any] = {name: value for name, value in metadata.items() if value is not None}
    if issuer:
        given["issuers"] = issuer
    submission = run(
        settings,
        lambda client: _send(client, settings, files, to, cc, title, doc_id, seal, given),
    )
    settings.output.row(submission, "sent_before" if submission["repeated"] else "sent")


async def _send(
    client: AsyncClient,
    settings: Settings,
    files: tuple[Path, ...],
    to: tuple[str, ...],
    cc: tuple[str, ...],
    title: str,
    doc_id: str | None,
    seals: tuple[str, ...],
    metadata: dict[str, Any],
) -> dict[str, Any]:
    from exchange_client.profile import Profile

    recipients = _recipients(to)
    copies = [name for name in _recipients(cc) if name not in recipients]
    try:
        submission = await client.send(
            title=title,
            recipients=recipients,
            files=files,
            cc=copies,
            doc_id=doc_id,
            signers=[Profile.load(name).require_seal() for name in seals],
            **cast("Metadata", metadata),
        )
    except SignatureMissing as error:
        raise _seal_wanted(error, client.unit_id) from error
    return {
        "envelope_id": submission.envelope_id,
        "doc_id": submission.manifest.document.doc_id,
        "accepted_at": submission.accepted_at,
        "manifest_sha256": submission.manifest_sha256,
        "recipients": [each.unit for each in submission.manifest.recipients],
        "repeated": submission.repeated,
    }


def _seal_wanted(error: SignatureMissing, own: str) -> SignatureMissing:
    """The same error in words of the command line."""
    unit = error.attributes.get("unit")
    if unit is None:
        return error
    wanted = (
        "and this profile has no seal: use one that has"
        if unit == own
        else f"so its seal is needed: give  --seal PROFILE  with a profile of {unit}"
    )
    return SignatureMissing(f"{unit} is an issuer, {wanted}", **error.attributes)


def _recipients(given: tuple[str, ...]) -> list[str]:
    """What was given, each once; ``@GROUP`` is short for ``group:GROUP``."""
    names = (name for several in given for name in several.split(",") if name)
    return list(
        dict.fromkeys("group:" + name[1:] if name.startswith("@") else name for name in names)
    )
