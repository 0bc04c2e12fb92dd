"""The centre's answer to a call that ended while this side was still sending.

When the centre answers early, the message under way can no longer be sent. grpc.aio (1.62 to
1.85, grpc/grpc#36066) then puts INTERNAL, "Internal error from Core", in the place of the status
that it has received. So each status is noted when it is set, and the centre's own one counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

from document_exchange.errors import Unavailable

T = TypeVar("T")
Response = TypeVar("Response")

DETAILS = "grpc-status-details-bin"
"""Carries google.rpc.Status; the centre never refuses without it, and gRPC itself has none."""


async def answer_of(call: grpc.aio.StreamUnaryCall[Any, Response]) -> Response:
    """Await a call that is sending by itself, from an iterator.

    Raises:
        grpc.aio.AioRpcError: with the centre's status if it gave one, else with gRPC's.
        Unavailable: the call broke off while it was sending. gRPC then cancels it by itself, which
            must not look as if whoever awaits it had been cancelled.
    """
    noted: list[grpc.aio.AioRpcError] = []

    def note(ended: grpc.aio.StreamUnaryCall[Any, Response]) -> None:
        trailers = _immediate(ended.trailing_metadata())
        if any(name == DETAILS for name, _ in trailers):
            noted.append(
                grpc.aio.AioRpcError(
                    _immediate(ended.code()),
                    _immediate(ended.initial_metadata()),
                    trailers,
                    _immediate(ended.details()),
                )
            )

    call.add_done_callback(note)
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise (noted[0] if noted else error) from None
    except asyncio.CancelledError:
        awaiting = asyncio.current_task()
        if awaiting is None or awaiting.cancelling():
            raise
        raise Unavailable("the connection broke off while the document was being sent") from None


def _immediate(reading: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that has nothing to wait for, as those of a call that has ended.

    Awaited by a task it might be read after it was replaced.
    """
    try:
        reading.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    reading.close()
    raise RuntimeError("the call has not ended")
