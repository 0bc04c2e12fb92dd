"""The interceptor of a port on which nobody can show a certificate: it knows addresses alone.

Whoever calls is bounded by address, time and TLS version; what a method decides about the caller
is its own affair. Errors become gRPC's here, and what is refused an event, as with the guard.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from document_exchange.errors import ExchangeError, InternalError
from exchange_runtime import addresses
from exchange_runtime.denials import DENIALS, Denials, traceable
from exchange_runtime.metrics import CallMetrics, MeasuredCall
from exchange_runtime.rpc import caller
from exchange_runtime.rpc.answers import refuse, within
from exchange_runtime.rpc.decoding import lenient, readable
from exchange_runtime.rpc.guard import Drain
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_runtime.values import Actor

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class OpenDoor(grpc.aio.ServerInterceptor):
    """Lets calls of a single answer in; there are no others on such a port."""

    actor: str
    """What events call whoever comes."""
    told_apart_by: str
    """The log context that a method binds once it knows whom a call is about, such as token_id."""
    refusals: Denials
    drain: Drain
    calls: OpenCalls
    """Of all callers together."""
    calls_of_address: OpenCalls
    """Of IPv6, an address is a network of 64 bits; see ``addresses``."""
    metrics: CallMetrics
    limit_s: float

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return None
        method, behaviour = handler_call_details.method, handler.unary_unary

        async def wrapped(request: Any, context: Any) -> Any:
            async with self._call(method, context):
                return await within(self.limit_s, behaviour(readable(request), context))

        return grpc.unary_unary_rpc_method_handler(
            wrapped, lenient(handler.request_deserializer), handler.response_serializer
        )

    @asynccontextmanager
    async def _call(self, method: str, context: Any) -> AsyncIterator[None]:
        structlog.contextvars.clear_contextvars()
        actor = Actor(self.actor, caller.address_of(context.peer()))
        structlog.contextvars.bind_contextvars(method=method, peer=actor.address)
        with ExitStack() as held:
            measured = held.enter_context(self.metrics.call(method))
            try:
                caller.check_tls_version(context.auth_context())
                network = addresses.counted_as(actor.address)
                held.enter_context(self.calls_of_address.place_of(network, method))
                held.enter_context(self.calls.place_of("this port", method))
                held.enter_context(self.drain.call())
                yield
            except ExchangeError as error:
                await self._answer(context, method, measured, actor, error)
            except (asyncio.CancelledError, GeneratorExit):
                measured.code = "CANCELLED"
                raise
            except Exception:
                log.exception("call_failed")
                await self._answer(context, method, measured, actor, InternalError())

    async def _answer(
        self, context: Any, method: str, measured: MeasuredCall, actor: Actor, error: ExchangeError
    ) -> None:
        """End the call with the error's status. Does not return."""
        measured.code = error.code
        traceback.clear_frames(error.__traceback__)  # they hold what was sent, such as a token
        if isinstance(error, DENIALS):
            known = structlog.contextvars.get_contextvars().get(self.told_apart_by)
            apart = {self.told_apart_by: str(known)} if known else {}
            if await self.refusals.record(actor, method, error, apart=apart):
                # Its repeats are in the event that counts them: anybody can cause a million.
                log.info("call_refused", code=error.code, about=traceable(error))
        else:
            log.info("call_refused", code=error.code, about={"error": error.message[:300]})
        await refuse(context, error)
