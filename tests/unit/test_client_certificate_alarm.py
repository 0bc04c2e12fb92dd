"""The alarm about certificates that a profile did not ask for, and about revocations."""

from __future__ import annotations

import asyncio
import hashlib
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from exchange_client import AsyncClient, Profile, Timing, certificate_alarm
from exchange_client.alerts import Alert, AlertKind, sound
from exchange_client.known_certificates import KnownCertificates

from document_exchange.v1 import authority_pb2, directory_pb2
from tests.centre_for_tests import ScriptedCentre, now
from tests.pki_for_tests import Pki

UNIT = "qd-caizheng"
ONCE = Timing(retry_budget_s=0)
UNKNOWN, REVOKED = AlertKind.CERTIFICATE_UNKNOWN, AlertKind.CERTIFICATE_REVOKED


class TellingCentre(ScriptedCentre):
    """Tells of certificates as a test issues and revokes them."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki)
        self.certificates: dict[str, authority_pb2.CertificateRecord] = {}
        self.refused = False
        self._watches: list[queue.Queue[str | None]] = []
        self._here = threading.Lock()

    def tell(self, name: str, *, revoked: bool = False) -> str:
        """Issue or revoke the certificate that a test calls ``name``; its fingerprint."""
        fingerprint = hashlib.sha256(name.encode()).hexdigest()
        record = authority_pb2.CertificateRecord(
            fingerprint=fingerprint,
            serial="1f",
            identity=f"spiffe://exchange.example/unit/{UNIT}/system/{name}",
            profile="system",
        )
        for each in (record.not_before, record.not_after, record.issued_at):
            each.FromDatetime(now())
        if revoked:
            record.revoked_at.FromDatetime(now())
            record.revocation_reason = "keyCompromise"
        with self._here:
            self.certificates[fingerprint] = record
            for watch in self._watches:
                watch.put(fingerprint)
        return fingerprint

    def WatchOwnCertificates(self, request: Any, context: Any) -> Iterator[Any]:
        if self.refused:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        changes: queue.Queue[str | None] = queue.Queue()
        context.add_callback(lambda: changes.put(None))
        with self._here:
            there = list(self.certificates)
            self._watches.append(changes)
        for fingerprint in there:
            yield self._message(fingerprint)
        yield directory_pb2.WatchOwnCertificatesResponse(
            caught_up=directory_pb2.CertificatesCaughtUp()
        )
        while (changed := changes.get()) is not None:
            yield self._message(changed)

    def _message(self, fingerprint: str) -> directory_pb2.WatchOwnCertificatesResponse:
        own = directory_pb2.OwnCertificate(certificate=self.certificates[fingerprint])
        return directory_pb2.WatchOwnCertificatesResponse(certificate=own)


class Alerts(asyncio.Queue[Alert]):
    def __call__(self, alert: Alert) -> None:
        self.put_nowait(alert)

    async def next(self) -> tuple[AlertKind, str]:
        async with asyncio.timeout(10):
            alert = await self.get()
        assert alert.certificate is not None
        assert alert.certificate.fingerprint in alert.message
        return alert.kind, alert.certificate.identity.rpartition("/")[2]


@pytest.fixture
def centre() -> Iterator[TellingCentre]:
    centre = TellingCentre(Pki())
    with centre:
        yield centre


@pytest.fixture
def profile(centre: TellingCentre, tmp_path: Path) -> Profile:
    centre.write_profile(UNIT, tmp_path)
    return Profile.read(tmp_path / UNIT, UNIT)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_alarm, "GRACE_S", 0.3)


@asynccontextmanager
async def listening(profile: Profile) -> AsyncIterator[Alerts]:
    """The alerts of an open client that has looked at what is there."""
    alerts = Alerts()
    async with AsyncClient(profile, ONCE, alerts) as client, asyncio.timeout(20):
        known = KnownCertificates(profile.directory)
        while profile.directory is not None and not known.has_begun():
            await client.units()
        yield alerts


async def test_what_nobody_asked_for_is_told_once(centre: TellingCentre, profile: Profile) -> None:
    centre.tell("before")
    async with listening(profile) as alerts:
        centre.tell("stranger")
        assert await alerts.next() == (UNKNOWN, "stranger")
        centre.tell("stranger")
        centre.tell("another")
        assert await alerts.next() == (UNKNOWN, "another")
    async with listening(profile) as alerts:
        centre.tell("third")
        assert await alerts.next() == (UNKNOWN, "third")
        assert alerts.empty()


async def test_what_happened_while_no_client_was_open_is_told_by_the_next(
    centre: TellingCentre, profile: Profile
) -> None:
    centre.tell("revoked-before", revoked=True)
    centre.tell("revoked-meanwhile")
    async with listening(profile):
        pass
    centre.tell("issued-meanwhile")
    centre.tell("revoked-meanwhile", revoked=True)
    async with listening(profile) as alerts:
        assert {await alerts.next(), await alerts.next()} == {
            (UNKNOWN, "issued-meanwhile"),
            (REVOKED, "revoked-meanwhile"),
        }


async def test_what_this_profile_asked_for_is_no_alarm_however_late_the_answer_comes(
    centre: TellingCentre, profile: Profile
) -> None:
    async with listening(profile) as alerts:
        asked_for = centre.tell("own")
        # The news is there first; then another process of this profile gets the answer.
        KnownCertificates(profile.directory).add(asked_for)
        centre.tell("own", revoked=True)
        assert await alerts.next() == (REVOKED, "own")
        centre.tell("stranger")
        assert await alerts.next() == (UNKNOWN, "stranger")
        assert alerts.empty()


async def test_a_watch_that_can_not_go_on_is_told(centre: TellingCentre, profile: Profile) -> None:
    centre.refused = True
    alerts = Alerts()
    async with AsyncClient(profile, ONCE, alerts), asyncio.timeout(10):
        alert = await alerts.get()
    assert alert.kind is AlertKind.WATCH_ENDED
    assert "not for you" in alert.message


async def test_without_a_hook_nothing_is_watched_but_the_program_may(
    centre: TellingCentre, profile: Profile
) -> None:
    centre.tell("one")
    centre.tell("two", revoked=True)
    async with AsyncClient(profile, ONCE) as client:
        found = [own async for own in client.certificates(follow=False)]
    assert [own.certificate.revoked_at is not None for own in found] == [False, True]
    assert not (Path(profile.directory or "") / "known-certificates").exists()


def test_a_hook_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def failing(alert: Alert) -> None:
        raise RuntimeError(alert.message)

    sound(failing, Alert(UNKNOWN, "a certificate"))
    assert "UNKNOWN: a certificate" in caplog.text
    assert "the hook for alerts failed" in caplog.text
