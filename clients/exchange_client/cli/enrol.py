"""``exchange enrol``: from a one-use token to a profile that has proved that it works."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from document_exchange.errors import ExchangeError, RequestRefused
from exchange_client.cli import doctor
from exchange_client.cli.command import DONE, PARTLY, Command, Settings, run_alone, settings_of
from exchange_client.cli.enrol_batch import enrol_batch
from exchange_client.cli.joining import row_of, show_test

if TYPE_CHECKING:
    from exchange_client.enrol import Application, Enrolled
    from exchange_client.profile import Profile

TOKEN_VARIABLE = "EXCHANGE_ENROLMENT_TOKEN"
_LOOK_AGAIN_S = 2.0


@click.command(
    cls=Command,
    profile_help="What to call the new profile. Default: the unit's id, or the name of the "
    "member of staff.",
)
@click.option(
    "--authority",
    default="",
    metavar="HOST:PORT",
    help="Where to enrol, as the operator gave it. Default of PORT: 7452.",
)
@click.option(
    "--fingerprint",
    default="",
    metavar="HEX",
    help="SHA-256 of the authority's root, as the operator gave it.",
)
@click.option(
    "--token",
    envvar=TOKEN_VARIABLE,
    metavar="TOKEN",
    help=f"The one-use token; - reads it from standard input. Default: {TOKEN_VARIABLE}, or asked "
    "for. What stands on the command line is seen by every user of this machine.",
)
@click.option("--unit", default="", metavar="UNIT", help="Refuse a token of another unit.")
@click.option("--http", default="", metavar="URL", help="Fetch the authority's root from here.")
@click.option("--no-seal", is_flag=True, help="The token is without a seal (a further system).")
@click.option("--wait", is_flag=True, help="Wait until the seal is approved.")
@click.option("--replace", "replacing", is_flag=True, help="Replace a profile of this name.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for one to encrypt the keys with.")
@click.option(
    "--batch",
    type=click.File("rb"),
    help='Instead: a line {"token", "authority"?, "fingerprint"?, "profile"?, "unit"?, '
    '"seal"?: false} for each of many. Nothing is tried out then but what --test says.',
)
@click.option("--test", "testing", is_flag=True, help="With --batch: send the test documents, too.")
@click.pass_context
def enrol(
    context: click.Context,
    authority: str,
    fingerprint: str,
    token: str | None,
    unit: str,
    http: str,
    no_seal: bool,
    wait: bool,
    replacing: bool,
    ask: bool,
    batch: BinaryIO | None,
    testing: bool,
) -> int:
    """Join the exchange with a one-use token.

    Makes the keys here, has them certified, writes the profile (--profile NAME; default: the
    unit's id), runs the doctor, and sends a test document to your own unit, which it signs for.

    Safe to repeat after any interruption: the same token goes on with the same keys. Exit code 1
    if something is left: the seal awaits approval (repeat the command to collect it), or the
    doctor found a fault.
    """
    settings = settings_of(context)
    if batch is not None:
        if token or unit or http or no_seal or wait or ask or settings.profile:
            raise click.UsageError("with --batch, each line says whose token and profile it is")
        return enrol_batch(
            settings,
            batch,
            authority=authority,
            fingerprint=fingerprint,
            replacing=replacing,
            testing=testing,
        )
    if not (authority and fingerprint):
        raise click.UsageError("give --authority and --fingerprint, as the operator gave them")
    if testing:
        raise click.UsageError("--test is for --batch: one enrolment is tried out anyway")
    from exchange_client.enrol import Application

    application = Application(
        authority=authority,
        root_fingerprint=fingerprint,
        token=_token(token),
        unit=unit,
        profile=settings.profile,
        http=http,
        with_seal=not no_seal,
        replace=replacing,
        passphrase=_passphrase() if ask else None,
    )
    return run_alone(settings, lambda: _enrol(settings, application, wait))


def _token(given: str | None) -> str:
    if given == "-":
        given = sys.stdin.readline()
    elif given is None:
        if not sys.stdin.isatty():
            raise click.UsageError(f"give the token: --token, --token - or {TOKEN_VARIABLE}")
        given = click.prompt("Token", hide_input=True, err=True)
    token = str(given).strip()
    if not token:
        raise click.UsageError("the token is empty")
    return token


def _passphrase() -> str:
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))


async def _enrol(settings: Settings, application: Application, wait: bool) -> int:
    enrolled = await _enrolled(settings, application, wait)
    output = settings.output
    profile = enrolled.profile
    output.row(row_of(enrolled), "enrolled_before" if enrolled.repeated else "enrolled")
    if enrolled.seal == "REJECTED":
        raise RequestRefused(
            f"the centre's security staff rejected the seal: {enrolled.seal_reason};"
            " ask the operator for a new token",
            seal_key_sha256=enrolled.seal_key_sha256,
        )
    healthy = await _examined(settings, profile, application.passphrase)
    if enrolled.seal == "PENDING":
        output.notice("seal_pending", key_sha256=enrolled.seal_key_sha256)
        return PARTLY
    if not healthy:
        return PARTLY
    await _tested(settings, profile)
    return DONE


async def _enrolled(settings: Settings, application: Application, wait: bool) -> Enrolled:
    """Enrol; if so wanted, again and again until somebody has decided about the seal."""
    import asyncio

    from exchange_client import locations
    from exchange_client.enrol import enrol as enrol_once
    from exchange_client.timing import Timing

    config_dir, timing = locations.config_dir(), Timing()
    enrolled = await enrol_once(application, config_dir, timing)
    if wait and enrolled.seal == "PENDING":
        settings.output.notice("seal_pending", key_sha256=enrolled.seal_key_sha256)
        settings.output.notice("waiting_for_seal")
        while enrolled.seal == "PENDING":
            await asyncio.sleep(_LOOK_AGAIN_S)
            enrolled = replace(await enrol_once(application, config_dir, timing), repeated=False)
    return enrolled


async def _examined(settings: Settings, profile: Profile, passphrase: str | None) -> bool:
    """Run the doctor as soon as the centre knows the certificate; whether all is well."""
    import contextlib

    from exchange_client import self_test
    from exchange_client.client import AsyncClient
    from exchange_client.doctor import examine, healthy

    with contextlib.suppress(ExchangeError):  # the doctor says what is wrong, and what to do
        async with AsyncClient(profile) as client:
            await self_test.wait_until_admitted(client)
    config_dir = profile.directory.parent if profile.directory is not None else Path()
    checks = await examine(profile.name, config_dir, passphrase=passphrase)
    doctor.show(settings.output, checks)
    return healthy(checks)


async def _tested(settings: Settings, profile: Profile) -> None:
    if profile.seal is None:
        settings.output.notice("no_self_test")
    else:
        await show_test(settings.output, profile)
