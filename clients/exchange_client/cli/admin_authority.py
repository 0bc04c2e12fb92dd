"""``exchange admin token|seal|certificate``: what staff ask of the authority."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from document_exchange.errors import NotFound
from exchange_client.cli.admin_changes import Mode, yes_option
from exchange_client.cli.admin_changes import standing as in_words
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.values import OneOf

if TYPE_CHECKING:
    from exchange_client.authority import AuthorityClient
    from exchange_client.authority_model import CertificateRecord, SealRequest
    from exchange_client.client import AsyncClient

T = TypeVar("T")

TOKEN_STANDINGS = ("OPEN", "USED", "EXPIRED", "WITHDRAWN")
SEAL_STANDINGS = ("PENDING", "ISSUED", "REJECTED")
CERTIFICATE_KINDS = ("system", "seal", "staff", "server", "centre-seal", "tsa")
REVOCATION_REASONS = (
    *("keyCompromise", "cessationOfOperation", "superseded", "affiliationChanged"),
    *("privilegeWithdrawn", "cACompromise", "unspecified"),
)
"""RFC 5280, section 5.3.1, the most frequent first."""

_ALL = "ALL"
_FINGERPRINT_DIGITS = 64
_DAY_S = 24 * 3600
_HOUR_S = 3600
_TOKEN_COLUMNS = (
    *("token_id", "unit", "system", "seal", "staff", "standing"),
    *("issued_by", "expires_at", "used_at"),
)
_SEAL_COLUMNS = (
    *("request_id", "unit", "seal", "key_sha256", "standing"),
    *("requested_at", "decided_by", "reason"),
)
_CERTIFICATE_COLUMNS = (
    *("identity", "profile", "role", "serial", "not_after"),
    *("revoked_at", "revocation_reason"),
)

_unit_option = click.option("--unit", default="", metavar="UNIT", help="Only of this unit.")


def ask(settings: Settings, work: Callable[[AuthorityClient], Awaitable[T]]) -> T:
    """Do ``work`` with the authority of the chosen profile."""

    async def with_authority(client: AsyncClient) -> T:
        from exchange_client.authority import AuthorityClient

        async with AuthorityClient(client.profile, client.timing) as authority:
            return await work(authority)

    return run(settings, with_authority)


async def _rows(found: AsyncIterator[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(each) async for each in found]


# Tokens


@click.group()
def token() -> None:
    """One-use tokens, with which units enrol."""


@token.command(cls=Command)
@click.option("--unit", required=True, metavar="UNIT", help="The unit.")
@click.option("--system", required=True, metavar="NAME", help="The name of its system.")
@click.option("--seal", default="", metavar="NAME", help="The name of its seal. Default: none.")
@click.option(
    "--hours", type=click.IntRange(1, 720), default=24, show_default=True, help="Of use so long."
)
@click.pass_context
def issue(context: click.Context, unit: str, system: str, seal: str, hours: int) -> None:
    """Issue a token for a system of a unit. It is shown this once.

    Staff get theirs at the authority itself, with `exchange-pki token --staff`.
    """
    settings = settings_of(context)
    issued = ask(
        settings,
        lambda authority: authority.issue_token(
            unit=unit, system=system, seal=seal, lifetime_s=hours * _HOUR_S
        ),
    )
    without_seal = "" if seal else " --no-seal"
    command = (
        f"exchange enrol --authority {issued.enrolment_address}"
        f" --fingerprint {issued.root_fingerprint} --unit {unit}{without_seal}"
        f" --token {issued.token}"
    )
    settings.output.row({**dataclasses.asdict(issued), "command": command}, "token_issued")


@token.command("list", cls=Command)
@_unit_option
@click.option(
    "--standing", type=OneOf((*TOKEN_STANDINGS, _ALL)), default=_ALL, help="Only those so standing."
)
@click.pass_context
def list_tokens(context: click.Context, unit: str, standing: str) -> None:
    """List tokens, newest first; never their secrets."""
    settings = settings_of(context)
    wanted = "" if standing == _ALL else standing
    rows = ask(settings, lambda authority: _rows(authority.list_tokens(unit, wanted)))
    settings.output.table([in_words(row, "TOKEN", settings) for row in rows], _TOKEN_COLUMNS)


@token.command(cls=Command)
@click.argument("token_id", metavar="TOKEN_ID")
@yes_option
@click.pass_context
def withdraw(context: click.Context, token_id: str, yes: bool) -> None:
    """Make a token useless. What was enrolled with it stays: revoke that."""
    settings = settings_of(context)
    if yes:
        ask(settings, lambda authority: authority.withdraw_token(token_id))
        settings.output.row({"token_id": token_id}, "token_withdrawn")
        return
    rows = ask(settings, lambda authority: _rows(authority.list_tokens()))
    named = [row for row in rows if row["token_id"] == token_id]
    if not named:
        raise NotFound(f"there is no token {token_id}", token_id=token_id)
    settings.output.table([in_words(row, "TOKEN", settings) for row in named], _TOKEN_COLUMNS)
    Mode(dry_run=True, option="--yes").tell(settings.output)


# Seals


@click.group()
def seal() -> None:
    """First seals of units, which security staff approve."""


@seal.command("list", cls=Command)
@_unit_option
@click.option(
    "--standing",
    type=OneOf((*SEAL_STANDINGS, _ALL)),
    default="PENDING",
    show_default=True,
    help="Only those so standing.",
)
@click.pass_context
def list_seals(context: click.Context, unit: str, standing: str) -> None:
    """List requests for seals, newest first."""
    settings = settings_of(context)
    wanted = "" if standing == _ALL else standing
    rows = ask(settings, lambda authority: _rows(authority.list_seal_requests(unit, wanted)))
    settings.output.table([in_words(row, "SEAL", settings) for row in rows], _SEAL_COLUMNS)


@seal.command(cls=Command)
@click.argument("request_id", metavar="REQUEST")
@click.option(
    "--key",
    required=True,
    metavar="SHA256",
    help="The key's digest as the unit itself told you it, by telephone or in person.",
)
@click.pass_context
def approve(context: click.Context, request_id: str, key: str) -> None:
    """Approve the first seal of a unit, which issues it.

    Whoever holds the seal signs for the unit. So do not copy the digest from the list: ask the
    unit, whose  exchange enrol  shows it.
    """
    settings = settings_of(context)
    decided = ask(settings, lambda authority: authority.approve_seal(request_id, key.lower()))
    row = dataclasses.asdict(decided)
    settings.output.row(in_words(row, "SEAL", settings), "seal_decided")


@seal.command(cls=Command)
@click.argument("request_id", metavar="REQUEST")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the unit is told.")
@click.pass_context
def reject(context: click.Context, request_id: str, reason: str) -> None:
    """Reject a request for a seal."""
    settings = settings_of(context)

    async def decide(authority: AuthorityClient) -> SealRequest:
        async for found in authority.list_seal_requests():
            if found.request_id == request_id:
                return await authority.approve_seal(
                    request_id, found.key_sha256, reject=True, reason=reason
                )
        raise NotFound(f"there is no request {request_id}", request_id=request_id)

    row = dataclasses.asdict(ask(settings, decide))
    settings.output.row(in_words(row, "SEAL", settings), "seal_decided")


# Certificates


@click.group()
def certificate() -> None:
    """The inventory of certificates, and revocation."""


@certificate.command("list", cls=Command)
@_unit_option
@click.option("--kind", type=click.Choice(CERTIFICATE_KINDS), help="Only of this kind.")
@click.option("--valid", is_flag=True, help="Only those that are neither revoked nor expired.")
@click.option(
    "--ending-within",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Only those that end so soon and have no successor.",
)
@click.pass_context
def list_certificates(
    context: click.Context, unit: str, kind: str | None, valid: bool, ending_within: int | None
) -> None:
    """List who holds what, until when."""
    settings = settings_of(context)
    rows = ask(
        settings,
        lambda authority: _rows(
            authority.list_certificates(
                unit=unit,
                profile=kind or "",
                valid_only=valid,
                ending_within_s=(ending_within or 0) * _DAY_S,
            )
        ),
    )
    settings.output.table(rows, _CERTIFICATE_COLUMNS)


@certificate.command(cls=Command)
@click.argument("name", metavar="SERIAL|FINGERPRINT")
@click.option("--reason", required=True, type=click.Choice(REVOCATION_REASONS))
@yes_option
@click.pass_context
def revoke(context: click.Context, name: str, reason: str, yes: bool) -> None:
    """Revoke a certificate, for ever; works on every server within 2 s, for open streams too.

    SERIAL in hexadecimal, or the SHA-256 of the certificate.
    """
    settings = settings_of(context)
    field = "fingerprint" if len(name) == _FINGERPRINT_DIGITS else "serial"
    wanted = name.lower()

    async def look(authority: AuthorityClient) -> CertificateRecord:
        async for found in authority.list_certificates():
            if getattr(found, field).lower() == wanted:
                return found
        raise NotFound(f"there is no certificate with the {field} {name}", **{field: name})

    async def act(authority: AuthorityClient) -> CertificateRecord:
        return await authority.revoke(**{field: wanted}, reason=reason)

    record = dataclasses.asdict(ask(settings, act if yes else look))
    if yes:
        settings.output.row(record, "revoked")
        return
    settings.output.table([record], _CERTIFICATE_COLUMNS)
    Mode(dry_run=True, option="--yes").tell(settings.output)
