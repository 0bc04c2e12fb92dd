"""The mutual-TLS channel to the centre and the one way in which unary calls are made over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

import grpc

from document_exchange.errors import ConfigurationError, ExchangeError
from document_exchange.v1 import directory_pb2_grpc, exchange_pb2_grpc
from exchange_client.profile import Profile
from exchange_client.retry import from_rpc_error, with_retries
from exchange_client.timing import Timing

Request = TypeVar("Request")
Response = TypeVar("Response")

USER_AGENT = "document-exchange-python"

_SEND_LIMIT_BYTES = 4 * 1024 * 1024 + 64 * 1024
"""What the server accepts, and a little for the message around it."""
_RECEIVE_LIMIT_BYTES = 16 * 1024 * 1024
"""Room for the history of an envelope with 500 recipients."""

CONNECT_TIMEOUT_MS = 5_000
"""How long one attempt to connect may take, TLS and HTTP/2 settings included.

gRPC names this min_reconnect_backoff, but uses it as the least time for an attempt (Core's
subchannel: min_connect_timeout); the pause after a failure is not lengthened by it. When every
unit connects at once, as after a restart, a handshake waits its turn for seconds: who gives up
and begins anew only adds to the queue. It is below the deadline of a call, so that a server that
can't be reached is reported as that.
"""
_FIRST_RECONNECT_PAUSE_MS = 200
_LONGEST_RECONNECT_PAUSE_MS = 5_000


def _options(profile: Profile) -> list[tuple[str, str | int]]:
    options: list[tuple[str, str | int]] = [
        # Otherwise all channels of a process share one connection, and so one server process.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_PAUSE_MS),
        ("grpc.max_reconnect_backoff_ms", _LONGEST_RECONNECT_PAUSE_MS),
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
        ("grpc.max_send_message_length", _SEND_LIMIT_BYTES),
        ("grpc.max_receive_message_length", _RECEIVE_LIMIT_BYTES),
        ("grpc.primary_user_agent", USER_AGENT),
        ("grpc.enable_http_proxy", 0),
    ]
    if profile.server_name:
        options.append(("grpc.ssl_target_name_override", profile.server_name))
    return options


class Connection:
    """One channel and its stubs; must be opened inside the event loop that uses it."""

    def __init__(self, profile: Profile, timing: Timing) -> None:
        self.timing = timing
        self._address = profile.address
        credentials = grpc.ssl_channel_credentials(
            root_certificates=profile.tls_ca,
            private_key=profile.system_key,
            certificate_chain=profile.system_chain,
        )
        self._channel = grpc.aio.secure_channel(
            profile.address, credentials, options=_options(profile)
        )
        self._exchange: exchange_pb2_grpc.ExchangeServiceAsyncStub = (
            exchange_pb2_grpc.ExchangeServiceStub(self._channel)
        )
        self._directory: directory_pb2_grpc.DirectoryServiceAsyncStub = (
            directory_pb2_grpc.DirectoryServiceStub(self._channel)
        )
        self._closed = False

    @property
    def exchange(self) -> exchange_pb2_grpc.ExchangeServiceAsyncStub:
        """The calls about documents.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._exchange

    @property
    def directory(self) -> directory_pb2_grpc.DirectoryServiceAsyncStub:
        """The calls about units.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._directory

    def _require_open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the client is closed: use it, and the deliveries it gave, inside its with block"
            )

    def typed(self, error: grpc.aio.AioRpcError) -> ExchangeError:
        """The project's own error for one of gRPC's."""
        return from_rpc_error(error, self._address)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
    ) -> Response:
        """One unary call with a deadline, tried again within the budget.

        Raises:
            ExchangeError: the error that the centre gave, as its own type.
        """
        deadline_s = self.timing.call_deadline_s

        async def once() -> Response:
            self._require_open()  # it may have been closed during the pause before this try
            try:
                return await method(request, timeout=deadline_s)
            except grpc.aio.AioRpcError as error:
                raise self.typed(error) from None

        return await with_retries(once, self.timing.retry_budget_s)

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        deadline_s: float | None,
    ) -> AsyncGenerator[Response, None]:
        """One server stream, not repeated; closing the iterator ends the call.

        Raises:
            ExchangeError: the error that ended it, as its own type.
        """
        call = method(request, timeout=deadline_s)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self.typed(error) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._closed = True
        await self._channel.close(None)
