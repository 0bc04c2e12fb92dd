"""Certificates that live for seconds are renewed while documents flow, and not one call fails."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina
from exchange_client import AsyncClient, PartSource, Profile, Timing
from exchange_client.alerts import Alert, AlertKind
from exchange_client.known_certificates import KnownCertificates
from exchange_client.testing import LocalCentre

from document_exchange import codes
from document_exchange.certificates import fingerprint
from tests.integration.renewing_centre import (
    authority,
    replace_files,
    server_certificate,
    short_lived,
)
from tests.real_centre import CentreInside

CLIENTS = 24
RENEWALS = int(os.environ.get("RENEWALS", "3"))
"""Of each client, at least; `make acceptance` asks for more."""
LIFETIME_S = 8
FIRST_LIFETIME = timedelta(seconds=12)
PATIENT = Timing()
"""As everybody has it. How many calls needed a second try is counted."""


def units() -> list[str]:
    return [f"unit-{number:02}" for number in range(CLIENTS)]


def organisation_code(number: int) -> str:
    first = f"9000{number:04}"
    return first + codes.organisation_check_character(first)


def city() -> str:
    """A registry of many units that may write to each other."""
    entries = "".join(
        f'[[unit]]\nunit_id = "{unit}"\nname_zh = "{unit}"\nname_en = "{unit}"\n'
        f'short_zh = "{unit}"\nkind = "DEPARTMENT"\n'
        f'organisation_code = "{organisation_code(number)}"\n'
        for number, unit in enumerate(units())
    )
    return (
        '[[business]]\ncode = "DOCUMENT"\nname_zh = "公文"\nname_en = "documents"\n'
        f"{entries}"
        '[[route]]\nroute_id = "all"\neffect = "ALLOW"\nsender = "*"\nrecipient = "*"\n'
    )


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCentre]:
    """A centre of its own, since its certificates are replaced."""
    registry = tmp_path_factory.mktemp("city") / "units.toml"
    registry.write_text(city())
    with LocalCentre(registry=registry) as running:
        yield running


@pytest.fixture
def inside(centre: LocalCentre) -> CentreInside:
    return CentreInside(centre)


def count_retries(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One entry for each call that failed at first; the SDK asks stamina only then."""
    found: list[float] = []
    begin = stamina.retry_context

    def counted(*args: Any, **kwargs: Any) -> Any:
        found.append(time.monotonic())
        return begin(*args, **kwargs)

    monkeypatch.setattr(stamina, "retry_context", counted)
    return found


@dataclass
class Figures:
    """What happened, over all clients."""

    sent: int = 0
    received: int = 0
    slowest_s: float = 0.0
    renewals: dict[str, set[str]] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    def least_renewed(self) -> int:
        return min(len(seen) - 1 for seen in self.renewals.values())


@dataclass
class Office:
    """One client at work."""

    client: AsyncClient
    figures: Figures
    over: asyncio.Event
    expected: dict[str, set[str]]
    """By recipient: what was sent to it."""

    @property
    def unit(self) -> str:
        return self.client.unit_id

    async def send(self) -> None:
        """A document to the next unit, again and again."""
        everybody = units()
        following = everybody[(everybody.index(self.unit) + 1) % len(everybody)]
        while not self.over.is_set():
            began = time.monotonic()
            sent = await self.client.send(
                title="关于更换数字证书的通知",
                recipients=[following],
                files=[PartSource(secrets.token_bytes(20_000), filename="a.pdf")],
            )
            took_s = time.monotonic() - began
            self.expected[following].add(sent.envelope_id)
            self.figures.sent += 1
            self.figures.slowest_s = max(self.figures.slowest_s, took_s)
            self.figures.renewals[self.unit].add(
                fingerprint(self.client.profile.system_certificate)
            )
            # One document in a second or two; that is 20 times the load of a working day.
            await asyncio.sleep(1.0 + secrets.randbelow(1000) / 1000)

    async def receive(self) -> None:
        """Everything that comes, over one watch; nothing twice that was signed for."""
        seen: set[tuple[str, int]] = set()
        async with aclosing(self.client.watch()) as deliveries:
            async for delivery in deliveries:
                assert (delivery.envelope_id, delivery.seq) not in seen, "shown twice"
                seen.add((delivery.envelope_id, delivery.seq))
                if delivery.state.value == "PENDING":
                    await delivery.read()
                    await delivery.sign_for()
                    await delivery.confirm_seen()
                    self.figures.received += 1
                    self.expected[self.unit].discard(delivery.envelope_id)


async def renew_servers(inside: CentreInside, over: asyncio.Event, directories: list[Path]) -> int:
    """Replace the certificates of centre and authority, again and again."""
    count = 0
    while not over.is_set():
        for directory in directories:
            replace_files(server_certificate(inside), directory, "server", inside)
            count += 1
        await asyncio.sleep(1.0)
    return count


@pytest.mark.timeout(240)
async def test_hundreds_of_renewals_under_load_without_one_failed_call(
    inside: CentreInside,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried_again = count_retries(monkeypatch)
    state = Path(inside.description["pki"]).parent
    figures, over = Figures(renewals={unit: set() for unit in units()}), asyncio.Event()
    expected: dict[str, set[str]] = {unit: set() for unit in units()}
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(authority(inside, f"system_s = {LIFETIME_S}"))
        profiles = await short_lived(inside, service, tmp_path, units(), FIRST_LIFETIME)
        offices = [
            Office(
                await stack.enter_async_context(
                    AsyncClient(profile, PATIENT, figures.alerts.append)
                ),
                figures,
                over,
                expected,
            )
            for profile in profiles
        ]
        began = time.monotonic()
        async with asyncio.TaskGroup() as work:
            watches = [work.create_task(office.receive()) for office in offices]
            senders = [work.create_task(office.send()) for office in offices]
            servers = work.create_task(
                renew_servers(inside, over, [state / "centre", state / "tls"])
            )
            async with asyncio.timeout(180):
                while figures.least_renewed() < RENEWALS:
                    await asyncio.wait(senders, timeout=0.5)
                over.set()
                await asyncio.wait(senders)
                while any(expected.values()):
                    await asyncio.wait(watches, timeout=0.2)
            for watch in watches:
                watch.cancel()
        took_s = time.monotonic() - began
    renewals = sum(len(seen) - 1 for seen in figures.renewals.values())
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{renewals} renewals by {CLIENTS} clients in {took_s:.0f} s,"
            f" for {LIFETIME_S} s each;"
            f" {servers.result()} of servers; {figures.sent} documents sent, {figures.received}"
            f" signed for, slowest {figures.slowest_s:.2f} s; 0 failed calls,"
            f" {len(tried_again)} that were tried again"
        )
    assert renewals >= CLIENTS * RENEWALS
    assert figures.alerts == []
    # None on a machine that is not too busy; a swap that broke calls would show at each renewal.
    assert len(tried_again) < renewals / 10
    assert figures.received == figures.sent


async def test_what_was_issued_to_a_unit_behind_its_back_is_told(
    inside: CentreInside, tmp_path: Path
) -> None:
    unit = units()[0]
    alerts: asyncio.Queue[Alert] = asyncio.Queue()
    shutil.copytree(Path(inside.description["clients"]) / unit, tmp_path / unit)
    profile = Profile.read(tmp_path / unit, unit)
    known = KnownCertificates(profile.directory)
    async with AsyncClient(profile, PATIENT, alerts.put_nowait) as client, asyncio.timeout(40):
        while not known.has_begun():
            await client.units()
        stranger = inside.issue("system", unit, "stranger")
        await inside.publish()
        alert = await alerts.get()
        assert alert.kind is AlertKind.CERTIFICATE_UNKNOWN
        assert alert.certificate is not None
        assert alert.certificate.fingerprint == fingerprint(stranger.certificate)
        await inside.revoke(stranger)
        assert (await alerts.get()).kind is AlertKind.CERTIFICATE_REVOKED
