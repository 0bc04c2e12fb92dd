"""The ports of the service: which there are, and how the two gRPC ones are made."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from document_exchange.errors import ConfigurationError
from exchange_pki.layout import Layout
from exchange_pki.profile import TLS_CA
from exchange_pki.service.config import Settings
from exchange_runtime.rpc.credentials import ReloadingCredentials
from exchange_runtime.rpc.options import server_options


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
        options=server_options(
            concurrent_streams=limits.concurrent_streams,
            connection_age_s=limits.connection_age_s,
            longest_call_s=limits.call_s,
            handshake_s=limits.handshake_s,
        ),
    )
    # The TLS CA alone: no seal opens a connection.
    client_ca = Layout(settings.state).certificate(TLS_CA) if mutual else None
    credentials = ReloadingCredentials(settings.tls.certificate, settings.tls.key, client_ca)
    try:
        port = server.add_secure_port(listen, credentials.server_credentials())
    except RuntimeError as error:
        raise ConfigurationError(f"can't listen on {listen}: {error}") from error
    return server, address(listen, port)


def address(listen: str, port: int) -> str:
    """HOST:PORT that is listened on, where ``listen`` may have left the port open."""
    return f"{listen.rpartition(':')[0]}:{port}"
