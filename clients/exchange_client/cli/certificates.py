"""``exchange certificates``: what was issued to the own unit, and what of it is not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import DONE, PARTLY, Command, Settings, run, settings_of

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.known_certificates import KnownCertificates
    from exchange_client.own_certificates import OwnCertificate

_COLUMNS = ("identity", "serial", "issued_at", "not_after", "revoked_at", "alert")


@click.command(cls=Command)
@click.option("--watch", is_flag=True, help="Go on with what is issued and revoked.")
@click.option(
    "--acknowledge",
    "acknowledged",
    multiple=True,
    metavar="FINGERPRINT",
    help="Your unit asked for this one: never mark it again. May be repeated.",
)
@click.pass_context
def certificates(context: click.Context, watch: bool, acknowledged: tuple[str, ...]) -> int:
    """List the certificates that were issued to your unit.

    Those that this profile neither has had nor was told of are marked: if nobody of your unit
    asked for one, have it revoked at once. Exit code 1 if there is such a one that is valid.
    """
    settings = settings_of(context)
    return run(settings, lambda client: _list(settings, client, watch, acknowledged))


async def _list(
    settings: Settings, client: AsyncClient, watch: bool, acknowledged: tuple[str, ...]
) -> int:
    from contextlib import aclosing

    from exchange_client import own_certificates
    from exchange_client.known_certificates import KnownCertificates
    from exchange_client.trust_bundle import normalised

    known = KnownCertificates(client.profile.directory)
    known.add(*map(normalised, acknowledged))
    output = settings.output
    if watch:
        async with aclosing(own_certificates.watch_own(client.session)) as found:
            async for each in found:
                output.row(_row(each, known), "own_certificate")
        return DONE
    rows = [_row(each, known) async for each in own_certificates.list_own(client.session)]
    output.table(rows, _COLUMNS)
    strange = [row for row in rows if row["alert"] and row["revoked_at"] is None]
    if strange:
        output.notice("unknown_certificates", count=len(strange))
    return PARTLY if strange else DONE


def _row(found: OwnCertificate, known: KnownCertificates) -> dict[str, Any]:
    import dataclasses

    row = dataclasses.asdict(found.certificate)
    row["alert"] = "" if known.knows(found.certificate.fingerprint) else "UNKNOWN"
    return row
