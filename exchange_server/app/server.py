"""The life of one server process: it opens its parts, works, listens, drains, and closes all."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from document_exchange.errors import ConfigurationError
from exchange_runtime.clock import Clock, system_clock
from exchange_runtime.metrics import MetricsPort
from exchange_runtime.rpc.credentials import ReloadingCredentials
from exchange_runtime.rpc.guard import Drain
from exchange_runtime.rpc.options import server_options
from exchange_server.app import services
from exchange_server.app.parts import Parts, open_parts
from exchange_server.app.work import Work
from exchange_server.config import Limits, Settings

log = structlog.get_logger(__name__)


class ExchangeServer:
    """One process of the exchange centre. It has no state of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = system_clock,
        deadline_clock: Clock | None = None,
    ) -> None:
        """``deadline_clock``: what deadlines are compared with; without it ``clock`` as well."""
        self._settings = settings
        self._clock = clock
        self._deadline_clock = deadline_clock or clock
        self._stack = AsyncExitStack()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._drain = Drain()
        self._work = Work()
        self.port = 0
        self.metrics_port = 0
        """0 where no metrics are served."""

    async def start(self) -> None:
        """Open the stores, follow the registry, and listen; ``port`` is set afterwards.

        Raises:
            ConfigurationError: a file or setting is wrong.
            Unavailable: ledger or blob store don't answer.
        """
        parts = await open_parts(self._settings, self._clock, self._drain, self._stack)
        self._parts = parts
        await self._work.begin(parts, self._deadline_clock, self._stack)
        await self._listen(parts)
        if self._settings.metrics.listen:
            port = MetricsPort(self._settings.metrics.listen, parts.metrics)
            self._stack.callback(port.close)
            self.metrics_port = port.port
        log.info("listening", address=self._settings.listen, port=self.port)

    async def stop(self) -> None:
        """Refuse new calls, let running ones finish, then close everything."""
        limits = self._settings.limits
        await self._health.enter_graceful_shutdown()
        self._drain.draining = True
        if self._server is not None:
            self._parts.hub.close_watches()
            self._parts.certificates.close_watches()
            if not await self._drain.wait_idle(limits.drain_s):
                log.warning("calls_cut_off", after_s=limits.drain_s)
            await self._server.stop(grace=1.0)
        await self._work.stop()
        await self._stack.aclose()

    async def _listen(self, parts: Parts) -> None:
        server = grpc.aio.server(
            interceptors=(parts.guard,), options=grpc_options(self._settings.limits)
        )
        services.add_services(parts, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*services.NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        try:
            self.port = server.add_secure_port(self._settings.listen, self._credentials())
        except RuntimeError as error:
            raise ConfigurationError(f"can't listen on {self._settings.listen}: {error}") from error
        await server.start()
        self._server = server
        for name in ("", *services.NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _credentials(self) -> grpc.ServerCredentials:
        tls = self._settings.tls
        return ReloadingCredentials(
            tls.certificate, tls.key, tls.client_ca, clock=self._clock
        ).server_credentials()


async def serve(settings: Settings, ready: Callable[[int, int], None]) -> None:
    """Run one server until SIGTERM or SIGINT, then drain.

    ``ready`` is told the port, and that of the metrics (0: none).
    """
    server = ExchangeServer(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await server.start()
        ready(server.port, server.metrics_port)
        await stop.wait()
        log.info("stopping")
    finally:
        await server.stop()


def grpc_options(limits: Limits) -> list[tuple[str, int]]:
    """The options of gRPC for a server with these limits."""
    return server_options(
        concurrent_streams=limits.concurrent_streams,
        connection_age_s=limits.connection_age_s,
        longest_call_s=limits.longest_upload_s,
        handshake_s=limits.handshake_s,
        share_port=True,
    )
