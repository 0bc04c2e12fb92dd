"""The command ``token``: enrolment tokens where no operator has a certificate yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange_pki.cli.options import (
    Seconds,
    load,
    printing_options,
    read_batch,
    state_option,
    whole_seconds,
)
from exchange_pki.cli.report import Report

if TYPE_CHECKING:  # cryptography takes a tenth of a second: `--help` does without
    from document_exchange.errors import ExchangeError
    from exchange_pki.authority import Authority
    from exchange_pki.service.token_batch import Wish
    from exchange_pki.service.tokens import NewToken, Tokens
    from exchange_runtime.values import Actor

DONE, SOME_REFUSED = 0, 1


@click.command()
@state_option
@click.option("--dsn", required=True, envvar="EXCHANGE_PKI_DSN", help="The ledger's database.")
@click.option("--unit", default="", help="The unit; it must be registered.")
@click.option("--system", default="", help="The name of its system.")
@click.option("--seal", help="The name of its seal. Default: main.")
@click.option("--no-seal", is_flag=True, help="The token is without a seal.")
@click.option("--staff", default="", help="Instead of a unit: a registered member of staff.")
@click.option(
    "--lifetime", type=Seconds(), help="How long it may be used. Default: a day; at most 30 days."
)
@click.option(
    "--batch",
    type=click.File("rb"),
    help='Instead: a line {"unit", "system", "seal"?, "lifetime_s"?} or {"staff"} for each token.',
)
@click.option(
    "--enrolment-address",
    default="",
    metavar="HOST:PORT",
    envvar="EXCHANGE_PKI_SERVICE_ENROLMENT_ADDRESS",
    help="Where the authority enrols, as units reach it: for the command that is printed.",
)
@printing_options
def token(
    state: Path,
    dsn: str,
    unit: str,
    system: str,
    seal: str | None,
    no_seal: bool,
    staff: str,
    lifetime: timedelta | None,
    batch: Any,
    enrolment_address: str,
    as_json: bool,
    language: str | None,
) -> int:
    """Issue a one-use token, with which a unit or a member of staff enrols. Shown only here.

    With --batch, prints one line of JSON for each token, in the order of the file; exit code 1 if
    the registry refused some, whose lines say why.
    """
    if batch is not None and (unit or system or staff):
        raise click.UsageError("--batch says for whom: give it alone")
    if batch is None and not staff and not (unit and system):
        raise click.UsageError("give --unit and --system, or --staff, or --batch")
    import asyncio

    try:
        from exchange_pki.service import token_batch
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"{error.name} is missing: pip install 'document-exchange[pki]'"
        ) from error
    authority = load(state, None)
    if batch is not None:
        wanted = token_batch.wishes(read_batch(batch))
        return asyncio.run(_issue_each(authority, dsn, wanted))
    seconds = int(lifetime.total_seconds()) if lifetime else 0
    wish = token_batch.Wish.of(unit, system, "" if no_seal else seal, staff, seconds)
    issued = asyncio.run(_issue_one(authority, dsn, wish))
    command = _enrol_command(wish, issued, authority.root_fingerprint, enrolment_address)
    row = {**_issued_row(authority, issued), "command": command}
    Report(as_json=as_json, language=language).row(row)
    return DONE


async def _issue_one(authority: Authority, dsn: str, wish: Wish) -> NewToken:
    async with _tokens(authority, dsn) as tokens:
        return await tokens.issue(_actor(authority), wish.holder, wish.lifetime_s)


async def _issue_each(authority: Authority, dsn: str, wanted: list[Wish]) -> int:
    from document_exchange.errors import ExchangeError
    from exchange_pki.service.token_batch import issue_each

    report = Report(as_json=True, language=None)
    refused = False
    async with _tokens(authority, dsn) as tokens:
        async for wish, outcome in issue_each(tokens, _actor(authority), wanted):
            if isinstance(outcome, ExchangeError):
                refused = True
                said = _refused_row(outcome)
            else:
                said = _issued_row(authority, outcome)
            report.row({**wish.holder.detail(), **said})
    return SOME_REFUSED if refused else DONE


def _issued_row(authority: Authority, issued: NewToken) -> dict[str, object]:
    return {
        "token": issued.token,
        "token_id": issued.token_id,
        "expires_at": whole_seconds(issued.expires_at),
        "root_fingerprint": authority.root_fingerprint,
    }


def _enrol_command(
    wish: Wish, issued: NewToken, root_fingerprint: str, enrolment_address: str
) -> str:
    """What the holder types; HOST:PORT stands for an address that is not known here."""
    unit = f" --unit {wish.holder.unit}" if wish.holder.unit else ""
    without_seal = "" if wish.holder.seal else " --no-seal"
    return (
        f"exchange enrol --authority {enrolment_address or 'HOST:PORT'}"
        f" --fingerprint {root_fingerprint}{unit}{without_seal} --token {issued.token}"
    )


def _refused_row(error: ExchangeError) -> dict[str, object]:
    return {"error": error.code, "message": error.message}


def _actor(authority: Authority) -> Actor:
    from exchange_pki.prepare import authority_id
    from exchange_runtime.values import Actor

    return Actor(authority_id(authority.trust_domain, "exchange-pki"))


@asynccontextmanager
async def _tokens(authority: Authority, dsn: str) -> AsyncIterator[Tokens]:
    """The tokens of this authority's ledger."""
    from document_exchange.errors import ConfigurationError
    from exchange_pki.service.ledger import (
        AuthorityLedger,
        authority_database,
        saying_what_is_wrong,
    )
    from exchange_pki.service.tokens import Tokens
    from exchange_runtime.clock import system_clock

    database = authority_database(dsn, connections=1, timeout_s=60.0)
    with saying_what_is_wrong():
        await database.open()
        try:
            # A token of another authority's ledger would go out with the wrong fingerprint.
            roots = await AuthorityLedger(database).roots()
            if bytes.fromhex(authority.root_fingerprint) not in roots:
                raise ConfigurationError(
                    "the ledger does not know this authority: exchange-pki publish it first",
                    root=authority.root_fingerprint,
                )
            yield Tokens(database, system_clock)
        finally:
            await database.close()
