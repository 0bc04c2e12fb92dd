"""The shape that all commands share: global options, settings, errors and exit codes."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from document_exchange.errors import ExchangeError, StateConflict
from exchange_client.cli.output import Output
from exchange_client.cli.words import LANGUAGES, Words, default_language

if TYPE_CHECKING:  # grpc and cryptography take a third of a second: only commands that call
    from exchange_client.client import AsyncClient

T = TypeVar("T")

DONE = 0
PARTLY = 1
USAGE = 2
CONFIGURATION = 3
REFUSED = 6
INTERRUPTED = 130


@dataclass(slots=True)
class Settings:
    """What the global options say, wherever on the line they stood."""

    profile: str | None = None
    json: bool = False
    language: str | None = None
    doing: str = ""
    """The first word after ``exchange``: admin, enrol, send, ..."""

    @property
    def output(self) -> Output:
        """How to print."""
        words = Words(self.language or default_language(), self.doing)
        return Output(words, as_json=self.json)


def settings_of(context: click.Context) -> Settings:
    """The settings of this run; made by whoever asks first."""
    return context.ensure_object(Settings)


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value is not None and parameter.name is not None:
        setattr(settings_of(context), parameter.name.removeprefix("global_"), value)
    return value


_SPEAKING = "Profile to speak for. Default: EXCHANGE_PROFILE, or the only one."


def global_options(profile_help: str = _SPEAKING) -> list[click.Parameter]:
    """The options that may stand before or after the command's name."""
    return [
        click.Option(
            ["--profile", "global_profile"],
            metavar="NAME",
            help=profile_help,
            expose_value=False,
            callback=_set,
        ),
        click.Option(
            ["--json", "global_json"],
            is_flag=True,
            default=None,
            help="One JSON object a line instead of tables.",
            expose_value=False,
            callback=_set,
        ),
        click.Option(
            ["--lang", "global_language"],
            type=click.Choice(LANGUAGES),
            help="Language of tables. Default: from LC_ALL or LANG.",
            expose_value=False,
            callback=_set,
        ),
    ]


class Command(click.Command):
    """A command that takes the global options, too."""

    def __init__(self, *arguments: Any, profile_help: str = _SPEAKING, **keywords: Any) -> None:
        """``profile_help``: what ``--profile`` means to this command."""
        super().__init__(*arguments, **keywords)
        self._global_options = global_options(profile_help)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then the global ones, then --help."""
        own = super().get_params(ctx)
        return [*own[: len(self.params)], *self._global_options, *own[len(self.params) :]]

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; whatever goes wrong, the advice is for what was being done."""
        settings_of(ctx).doing = ctx.command_path.split()[1] if " " in ctx.command_path else ""
        return super().invoke(ctx)


async def _with_client(settings: Settings, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    from exchange_client.client import AsyncClient

    async with AsyncClient.from_profile(settings.profile) as client:
        return await work(client)


def _tell_of_retries(output: Output) -> None:
    """Say of each call that is tried again so, once; otherwise stamina logs every attempt."""
    import stamina.instrumentation

    from exchange_client.timing import Timing

    budget_s = round(Timing().retry_budget_s)

    def tell(details: stamina.instrumentation.RetryDetails) -> None:
        if details.retry_num == 1:  # once for each call that fails, not for each attempt
            output.notice("retry", error=str(details.caused_by), budget_s=budget_s)

    stamina.instrumentation.set_on_retry_hooks([tell])


def run(settings: Settings, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Do ``work`` with an open client of the chosen profile."""
    return run_alone(settings, lambda: _with_client(settings, work))


def run_alone(settings: Settings, work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work`` that opens by itself what it needs."""
    # gRPC's C core writes to stderr by itself, where programs expect JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import asyncio

    _tell_of_retries(settings.output)

    async def working() -> T:
        return await work()

    try:
        return asyncio.run(working())
    except KeyboardInterrupt:
        # Here rather than in main: click would print an empty line first.
        settings.output.notice("interrupted")
        raise click.exceptions.Exit(INTERRUPTED) from None


def codes_of(error: ExchangeError) -> tuple[str, ...]:
    """The code of an error and those of its base classes, for advice."""
    return tuple(base.code for base in type(error).__mro__ if issubclass(base, ExchangeError))


def _won(conflict: StateConflict) -> dict[str, Any] | None:
    """What decided a conflict, if the SDK could verify it."""
    from exchange_client.decided import Decided

    if not isinstance(conflict, Decided):
        return None
    receipt, admission = conflict.won.receipt, conflict.won.admission
    return {
        "type": receipt.type.value,
        "by": receipt.by,
        "seq": (admission or receipt).seq,
        "recorded_at": conflict.won.recorded_at,
    }


def report(output: Output, error: Exception) -> int:
    """Print an error and return the exit code that it stands for."""
    if isinstance(error, ExchangeError):
        won = _won(error) if isinstance(error, StateConflict) else None
        output.failure(error.message, codes_of(error), error.exit_code, error.attributes, won=won)
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        message = error.format_message()
        if isinstance(error, click.UsageError) and error.ctx is not None and not output.as_json:
            click.echo(error.ctx.get_usage(), err=True)
        # What is wrong with a value is said with the option's name: help would add nothing.
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else None
        command = None if isinstance(error, click.BadParameter) else path or "exchange"
        output.failure(message, ("USAGE",), USAGE, {}, command)
        return USAGE
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        exit_code = PARTLY if full else CONFIGURATION
        reason = error.strerror or str(error)
        message = reason if error.filename is None else f"{error.filename}: {reason}"
        output.failure(message, ("FILES",), exit_code, {})
        return exit_code
    raise error
