"""What the ledger decides about tokens, seals and certificates, it decides one after the other.

Each test holds the first transaction open until the second waits for it: none is left to chance.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from exchange_pki.prepare import Order
from exchange_pki.register import Certified
from exchange_pki.service.enrolment import Enrolment
from exchange_pki.service.ledger import AuthorityLedger
from exchange_pki.service.seals import PENDING, Seals
from exchange_pki.service.tokens import Tokens

from document_exchange.errors import (
    Refused,
    TokenUnknown,
    TokenUsed,
    UnitNotActive,
)
from exchange_runtime.clock import system_clock
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import new_private_key
from tests.enrolment_for_tests import without_seal
from tests.integration.enrolment_office import (
    ADDRESS,
    OPERATOR,
    RESUME_UNIT,
    SECURITY_STAFF,
    SUSPEND_UNIT,
    Office,
    waiting_seal,
)
from tests.rivals import Rival, overtaken, rival

AUTHORITY = "exchange_pki.service"


@pytest.fixture
async def first(office: Office) -> AsyncIterator[Rival]:
    """The authority's role, in a transaction that is open."""
    async with rival(office.dsn, AUTHORITY) as opened:
        yield opened


@pytest.fixture
async def owner(office: Office, postgres: EmbeddedPostgres, database: str) -> AsyncIterator[Rival]:
    """Who may suspend the unit, in a transaction that is open; afterwards it is active again."""
    async with rival(postgres.dsn("owner", database), AUTHORITY) as opened:
        yield opened
    await office.owner.execute(RESUME_UNIT)


def enrolment(office: Office, first: Rival) -> Enrolment:
    return Enrolment(first, office.worker, Seals(first, office.worker, system_clock), system_clock)


async def decisions(office: Office, request_id: str) -> int:
    count = """select count(*) from exchange.events where type in ('SEAL_APPROVED', 'SEAL_REJECTED')
               and convert_from(event, 'UTF8')::jsonb -> 'detail' ->> 'request_id' = $1"""
    return int(await office.owner.fetchval(count, request_id))


async def test_of_two_pairs_the_second_is_refused(office: Office, first: Rival) -> None:
    issued, winner, loser = await office.token(), without_seal(), without_seal()
    won = await enrolment(office, first).enrol(winner.application(issued.token), ADDRESS)
    found = await overtaken(first, office.enrol(loser.application(issued.token)))
    assert isinstance(found, TokenUsed)
    assert await office.enrol(winner.application(issued.token)) == won
    assert len(await office.events("TOKEN_USED", about=issued.token_id)) == 1


async def test_a_token_that_is_being_used_is_not_withdrawn(office: Office, first: Rival) -> None:
    issued, pair = await office.token(), without_seal()
    won = await enrolment(office, first).enrol(pair.application(issued.token), ADDRESS)
    found = await overtaken(first, office.tokens.withdraw(OPERATOR, issued.token_id))
    assert type(found) is Refused
    assert await office.enrol(pair.application(issued.token)) == won
    assert await office.events("TOKEN_WITHDRAWN", about=issued.token_id) == []


async def test_a_token_that_is_being_withdrawn_is_not_used(office: Office, first: Rival) -> None:
    issued = await office.token()
    await Tokens(first, system_clock).withdraw(OPERATOR, issued.token_id)
    found = await overtaken(first, office.enrol(without_seal().application(issued.token)))
    assert isinstance(found, TokenUnknown)
    assert await office.events("TOKEN_USED", about=issued.token_id) == []


async def test_a_unit_that_is_being_suspended_enrols_nobody(office: Office, owner: Rival) -> None:
    issued = await office.token()
    await owner.execute(SUSPEND_UNIT)
    found = await overtaken(owner, office.enrol(without_seal().application(issued.token)))
    assert isinstance(found, UnitNotActive)
    assert await office.events("TOKEN_USED", about=issued.token_id) == []


async def test_a_unit_that_is_being_suspended_gets_no_token(office: Office, owner: Rival) -> None:
    await owner.execute(SUSPEND_UNIT)
    found = await overtaken(owner, office.token())
    assert type(found) is Refused


async def test_a_unit_that_is_being_suspended_gets_no_seal(office: Office, owner: Rival) -> None:
    request_id, pair, _ = await waiting_seal(office)
    await owner.execute(SUSPEND_UNIT)
    found = await overtaken(
        owner, office.seals.decide(SECURITY_STAFF, request_id, pair.seal_sha256)
    )
    assert type(found) is Refused
    assert (await office.seals.find(request_id)).standing == PENDING


@pytest.mark.parametrize("reject_first", [True, False])
async def test_of_contrary_decisions_about_a_seal_the_first_stands(
    office: Office, first: Rival, reject_first: bool
) -> None:
    request_id, pair, _ = await waiting_seal(office)

    async def decide(seals: Seals, reject: bool) -> object:
        return await seals.decide(
            SECURITY_STAFF, request_id, pair.seal_sha256, reject=reject, reason="as compared"
        )

    stands = await decide(Seals(first, office.worker, system_clock), reject_first)
    found = await overtaken(first, decide(office.seals, not reject_first))
    assert type(found) is Refused
    assert await office.seals.find(request_id) == stands
    assert await decisions(office, request_id) == 1


async def a_certificate(office: Office) -> Certified:
    return await office.worker.issue(
        Order("staff", "li.na", role="security"),
        new_private_key().public_key(),
        actor=OPERATOR.identity,
    )


async def test_a_revocation_is_written_once(office: Office, first: Rival) -> None:
    certified = await a_certificate(office)
    await office.worker.revoke(certified.serial, "superseded", actor=SECURITY_STAFF.identity)
    revocation = await office.worker.read(lambda register: register.revoked[certified.serial])
    undo = "update exchange.certificates set revoked_at = null where serial = $1"
    await office.owner.execute(undo, certified.serial)
    before = await revocations(office)

    assert await AuthorityLedger(first).publish_revocation(revocation, certified) == 1
    second = AuthorityLedger(office.database).publish_revocation(revocation, certified)
    assert await overtaken(first, second) == 0
    assert await revocations(office) == before + 1


async def revocations(office: Office) -> int:
    count = "select count(*) from exchange.events where type = 'CERTIFICATE_REVOKED'"
    return int(await office.owner.fetchval(count))


async def test_a_certificate_is_published_once(office: Office, first: Rival) -> None:
    certified = await a_certificate(office)
    await office.owner.execute(
        "delete from exchange.certificates where serial = $1", certified.serial
    )
    assert await AuthorityLedger(first).publish_certificates([certified]) == 1
    second = AuthorityLedger(office.database).publish_certificates([certified])
    assert await overtaken(first, second) == 0


async def test_what_waits_is_seen_to_wait(office: Office, first: Rival) -> None:
    """The helper itself: whoever does not wait is found out."""
    with pytest.raises(AssertionError, match="did not wait"):
        await overtaken(first, office.tokens.listed())
