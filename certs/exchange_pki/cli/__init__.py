"""The commands of the authority: ``exchange-pki``. Each is thin; the work is in the modules.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 ``list --check`` found
something, 2 usage, 3 configuration or key, 4 not permitted, 5 try again, 6 refused or not found,
130 interrupted. Heavy modules are imported by the commands that need them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from document_exchange.errors import ExchangeError
from exchange_pki.cli import issuing, serving, standing, tokens

__all__ = ["exchange_pki", "main"]

DONE, FAILED, USAGE, CONFIGURATION, INTERRUPTED = 0, 1, 2, 3, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="document-exchange")
def exchange_pki() -> None:
    """Issue and revoke the certificates of a document exchange."""


for _command in (
    issuing.init,
    issuing.issue,
    issuing.issue_batch,
    standing.revoke,
    standing.crl,
    standing.list_certificates,
    standing.publish,
    serving.serve,
    tokens.token,
):
    exchange_pki.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        outcome = exchange_pki.main(
            None if arguments is None else list(arguments),
            prog_name="exchange-pki",
            standalone_mode=False,
        )
    except (KeyboardInterrupt, click.Abort):
        click.echo("exchange-pki: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"exchange-pki: {error.format_message()}", err=True)
        return USAGE
    except ExchangeError as error:
        click.echo(f"exchange-pki: {error.message} [{error.code}]", err=True)
        return error.exit_code
    except OSError as error:
        click.echo(f"exchange-pki: {error}", err=True)
        return CONFIGURATION
    return outcome if isinstance(outcome, int) else DONE
