"""The one interceptor: every call of every kind passes it, and it fails closed.

In this order: TLS version and certificate, identity, allow-list of the method, status of the
certificate in the registry, shutting down, time limit. It also turns our errors into gRPC's
(one place), records denials as events, and binds what the logs of the call carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from document_exchange import status
from document_exchange.errors import (
    DeadlinePassed,
    ExchangeError,
    InternalError,
    ShuttingDown,
    Unauthenticated,
)
from exchange_server import policy
from exchange_server.clock import Clock
from exchange_server.denials import DENIALS, Denials
from exchange_server.registry import RegistryFollower
from exchange_server.rpc import caller
from exchange_server.values import Principal

log = structlog.get_logger(__name__)

Context = Any
"""grpc.aio.ServicerContext of whatever request and response."""


class Drain:
    """Counts the calls in flight, and refuses new ones once the server shuts down."""

    def __init__(self) -> None:
        self.draining = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        if self.draining:
            raise ShuttingDown
        self._in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Whether every call ended within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True)
class Guard(grpc.aio.ServerInterceptor):
    """Admits calls, and answers for their errors."""

    registry: RegistryFollower
    denials: Denials
    drain: Drain
    clock: Clock
    unary_limit_s: float
    upload_limit_s: float

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        make, behaviour = _kind_of(handler)
        if handler.response_streaming:
            wrapped: Any = self._streaming(method, behaviour)
        else:
            limit_s = self.upload_limit_s if handler.request_streaming else self.unary_limit_s
            wrapped = self._unary(method, behaviour, limit_s)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def still_admitted(self, principal: Principal) -> None:
        """Raise when the caller of an open stream may no longer call."""
        policy.admit(self.registry.current(), principal, self.clock())

    def _unary(self, method: str, behaviour: Any, limit_s: float) -> Any:
        async def wrapped(request: Any, context: Context) -> Any:
            async with self._call(method, context):
                try:
                    async with asyncio.timeout(limit_s):
                        return await behaviour(request, context)
                except TimeoutError:
                    raise DeadlinePassed(
                        f"the call took longer than the {limit_s:g} s that it may take"
                    ) from None

        return wrapped

    def _streaming(self, method: str, behaviour: Any) -> Any:
        async def wrapped(request: Any, context: Context) -> AsyncIterator[Any]:
            async with (
                self._call(method, context),
                aclosing(behaviour(request, context)) as responses,
            ):
                async for response in responses:
                    yield response

        return wrapped

    @asynccontextmanager
    async def _call(self, method: str, context: Context) -> AsyncIterator[None]:
        structlog.contextvars.clear_contextvars()
        principal: Principal | None = None
        try:
            principal = caller.principal_of(context)
            structlog.contextvars.bind_contextvars(
                method=method,
                unit=principal.unit or str(principal.identity),
                peer=principal.address,
            )
            policy.may_call(principal, method)
            self.still_admitted(principal)
            caller.set_current(principal)
            self.drain.enter()
        except ExchangeError as error:
            await self._answer(context, method, principal, error)
        except Exception:
            log.exception("caller_unreadable")
            await self._answer(context, method, principal, Unauthenticated())
        try:
            yield
        except ExchangeError as error:
            await self._answer(context, method, principal, error)
        except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
            raise
        except Exception:
            log.exception("call_failed")
            await self._answer(context, method, principal, InternalError())
        finally:
            self.drain.leave()

    async def _answer(
        self, context: Context, method: str, principal: Principal | None, error: ExchangeError
    ) -> None:
        """End the call with the error's status. Does not return."""
        log.info("call_refused", code=error.code, error=error.message[:300])
        if principal is not None and isinstance(error, DENIALS):
            envelope_id = structlog.contextvars.get_contextvars().get("envelope_id")
            await self.denials.record(principal, method, error, envelope_id)
        made = status.to_status(error)
        await context.abort(
            grpc.StatusCode[error.grpc_status],
            made.message,
            (("grpc-status-details-bin", made.SerializeToString()),),
        )


def _kind_of(handler: Any) -> tuple[Callable[..., Any], Any]:
    """What makes a handler of this kind, and its behaviour."""
    match (handler.request_streaming, handler.response_streaming):
        case (False, False):
            return grpc.unary_unary_rpc_method_handler, handler.unary_unary
        case (False, True):
            return grpc.unary_stream_rpc_method_handler, handler.unary_stream
        case (True, False):
            return grpc.stream_unary_rpc_method_handler, handler.stream_unary
        case _:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream
