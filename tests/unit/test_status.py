"""Errors across the wire, and what becomes of a status that the centre did not make."""

from __future__ import annotations

import asyncio
import base64
import re
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from exchange_client.retry import from_rpc_error, is_retryable
from google.rpc import code_pb2, status_pb2

from document_exchange import errors
from document_exchange.errors import (
    BY_CODE,
    DeadlinePassed,
    ExchangeError,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    RecipientsRefused,
    Refused,
    StateConflict,
    Unauthenticated,
    Unavailable,
)
from document_exchange.status import from_status, to_status

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"
DETAILS = "grpc-status-details-bin"
PRINTABLE = string.punctuation.replace("%", "") + " "
"""What is not written with a percent sign, besides letters and digits."""
STATUSES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def rpc_error(
    code: grpc.StatusCode, details: str, status: status_pb2.Status | None = None
) -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata()
    if status is not None:
        trailers.add(DETAILS, status.SerializeToString())
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.code)
def test_each_error_arrives_as_itself(cls: type[ExchangeError]) -> None:
    sent = to_status(cls("what was wrong", field="title", value="x"))
    assert code_pb2.Code.Name(sent.code) == cls.grpc_status
    error = rpc_error(grpc.StatusCode[cls.grpc_status], "what was wrong", sent)
    arrived = from_rpc_error(error, "centre:7443")
    assert type(arrived) is cls
    assert (arrived.message, arrived.attributes) == (
        "what was wrong",
        {"field": "title", "value": "x"},
    )


def test_a_conflict_carries_what_won() -> None:
    winning = (b"receipt", b"signature", b"admission", b"its signature")
    arrived = from_status(to_status(StateConflict("too late", winning=winning)))
    assert isinstance(arrived, StateConflict)
    assert arrived.winning == winning


def trailer_bytes(status: status_pb2.Status) -> int:
    """As HTTP/2 counts them (RFC 9113, 6.5.2), the details in base64, the message with %."""
    values = {
        DETAILS: base64.b64encode(status.SerializeToString()).decode(),
        "grpc-message": quote(status.message, safe=PRINTABLE),
        "grpc-status": "9",
        "content-type": "application/grpc",
        ":status": "200",
    }
    return sum(len(name) + len(value) + 32 for name, value in values.items())


@pytest.mark.parametrize(
    "error",
    [
        Refused("汉" * 3000),
        Refused("%" * 3000, value="汉" * 2000),
        Refused("x" * 3000, **{f"k{n}": "v" * n for n in range(400)}),
        RecipientsRefused("500", **{f"unit-{n:034}": "there is no such unit" for n in range(500)}),
        StateConflict("too late", winning=(b"r" * 7000, b"s" * 1100, b"a" * 700, b"s" * 1100)),
        StateConflict("汉" * 3000, winning=(b"r" * 600, b"s" * 1100, b"a" * 700, b"s" * 1100)),
    ],
    ids=range(6),
)
def test_whatever_is_wrong_fits_into_the_trailers(error: ExchangeError) -> None:
    sent = to_status(error)
    assert trailer_bytes(sent) <= 8 * 1024
    arrived = from_status(sent)
    assert type(arrived) is type(error)
    assert arrived.message in (error.message, sent.message)
    kept = {name: value for name, value in arrived.attributes.items() if name != "_omitted"}
    assert kept.items() <= error.attributes.items()
    left_out = len(error.attributes) - len(kept)
    if isinstance(error, StateConflict) and isinstance(arrived, StateConflict):
        left_out += arrived.winning is None
    assert arrived.attributes.get("_omitted", "0") == str(left_out)


def test_a_statement_that_is_too_large_is_left_out_and_an_ordinary_one_is_not() -> None:
    ordinary = (b"r" * 700, b"s" * 1100, b"a" * 800, b"s" * 1100)
    large = (b"r" * 700, b"s" * 16 * 1024, b"a" * 800, b"s" * 1100)
    for winning, expected in ((ordinary, ordinary), (large, None)):
        arrived = from_status(to_status(StateConflict("too late", state="X", winning=winning)))
        assert isinstance(arrived, StateConflict)
        assert (arrived.winning, arrived.attributes["state"]) == (expected, "X")


async def test_the_largest_status_reaches_clients_of_grpc() -> None:
    """Where trailers are a little too large, gRPC drops some of the answers, by chance."""
    largest = to_status(StateConflict("汉" * 3000, field="x" * 2000, winning=(b"r" * 300,) * 4))
    assert trailer_bytes(largest) > 7 * 1024

    async def refuse(_request: bytes, context: Any) -> bytes:
        trailers = ((DETAILS, largest.SerializeToString()),)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, largest.message, trailers)
        raise AssertionError

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"refuse": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()

    def blocking() -> list[grpc.StatusCode]:
        found = []
        with grpc.insecure_channel(address) as channel:
            call: Any = channel.unary_unary("/test/refuse")
            for _ in range(20):
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"", timeout=10)
                found.append(caught.value.code())
        return found

    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/test/refuse")
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=10)
            assert from_rpc_error(caught.value, address).code == "STATE_CONFLICT"
    found = await asyncio.to_thread(blocking)
    assert set(found) == {grpc.StatusCode.FAILED_PRECONDITION}
    await server.stop(None)


@pytest.mark.parametrize("code", STATUSES)
def test_a_status_without_our_details_has_a_type_of_its_own(code: grpc.StatusCode) -> None:
    error = from_rpc_error(rpc_error(code, "Stream removed"), "centre:7443")
    assert type(error) is not ExchangeError
    for said in ("centre:7443", code.name, "Stream removed"):
        assert said in error.message


@pytest.mark.parametrize(
    "cls",
    [
        DeadlinePassed,
        InternalError,
        InvalidRequest,
        NotFound,
        NotPermitted,
        Refused,
        Unauthenticated,
        Unavailable,
    ],
)
def test_a_general_error_is_known_by_its_status_alone(cls: type[ExchangeError]) -> None:
    assert type(from_rpc_error(rpc_error(grpc.StatusCode[cls.grpc_status], ""), "centre")) is cls


def test_the_statuses_that_are_tried_again_without_our_details_are_the_documented_ones() -> None:
    (said,) = re.findall(
        r"^An error without `ErrorInfo` .*? try again upon (.*?); nothing else\.",
        FORMATS.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    tried = {
        code.name for code in STATUSES if is_retryable(from_rpc_error(rpc_error(code, ""), ""))
    }
    assert tried == set(re.findall(r"`([A-Z_]+)`", said))


@pytest.mark.parametrize(
    "said",
    [
        "CLIENT: Sent message larger than max (5000000 vs. 4259840)",
        "SERVER: Received message larger than max (5000000 vs. 4194304)",
        "received metadata size exceeds hard limit (20000 vs. 16384)",
    ],
)
def test_what_grpc_finds_too_large_is_not_tried_again(said: str) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, said), "centre:7443")
    assert type(error) is LimitExceeded
    assert not is_retryable(error)


def test_an_unknown_code_of_a_later_server_falls_back_to_its_status() -> None:
    status = to_status(Refused("no"))
    status.code = 99
    status.ClearField("details")
    assert type(from_status(status)) is Unavailable


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.code)
def test_exit_code_5_means_try_again_and_nothing_else_does(cls: type[ExchangeError]) -> None:
    assert (cls.exit_code == 5) is cls.retryable


def test_the_documented_table_of_errors_is_the_tree() -> None:
    row = re.compile(r"\| `([A-Z_]+)` \| ([A-Z_]+) \| (\d+) \| (yes|no) \|")
    documented = {
        code: (status, int(exit_code), again == "yes")
        for code, status, exit_code, again in row.findall(FORMATS.read_text(encoding="utf-8"))
    }
    assert documented == {
        code: (cls.grpc_status, cls.exit_code, cls.retryable)
        for code, cls in BY_CODE.items()
        if cls is not errors.ExchangeError
    }
