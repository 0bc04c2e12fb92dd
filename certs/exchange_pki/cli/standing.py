"""Commands about what was issued: ``revoke``, ``crl``, ``list``, ``publish``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange_pki.cli.options import (
    PATH,
    load,
    passphrase_file_option,
    printing_options,
    state_option,
    whole_seconds,
)
from exchange_pki.cli.report import Report

if TYPE_CHECKING:  # cryptography takes a tenth of a second: `--help` does without
    from exchange_pki.authority import Authority
    from exchange_pki.register import Certified

_CERTIFICATE_LIMIT_BYTES = 64 * 1024
DONE, FOUND = 0, 1


@click.command()
@state_option
@passphrase_file_option
@click.option("--serial", help="The serial number, in hex.")
@click.option("--certificate", type=PATH, help="The certificate, in PEM.")
@click.option("--reason", required=True, help="As in RFC 5280: keyCompromise, superseded, …")
@printing_options
def revoke(
    state: Path,
    passphrase_file: Path | None,
    serial: str | None,
    certificate: Path | None,
    reason: str,
    as_json: bool,
    language: str | None,
) -> None:
    """Revoke a certificate, and sign its issuer's list if there is a passphrase.

    With keyCompromise, what the certificate may have been renewed to is revoked and shown too.
    """
    if (serial is None) == (certificate is None):
        raise click.UsageError("give either --serial HEX or --certificate FILE")
    from document_exchange.certificates import load_pem
    from document_exchange.times import format_time
    from exchange_pki import files

    authority = load(state, passphrase_file)
    if certificate is not None:
        pem = files.read(certificate, limit=_CERTIFICATE_LIMIT_BYTES)
        serial = authority.serial_of(load_pem(pem))
    before = set(authority.register.revoked)
    revocation = authority.revoke(serial or "", reason)
    also = [
        each
        for each in authority.register.revoked.values()
        if each.serial not in before and each is not revocation
    ]
    report = Report(as_json=as_json, language=language)
    for each in (revocation, *also):
        report.row(
            {
                "serial": each.serial,
                "issuer": each.issuer,
                "reason": each.reason,
                "revoked_at": format_time(each.revoked_at),
            }
        )
    if authority.has_passphrase:
        authority.issue_crls([revocation.issuer])
    else:
        report.notice(
            "its issuer's list is as before: run exchange-pki crl",
            "签发机构的吊销列表尚未更新: 请运行 exchange-pki crl",
        )


@click.command()
@state_option
@passphrase_file_option
@click.option(
    "--issuer",
    "issuers",
    multiple=True,
    type=click.Choice(["root", "tls-ca", "seal-ca"]),
    help="Only this authority's list. May be repeated. Default: all three.",
)
@printing_options
def crl(
    state: Path,
    passphrase_file: Path | None,
    issuers: tuple[str, ...],
    as_json: bool,
    language: str | None,
) -> None:
    """Sign fresh lists of revoked certificates, good for seven days."""
    from exchange_pki.profile import AUTHORITIES

    authority = load(state, passphrase_file)
    lists = authority.issue_crls(issuers or AUTHORITIES)
    rows = [
        {
            "issuer": name,
            "number": authority.register.last_number(name),
            "revoked": len(signed),
            "next_update": whole_seconds(signed.next_update_utc),
            "file": str(authority.layout.crl(name)),
        }
        for name, signed in lists.items()
    ]
    report = Report(as_json=as_json, language=language)
    report.rows(rows, ("issuer", "number", "revoked", "next_update", "file"))


@click.command(name="list")
@state_option
@click.option("--check", is_flag=True, help="Show what is not in order instead; exit code 1 then.")
@printing_options
def list_certificates(state: Path, check: bool, as_json: bool, language: str | None) -> int:
    """Show every certificate that was issued."""
    from exchange_pki import check as checks
    from exchange_pki.authority import Authority

    authority = Authority.load(state)
    report = Report(as_json=as_json, language=language)
    if check:
        found = checks.problems(authority)
        report.rows(
            ({"kind": each.kind, "what": each.what, "remedy": each.remedy} for each in found),
            ("kind", "what", "remedy"),
        )
        return FOUND if found else DONE
    report.rows(
        (_listed_row(authority, certified) for certified in authority.register.certified.values()),
        ("serial", "profile", "identity", "role", "status", "not_after"),
    )
    return DONE


@click.command()
@state_option
@click.option("--dsn", required=True, envvar="EXCHANGE_PKI_DSN", help="The ledger's database.")
@printing_options
def publish(state: Path, dsn: str, as_json: bool, language: str | None) -> None:
    """Bring issuances, revocations and CRLs into the ledger. Again, it changes nothing."""
    import asyncio
    from dataclasses import asdict

    try:
        from exchange_pki.publish import publish as publish_to
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"{error.name} is missing: pip install 'document-exchange[pki]'"
        ) from error
    published = asyncio.run(publish_to(load(state, None), dsn))
    Report(as_json=as_json, language=language).row(asdict(published))


def _listed_row(authority: Authority, certified: Certified) -> dict[str, object]:
    certificate = certified.certificate
    revocation = authority.register.revoked.get(certified.serial)
    now = authority.now()
    if revocation is not None:
        status = "REVOKED"
    elif now > certificate.not_valid_after_utc:
        status = "EXPIRED"
    else:
        status = "VALID" if now >= certificate.not_valid_before_utc else "NOT_YET_VALID"
    return {
        "serial": certified.serial,
        "profile": certified.profile,
        "identity": certified.identity,
        "role": certified.role,
        "status": status,
        "not_after": whole_seconds(certificate.not_valid_after_utc),
        "fingerprint": certified.fingerprint,
        "reason": None if revocation is None else revocation.reason,
    }
