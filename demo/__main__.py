"""``python -m demo``: starts a centre, plays a city's workday through it, and balances the books.

Exit codes: 0 the books balance, 1 they do not or something failed, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import click

from demo.files import RealFiles, display_name

DEFAULT_OUT = Path(__file__).parent / "out"
MARKER = ".made-by-document-exchange-demo"
MADE_HERE = (
    *("state", "received", "outgoing", "drafts"),
    *("evidence", "evidence.zip", "root-fingerprint.txt"),
)


class NothingToSend(click.ClickException):
    """The folder that was given holds no file that can be sent."""

    exit_code = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--files",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Send the files of this folder and its subfolders instead of made-up ones.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_OUT,
    help="Where everything is kept; default: demo/out.",
)
@click.option(
    "--documents",
    type=click.IntRange(2, 100_000),
    default=300,
    show_default=True,
    help="How many documents the workday has.",
)
@click.option("--seed", default=2009, show_default=True, help="Another seed, another workday.")
def main(folder: Path | None, out: Path, documents: int, seed: int) -> None:
    """A city's compressed workday through a real exchange centre, and its books balanced.

    The last line on standard output is one JSON object with the figures.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not so in tests
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows the rest
    # Both end the run in the same way, also where a shell started it with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        even = play(folder, out, documents, seed)
    except KeyboardInterrupt:
        click.echo("interrupted · 已中断", err=True)
        sys.exit(130)
    sys.exit(0 if even else 1)


def play(folder: Path | None, out: Path, documents: int, seed: int) -> bool:
    """Clear the way and run; returns whether the books balance.

    Raises:
        NothingToSend: there is no file in ``folder``; then nothing was touched.
        ClickException: what went wrong, for people.
    """
    # Imported here, so that --help is quick and the processes that make files need not load it.
    from demo.run import run
    from document_exchange.errors import ExchangeError

    real = None if folder is None else real_files(folder)
    clear(out)
    try:
        return run(real, out, documents, seed)
    except (ExchangeError, ValueError, OSError, ExceptionGroup) as error:
        raise click.ClickException("\n".join(reasons(error))) from error


def real_files(folder: Path) -> RealFiles:
    """The folder's files; says on standard error what of it is not sent.

    Raises:
        NothingToSend: there is none.
    """
    try:
        found = RealFiles(folder)
    except ValueError as error:
        raise NothingToSend(str(error)) from error
    for path, reason in found.skipped:
        click.echo(f"not sent · 未发送: {display_name(str(path))}: {reason}", err=True)
    return found


def reasons(error: Exception) -> list[str]:
    """What went wrong, one line for each error in a group of them."""
    if isinstance(error, ExceptionGroup):
        return [line for inner in error.exceptions for line in reasons(inner)]
    return [f"{type(error).__name__}: {error}"]


def clear(out: Path) -> None:
    """Remove what an earlier run left in ``out``, and nothing that was not made by one.

    Raises:
        ClickException: the directory holds something else, or a centre still runs in it.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise click.ClickException(
            f"{out} is not empty and no earlier demo's: choose another --out"
        )
    process_id = running_centre(out / "state" / "dev.json")
    if process_id is not None:
        raise click.ClickException(
            f"a centre still runs in {out / 'state'}: end it first with  kill {process_id}"
        )
    for name in MADE_HERE:
        if (out / name).is_dir():
            shutil.rmtree(out / name, ignore_errors=True)
        else:
            (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def running_centre(description: Path) -> int | None:
    """The process id in a dev.json, if that process lives and is an exchange server."""
    try:
        process_id = int(json.loads(description.read_bytes())["pid"])
        command = Path(f"/proc/{process_id}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process_id if b"exchange" in command and process_id != os.getpid() else None


if __name__ == "__main__":
    if sys.getfilesystemencoding() != "utf-8":
        # The files have Chinese names; Python must be told before it starts.
        command = [sys.executable, "-m", "demo", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONUTF8": "1"})
    main()
