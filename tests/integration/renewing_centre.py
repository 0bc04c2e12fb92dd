"""Certificates of a running centre that live for seconds, and an authority that renews them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from exchange_client import Profile
from exchange_client.profile import PROFILE_FILE, read_settings
from exchange_client.profile_store import CertificateKind, replace_certificate, write_profile
from exchange_pki.keys import passphrase_from
from exchange_pki.prepare import Order
from msgspec.structs import replace

from tests.authority_for_tests import new_private_key
from tests.integration.authority_service import AuthorityOffice, Service
from tests.pki_for_tests import Holder
from tests.real_centre import CentreInside, admitted

_SPREAD_S = 6


@asynccontextmanager
async def authority(inside: CentreInside, lifetimes: str) -> AsyncIterator[Service]:
    """``exchange-pki serve`` over the authority and the ledger of this centre."""
    state = Path(inside.description["pki"]).parent
    ledger = inside.description["ledger"]
    passphrase = passphrase_from(state / "passphrase", {})
    assert passphrase is not None
    office = AuthorityOffice(
        state,
        ledger["dsn_authority"],
        ledger["dsn_owner"],
        passphrase,
    )
    replace_files(server_certificate(inside), state / "tls", "server", inside)
    async with office.service(f"[lifetimes]\n{lifetimes}") as service:
        yield service


def server_certificate(inside: CentreInside) -> Holder:
    key = new_private_key()
    order = Order("server", "centre", dns_names=("localhost",), ip_addresses=("127.0.0.1",))
    return Holder(inside.authority().issue(order, key.public_key()).certificate, key)


def replace_files(made: Holder, directory: Path, stem: str, inside: CentreInside) -> None:
    """Put certificate and key in place, one after the other."""
    directory.mkdir(exist_ok=True)
    tls_ca = (Path(inside.description["pki"]) / "tls-ca.pem").read_bytes()
    for suffix, content in ((".pem", made.pem + tls_ca), (".key", made.key_pem)):
        fresh = directory / f".{stem}{suffix}"
        fresh.touch(0o600)
        fresh.write_bytes(content)
        fresh.replace(directory / f"{stem}{suffix}")


async def short_lived(
    inside: CentreInside,
    service: Service,
    target: Path,
    units: Sequence[str],
    lifetime: timedelta,
    kind: CertificateKind = "system",
) -> list[Profile]:
    """Profiles of these units, of which one certificate ends soon, and that know the authority."""
    issuing = inside.authority()
    name = "oa" if kind == "system" else "renewed"
    made = []
    for number, unit in enumerate(units):
        key = new_private_key()
        # Not all at once, as in a city whose units enrolled one after the other.
        spread = timedelta(seconds=number % _SPREAD_S)
        order = Order(kind, name, unit, lifetime=lifetime + spread)
        made.append(Holder(issuing.issue(order, key.public_key()).certificate, key))
    witness = inside.issue("system", units[0], "witness")
    await inside.publish()
    ca = "tls-ca.pem" if kind == "system" else "seal-ca.pem"
    profiles = []
    for unit, holder in zip(units, made, strict=True):
        directory = target / unit
        shutil.copytree(Path(inside.description["clients"]) / unit, directory)
        settings = read_settings(directory / PROFILE_FILE)
        write_profile(directory, replace(settings, authority=service.authority), {})
        chain = holder.pem + (directory / ca).read_bytes()
        profiles.append(replace_certificate(directory, kind, holder.key, chain))
    await admitted(inside, witness)  # so it knows all the others, too
    return profiles
