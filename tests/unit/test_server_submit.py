"""What was right when an upload began and is so no longer when its receipt would be signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, identity, manifest, receipt, signature, times
from document_exchange.errors import (
    ExchangeError,
    RecipientsRefused,
    SealExpired,
    SealRevoked,
    SignatureRefused,
    Unavailable,
    UnitNotActive,
)
from document_exchange.manifest import Manifest
from exchange_runtime.values import Principal
from exchange_server.budget import Budgets
from exchange_server.quotas import Quotas
from exchange_server.recent import RecentParts
from exchange_server.registry import Certificate, Crl, Registry, RegistryFollower, Unit
from exchange_server.routes import Route
from exchange_server.statements import CentreSeal
from exchange_server.submit import Submitted, Submitter
from exchange_server.values import Acceptance, AcceptedEnvelope, Dues, Outcome
from tests.pki_for_tests import CENTRE_SEAL_ID, DAY, NOW, TRUST_DOMAIN, Holder, Pki
from tests.quotas_for_tests import NOTHING, QuotaBooks, quota, unlimited
from tests.real_centre import RECIPIENT, SENDER, envelope, part

PKI = Pki()
BODY = b"%PDF"
LATER = timedelta(hours=3)
SYSTEM = f"spiffe://{TRUST_DOMAIN}/unit/{SENDER}/system/oa"


def unit(unit_id: str, status: str = "ACTIVE") -> Unit:
    return Unit(unit_id, "", "", "", "DEPARTMENT", "", "", "", (), (), (), status)


def certificate(holder: Holder, name: str, *, revoked: bool = False) -> Mapping[bytes, Certificate]:
    known = Certificate(name, "", NOW - DAY, NOW + DAY, revoked)
    return {holder.certificate.fingerprint(hashes.SHA256()): known}


def crl(number: int, this_update: datetime) -> Crl:
    return Crl(number, this_update, this_update + 7 * DAY, b"")


START = Registry(
    version=1,
    units={each: unit(each) for each in (SENDER, RECIPIENT)},
    certificates={
        **certificate(PKI.centre_seal, CENTRE_SEAL_ID),
        **certificate(PKI.seal(SENDER), SENDER),
        b"": Certificate(SYSTEM, "", NOW - DAY, NOW + DAY, revoked=False),
    },
    businesses=frozenset({"DOCUMENT"}),
    routes=(Route("all", "ALLOW", "*", "*", "*", "*", "*", ""),),
    root_crls=(crl(1, NOW - DAY),),
    seal_crls=(crl(1, NOW - DAY), crl(2, NOW + timedelta(hours=1))),
)


@dataclass
class Centre:
    """Stores and clock of a submitter; ``meanwhile`` happens while the bytes are coming."""

    registry: Registry = START
    now: datetime = NOW
    accepted: list[Acceptance] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    meanwhile: Callable[[Centre], None] = lambda centre: None
    before_commit: Callable[[Centre], None] = lambda centre: None
    quotas: Quotas = field(default_factory=unlimited)
    seal: Holder = field(default_factory=lambda: PKI.seal(SENDER))

    async def registry_version(self) -> tuple[int, datetime]:
        return self.registry.version, self.now

    async def load_registry(self) -> Registry:
        return self.registry

    async def find_envelope(self, envelope_id: str) -> AcceptedEnvelope | None:
        return None

    async def find_fault(self, submitted: Manifest) -> str:
        return ""

    async def accept(self, acceptance: Acceptance, accepted: Manifest) -> Outcome:
        assert {block.key for block in acceptance.blocks} == self.stored, "bytes come first"
        self.before_commit(self)
        if acceptance.directory != self.registry.directory:
            return Outcome("DIRECTORY_CHANGED", str(self.registry.directory))
        self.accepted.append(acceptance)
        return Outcome("ACCEPTED")

    async def put(self, key: str, data: bytes | bytearray, sha256: bytes | None = None) -> None:
        for _ in range(100):  # a store takes its time
            await asyncio.sleep(0)
        self.stored.add(key)

    async def submit(self) -> Submitted:
        follower = RegistryFollower(self, clock=lambda: self.now, interval_s=3600)
        await follower.start()
        sealed = signature.sign(CONTENT, self.seal.signer, at=NOW)
        try:
            return await Submitter(
                ledger=self,
                blobs=self,
                registry=follower,
                trust=PKI.trust,
                seal=CentreSeal(PKI.centre_seal.signer, PKI.trust, follower, now=self.now),
                budgets=Budgets(16 << 20, 16 << 20),
                recent=RecentParts(0, 0),
                quotas=self.quotas,
                clock=lambda: self.now,
                idle_timeout_s=5.0,
                dues=lambda document, now: Dues(None, None),
                accepted=lambda envelope_id, recipients: None,
            ).submit(CALLER, CONTENT, (sealed,), self._chunks(follower))
        finally:
            await follower.stop()

    async def _chunks(self, follower: RegistryFollower) -> AsyncIterator[tuple[str, bytes]]:
        self.meanwhile(self)
        await follower.stop()
        await follower.start()
        yield "part-1", BODY


CALLER = Principal(
    identity=identity.parse(SYSTEM),
    fingerprint=b"",
    not_before=NOW - DAY,
    not_after=NOW + 500 * DAY,
    address="",
)
CONTENT = manifest.encode(
    envelope([part(BODY)], envelope_id=codes.new_id(NOW), created_at=times.format_time(NOW))
)


def advance(centre: Centre, by: timedelta) -> None:
    centre.now += by


def revoke(centre: Centre, holder: Holder, name: str) -> None:
    centre.registry = replace(
        START,
        version=2,
        certificates={**START.certificates, **certificate(holder, name, revoked=True)},
    )


def suspend(centre: Centre) -> None:
    centre.registry = replace(
        START, version=2, directory=1, units={**START.units, SENDER: unit(SENDER, "SUSPENDED")}
    )


def deny(centre: Centre) -> None:
    route = Route("no", "DENY", f"unit:{SENDER}", f"unit:{RECIPIENT}", "*", "*", "*", "")
    centre.registry = replace(START, version=2, directory=1, routes=(*START.routes, route))


def change_something_else(centre: Centre) -> None:
    version, directory = centre.registry.version + 1, centre.registry.directory + 1
    centre.registry = replace(centre.registry, version=version, directory=directory)


async def test_the_receipt_names_the_moment_after_the_upload() -> None:
    """And the lists that are in force then."""
    centre = Centre(meanwhile=lambda centre: advance(centre, LATER))
    submitted = await centre.submit()
    (acceptance,) = centre.accepted
    assert receipt.decode_receipt(submitted.statement.receipt).at == times.format_time(NOW + LATER)
    assert acceptance.accepted_at == NOW + LATER
    assert (acceptance.root_crl, acceptance.seal_crl) == (1, 2)


@pytest.mark.parametrize(
    ("meanwhile", "refusal"),
    [
        (lambda centre: advance(centre, 400 * DAY), SealExpired),
        (lambda centre: revoke(centre, PKI.seal(SENDER), SENDER), SealRevoked),
        (suspend, UnitNotActive),
        (deny, RecipientsRefused),
        (lambda centre: revoke(centre, PKI.centre_seal, CENTRE_SEAL_ID), Unavailable),
    ],
)
async def test_nothing_is_accepted_that_no_verifier_would_take(
    meanwhile: Callable[[Centre], None], refusal: type[ExchangeError]
) -> None:
    centre = Centre(meanwhile=meanwhile)
    with pytest.raises(refusal):
        await centre.submit()
    assert centre.accepted == []


@pytest.mark.parametrize(
    ("change", "refusal"), [(suspend, UnitNotActive), (deny, RecipientsRefused)]
)
async def test_what_was_withdrawn_before_the_transaction_is_decided_anew(
    change: Callable[[Centre], None], refusal: type[ExchangeError]
) -> None:
    """The registry in memory is as it was; only the ledger knows."""
    centre = Centre(before_commit=change)
    with pytest.raises(refusal):
        await centre.submit()
    assert centre.accepted == []


async def test_a_change_that_withdraws_nothing_only_costs_another_decision() -> None:
    changes = iter([change_something_else])
    centre = Centre(before_commit=lambda centre: next(changes, lambda _: None)(centre))
    await centre.submit()
    (acceptance,) = centre.accepted
    assert acceptance.directory == 1


async def test_a_directory_that_never_rests_is_not_waited_for_without_end() -> None:
    centre = Centre(before_commit=change_something_else)
    with pytest.raises(Unavailable, match="keeps changing"):
        await centre.submit()
    assert centre.accepted == []


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda centre: setattr(centre, "seal", PKI.seal(RECIPIENT)), SignatureRefused),
        (deny, RecipientsRefused),
        (lambda centre: None, None),
    ],
    ids=["another's seal", "no route", "in order"],
)
async def test_only_what_may_be_sent_is_taken_from_the_quota(
    change: Callable[[Centre], None], refusal: type[ExchangeError] | None
) -> None:
    """Whoever has a system's key alone can't use up what the unit may send."""
    books = QuotaBooks(quota(bytes_per_minute=2))
    centre = Centre(quotas=Quotas(books, lambda _unit: books.quota, NOTHING, now=books.clock))
    change(centre)
    if refusal is None:
        await centre.submit()
    else:
        with pytest.raises(refusal):
            await centre.submit()
    for _ in range(10):  # what is asked of the ledger in the background
        await asyncio.sleep(0)
    assert bool(books.asks) == (refusal is None)
    await centre.quotas.stop()
