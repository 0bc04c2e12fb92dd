"""The centre's own seal: checked at the start and before each signature."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
import structlog
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, identity, signature
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError, Unavailable
from document_exchange.manifest import sha256_hex
from exchange_runtime import events
from exchange_runtime.values import Principal
from exchange_server.registry import Certificate, Registry, RegistryFollower
from exchange_server.statements import CentreSeal, Signed
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    DAY,
    NOW,
    SEAL_CA_PURPOSES,
    TRUST_DOMAIN,
    Holder,
    Pki,
    make_authority,
    make_leaf,
)

PKI = Pki()
SEAL = PKI.centre_seal
SECOND = timedelta(seconds=1)


def entry(holder: Holder = SEAL, *, revoked: bool = False) -> Mapping[bytes, Certificate]:
    """The seal as the ledger's registry has it."""
    known = Certificate(CENTRE_SEAL_ID, "centre-seal", NOW - DAY, NOW + DAY, revoked)
    return {holder.certificate.fingerprint(hashes.SHA256()): known}


@dataclass
class Books:
    """A ledger's registry of certificates."""

    registry: Registry = field(default_factory=lambda: Registry(1, {}, entry(), frozenset()))

    async def registry_version(self) -> tuple[int, datetime]:
        return self.registry.version, NOW

    async def load_registry(self) -> Registry:
        return self.registry


@dataclass
class Follower:
    """The registry as a server follows it, and the books that a test changes."""

    books: Books
    follower: RegistryFollower

    async def now_has(self, certificates: Mapping[bytes, Certificate]) -> None:
        before = self.books.registry
        self.books.registry = replace(before, version=before.version + 1, certificates=certificates)
        await self.follower.stop()
        await self.follower.start()


@pytest.fixture
async def followed() -> AsyncIterator[Follower]:
    books = Books()
    follower = RegistryFollower(books, clock=lambda: NOW, interval_s=3600)
    await follower.start()
    yield Follower(books, follower)
    await follower.stop()


def taken(
    followed: Follower,
    holder: Holder = SEAL,
    *,
    trust: SealTrust = PKI.trust,
    now: datetime = NOW,
) -> CentreSeal:
    return CentreSeal(holder.signer, trust, followed.follower, now=now)


def accepted(seal: CentreSeal, at: datetime = NOW) -> Signed:
    principal = Principal(
        identity=identity.parse(f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa"),
        fingerprint=bytes(32),
        not_before=NOW,
        not_after=NOW,
        address="",
    )
    envelope_id = codes.new_id(at)
    digest = sha256_hex(b"manifest")
    event = events.prepare(
        "ENVELOPE_ACCEPTED", at, principal, envelope_id=envelope_id, seq=0, manifest_sha256=digest
    )
    return seal.accepted(envelope_id, digest, [b"signature"], event)


async def test_a_seal_in_order_signs_what_verifies(followed: Follower) -> None:
    signed = accepted(taken(followed))
    certificate = signature.verify(signed.content, signed.signature)
    PKI.trust.check(certificate, at=NOW, crls=PKI.crls())


async def test_at_the_start_it_must_be_a_valid_seal_that_the_ledger_knows(
    followed: Follower,
) -> None:
    taken(followed)
    with pytest.raises(ConfigurationError, match="not acceptable"):
        taken(followed, trust=Pki().trust)
    for late in (SEAL.certificate.not_valid_after_utc, NOW + 3651 * DAY):
        with pytest.raises(ConfigurationError, match="was valid from"):
            taken(followed, now=late + SECOND)
    await followed.now_has({})
    with pytest.raises(ConfigurationError, match="publish"):
        taken(followed)
    await followed.now_has(entry(revoked=True))
    with pytest.raises(ConfigurationError, match="has been revoked"):
        taken(followed)


@pytest.mark.parametrize("known", [{}, entry(revoked=True)])
async def test_once_revoked_it_signs_nothing(
    followed: Follower, known: Mapping[bytes, Certificate]
) -> None:
    seal = taken(followed)
    await followed.now_has(known)
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(Unavailable, match="the centre can't sign"),
    ):
        accepted(seal)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("centre_seal_unusable", "error")
    ]
    await followed.now_has(entry())
    accepted(seal)


async def test_outside_of_its_period_it_signs_nothing(followed: Follower) -> None:
    seal = taken(followed)
    begin, end = SEAL.certificate.not_valid_before_utc, SEAL.certificate.not_valid_after_utc
    for moment in (begin, end - SECOND):
        accepted(seal, at=moment)
    for moment in (begin - SECOND, end):
        with pytest.raises(Unavailable, match="is valid from"):
            accepted(seal, at=moment)


async def test_it_ends_with_the_ca_above_it(followed: Follower) -> None:
    ca = make_authority(
        "Seal CA",
        issuer=PKI.root,
        path_length=0,
        purposes=SEAL_CA_PURPOSES,
        not_after=NOW + 2 * DAY,
    )
    holder = make_leaf(CENTRE_SEAL_ID, issuer=ca)
    await followed.now_has(entry(holder))
    seal = taken(followed, holder, trust=SealTrust(PKI.root.certificate, ca.certificate))
    accepted(seal, at=NOW + 2 * DAY - SECOND)
    with pytest.raises(Unavailable, match="is valid from"):
        accepted(seal, at=NOW + 2 * DAY)


@pytest.mark.parametrize(("days", "warned"), [(31, False), (29, True), (0, True)])
async def test_its_end_is_announced_for_thirty_days(
    followed: Follower, days: int, warned: bool
) -> None:
    seal = taken(followed)
    with structlog.testing.capture_logs() as logs:
        seal.warn_before_end(SEAL.certificate.not_valid_after_utc - days * DAY)
    assert [line["event"] for line in logs] == ["centre_seal_ends"] * warned
    assert all(line["days"] == days for line in logs)
