"""The port without client certificates: typed refusals, each an event, and nobody floods either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import structlog

from document_exchange import event
from document_exchange.errors import (
    DeadlinePassed,
    ExchangeError,
    InternalError,
    InvalidRequest,
    ShuttingDown,
    TokenUnknown,
    TokenUsed,
    TooManyCalls,
)
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_runtime.clock import system_clock
from exchange_runtime.denials import Denials
from exchange_runtime.metrics import CallMetrics, new_registry
from exchange_runtime.rpc.guard import Drain
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_runtime.rpc.open_door import OpenDoor
from exchange_runtime.values import PreparedEvent
from tests.real_centre import typed

TOKEN_ID = "0190a0f0-0000-7000-8000-000000000000"
SECRET = "a" * 40
ENROL = "/document_exchange.v1.EnrolmentService/Enrol"


@dataclass
class Books:
    """What the ledger would hold, decoded again from its bytes."""

    events: list[event.Event] = field(default_factory=list)

    async def record_event(self, prepared: PreparedEvent) -> None:
        assert event.leaf(prepared.salt, prepared.content) == prepared.leaf
        self.events.append(event.decode(prepared.content))

    @property
    def told(self) -> list[dict[str, str]]:
        return [dict(each.detail or {}) for each in self.events]


class Answers(authority_pb2_grpc.EnrolmentServiceServicer):
    """Answers as the test says."""

    def __init__(self) -> None:
        self.enrol: Callable[[], Awaitable[authority_pb2.EnrolResponse]] | None = None
        self.token_id = ""

    async def Enrol(self, request: Any, context: Any) -> authority_pb2.EnrolResponse:
        if self.token_id:
            # As the step does once it has found the token.
            structlog.contextvars.bind_contextvars(token_id=self.token_id)
        assert self.enrol is not None
        return await self.enrol()

    async def GetTrustBundle(
        self, request: Any, context: Any
    ) -> authority_pb2.GetTrustBundleResponse:
        return authority_pb2.GetTrustBundleResponse()


@dataclass
class Port:
    """A served port and what it wrote down."""

    books: Books
    answers: Answers
    refusals: Denials
    drain: Drain
    channel: grpc.aio.Channel

    async def enrol(self, token: str = SECRET) -> authority_pb2.EnrolResponse:
        stub: Any = authority_pb2_grpc.EnrolmentServiceStub(self.channel)
        try:
            made: authority_pb2.EnrolResponse = await stub.Enrol(
                authority_pb2.EnrolRequest(token=token), timeout=10
            )
        except grpc.aio.AioRpcError as error:
            raise typed(error) from None
        return made

    def refuses(self, error: ExchangeError, token_id: str = "") -> None:
        async def refused() -> authority_pb2.EnrolResponse:
            raise error

        self.answers.enrol, self.answers.token_id = refused, token_id


@asynccontextmanager
async def port(**limits: Any) -> AsyncIterator[Port]:
    books, answers, drain = Books(), Answers(), Drain()
    refusals = Denials(books, system_clock, event_type="TOKEN_REFUSED", interval_s=3600)
    door = OpenDoor(
        actor="enrolment",
        told_apart_by="token_id",
        refusals=refusals,
        drain=drain,
        calls=OpenCalls(limits.get("calls", 100), 1, frozenset()),
        calls_of_address=OpenCalls(limits.get("calls_of_address", 100), 1, frozenset()),
        metrics=CallMetrics(new_registry()),
        limit_s=limits.get("limit_s", 10.0),
    )
    server = grpc.aio.server(interceptors=[door])
    authority_pb2_grpc.add_EnrolmentServiceServicer_to_server(answers, server)
    number = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{number}") as channel:
        yield Port(books, answers, refusals, drain, channel)
    await server.stop(None)


async def test_a_refusal_arrives_with_its_type_and_is_an_event() -> None:
    async with port() as served:
        served.refuses(TokenUsed(token_id=TOKEN_ID), TOKEN_ID)
        with pytest.raises(TokenUsed):
            await served.enrol()
    [told] = served.books.events
    assert (told.type, told.actor, told.address) == ("TOKEN_REFUSED", "enrolment", "127.0.0.1")
    assert told.detail == {"method": ENROL, "code": "TOKEN_USED", "token_id": TOKEN_ID}


async def test_repeats_are_counted_for_each_token_and_code() -> None:
    other = TOKEN_ID[:-1] + "1"
    async with port() as served:
        for error, token_id in (
            (TokenUsed(), TOKEN_ID),
            (TokenUsed(), other),
            (TokenUnknown(), ""),
        ):
            served.refuses(error, token_id)
            for _ in range(3):
                with pytest.raises(type(error)):
                    await served.enrol()
        assert [(each["code"], each.get("token_id")) for each in served.books.told] == [
            ("TOKEN_USED", TOKEN_ID),
            ("TOKEN_USED", other),
            ("TOKEN_UNKNOWN", None),
        ]
        await served.refusals.flush()
    counted = served.books.told[3:]
    assert [(each["code"], each.get("token_id"), each["repeats"]) for each in counted] == [
        ("TOKEN_USED", TOKEN_ID, "2"),
        ("TOKEN_USED", other, "2"),
        ("TOKEN_UNKNOWN", None, "2"),
    ]


async def test_repeats_are_not_logged() -> None:
    """Whoever needs no certificate must not fill the disk either; the event counts them."""
    async with port() as served:
        served.refuses(TokenUnknown())
        with structlog.testing.capture_logs() as logged:
            for _ in range(5):
                with pytest.raises(TokenUnknown):
                    await served.enrol()
    assert [each["code"] for each in logged if each["event"] == "call_refused"] == ["TOKEN_UNKNOWN"]


async def test_no_event_holds_the_token() -> None:
    async with port() as served:
        served.refuses(TokenUnknown(f"no token {SECRET}", field="token", token=SECRET))
        with pytest.raises(TokenUnknown):
            await served.enrol()
    assert served.books.told == [{"method": ENROL, "code": "TOKEN_UNKNOWN", "field": "token"}]


async def test_what_is_no_message_gets_a_typed_refusal() -> None:
    async with port() as served:
        call: Any = served.channel.unary_unary(ENROL)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", timeout=10)
    assert isinstance(typed(caught.value), InvalidRequest)
    assert served.books.told == [{"method": ENROL, "code": "INVALID_REQUEST", "field": "$"}]


async def test_a_fault_says_nothing_and_is_no_refusal() -> None:
    async def fails() -> authority_pb2.EnrolResponse:
        raise ZeroDivisionError(SECRET)

    async with port() as served:
        served.answers.enrol = fails
        with pytest.raises(InternalError) as caught:
            await served.enrol()
    assert SECRET not in caught.value.message
    assert served.books.events == []


@pytest.mark.parametrize("limit", ["calls", "calls_of_address"])
async def test_calls_beyond_the_bound_are_told_to_come_again(limit: str) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def waits() -> authority_pb2.EnrolResponse:
        entered.set()
        await leave.wait()
        return authority_pb2.EnrolResponse(identity="first")

    async with port(**{limit: 1}) as served:
        served.answers.enrol = waits
        first = asyncio.create_task(served.enrol())
        await entered.wait()
        with pytest.raises(TooManyCalls):
            await served.enrol()
        leave.set()
        assert (await first).identity == "first"
        assert (await served.enrol()).identity == "first"


async def test_a_call_has_its_time() -> None:
    async def hangs() -> authority_pb2.EnrolResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with port(limit_s=0.05) as served:
        served.answers.enrol = hangs
        with pytest.raises(DeadlinePassed):
            await served.enrol()


async def test_who_comes_while_it_shuts_down_is_told_so() -> None:
    async with port() as served:
        served.drain.draining = True
        with pytest.raises(ShuttingDown):
            await served.enrol()
    assert served.books.events == []
