"""Seals that units enrolled for: decided by security staff, issued once, collected again."""

from __future__ import annotations

import pytest
from cryptography import x509
from exchange_pki.service.enrolment import AUTOMATIC
from exchange_pki.service.seals import ISSUED, PENDING, REJECTED, Seals
from exchange_pki.service.tokens import digest

from document_exchange.errors import (
    InvalidRequest,
    NotFound,
    Refused,
    SecondPersonNeeded,
    Unavailable,
)
from exchange_runtime.clock import system_clock
from tests.authority_for_tests import TRUST_DOMAIN
from tests.enrolment_for_tests import (
    OTHER_UNIT,
    UNIT,
    Pair,
    identity_in,
)
from tests.integration.enrolment_office import (
    ADDRESS,
    OPERATOR,
    RESUME_UNIT,
    SEALED,
    SECURITY_STAFF,
    SUSPEND_UNIT,
    FailingIssuer,
    Office,
    waiting_seal,
)

# ---------------------------------------------------------------- seals


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
