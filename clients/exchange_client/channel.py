"""Opening gRPC channels to the centre and to the authority, and making one unary call over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc

from document_exchange.errors import ExchangeError
from exchange_client.retry import with_retries
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


def open_channel(
    address: str,
    tls_ca: bytes,
    *,
    server_name: str = "",
    key: bytes | None = None,
    chain: bytes | None = None,
) -> grpc.aio.Channel:
    """A TLS channel; must be opened inside the event loop that uses it.

    Args:
        address: ``host:port``.
        tls_ca: PEM of what the server's certificate must chain to.
        server_name: the name that certificate must carry; empty: the host in ``address``.
        key: PKCS#8 PEM of the caller; with ``chain`` (PEM, leaf first) the TLS becomes mutual.
        chain: see ``key``.
    """
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls_ca, private_key=key, certificate_chain=chain
    )
    return grpc.aio.secure_channel(address, credentials, options=_options(server_name))


def _options(server_name: str) -> list[tuple[str, str | int]]:
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
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    timing: Timing,
    typed: Callable[[grpc.aio.AioRpcError], ExchangeError],
) -> Response:
    """One unary call with a deadline, tried again within the budget.

    Raises:
        ExchangeError: what ``typed`` makes of the last try's error.
    """

    async def once() -> Response:
        try:
            return await method(request, timeout=timing.call_deadline_s)
        except grpc.aio.AioRpcError as error:
            raise typed(error) from None

    return await with_retries(once, timing.retry_budget_s)
