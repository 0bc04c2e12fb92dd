"""The ports of the service: which there are, and how the two gRPC ones are made."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from document_exchange.errors import ConfigurationError
from exchange_pki.layout import Layout
from exchange_pki.profile import TLS_CA
from exchange_pki.service.config import Limits, Settings
from exchange_runtime.rpc.credentials import ReloadingCredentials
from exchange_runtime.rpc.options import Options, server_options

_LONGEST_MESSAGE_BYTES = 64 * 1024
"""Two signing requests of 16 KiB, and what else goes with them."""
_SHORT_GRACE_S = 10.0


@dataclass(frozen=True)
class Listening:
    """HOST:PORT of each port that was opened; empty where there is none."""

    authority: str
    enrolment: str
    http: str
    metrics: str = ""

    def as_json(self) -> dict[str, str]:
        """Those that there are."""
        return {name: address for name, address in vars(self).items() if address}


def grpc_server(
    settings: Settings, interceptor: grpc.aio.ServerInterceptor, listen: str, *, mutual: bool
) -> tuple[grpc.aio.Server, str]:
    """A server that has its port but does not serve yet, and HOST:PORT.

    Raises:
        ConfigurationError: it can't listen, or certificate and key don't fit.
    """
    limits = settings.limits
    server = grpc.aio.server(
        interceptors=(interceptor,),
        options=_options_for_certified(limits) if mutual else _options_for_anybody(limits),
    )
    # The TLS CA alone: no seal opens a connection.
    client_ca = Layout(settings.state).certificate(TLS_CA) if mutual else None
    credentials = ReloadingCredentials(settings.tls.certificate, settings.tls.key, client_ca)
    try:
        port = server.add_secure_port(listen, credentials.server_credentials())
    except RuntimeError as error:
        raise ConfigurationError(f"can't listen on {listen}: {error}") from error
    return server, address(listen, port)


def _options_for_certified(limits: Limits) -> Options:
    return server_options(
        concurrent_streams=limits.concurrent_streams,
        connection_age_s=limits.connection_age_s,
        longest_call_s=limits.call_s,
        handshake_s=limits.handshake_s,
        max_message_bytes=_LONGEST_MESSAGE_BYTES,
    )


def _options_for_anybody(limits: Limits) -> Options:
    """For a port on which a connection costs its caller nothing, so it may hold little, briefly.

    A call begins, and with it its time limit, when its message is there: until then only the age
    of the connection ends it. What all of them hold is connections x streams x longest message.
    """
    return server_options(
        concurrent_streams=limits.enrolment_streams,
        connection_age_s=limits.enrolment_age_s,
        longest_call_s=min(limits.call_s, _SHORT_GRACE_S),
        handshake_s=limits.handshake_s,
        max_message_bytes=_LONGEST_MESSAGE_BYTES,
        connections=limits.enrolment_connections,
    )


def address(listen: str, port: int) -> str:
    """HOST:PORT that is listened on, where ``listen`` may have left the port open."""
    return f"{listen.rpartition(':')[0]}:{port}"
