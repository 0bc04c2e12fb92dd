"""``exchange renew``: new certificates for new keys, before the old ones end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from document_exchange.errors import ConfigurationError, ExchangeError, Unauthenticated, Unavailable
from exchange_client.cli.command import (
    DONE,
    PARTLY,
    Command,
    Settings,
    report,
    run_alone,
    settings_of,
)

if TYPE_CHECKING:
    from exchange_client.profile import Profile
    from exchange_client.profile_store import CertificateKind

_ENDING = (ConfigurationError, Unauthenticated, Unavailable)
"""Errors that the next certificate would meet just the same."""


@click.command(cls=Command)
@click.option("--force", is_flag=True, help="Also what is not due yet.")
@click.pass_context
def renew(context: click.Context, force: bool) -> int:
    """Renew the system certificate and the seal, each when two thirds of its life are over.

    Programs that use the SDK do so by themselves. Nothing is lost when it fails: what is there
    works until it ends, and repeating goes on with the same key.
    """
    settings = settings_of(context)
    return run_alone(settings, lambda: _renew(settings, force))


async def _renew(settings: Settings, force: bool) -> int:
    from exchange_client.profile import Profile

    profile = Profile.load(settings.profile)
    kinds: tuple[CertificateKind, ...] = ("system", "seal") if profile.seal else ("system",)
    first_failure = DONE
    for kind in kinds:
        try:
            profile = await _one(settings, profile, kind, force)
        except ExchangeError as error:
            if isinstance(error, _ENDING):
                raise
            first_failure = report(settings.output, error)
    return PARTLY if first_failure and len(kinds) > 1 else first_failure


async def _one(settings: Settings, profile: Profile, kind: CertificateKind, force: bool) -> Profile:
    from datetime import UTC, datetime

    from exchange_client import renewal
    from exchange_client.timing import Timing

    before = renewal.certificate_of(profile, kind)
    due = force or before is None or datetime.now(UTC) >= renewal.due_at(before)
    after = await renewal.renew(profile, kind, Timing()) if due else profile
    settings.output.row(_row(after, kind, due), "renewed" if due else "not_due")
    return after


def _row(profile: Profile, kind: CertificateKind, renewed: bool) -> dict[str, Any]:
    from exchange_client import renewal

    certificate = renewal.certificate_of(profile, kind)
    assert certificate is not None  # only kinds that the profile has come here
    return {
        "kind": kind,
        "renewed": renewed,
        "serial": f"{certificate.serial_number:x}",
        "not_after": certificate.not_valid_after_utc,
        "due": renewal.due_at(certificate),
    }
