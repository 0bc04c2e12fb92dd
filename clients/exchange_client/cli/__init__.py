"""The command line of units: ``exchange``.

Starts fast: grpc, cryptography and rich are imported by the commands that need them, when they
run. Exit codes: 0 done, 1 partly, 2 usage, 3 configuration or certificate, 4 not permitted,
5 try again, 6 refused (signature, policy, state), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from exchange_client.cli import (
    admin,
    certificates,
    circulation,
    countersign,
    doctor,
    draft,
    enrol,
    evidence,
    groups,
    inbox,
    news,
    outbox,
    profiles,
    receive,
    recipient_verbs,
    renew,
    route,
    send,
    sender_verbs,
    thread,
    track,
    units,
    verify,
)
from exchange_client.cli.command import DONE, INTERRUPTED, PARTLY, Settings, global_options, report

__all__ = ["exchange", "main"]

_EPILOG = (
    "Exit codes: 0 done, 1 partly, 2 usage, 3 configuration or certificate, 4 not permitted, "
    "5 try again, 6 refused, 130 interrupted. Profiles live in EXCHANGE_CONFIG "
    "(default ~/.config/document-exchange)."
)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import importlib.metadata

        try:
            version = importlib.metadata.version("document-exchange")
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed: run from its sources)"
        click.echo(f"exchange {version}")
        context.exit()


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def exchange() -> None:
    """Send, receive and follow signed documents through the exchange centre."""


exchange.params.extend(global_options())
for _command in (
    enrol.enrol,
    doctor.doctor,
    renew.renew,
    certificates.certificates,
    profiles.profile,
    send.send,
    draft.draft,
    countersign.countersign,
    inbox.inbox,
    receive.receive,
    recipient_verbs.sign,
    recipient_verbs.refuse,
    recipient_verbs.progress,
    recipient_verbs.complete,
    recipient_verbs.send_back,
    recipient_verbs.grant,
    recipient_verbs.decline,
    outbox.outbox,
    news.news,
    news.seen,
    sender_verbs.withdraw,
    sender_verbs.urge,
    sender_verbs.offer_again,
    track.track,
    thread.thread,
    circulation.circulation,
    evidence.evidence,
    verify.verify,
    units.units,
    groups.groups,
    route.route,
    admin.admin,
):
    exchange.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = Settings(json="--json" in given)
    if hasattr(sys.stdout, "reconfigure"):  # a character that the terminal lacks is no failure
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        outcome = exchange.main(given, prog_name="exchange", standalone_mode=False, obj=settings)
    except (KeyboardInterrupt, click.Abort):
        settings.output.notice("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PARTLY
    except Exception as error:
        return report(settings.output, error)
    return outcome if isinstance(outcome, int) else DONE
