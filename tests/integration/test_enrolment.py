"""Enrolment on a real ledger and a real authority: who gets certificates, and who does not."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_pki.authority import Authority
from exchange_pki.publish import Publisher
from exchange_pki.register import Certified
from exchange_pki.service import proved_request
from exchange_pki.service.claims import Claim, claim
from exchange_pki.service.enrolment import AUTOMATIC, Application, Enrolled, Enrolment
from exchange_pki.service.ledger import AuthorityLedger, authority_database
from exchange_pki.service.seals import ISSUED, PENDING, REJECTED, Seals
from exchange_pki.service.tokens import Holder, NewToken, Tokens, digest
from exchange_pki.service.worker import AuthorityWorker

from document_exchange import event, identity
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    IdentityMismatch,
    InvalidRequest,
    KeyReused,
    NotFound,
    Refused,
    RequestRefused,
    SecondPersonNeeded,
    StaffNotActive,
    SystemNotActive,
    TokenExpired,
    TokenOfAnotherUnit,
    TokenUnknown,
    TokenUsed,
    Unavailable,
    UnitNotActive,
)
from exchange_runtime.clock import system_clock
from exchange_runtime.database import Database
from exchange_runtime.values import Actor
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage.migrate import migrate
from tests.authority_for_tests import PASSPHRASE, TRUST_DOMAIN, copy_of_authority, new_private_key
from tests.enrolment_for_tests import (
    OTHER_UNIT,
    UNIT,
    Pair,
    public_sha256,
    signing_request,
    system_id,
    without_seal,
)

OPERATOR = Actor(f"spiffe://{TRUST_DOMAIN}/staff/operator", "10.0.0.1")
SECURITY_STAFF = Actor(f"spiffe://{TRUST_DOMAIN}/staff/security", "10.0.0.2")
ADDRESS = "10.0.0.7"
SYSTEM, SEALED = Holder(UNIT, "oa"), Holder(UNIT, "oa", "main")

SUSPEND_UNIT = f"update exchange.units set status = 'SUSPENDED' where unit_id = '{UNIT}'"
RESUME_UNIT = f"update exchange.units set status = 'ACTIVE' where unit_id = '{UNIT}'"
REGISTRY = f"""
insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code) values
    ('{UNIT}', '财政局', 'Finance', '财政', 'DEPARTMENT', '005117558'),
    ('{OTHER_UNIT}', '教育局', 'Education', '教育', 'DEPARTMENT', '005117566');
insert into exchange.staff (name, person, full_name, role) values
    ('li.na', '1', '李娜', 'security'), ('wang', '2', '王', 'auditor');
"""


@dataclass
class Office:
    """The authority's side of enrolment, as one process has it, and the owner of its ledger."""

    database: Database
    worker: AuthorityWorker
    tokens: Tokens
    seals: Seals
    enrolment: Enrolment
    owner: asyncpg.Connection
    state: Path
    dsn: str
    """Of the authority's role."""

    async def token(self, holder: Holder = SYSTEM, lifetime_s: int = 0) -> NewToken:
        return await self.tokens.issue(OPERATOR, holder, lifetime_s)

    async def enrol(self, application: Application) -> Enrolled:
        return await self.enrolment.enrol(application, ADDRESS)

    async def events(self, *types: str, about: str) -> list[event.Event]:
        """Events of these types whose detail names this token, in their order."""
        rows = await self.owner.fetch(
            "select event from exchange.events where type = any ($1) order by event_no", list(types)
        )
        found = [event.decode(row["event"]) for row in rows]
        return [each for each in found if (each.detail or {}).get("token_id") == about]

    def with_issuer(self, issuer: Any, **options: Any) -> Enrolment:
        """Another process on the same ledger, which signs so."""
        seals = Seals(self.database, issuer, system_clock)
        return Enrolment(self.database, issuer, seals, system_clock, **options)


class FailingIssuer:
    """Takes part in everything and then dies before it signs what this profile says."""

    def __init__(self, worker: AuthorityWorker, profile: str) -> None:
        self.trust_domain = worker.trust_domain
        self.read = worker.read
        self._worker = worker
        self._profile = profile

    async def issue(self, order: Any, public_key: Any, **more: Any) -> Certified:
        if order.profile == self._profile:
            raise Unavailable
        return await self._worker.issue(order, public_key, **more)


class BriefIssuer(FailingIssuer):
    """Its certificates live for seconds."""

    def __init__(self, worker: AuthorityWorker) -> None:
        super().__init__(worker, "none")

    async def issue(self, order: Any, public_key: Any, **more: Any) -> Certified:
        return await super().issue(order, public_key, lifetime=timedelta(seconds=2), **more)


@pytest.fixture(scope="module")
async def office(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    await asyncio.to_thread(migrate, postgres.dsn("owner", database))
    owner = await asyncpg.connect(postgres.dsn("owner", database))
    await owner.execute(REGISTRY)
    state = copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("pki") / "pki", live=True)
    pool = authority_database(postgres.dsn("authority", database), connections=4, timeout_s=10)
    await pool.open()
    worker = AuthorityWorker(
        Authority.load(state, PASSPHRASE), Publisher(AuthorityLedger(pool)), lifetimes={}
    )
    await worker.start()
    seals = Seals(pool, worker, system_clock)
    yield Office(
        database=pool,
        worker=worker,
        tokens=Tokens(pool, system_clock),
        seals=seals,
        enrolment=Enrolment(pool, worker, seals, system_clock),
        owner=owner,
        state=state,
        dsn=postgres.dsn("authority", database),
    )
    await worker.stop()
    await pool.close()
    await owner.close()


def identity_in(der: bytes) -> str:
    return str(identity.of_certificate(x509.load_der_x509_certificate(der)))


# ---------------------------------------------------------------- what is given


async def test_a_token_gives_a_certificate_for_the_identity_of_the_registry(office: Office) -> None:
    issued, pair = await office.token(SEALED), Pair()
    enrolled = await office.enrol(pair.application(issued.token, UNIT))

    certificate = x509.load_der_x509_certificate(enrolled.certificate)
    assert enrolled.identity == identity_in(enrolled.certificate) == system_id()
    assert certificate.public_key() == pair.system.public_key()
    certificate.verify_directly_issued_by(office.worker.trust.tls_ca)
    assert enrolled.seal is not None
    assert (enrolled.seal.standing, enrolled.seal.certificate) == (PENDING, b"")
    assert enrolled.seal.key_sha256 == pair.seal_sha256

    told = await office.events(
        "TOKEN_ISSUED",
        "TOKEN_USED",
        "SEAL_REQUESTED",
        "CERTIFICATE_ISSUED",
        about=issued.token_id,
    )
    assert [(each.type, each.actor, each.address) for each in told] == [
        ("TOKEN_ISSUED", OPERATOR.identity, OPERATOR.address),
        ("TOKEN_USED", "enrolment", ADDRESS),
        ("SEAL_REQUESTED", "enrolment", ADDRESS),
        ("CERTIFICATE_ISSUED", "enrolment", ADDRESS),
    ]
    assert (told[1].detail or {})["key_sha256"] == public_sha256(pair.system)
    assert (told[2].detail or {})["key_sha256"] == pair.seal_sha256


async def test_the_same_pair_gets_the_same_certificate_again(office: Office) -> None:
    issued, pair = await office.token(SEALED), Pair()
    first = await office.enrol(pair.application(issued.token))
    again = await office.enrol(pair.application(f"  {issued.token.upper()}\n"))
    assert again == first
    assert len(await office.events("TOKEN_USED", about=issued.token_id)) == 1


async def test_what_was_noted_is_collected_without_another_signature(office: Office) -> None:
    issued, pair = await office.token(), without_seal()
    first = await office.enrol(pair.application(issued.token))
    idle = office.with_issuer(FailingIssuer(office.worker, "system"))
    assert await idle.enrol(pair.application(issued.token), ADDRESS) == first


async def test_a_name_in_the_request_may_be_exactly_the_identity(office: Office) -> None:
    issued, key = await office.token(), new_private_key()
    request = signing_request(key, x509.UniformResourceIdentifier(system_id()))
    enrolled = await office.enrol(Application(issued.token, request))
    assert identity_in(enrolled.certificate) == system_id()


async def test_a_crash_before_the_signature_costs_nothing(office: Office) -> None:
    issued, pair = await office.token(SEALED), Pair()
    dying = office.with_issuer(FailingIssuer(office.worker, "system"))
    with pytest.raises(Unavailable):
        await dying.enrol(pair.application(issued.token), ADDRESS)
    with pytest.raises(TokenUsed):
        await office.enrol(Pair().application(issued.token))
    enrolled = await office.enrol(pair.application(issued.token))
    assert identity_in(enrolled.certificate) == system_id()


async def test_a_crash_before_the_note_gives_the_same_certificate(office: Office) -> None:
    issued, pair = await office.token(), without_seal()
    first = await office.enrol(pair.application(issued.token))
    await office.owner.execute(
        "update exchange.tokens set certificate = null where token_id = $1::uuid", issued.token_id
    )
    assert await office.enrol(pair.application(issued.token)) == first


async def test_a_token_for_staff_gives_the_registered_role(office: Office) -> None:
    issued, pair = await office.token(Holder(staff="li.na")), without_seal()
    enrolled = await office.enrol(pair.application(issued.token))
    assert enrolled.identity == f"spiffe://{TRUST_DOMAIN}/staff/li.na"
    rows = await office.owner.fetch(
        "select profile, role from exchange.certificates where der = $1", enrolled.certificate
    )
    assert [tuple(row) for row in rows] == [("staff", "security")]


# ---------------------------------------------------------------- what is refused


async def test_another_pair_of_keys_is_refused(office: Office) -> None:
    issued, pair = await office.token(SEALED), Pair()
    first = await office.enrol(pair.application(issued.token))
    for other in (Pair(), Pair(system=pair.system), Pair(seal=pair.seal)):
        with pytest.raises(TokenUsed) as caught:
            await office.enrol(other.application(issued.token))
        assert caught.value.attributes["token_id"] == issued.token_id
        assert issued.token not in caught.value.message
    assert await office.enrol(pair.application(issued.token)) == first


@pytest.mark.parametrize("token", ["", "x", "a" * 40, "a" * 39 + "1", "ä" * 40, "a" * 100_000])
async def test_a_token_that_was_never_issued(office: Office, token: str) -> None:
    with pytest.raises(TokenUnknown):
        await office.enrol(without_seal().application(token))


def request_for(key: ec.EllipticCurvePrivateKey, **names: str) -> bytes:
    kinds = {"uri": x509.UniformResourceIdentifier, "dns": x509.DNSName}
    return signing_request(key, *(kinds[kind](value) for kind, value in names.items()))


def names_the_owner(error: ExchangeError) -> bool:
    return system_id() in f"{error.message} {error.attributes}"


def flipped(request: bytes) -> bytes:
    return request[:-1] + bytes([request[-1] ^ 1])


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (request_for(new_private_key(), uri=system_id(OTHER_UNIT)), IdentityMismatch),
        (request_for(new_private_key(), uri=system_id(name="oa2")), IdentityMismatch),
        (request_for(new_private_key(), uri=system_id(), dns="localhost"), IdentityMismatch),
        (request_for(new_private_key(), dns="localhost"), IdentityMismatch),
        (signing_request(new_private_key(ec.SECP384R1)), RequestRefused),
        (flipped(signing_request(new_private_key())), RequestRefused),
        (signing_request(new_private_key()) + bytes(16 * 1024), RequestRefused),
        (b"", RequestRefused),
        (b"-----BEGIN CERTIFICATE REQUEST-----", RequestRefused),
    ],
    ids=["unit", "system", "host-too", "host", "P-384", "signature", "size", "empty", "PEM"],
)
async def test_a_bad_signing_request_is_refused_and_costs_no_token(
    office: Office, request_: bytes, expected: type[ExchangeError]
) -> None:
    issued = await office.token()
    with pytest.raises(expected) as caught:
        await office.enrol(Application(issued.token, request_))
    assert type(caught.value) is expected
    assert caught.value.attributes["field"] == "system_request"
    assert not names_the_owner(caught.value)
    assert (await office.enrol(without_seal().application(issued.token))).certificate


async def test_a_token_of_another_unit_is_not_consumed(office: Office) -> None:
    issued = await office.token()
    with pytest.raises(TokenOfAnotherUnit) as caught:
        await office.enrol(without_seal().application(issued.token, OTHER_UNIT))
    assert UNIT not in caught.value.message
    assert (await office.enrol(without_seal().application(issued.token, UNIT))).certificate


async def test_system_and_seal_need_keys_of_their_own(office: Office) -> None:
    issued, key = await office.token(SEALED), new_private_key()
    with pytest.raises(KeyReused):
        await office.enrol(Pair(key, key).application(issued.token))
    assert (await office.enrol(Pair().application(issued.token))).certificate


async def test_a_key_that_serves_something_else_is_refused_and_costs_no_token(
    office: Office,
) -> None:
    first = without_seal()
    await office.enrol(first.application((await office.token()).token))
    issued = await office.token(SEALED)
    for pair in (Pair(seal=first.system), Pair(system=new_private_key(), seal=first.system)):
        with pytest.raises(KeyReused):
            await office.enrol(pair.application(issued.token))
    elsewhere = await office.token(Holder(OTHER_UNIT, "oa"))
    with pytest.raises(KeyReused) as caught:
        await office.enrol(first.application(elsewhere.token))
    assert not names_the_owner(caught.value)
    assert (await office.enrol(Pair().application(issued.token))).certificate
    assert (await office.enrol(without_seal().application(elsewhere.token))).certificate


async def test_a_seal_is_asked_for_if_and_only_if_the_token_says_so(office: Office) -> None:
    plain, sealed = await office.token(), await office.token(SEALED)
    with pytest.raises(InvalidRequest):
        await office.enrol(Pair().application(plain.token))
    with pytest.raises(InvalidRequest):
        await office.enrol(without_seal().application(sealed.token))
    assert (await office.enrol(Pair().application(sealed.token))).seal is not None


async def test_an_expired_token_is_refused(office: Office) -> None:
    """By the ledger's clock: that of a process may be behind."""
    issued, pair = await office.token(), without_seal()
    await expire(office, issued)
    before = issued.expires_at - timedelta(days=7)
    behind = Enrolment(office.database, office.worker, office.seals, lambda: before)
    with pytest.raises(TokenExpired):
        await behind.enrol(pair.application(issued.token), ADDRESS)
    late = Claim(
        digest(issued.token),
        issued.token_id,
        SYSTEM,
        proved_request.read(pair.application("").system_request, "system_request"),
        None,
        timedelta(days=1),
    )
    with pytest.raises(TokenExpired):
        await claim(office.database, late, Actor("enrolment", ADDRESS), before)
    [listed] = [t for t in (await office.tokens.listed())[0] if t.token_id == issued.token_id]
    assert listed.used_at is None


async def test_a_clock_that_is_ahead_ends_no_token(office: Office) -> None:
    issued = await office.token(lifetime_s=60)
    ahead = Enrolment(office.database, office.worker, office.seals, lambda: issued.expires_at)
    assert (await ahead.enrol(without_seal().application(issued.token), ADDRESS)).certificate


async def expire(office: Office, issued: NewToken) -> None:
    await office.owner.execute(
        "update exchange.tokens set issued_at = now() - interval '2 days', "
        "expires_at = now() - interval '1 day' where token_id = $1::uuid",
        issued.token_id,
    )


async def test_a_token_that_is_good_for_nothing_does_not_say_whose_it_was(office: Office) -> None:
    withdrawn, expired, used = [await office.token(SEALED) for _ in range(3)]
    await office.tokens.withdraw(OPERATOR, withdrawn.token_id)
    await expire(office, expired)
    await office.enrol(Pair().application(used.token))
    refused = {withdrawn.token: TokenUnknown, expired.token: TokenExpired, used.token: TokenUsed}
    named_otherwise = request_for(new_private_key(), uri=system_id(OTHER_UNIT))
    for token, expected in refused.items():
        for guess in (
            Pair().application(token, UNIT),
            Pair().application(token, OTHER_UNIT),
            without_seal().application(token),
            Application(token, named_otherwise, signing_request(new_private_key())),
        ):
            with pytest.raises(ExchangeError) as caught:
                await office.enrol(guess)
            assert type(caught.value) is expected
            assert UNIT not in f"{caught.value.message} {caught.value.attributes}"


async def test_a_withdrawn_token_is_refused(office: Office) -> None:
    issued = await office.token()
    await office.tokens.withdraw(OPERATOR, issued.token_id)
    await office.tokens.withdraw(OPERATOR, issued.token_id)
    assert len(await office.events("TOKEN_WITHDRAWN", about=issued.token_id)) == 1
    with pytest.raises(TokenUnknown):
        await office.enrol(without_seal().application(issued.token))


async def test_the_pair_collects_as_long_as_its_certificate_is_valid(office: Office) -> None:
    issued, pair = await office.token(lifetime_s=60), without_seal()
    enrolment = office.with_issuer(BriefIssuer(office.worker))
    first = await enrolment.enrol(pair.application(issued.token), ADDRESS)
    until = x509.load_der_x509_certificate(first.certificate).not_valid_after_utc
    again: Enrolled | TokenExpired = first
    async with asyncio.timeout(10):
        while not isinstance(again, TokenExpired):
            assert again == first
            try:
                again = await enrolment.enrol(pair.application(issued.token), ADDRESS)
            except TokenExpired as error:
                again = error
    assert until <= system_clock() < issued.expires_at


async def test_a_used_token_is_no_way_back_after_a_revocation(office: Office) -> None:
    issued, pair = await office.token(), without_seal()
    enrolled = await office.enrol(pair.application(issued.token))
    serial = x509.load_der_x509_certificate(enrolled.certificate).serial_number
    await office.worker.revoke(f"{serial:x}", "superseded", actor=SECURITY_STAFF.identity)
    with pytest.raises(CertificateRevoked):
        await office.enrol(pair.application(issued.token))
    fresh = await office.token()
    with pytest.raises(KeyReused):
        await office.enrol(pair.application(fresh.token))
    assert (await office.enrol(without_seal().application(fresh.token))).certificate


@pytest.mark.parametrize(
    ("holder", "suspend", "resume", "expected"),
    [
        (
            SYSTEM,
            SUSPEND_UNIT,
            RESUME_UNIT,
            UnitNotActive,
        ),
        (
            SYSTEM,
            "insert into exchange.systems (unit_id, name, status) "
            f"values ('{UNIT}', 'oa', 'CLOSED')",
            "delete from exchange.systems",
            SystemNotActive,
        ),
        (
            Holder(staff="wang"),
            "update exchange.staff set status = 'SUSPENDED' where name = 'wang'",
            "update exchange.staff set status = 'ACTIVE' where name = 'wang'",
            StaffNotActive,
        ),
    ],
    ids=["unit", "system", "staff"],
)
async def test_who_is_shut_out_enrols_neither_first_nor_again(
    office: Office, holder: Holder, suspend: str, resume: str, expected: type[ExchangeError]
) -> None:
    unused, used, pair = await office.token(holder), await office.token(holder), without_seal()
    first = await office.enrol(pair.application(used.token))
    await office.owner.execute(suspend)
    try:
        for application in (pair.application(used.token), without_seal().application(unused.token)):
            with pytest.raises(expected):
                await office.enrol(application)
        with pytest.raises(Refused):
            await office.token(holder)
    finally:
        await office.owner.execute(resume)
    assert await office.enrol(pair.application(used.token)) == first
    assert (await office.enrol(without_seal().application(unused.token))).certificate


# ---------------------------------------------------------------- seals


async def waiting_seal(office: Office) -> tuple[str, Pair, str]:
    """(request_id, its keys, the token) of a seal that nobody decided about."""
    issued, pair = await office.token(SEALED), Pair()
    enrolled = await office.enrol(pair.application(issued.token))
    assert enrolled.seal is not None
    return enrolled.seal.request_id, pair, issued.token


async def test_an_approved_seal_is_issued_and_collected_by_repeating_enrol(office: Office) -> None:
    request_id, pair, token = await waiting_seal(office)
    decided = await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
    assert (decided.standing, decided.decided_by) == (ISSUED, SECURITY_STAFF.identity)
    assert await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256) == decided

    collected = (await office.enrol(pair.application(token))).seal
    assert collected == decided
    seal = x509.load_der_x509_certificate(decided.certificate)
    assert pair.seal is not None
    assert seal.public_key() == pair.seal.public_key()
    assert identity_in(decided.certificate) == f"spiffe://{TRUST_DOMAIN}/unit/{UNIT}/seal/main"
    seal.verify_directly_issued_by(office.worker.trust.seal_ca)


async def test_a_rejected_seal_says_why(office: Office) -> None:
    request_id, pair, token = await waiting_seal(office)
    for reason in ("", "two\nlines", "x" * 201):
        with pytest.raises(InvalidRequest):
            await office.seals.decide(
                SECURITY_STAFF, request_id, pair.seal_sha256, reject=True, reason=reason
            )
    await office.seals.decide(
        SECURITY_STAFF, request_id, pair.seal_sha256, reject=True, reason="指纹不符"
    )
    seal = (await office.enrol(pair.application(token))).seal
    assert seal is not None
    assert (seal.standing, seal.reason, seal.certificate) == (REJECTED, "指纹不符", b"")
    with pytest.raises(Refused):
        await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)


async def test_a_seal_is_not_approved_for_another_key_or_by_who_issued_the_token(
    office: Office,
) -> None:
    request_id, pair, _ = await waiting_seal(office)
    with pytest.raises(SecondPersonNeeded):
        await office.seals.decide(OPERATOR, request_id, pair.seal_sha256)
    for key in (Pair().seal_sha256, "", pair.seal_sha256.upper(), "x" * 64):
        with pytest.raises(InvalidRequest):
            await office.seals.decide(SECURITY_STAFF, request_id, key)
    with pytest.raises(NotFound):
        await office.seals.decide(
            SECURITY_STAFF, "0190a0f0-0000-7000-8000-000000000000", pair.seal_sha256
        )
    assert (await office.seals.find(request_id)).standing == PENDING


async def test_a_suspended_unit_gets_no_seal_but_a_rejection(office: Office) -> None:
    kept, pair, _ = await waiting_seal(office)
    rejected, other, _ = await waiting_seal(office)
    await office.owner.execute(SUSPEND_UNIT)
    try:
        with pytest.raises(Refused):
            await office.seals.decide(SECURITY_STAFF, kept, pair.seal_sha256)
        decided = await office.seals.decide(
            SECURITY_STAFF, rejected, other.seal_sha256, reject=True, reason="no"
        )
    finally:
        await office.owner.execute(RESUME_UNIT)
    assert decided.standing == REJECTED
    assert (await office.seals.decide(SECURITY_STAFF, kept, pair.seal_sha256)).standing == ISSUED


@pytest.mark.parametrize("who", ["unit", "staff"])
async def test_a_crash_between_approval_and_issue_is_completed(office: Office, who: str) -> None:
    request_id, pair, token = await waiting_seal(office)
    dying = Seals(office.database, FailingIssuer(office.worker, "seal"), system_clock)
    with pytest.raises(Unavailable):
        await dying.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
    left = await office.seals.find(request_id)
    assert (left.standing, left.approved) == (PENDING, True)
    if who == "unit":
        seal = (await office.enrol(pair.application(token))).seal
    else:
        seal = await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
    assert seal is not None
    assert (seal.standing, seal.decided_by) == (ISSUED, SECURITY_STAFF.identity)
    decisions = await office.owner.fetchval(
        "select count(*) from exchange.events where type = 'SEAL_APPROVED' "
        "and convert_from(event, 'UTF8')::jsonb -> 'detail' ->> 'request_id' = $1",
        request_id,
    )
    assert decisions == 1


@pytest.mark.parametrize("against", ["unit", "system", "certificate"])
async def test_nothing_is_issued_upon_an_approval_that_lost_its_ground(
    office: Office, against: str
) -> None:
    """Approved, then a crash; until somebody completes it, the unit or its system is shut out."""
    request_id, pair, token = await waiting_seal(office)
    dying = Seals(office.database, FailingIssuer(office.worker, "seal"), system_clock)
    with pytest.raises(Unavailable):
        await dying.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
    resume = await shut_out(office, against, token)
    try:
        with pytest.raises(Refused):
            await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
        with pytest.raises(Refused):
            await office.seals.completed(request_id)
        assert (await office.seals.find(request_id)).standing == PENDING
    finally:
        await office.owner.execute(resume)


@pytest.mark.parametrize("against", ["system", "certificate"])
async def test_a_seal_is_not_approved_whose_system_is_shut_out(
    office: Office, against: str
) -> None:
    request_id, pair, token = await waiting_seal(office)
    resume = await shut_out(office, against, token)
    try:
        with pytest.raises(Refused):
            await office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
        assert not (await office.seals.find(request_id)).approved
        rejected = await office.seals.decide(
            SECURITY_STAFF, request_id, pair.seal_sha256, reject=True, reason="no"
        )
        assert rejected.standing == REJECTED
    finally:
        await office.owner.execute(resume)


async def shut_out(office: Office, against: str, token: str) -> str:
    """Shut out the unit, the system, or what the token gave; the statement that undoes it."""
    if against == "unit":
        await office.owner.execute(SUSPEND_UNIT)
        return RESUME_UNIT
    if against == "system":
        await office.owner.execute(
            "insert into exchange.systems (unit_id, name, status) "
            f"values ('{UNIT}', 'oa', 'SUSPENDED')"
        )
        return "delete from exchange.systems"
    serial = await office.owner.fetchval(
        "select serial from exchange.certificates c "
        "join exchange.tokens t on t.certificate = c.fingerprint where token_sha256 = $1",
        digest(token),
    )
    await office.worker.revoke(serial, "superseded", actor=SECURITY_STAFF.identity)
    return "select 1"


async def test_an_automatic_approval_issues_at_once(office: Office) -> None:
    automatic = office.with_issuer(office.worker, seal_approval=AUTOMATIC)
    issued, pair = await office.token(SEALED), Pair()
    first = await automatic.enrol(pair.application(issued.token), ADDRESS)
    assert first.seal is not None
    assert (first.seal.standing, first.seal.decided_by) == (ISSUED, "enrolment")
    assert await automatic.enrol(pair.application(issued.token), ADDRESS) == first


async def test_an_automatic_approval_overrules_nobody(office: Office) -> None:
    request_id, pair, token = await waiting_seal(office)
    await office.seals.decide(
        SECURITY_STAFF, request_id, pair.seal_sha256, reject=True, reason="no"
    )
    automatic = office.with_issuer(office.worker, seal_approval=AUTOMATIC)
    seal = (await automatic.enrol(pair.application(token), ADDRESS)).seal
    assert seal is not None
    assert seal.standing == REJECTED


async def test_seal_requests_are_listed_page_by_page(office: Office) -> None:
    made = [(await waiting_seal(office))[0] for _ in range(3)]
    found, token = [], ""
    while True:
        page, token = await office.seals.listed(UNIT, PENDING, 2, token)
        found += [each.request_id for each in page]
        if not token:
            break
    assert found == sorted(found, reverse=True)
    assert set(made) <= set(found)
    assert (await office.seals.listed(OTHER_UNIT))[0] == []


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("holder", "lifetime_s", "expected"),
    [
        (Holder("qd-unknown", "oa"), 0, NotFound),
        (Holder(staff="nobody"), 0, NotFound),
        (SYSTEM, -1, InvalidRequest),
        (SYSTEM, 30 * 24 * 3600 + 1, InvalidRequest),
        (SYSTEM, 2**62, InvalidRequest),
        (Holder(), 0, InvalidRequest),
        (Holder(UNIT), 0, InvalidRequest),
        (Holder(UNIT, "OA"), 0, InvalidRequest),
        (Holder(UNIT, "oa", "-"), 0, InvalidRequest),
        (Holder(UNIT, "oa", staff="li.na"), 0, InvalidRequest),
        (Holder(seal="main", staff="li.na"), 0, InvalidRequest),
    ],
)
async def test_tokens_that_are_not_issued(
    office: Office, holder: Holder, lifetime_s: int, expected: type[ExchangeError]
) -> None:
    with pytest.raises(expected):
        await office.token(holder, lifetime_s)


async def test_the_ledger_holds_no_token(office: Office) -> None:
    issued = await office.token()
    dump = await office.owner.fetchval(
        "select t::text from exchange.tokens t where token_id = $1::uuid",
        issued.token_id,
    )
    assert issued.token not in dump
    assert issued.token.encode().hex() not in dump
    [told] = await office.events("TOKEN_ISSUED", about=issued.token_id)
    assert issued.token not in str(told)
    assert issued.token not in repr(issued)


async def test_tokens_are_listed_with_what_became_of_them(office: Office) -> None:
    holder = Holder(OTHER_UNIT, "archive")
    opened, used = await office.token(holder), await office.token(holder)
    withdrawn = await office.token(holder)
    await office.enrol(without_seal().application(used.token))
    await office.tokens.withdraw(OPERATOR, withdrawn.token_id)
    with pytest.raises(Refused):
        await office.tokens.withdraw(OPERATOR, used.token_id)
    with pytest.raises(NotFound):
        await office.tokens.withdraw(OPERATOR, "0190a0f0-0000-7000-8000-000000000000")
    standing = {
        each.token_id: each.standing for each in (await office.tokens.listed(OTHER_UNIT))[0]
    }
    expected = {opened: "OPEN", used: "USED", withdrawn: "WITHDRAWN"}
    for token, was in expected.items():
        assert standing[token.token_id] == was
        found, _ = await office.tokens.listed(OTHER_UNIT, was)
        assert token.token_id in {each.token_id for each in found}
        assert {each.standing for each in found} == {was}
    first, more = await office.tokens.listed(OTHER_UNIT, page_size=2)
    rest, _ = await office.tokens.listed(OTHER_UNIT, page_token=more)
    assert [each.token_id for each in (*first, *rest)] == sorted(standing, reverse=True)


# ---------------------------------------------------------------- the first operator's command


async def run_token(office: Office, *arguments: str, **changed: str) -> tuple[int, str, str]:
    """``exchange-pki token``: exit code, stdout, stderr."""
    options = {"--state": str(office.state), "--dsn": office.dsn} | changed
    words = [word for pair in options.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exchange_pki", "token", *words, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_token_by_command(office: Office) -> None:
    code, out, err = await run_token(office, "--unit", UNIT, "--system", "oa", "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert printed["root_fingerprint"] == office.worker.root_fingerprint
    enrolled = await office.enrol(Pair().application(printed["token"], UNIT))
    assert enrolled.seal is not None
    assert enrolled.seal.seal == "main"
    [told] = await office.events("TOKEN_ISSUED", about=printed["token_id"])
    assert told.actor == f"spiffe://{TRUST_DOMAIN}/centre/authority/exchange-pki"


async def test_a_token_by_command_without_seal_and_for_staff(office: Office) -> None:
    for_system = ("--unit", UNIT, "--system", "oa", "--no-seal", "--lifetime", "60")
    for words in (for_system, ("--staff", "li.na")):
        code, out, _ = await run_token(office, *words, "--json")
        assert code == 0
        enrolled = await office.enrol(without_seal().application(json.loads(out)["token"]))
        assert enrolled.seal is None
    _, out, _ = await run_token(office, "--staff", "li.na", "--lang", "zh")
    assert "登记令牌: " in out
    assert "注册命令: exchange enrol --authority HOST:PORT --fingerprint " in out


async def test_a_token_by_command_says_what_its_holder_types(office: Office) -> None:
    address = ("--enrolment-address", "ca.example:7452", "--json")
    for words, options in (
        (("--unit", UNIT, "--system", "oa"), f" --unit {UNIT}"),
        (("--staff", "li.na"), " --no-seal"),
    ):
        _, out, _ = await run_token(office, *words, *address)
        printed = json.loads(out)
        assert printed["command"] == (
            f"exchange enrol --authority ca.example:7452 --fingerprint"
            f" {printed['root_fingerprint']}{options} --token {printed['token']}"
        )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--unit", UNIT), 2),
        (("--unit", UNIT, "--system", "oa", "--staff", "li.na"), 2),
        (("--unit", "qd-unknown", "--system", "oa"), 6),
        (("--unit", UNIT, "--system", "oa", "--lifetime", "99999999"), 2),
    ],
)
async def test_a_token_that_the_command_does_not_issue(
    office: Office, words: tuple[str, ...], code: int
) -> None:
    returned, out, err = await run_token(office, *words)
    assert (returned, out) == (code, "")
    assert "Traceback" not in err


async def test_many_tokens_by_command(office: Office, tmp_path: Path) -> None:
    batch = tmp_path / "batch.jsonl"
    wanted = [
        {"unit": UNIT, "system": "oa"},
        {"unit": "qd-unknown", "system": "oa"},
        {"unit": OTHER_UNIT, "system": "oa", "lifetime_s": 10**9},
        {"staff": "li.na"},
    ]
    batch.write_text("".join(json.dumps(line) + "\n" for line in wanted))
    code, out, err = await run_token(office, "--batch", str(batch))
    assert (code, err) == (1, "")
    of_unit, unknown, too_long, of_staff = map(json.loads, out.splitlines())
    assert unknown == {
        **{"unit": "qd-unknown", "system": "oa", "seal": "main"},
        **{"error": "NOT_FOUND", "message": "there is no unit qd-unknown"},
    }
    assert too_long["error"] == "INVALID_REQUEST"
    assert of_unit["root_fingerprint"] == office.worker.root_fingerprint
    assert (await office.enrol(Pair().application(of_unit["token"], UNIT))).seal is not None
    await office.enrol(without_seal().application(of_staff["token"]))


async def test_a_malformed_batch_issues_nothing(office: Office, tmp_path: Path) -> None:
    counted = "select count(*) from exchange.tokens"
    before = await office.owner.fetchval(counted)
    batch = tmp_path / "batch.jsonl"
    batch.write_text(json.dumps({"unit": UNIT, "system": "oa"}) + "\n{}x\n")
    code, out, err = await run_token(office, "--batch", str(batch))
    assert (code, out) == (2, "")
    assert "line 2" in err
    assert await office.owner.fetchval(counted) == before


async def test_no_token_for_the_ledger_of_another_authority(office: Office, tmp_path: Path) -> None:
    Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
    words = ("--unit", UNIT, "--system", "oa")
    code, out, _ = await run_token(office, *words, **{"--state": str(tmp_path / "pki")})
    assert (code, out) == (3, "")


# ---------------------------------------------------------------- rights


@pytest.mark.parametrize(
    "statement",
    [
        "update exchange.tokens set used_at = null, system_key = null",
        "delete from exchange.tokens",
        "insert into exchange.tokens select * from exchange.tokens",
        "update exchange.seal_requests set standing = 'APPROVED'",
        "delete from exchange.seal_requests",
        "select exchange.record_prepared(null, null, null, null)",
        "update exchange.units set status = 'ACTIVE'",
    ],
)
async def test_the_authority_writes_by_functions_alone(
    office: Office, postgres: EmbeddedPostgres, database: str, statement: str
) -> None:
    connection = await asyncpg.connect(postgres.dsn("authority", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "select token_sha256 from exchange.tokens",
        "select public_key from exchange.seal_requests",
        "select * from exchange.seal_request_standings",
        "select exchange.withdraw_token(null, null, null, null, null, null)",
        "select exchange.note_system_certificate(null, null)",
        "select exchange.decide_seal(null, null, true, null, null, null, null, null, null)",
    ],
)
async def test_the_centre_has_no_part_in_enrolment(
    office: Office, postgres: EmbeddedPostgres, database: str, statement: str
) -> None:
    connection = await asyncpg.connect(postgres.dsn("exchange", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


# ---------------------------------------------------------------- many at once


async def test_of_many_pairs_at_once_one_wins(office: Office) -> None:
    issued = await office.token(SEALED)
    pairs = [Pair() for _ in range(50)]
    answers = await asyncio.gather(
        *(office.enrol(pair.application(issued.token)) for pair in pairs), return_exceptions=True
    )
    assert sum(isinstance(each, Enrolled) for each in answers) == 1
    assert {type(each) for each in answers} == {Enrolled, TokenUsed}


async def test_one_pair_many_times_at_once_gets_one_certificate(office: Office) -> None:
    issued, pair = await office.token(SEALED), Pair()
    answers = await asyncio.gather(
        *(office.enrol(pair.application(issued.token)) for _ in range(20))
    )
    assert len({each.certificate for each in answers}) == 1
    assert len(await office.events("CERTIFICATE_ISSUED", about=issued.token_id)) == 1
