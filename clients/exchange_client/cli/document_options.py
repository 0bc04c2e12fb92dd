"""The options that describe a document, for the commands that compose one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from exchange_client.cli.values import CATEGORIES, DIRECTIONS, GENRES, URGENCIES, OneOf
from exchange_client.cli.words import Words

_METADATA: tuple[tuple[str, str], ...] = (
    ("genre", "NOTICE, LETTER, REPORT, REQUEST, REPLY, ... 文种. Default: by direction."),
    ("business", "Line of business. Default: DOCUMENT."),
    ("direction", "Towards a superior, a subordinate or a peer. Default: PARALLEL."),
    ("urgency", "How soon it must be read. Default: NORMAL."),
    ("number", "Document number 发文字号."),
    ("signatory", "Who approved it 签发人; required when it goes UP."),
    ("signed-date", "YYYY-MM-DD. Default: today."),
    ("category", "Whose document it is."),
    ("reply-to", "Envelope that this one answers. Goes to its sender for lack of --to."),
    ("answers", "What a REPLY answers, if that is no envelope."),
    ("reply-due", "YYYY-MM-DD by which a reply is required."),
    (
        "supersedes",
        "Earlier envelope that this one replaces. Keeps its document identifier, and "
        "goes to its recipients for lack of --to.",
    ),
    (
        "refers-to",
        "Earlier envelope that this one passes on to others. Keeps its document identifier.",
    ),
    (
        "voids",
        "Earlier envelope that this one declares void. Goes to its recipients for lack of --to.",
    ),
    ("contact", "Whom to ask about it."),
    ("remark", "Remark 附注."),
    ("operator", "Who sends it."),
)

_FLAGS: tuple[tuple[str, str], ...] = (
    ("reply-required", "A reply is required. Implied by --reply-due."),
    ("open-circulation", "Each recipient may see where the others stand 会签."),
)

_VALUES = {"genre": GENRES, "direction": DIRECTIONS, "urgency": URGENCIES, "category": CATEGORIES}


_ADDRESSING = ("reply_to", "supersedes", "voids")
"""The options that say who a document is for."""


_DESCRIBING: tuple[Callable[[click.Command], click.Command], ...] = (
    click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.option(
        "--to",
        multiple=True,
        metavar="UNIT",
        help="Recipient: a unit's id, several with commas, or group:GROUP. May be repeated. May be "
        "left out with --reply-to, --supersedes and --voids.",
    ),
    click.option("--cc", multiple=True, metavar="UNIT", help="Who receives a copy; as --to."),
    click.option("--title", help="Title of the document."),
    click.option(
        "--doc-id",
        metavar="CODE-YEAR-SERIAL",
        help="Document identifier. Default: the leading issuer's code, this year, and the time in "
        "milliseconds as serial.",
    ),
    click.option(
        "--issuer",
        multiple=True,
        metavar="UNIT",
        help="Issuing unit, the leading one first. Default: your unit. May be repeated.",
    ),
    click.option(
        "--seal",
        multiple=True,
        metavar="PROFILE",
        help="Profile whose seal is needed besides your own (joint issue). May be repeated.",
    ),
)


def document_options(command: click.Command) -> click.Command:
    """FILES and all options for a document, ready for ``arguments_of``."""
    for describe in _DESCRIBING:
        describe(command)
    for name, text in _METADATA:
        values = _VALUES.get(name)
        kind = click.STRING if values is None else OneOf(values)
        # All kinds of documents would fill a screen; a wrong one is answered with all of them.
        metavar = "GENRE" if name == "genre" else None
        command.params.append(click.Option([f"--{name}"], type=kind, metavar=metavar, help=text))
    for name, text in _FLAGS:
        command.params.append(click.Option([f"--{name}"], is_flag=True, default=None, help=text))
    return command


def given_of(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def arguments_of(options: dict[str, Any], words: Words) -> dict[str, Any]:
    """What ``AsyncClient.send`` takes for these options; ``words`` say what is missing.

    Raises:
        click.UsageError: one that is needed is missing.
        ConfigurationError: of a profile whose seal is to be used.
    """
    given = given_of(options)
    files, title = given.pop("files", ()), given.pop("title", None)
    if not files:
        raise click.UsageError(words("files_needed"))
    if title is None:
        raise click.UsageError(words("title_needed"))
    recipients = _recipients(given.pop("to", ()))
    if not recipients and not any(name in given for name in _ADDRESSING):
        raise click.UsageError(words("recipients_needed"))
    copies = [name for name in _recipients(given.pop("cc", ())) if name not in recipients]
    from exchange_client.profile import Profile

    seals = [Profile.load(name).require_seal() for name in given.pop("seal", ())]
    if issuers := given.pop("issuer", None):
        given["issuers"] = issuers
    return {
        **given,
        "files": files,
        "title": title,
        "recipients": recipients or None,
        "cc": copies,
        "signers": seals,
    }


def _recipients(given: tuple[str, ...]) -> list[str]:
    """What was given, each once; ``@GROUP`` is short for ``group:GROUP``."""
    names = (name for several in given for name in several.split(",") if name)
    return list(
        dict.fromkeys("group:" + name[1:] if name.startswith("@") else name for name in names)
    )
