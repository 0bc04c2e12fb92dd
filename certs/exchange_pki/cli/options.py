"""The options that commands share, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from exchange_pki.cli.report import LANGUAGES

if TYPE_CHECKING:  # cryptography takes a tenth of a second: `--help` does without
    from exchange_pki.authority import Authority
    from exchange_pki.keys import Passphrase

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Moment(click.ParamType[datetime]):
    """An instant in UTC, in whole seconds."""

    name = "YYYY-MM-DDTHH:MM:SSZ"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The aware instant that the text names."""
        try:
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            self.fail(f"{value!r} is not written as {self.name}", param, ctx)


class Seconds(click.ParamType[timedelta]):
    """A length of time in whole seconds."""

    name = "SECONDS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The length that the number names."""
        try:
            return timedelta(seconds=int(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no number of seconds", param, ctx)


PATH = click.Path(path_type=Path)
state_option = click.option(
    "--state", type=PATH, required=True, envvar="EXCHANGE_PKI_STATE", help="The authority's files."
)
passphrase_file_option = click.option(
    "--passphrase-file",
    type=PATH,
    help="Its first line opens the authority's keys. Default: EXCHANGE_PKI_PASSPHRASE.",
)
replace_option = click.option(
    "--replace", is_flag=True, help="Overwrite files of an earlier issue."
)


def printing_options(command: _Command) -> _Command:
    """The options that say how to print."""
    language = click.option(
        "--lang",
        "language",
        type=click.Choice(LANGUAGES),
        help="Language of what people read. Default: from LC_ALL or LANG.",
    )
    as_json = click.option(
        "--json", "as_json", is_flag=True, help="One JSON object a line instead of tables."
    )
    return language(as_json(command))


def passphrase_of(file: Path | None) -> Passphrase | None:
    """The passphrase that the options or the environment give, if any."""
    from exchange_pki.files import others_may_open
    from exchange_pki.keys import passphrase_from

    passphrase = passphrase_from(file, os.environ)
    if file is not None and others_may_open(file):
        click.echo(f"exchange-pki: others may read the passphrase in {file}: chmod 600", err=True)
    return passphrase


def load(state: Path, passphrase_file: Path | None) -> Authority:
    """The authority in ``state``."""
    from exchange_pki.authority import Authority

    return Authority.load(state, passphrase_of(passphrase_file))


def read_batch(file: BinaryIO) -> bytes:
    """All of a batch file, unless it is larger than any should be."""
    from exchange_pki.batch import LIMIT_BYTES

    text = file.read(LIMIT_BYTES + 1)
    if len(text) > LIMIT_BYTES:
        raise click.UsageError(f"the batch has more than {LIMIT_BYTES} bytes: divide it")
    return text


def whole_seconds(moment: datetime | None) -> str | None:
    """A moment as certificates have it."""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
