"""``exchange doctor``: everything that a unit needs in order to exchange, each with a verdict.

From the inside out: files, certificates, address, TLS, the centre's view of the caller, the clock,
the authority, its revocation lists, the transfer log. What can't be checked because of an earlier
fault is said to be skipped.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from document_exchange import certificates
from document_exchange.certificates import fingerprint
from document_exchange.errors import ExchangeError
from document_exchange.identity import Kind
from document_exchange.revocations import read_crl
from document_exchange.v1 import directory_pb2
from exchange_client import doctor_network, doctor_profile
from exchange_client.authority import AuthorityClient
from exchange_client.client import AsyncClient
from exchange_client.diagnosis import Check, Verdict, failed, fault, ok, skipped, warning
from exchange_client.model import Unit, time_of
from exchange_client.profile import Profile
from exchange_client.threads import in_thread
from exchange_client.timing import Timing

_CLOCK_FINE = timedelta(seconds=5)
_CLOCK_BEARABLE = timedelta(minutes=2)
"""The centre refuses envelopes from 10 minutes ahead of its clock; signatures bear our time."""
_STATUS_AGE_FINE_S = 5.0


async def examine(
    name: str | None = None,
    config_dir: Path | None = None,
    timing: Timing | None = None,
    passphrase: str | None = None,
) -> list[Check]:
    """Check the profile ``name`` and all that it leads to; raises nothing of what it looks for.

    Args:
        name, config_dir, passphrase: as for ``Profile.load``.
        timing: only its deadlines count: nothing is tried twice.
    """
    once = replace(timing or Timing(), retry_budget_s=0)
    try:
        profile = Profile.load(name, config_dir, passphrase)
    except ExchangeError as error:
        return [failed("files", error)]
    checks = list(doctor_profile.check_profile(profile, datetime.now(UTC)))
    checks += await in_thread(
        lambda: list(
            doctor_network.check_address(profile.address, profile.server_name, profile.tls_ca)
        )
    )
    async with aclosing(_check_centre(profile, once, _first_fault(checks))) as found:
        checks += [check async for check in found]
    async with aclosing(_check_authority(profile, once)) as found:
        checks += [check async for check in found]
    return checks


def healthy(checks: list[Check]) -> bool:
    """Whether no check found a fault; warnings do not count."""
    return not any(check.verdict is Verdict.FAULT for check in checks)


def _first_fault(checks: list[Check]) -> str | None:
    """The check that keeps the centre from answering, if one does."""
    decisive = ("certificate", "address", "tls")
    found = [each for each in checks if each.verdict is Verdict.FAULT and each.name in decisive]
    return found[0].name if found else None


async def _check_centre(
    profile: Profile, timing: Timing, because_of: str | None
) -> AsyncGenerator[Check, None]:
    if because_of is not None:
        for name in ("identity", "clock", "checkpoint"):
            yield skipped(name, because_of)
        return
    try:
        async with AsyncClient(profile, timing) as client:
            connection = client.session.connection
            asked_at = datetime.now(UTC)
            view = await connection.call(connection.directory.WhoAmI, directory_pb2.WhoAmIRequest())
            answered_at = datetime.now(UTC)
    except ExchangeError as error:
        yield failed("identity", error)
        yield skipped("clock", "identity")
        yield skipped("checkpoint", "identity")
        return
    yield _check_view(profile, view)
    yield _check_clock(time_of(view.server_time), asked_at, answered_at)
    if view.log_origin:
        yield ok("checkpoint", "log_runs", origin=view.log_origin)
    else:
        yield ok("checkpoint", "no_log_yet")


def _check_view(profile: Profile, view: directory_pb2.WhoAmIResponse) -> Check:
    values = {"identity": view.identity, "address": view.address}
    own = fingerprint(profile.system_certificate)
    if view.identity != str(profile.system) or view.certificate.fingerprint != own:
        return fault("identity", "mistaken", own=str(profile.system), **values)
    if profile.system.kind is Kind.SYSTEM:
        unit = Unit.of(view.unit)
        if unit.status != "ACTIVE":
            return fault("identity", "unit_not_active", unit=unit.unit_id, status=unit.status)
    if view.status_age_s > _STATUS_AGE_FINE_S:
        return warning("identity", "status_old", age_s=round(view.status_age_s), **values)
    return ok("identity", "known", **values)


def _check_clock(server_time: datetime, asked_at: datetime, answered_at: datetime) -> Check:
    # The server looked at its clock at some moment between the two.
    ahead = max(asked_at - server_time, server_time - answered_at, timedelta(0))
    values = {"difference_s": round(ahead.total_seconds(), 1), "server_time": server_time}
    if ahead <= _CLOCK_FINE:
        return ok("clock", "in_time", **values)
    if ahead <= _CLOCK_BEARABLE:
        return warning("clock", "out_of_time", **values)
    return fault("clock", "out_of_time", **values)


async def _check_authority(profile: Profile, timing: Timing) -> AsyncGenerator[Check, None]:
    if not profile.authority:
        yield warning("authority", "no_authority")
        yield skipped("revocation", "authority")
        return
    lists: dict[str, bytes] = {}
    try:
        async with AuthorityClient(profile, timing) as client:
            for issuer in ("root", "tls-ca", "seal-ca"):
                lists[issuer] = await client.get_crl(issuer)
    except ExchangeError as error:
        yield failed("authority", error)
        yield skipped("revocation", "authority")
        return
    yield ok("authority", "answers", address=profile.authority)
    yield _check_revocation(profile, lists, datetime.now(UTC))


def _check_revocation(profile: Profile, lists: Mapping[str, bytes], at: datetime) -> Check:
    tls_ca = certificates.load_pem(profile.tls_ca)
    root, seal_ca = profile.trust.root, profile.trust.seal_ca
    issuers = {"root": root, "tls-ca": tls_ca, "seal-ca": seal_ca}
    listed: dict[str, list[x509.Certificate]] = {
        "root": [tls_ca, seal_ca],
        "tls-ca": [profile.system_certificate],
        "seal-ca": [profile.seal.certificate] if profile.seal is not None else [],
    }
    ends: list[datetime] = []
    for name, issuer in issuers.items():
        try:
            revocations = read_crl(lists[name], issuer)
        except ExchangeError as error:
            return failed("revocation", error)
        if not revocations.this_update <= at < revocations.next_update:
            return fault("revocation", "list_expired", issuer=name, until=revocations.next_update)
        for certificate in listed[name]:
            if certificate.serial_number in revocations.since:
                serial = f"{certificate.serial_number:x}"
                return fault("revocation", "revoked", serial=serial, issuer=name)
        ends.append(revocations.next_update)
    return ok("revocation", "lists_in_force", until=min(ends))
