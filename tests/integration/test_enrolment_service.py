"""Enrolment with the running service: over TLS, by staff of each role, and a thousand at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from cryptography import x509

from document_exchange.errors import (
    ExchangeError,
    IdentityMismatch,
    InvalidRequest,
    KeyReused,
    NotPermitted,
    TokenExpired,
    TokenOfAnotherUnit,
    TokenUnknown,
    TokenUsed,
    Unavailable,
)
from document_exchange.event import Event
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import copy_of_authority, new_private_key
from tests.enrolment_for_tests import Pair, signing_request, system_id
from tests.integration.authority_service import (
    CENTRE_ADDRESS,
    OTHER_UNIT,
    STAFF,
    UNIT,
    AuthorityOffice,
    Service,
    founded,
    holder,
)
from tests.pki_for_tests import Holder
from tests.real_centre import typed

MANY = 1000
_ROOM_FOR_MANY = (
    f"[limits]\nenrolment_calls = {MANY}\naddress_calls = {MANY}\nconcurrent_streams = {MANY}"
)


@pytest.fixture(scope="module")
async def office(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AuthorityOffice:
    state = copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("copy") / "pki", live=True)
    return await founded(tmp_path_factory.mktemp("office"), postgres, database, state)


@pytest.fixture(scope="module")
async def staff(office: AuthorityOffice) -> Mapping[str, Holder]:
    """Staff by role, certified before a service starts, which brings that into the ledger."""
    return {role: office.staff(role) for role in STAFF.values()}


@pytest.fixture(scope="module")
async def service(office: AuthorityOffice, staff: Mapping[str, Holder]) -> AsyncIterator[Service]:
    async with office.service() as running:
        yield running


@dataclass(frozen=True)
class Desk:
    """A running service and its staff."""

    office: AuthorityOffice
    service: Service
    staff: Mapping[str, Holder]

    async def ask(self, role: str, method: str, request: Any) -> Any:
        """What the service answers to staff of this role."""
        async with self.office.call(self.service, self.staff[role]) as stub:
            return await _typed(getattr(stub, method)(request, timeout=10))

    async def token(self, **holder: Any) -> authority_pb2.IssueTokenResponse:
        request = authority_pb2.IssueTokenRequest(**({"unit": UNIT, "system": "oa"} | holder))
        issued: authority_pb2.IssueTokenResponse = await self.ask("operator", "IssueToken", request)
        return issued

    async def enrol(self, request: authority_pb2.EnrolRequest) -> authority_pb2.EnrolResponse:
        async with self.office.enrolment(self.service) as stub:
            enrolled: authority_pb2.EnrolResponse = await _typed(stub.Enrol(request, timeout=10))
            return enrolled


async def _typed(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise typed(error) from None


def message(token: str, pair: Pair, unit: str = "") -> authority_pb2.EnrolRequest:
    made = pair.application(token, unit)
    return authority_pb2.EnrolRequest(
        token=made.token,
        system_request=made.system_request,
        seal_request=made.seal_request,
        unit=made.unit,
    )


@pytest.fixture
async def desk(office: AuthorityOffice, service: Service, staff: Mapping[str, Holder]) -> Desk:
    return Desk(office, service, staff)


async def test_a_unit_joins(desk: Desk) -> None:
    issued, pair = await desk.token(seal="main"), Pair()
    assert issued.enrolment_address == desk.service.enrolment
    assert issued.root_fingerprint == desk.office.open().root_fingerprint

    first = await desk.enrol(message(issued.token, pair, UNIT))
    assert first.identity == system_id()
    assert (first.centre_address, first.authority_address) == (
        CENTRE_ADDRESS,
        desk.service.authority,
    )
    assert first.seal_standing == authority_pb2.SEAL_STANDING_PENDING
    assert first.seal_certificate == b""
    async with desk.office.enrolment(desk.service) as stub:
        bundle = await stub.GetTrustBundle(authority_pb2.GetTrustBundleRequest(), timeout=10)
    assert first.trust == bundle.trust

    pending = authority_pb2.ListSealRequestsRequest(
        unit=UNIT, standing=authority_pb2.SEAL_STANDING_PENDING
    )
    [request] = (await desk.ask("auditor", "ListSealRequests", pending)).requests
    assert request.key_sha256 == first.seal_key_sha256 == pair.seal_sha256
    decision = authority_pb2.ApproveSealRequest(
        request_id=request.request_id, key_sha256=request.key_sha256
    )
    for role in ("operator", "auditor"):
        with pytest.raises(NotPermitted):
            await desk.ask(role, "ApproveSeal", decision)
    approved = (await desk.ask("security", "ApproveSeal", decision)).request
    assert approved.standing == authority_pb2.SEAL_STANDING_ISSUED

    collected = await desk.enrol(message(issued.token, pair))
    assert collected.system_certificate == first.system_certificate
    assert collected.seal_standing == authority_pb2.SEAL_STANDING_ISSUED
    seal = x509.load_der_x509_certificate(collected.seal_certificate)
    seal.verify_directly_issued_by(x509.load_der_x509_certificate(bundle.trust.seal_ca))


async def test_a_certificate_that_was_enrolled_opens_the_other_port(desk: Desk) -> None:
    key, issued = new_private_key(), await desk.token()
    token = await desk.office.staff_token("zhao")
    enrolled = await desk.enrol(message(token, Pair(key, None)))
    auditor = holder(enrolled.system_certificate, key)
    async with desk.office.call(desk.service, auditor) as stub:
        listed = await stub.ListTokens(authority_pb2.ListTokensRequest(), timeout=10)
        assert issued.token_id in {each.token_id for each in listed.tokens}
        with pytest.raises(NotPermitted):
            await _typed(stub.IssueToken(authority_pb2.IssueTokenRequest(), timeout=10))


async def test_no_operator_makes_an_administrator(desk: Desk) -> None:
    before = await desk.office.events("TOKEN_ISSUED")
    # What an earlier wire contract called "staff".
    for_staff = authority_pb2.IssueTokenRequest.FromString(b"\x22\x05li.na")
    with pytest.raises(InvalidRequest):
        await desk.ask("operator", "IssueToken", for_staff)
    assert await desk.office.events("TOKEN_ISSUED") == before


async def test_only_operators_issue_and_withdraw(desk: Desk) -> None:
    issued = await desk.token()
    withdrawal = authority_pb2.WithdrawTokenRequest(token_id=issued.token_id)
    for role in ("security", "auditor"):
        for method, request in (
            ("IssueToken", authority_pb2.IssueTokenRequest(unit=UNIT, system="oa")),
            ("WithdrawToken", withdrawal),
        ):
            with pytest.raises(NotPermitted):
                await desk.ask(role, method, request)
    await desk.ask("operator", "WithdrawToken", withdrawal)
    with pytest.raises(TokenUnknown):
        await desk.enrol(message(issued.token, Pair(seal=None)))


@dataclass(frozen=True)
class Refusal:
    """How an enrolment is spoilt, and what it gets for it."""

    expected: type[ExchangeError]
    spoil: Any
    """(desk, token) -> the request."""
    token_known: bool = True


async def _used(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    await desk.enrol(message(token, Pair()))
    return message(token, Pair())


async def _another_unit(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    return message(token, Pair(), OTHER_UNIT)


async def _another_name(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    made = message(token, Pair())
    name = x509.UniformResourceIdentifier(system_id(OTHER_UNIT))
    made.system_request = signing_request(new_private_key(), name)
    return made


async def _same_key(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    key = new_private_key()
    return message(token, Pair(key, key))


async def _expired(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    async with desk.office.ledger() as owner:
        await owner.execute(
            "update exchange.tokens set issued_at = issued_at - interval '2 days', "
            "expires_at = expires_at - interval '2 days' where used_at is null"
        )
    return message(token, Pair())


async def _withdrawn(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    listed = await desk.ask("operator", "ListTokens", authority_pb2.ListTokensRequest(page_size=1))
    withdrawal = authority_pb2.WithdrawTokenRequest(token_id=listed.tokens[0].token_id)
    await desk.ask("operator", "WithdrawToken", withdrawal)
    return message(token, Pair())


async def _unknown(desk: Desk, token: str) -> authority_pb2.EnrolRequest:
    return message("a" * 40, Pair())


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(TokenUsed, _used),
        Refusal(TokenOfAnotherUnit, _another_unit),
        Refusal(IdentityMismatch, _another_name),
        Refusal(KeyReused, _same_key),
        Refusal(TokenExpired, _expired),
        Refusal(TokenUnknown, _withdrawn),
        Refusal(TokenUnknown, _unknown, token_known=False),
    ],
    ids=lambda refusal: refusal.spoil.__name__,
)
async def test_each_refusal_is_typed_and_an_event(desk: Desk, refusal: Refusal) -> None:
    issued = await desk.token(seal="main")
    request = await refusal.spoil(desk, issued.token)
    with pytest.raises(ExchangeError) as caught:
        await desk.enrol(request)
    assert type(caught.value) is refusal.expected
    assert issued.token not in f"{caught.value.message} {dict(caught.value.attributes)}"

    told = [
        each
        for each in await desk.office.events("TOKEN_REFUSED")
        if _is_about(each, issued.token_id if refusal.token_known else None)
        and (each.detail or {})["code"] == refusal.expected.code
    ]
    assert [(each.actor, each.address) for each in told] == [("enrolment", "127.0.0.1")]
    assert issued.token not in str(told)
    assert issued.token.encode() not in desk.service.log.read_bytes()


# ---------------------------------------------------------------- a thousand at once


@dataclass
class Crowd:
    """A thousand pairs of keys, each with the same token, at two services of which one dies."""

    request: list[authority_pb2.EnrolRequest]
    stubs: list[authority_pb2_grpc.EnrolmentServiceAsyncStub]
    restarted: asyncio.Event = field(default_factory=asyncio.Event)
    retried: int = 0

    async def enrol(self, number: int) -> authority_pb2.EnrolResponse | ExchangeError:
        """The final answer to one of them; whoever lost an answer asks again."""
        while True:
            stub = self.stubs[number % 2]
            try:
                enrolled: authority_pb2.EnrolResponse = await stub.Enrol(
                    self.request[number], timeout=60
                )
            except grpc.aio.AioRpcError as error:
                if not isinstance(typed(error), Unavailable):
                    return typed(error)
                await self.restarted.wait()
                self.retried += 1
            else:
                return enrolled


async def _until_used(office: AuthorityOffice, token_id: str) -> None:
    async with office.ledger() as owner, asyncio.timeout(30):
        while not await owner.fetchval(
            "select used_at is not null from exchange.tokens where token_id = $1::uuid", token_id
        ):
            pass


async def test_of_a_thousand_enrolments_with_one_token_one_wins(
    office: AuthorityOffice, staff: Mapping[str, Holder], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two services on one state; one is killed once the token has an owner, and comes back."""
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        killed = await start(office.service(_ROOM_FOR_MANY))
        living = await start(office.service(_ROOM_FOR_MANY))
        issued = await Desk(office, living, staff).token(system="crowd", seal="main")
        crowd = Crowd(
            [message(issued.token, Pair()) for _ in range(MANY)],
            [await start(office.enrolment(each)) for each in (killed, living)],
        )
        began = time.perf_counter()
        asked = asyncio.gather(*(crowd.enrol(number) for number in range(MANY)))
        await _until_used(office, issued.token_id)
        killed.process.kill()
        again = await start(office.service(_ROOM_FOR_MANY))
        crowd.stubs[0] = await start(office.enrolment(again))
        crowd.restarted.set()
        answers = await asked
        took = time.perf_counter() - began

        counted = Counter(type(each) for each in answers)
        assert counted == {authority_pb2.EnrolResponse: 1, TokenUsed: MANY - 1}
        [(number, won)] = (
            (number, each)
            for number, each in enumerate(answers)
            if isinstance(each, authority_pb2.EnrolResponse)
        )
        for stub in crowd.stubs:
            repeated = await stub.Enrol(crowd.request[number], timeout=10)
            assert repeated.system_certificate == won.system_certificate
            assert repeated.seal_key_sha256 == won.seal_key_sha256

    async with office.ledger() as owner:
        issued_for_it = await owner.fetch(
            "select der from exchange.certificates where identity = $1", system_id(name="crowd")
        )
    assert [row["der"] for row in issued_for_it] == [won.system_certificate]
    used = [e for e in await office.events("TOKEN_USED") if _is_about(e, issued.token_id)]
    assert len(used) == 1
    assert any(_is_about(e, issued.token_id) for e in await office.events("TOKEN_REFUSED"))
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{MANY} enrolments with one token: 1 won, {MANY - 1} refused, {crowd.retried} asked "
            f"again after a kill, {took:.1f} s"
        )


def _is_about(event: Event, token_id: str | None) -> bool:
    return (event.detail or {}).get("token_id") == token_id
