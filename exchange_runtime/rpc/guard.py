"""The one interceptor: every call of every kind passes it, and it fails closed.

In this order: TLS version and certificate, identity, status of the certificate in the registry,
allow-list of the method, the caller's share of open calls, its quota, shutting down, time limit.
Whether a stream's caller is still admitted is asked once a second while it is open
(``open_streams``). The guard also turns our errors into gRPC's (one place), records denials as
events, binds what the logs of the call carry, and sees to it that an early answer reaches a client
that is still sending (``unread``).
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import structlog

from document_exchange.errors import (
    ExchangeError,
    InternalError,
    ShuttingDown,
    Unauthenticated,
)
from exchange_runtime.denials import DENIALS, OVERUSE, Denials, traceable
from exchange_runtime.metrics import CallMetrics, MeasuredCall
from exchange_runtime.rpc import caller
from exchange_runtime.rpc.answers import refuse, within
from exchange_runtime.rpc.decoding import ReadableRequests, lenient, readable
from exchange_runtime.rpc.open_streams import OpenStreams
from exchange_runtime.rpc.unread import Request, read_out
from exchange_runtime.values import Principal

log = structlog.get_logger(__name__)

Context = Any
"""grpc.aio.ServicerContext of whatever request and response."""

_GOODBYE_S = 0.25
"""How long a client that is admitted no longer may go on sending to get its answer undisturbed."""


class Drain:
    """Counts the calls in flight, and refuses new ones once the server shuts down."""

    def __init__(self) -> None:
        self.draining = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count one call for as long as the context lasts.

        Raises:
            ShuttingDown
        """
        if self.draining:
            raise ShuttingDown
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
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


class Places(Protocol):
    """How much of the service a caller may use at once, or in a while."""

    def place(self, principal: Principal, method: str) -> AbstractContextManager[None]:
        """Have a place for one call for as long as the context lasts; entering it may refuse."""
        ...


class Admission(Protocol):
    """Who may call what, as the service decides it."""

    def still_admitted(self, principal: Principal) -> None:
        """Raise when the caller's certificate opens no door, or no longer."""
        ...

    def may_call(self, principal: Principal, method: str) -> None:
        """Raise unless the method is on the allow-list for this caller, who is admitted."""
        ...

    def is_waited_for(self, method: str) -> bool:
        """Whether a server that shuts down waits for the calls of this method."""
        ...


@dataclass(frozen=True)
class Guard(grpc.aio.ServerInterceptor):
    """Admits calls, and answers for their errors."""

    admission: Admission
    denials: Denials
    drain: Drain
    calls: Places
    metrics: CallMetrics
    unary_limit_s: float
    upload_limit_s: float
    quotas: Places | None = None
    """Asked after ``calls``."""
    _streams: OpenStreams = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_streams", OpenStreams(self.still_admitted))

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
        if handler.response_streaming and inspect.isasyncgenfunction(behaviour):
            wrapped: Any = self._streaming(method, behaviour)
        elif handler.response_streaming:
            wrapped = self._writing(method, behaviour)
        elif handler.request_streaming:
            wrapped = self._upload(method, behaviour)
        else:
            wrapped = self._unary(method, behaviour)
        return make(wrapped, lenient(handler.request_deserializer), handler.response_serializer)

    def still_admitted(self, principal: Principal) -> None:
        """Raise when the caller of an open stream may no longer call."""
        self.admission.still_admitted(principal)

    def _is_admitted(self, principal: Principal) -> bool:
        try:
            self.still_admitted(principal)
        except ExchangeError:
            return False
        return True

    def _unary(self, method: str, behaviour: Any) -> Any:
        async def wrapped(request: Any, context: Context) -> Any:
            async with self._call(method, context):
                return await within(self.unary_limit_s, behaviour(readable(request), context))

        return wrapped

    def _upload(self, method: str, behaviour: Any) -> Any:
        async def wrapped(requests: AsyncIterator[Request], context: Context) -> Any:
            async with self._call(method, context, requests):
                with self._streams.admitted(caller.current()):
                    response = await within(
                        self.upload_limit_s, behaviour(ReadableRequests(requests), context)
                    )
                await read_out(requests)
                return response

        return wrapped

    def _streaming(self, method: str, behaviour: Any) -> Any:
        """Writes itself, so that also a write that waits for its reader can be ended."""

        async def wrapped(request: Any, context: Context) -> None:
            async with self._call(method, context):
                with self._streams.admitted(caller.current()):
                    async with aclosing(behaviour(_one_or_many(request), context)) as responses:
                        async for response in responses:
                            await context.write(response)

        return wrapped

    def _writing(self, method: str, behaviour: Any) -> Any:
        """For a stream that is no generator but writes to the context, as the health service's."""

        async def wrapped(request: Any, context: Context) -> None:
            async with self._call(method, context):
                with self._streams.admitted(caller.current()):
                    await behaviour(_one_or_many(request), context)

        return wrapped

    @asynccontextmanager
    async def _call(
        self, method: str, context: Context, requests: AsyncIterator[Request] | None = None
    ) -> AsyncIterator[None]:
        structlog.contextvars.clear_contextvars()
        principal: Principal | None = None
        with ExitStack() as held:
            measured = held.enter_context(self.metrics.call(method))
            try:
                principal = caller.principal_of(context)
                structlog.contextvars.bind_contextvars(
                    method=method,
                    unit=principal.unit or str(principal.identity),
                    peer=principal.address,
                )
                self.still_admitted(principal)
                self.admission.may_call(principal, method)
                # Only now, so that a revoked certificate takes no place of its former unit.
                held.enter_context(self.calls.place(principal, method))
                if self.quotas is not None:
                    held.enter_context(self.quotas.place(principal, method))
                if self.admission.is_waited_for(method):
                    held.enter_context(self.drain.call())
                caller.set_current(principal)
            except ExchangeError as error:
                await self._answer(context, method, measured, principal, error)
            except Exception:
                log.exception("caller_unreadable")
                await self._answer(context, method, measured, principal, Unauthenticated())
            try:
                yield
            except ExchangeError as error:
                await self._answer(context, method, measured, principal, error, requests)
            except (asyncio.CancelledError, GeneratorExit):
                measured.code = "CANCELLED"
                raise
            except grpc.aio.AbortError:
                raise
            except Exception:
                log.exception("call_failed")
                fault = InternalError()
                await self._answer(context, method, measured, principal, fault, requests)

    async def _answer(
        self,
        context: Context,
        method: str,
        measured: MeasuredCall,
        principal: Principal | None,
        error: ExchangeError,
        requests: AsyncIterator[Request] | None = None,
    ) -> None:
        """End the call with the error's status. Does not return.

        Args:
            requests: what the client is still sending, if it is to be waited for. Only who was
                admitted is: whoever else may connect must not hold calls open. Who is so no
                longer is waited for just a moment.
        """
        measured.code = error.code
        # The frames of the call hold blocks and manifests that no budget counts any more.
        traceback.clear_frames(error.__traceback__)
        about = traceable(error) if isinstance(error, DENIALS) else {"error": error.message[:300]}
        overuse = isinstance(error, OVERUSE)
        if not overuse:
            log.info("call_refused", code=error.code, about=about)
        if principal is not None and isinstance(error, DENIALS):
            envelope_id = structlog.contextvars.get_contextvars().get("envelope_id")
            first = await self.denials.record(principal, method, error, envelope_id)
            if overuse and first:
                # Its repeats are in the event that counts them: a line for each would be a cost.
                log.info("call_refused", code=error.code, about=about)
        if requests is not None and principal is not None:
            if self._is_admitted(principal):
                await read_out(requests)
            else:
                await read_out(requests, longest_s=_GOODBYE_S)
        await refuse(context, error)


def _one_or_many(request: Any) -> Any:
    """What a behaviour is given: its one request, or the stream of them."""
    return ReadableRequests(request) if hasattr(request, "__aiter__") else readable(request)


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
