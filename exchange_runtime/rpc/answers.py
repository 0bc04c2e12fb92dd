"""How a call ends that does not end well: within its time, and with our errors as gRPC's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc

from document_exchange import status
from document_exchange.errors import DeadlinePassed, ExchangeError

_LONGEST_ANSWER_S = 0.5
"""A client that does not read holds no call open."""


async def within(limit_s: float, response: Awaitable[Any]) -> Any:
    """The response.

    Raises:
        DeadlinePassed: it took longer than that.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await response
    except TimeoutError:
        raise DeadlinePassed(
            f"the call took longer than the {limit_s:g} s that it may take"
        ) from None


async def refuse(context: Any, error: ExchangeError) -> None:
    """End the call with the error's status. Does not return."""
    made = status.to_status(error)
    try:
        async with asyncio.timeout(_LONGEST_ANSWER_S):
            await context.abort(
                grpc.StatusCode[error.grpc_status],
                made.message,
                (("grpc-status-details-bin", made.SerializeToString()),),
            )
    except TimeoutError:
        # Behind what its client does not read; the status is on its way, the call is over here.
        raise grpc.aio.AbortError from None
