"""The answer to a call that is sending: broken off by gRPC, or given up by whoever awaits it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, cast

import grpc
import pytest
from exchange_client.answer import answer_of

from document_exchange.errors import Unavailable


class Call:
    """A call whose end is decided by the test."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def add_done_callback(self, note: Callable[[Any], None]) -> None: ...

    def __await__(self) -> Generator[Any, None, str]:
        return self.ended.__await__()


def answer(call: Call) -> asyncio.Task[str]:
    awaited = answer_of(cast("grpc.aio.StreamUnaryCall[Any, str]", call))
    return asyncio.get_running_loop().create_task(awaited)


async def test_a_call_that_grpc_cancels_by_itself_may_be_tried_again() -> None:
    call = Call()
    waiting = answer(call)
    call.ended.cancel()
    with pytest.raises(Unavailable, match="broke off"):
        await waiting
    assert Unavailable().retryable


async def test_who_is_cancelled_is_cancelled() -> None:
    waiting = answer(Call())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
