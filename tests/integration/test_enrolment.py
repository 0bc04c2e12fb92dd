"""Enrolment on a real ledger and a real authority: who gets certificates, and who does not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_pki.service import proved_request
from exchange_pki.service.claims import Claim, claim
from exchange_pki.service.enrolment import Application, Enrolled, Enrolment
from exchange_pki.service.seals import PENDING
from exchange_pki.service.tokens import Holder, NewToken, digest

from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    IdentityMismatch,
    InvalidRequest,
    KeyReused,
    Refused,
    RequestRefused,
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
from exchange_runtime.values import Actor
from tests.authority_for_tests import TRUST_DOMAIN, new_private_key
from tests.enrolment_for_tests import (
    OTHER_UNIT,
    UNIT,
    Pair,
    identity_in,
    public_sha256,
    signing_request,
    system_id,
    without_seal,
)
from tests.integration.enrolment_office import (
    ADDRESS,
    OPERATOR,
    RESUME_UNIT,
    SEALED,
    SECURITY_STAFF,
    SUSPEND_UNIT,
    SYSTEM,
    BriefIssuer,
    FailingIssuer,
    Office,
)

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
