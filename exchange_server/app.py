"""The composition root: makes the parts of one server process, starts and stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from document_exchange import certificates, identity
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError, KeyUnusable
from document_exchange.identity import Kind
from document_exchange.signer import KeySigner
from document_exchange.v1 import directory_pb2, directory_pb2_grpc, exchange_pb2, exchange_pb2_grpc
from exchange_runtime.background import every
from exchange_runtime.clock import Clock, system_clock
from exchange_runtime.database import Database
from exchange_runtime.denials import Denials
from exchange_runtime.notifications import Notifications
from exchange_runtime.rpc.guard import Drain, Guard
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_server import policy
from exchange_server.acknowledge import Acknowledger
from exchange_server.attention import AttentionHub
from exchange_server.budget import Budgets
from exchange_server.config import BlobSettings, Settings
from exchange_server.deliver import Deliverer
from exchange_server.directory import Directory
from exchange_server.positions import Positions
from exchange_server.recent import RecentParts
from exchange_server.registry import RegistryFollower
from exchange_server.rpc.directory import DirectoryServicer
from exchange_server.rpc.exchange import ExchangeServicer
from exchange_server.statements import CentreSeal
from exchange_server.storage.blobs import MinioBlobStore
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.submit import Submitter
from exchange_server.sweep import Sweeper, Swept
from exchange_server.track import Tracker
from exchange_server.watch import Watcher

log = structlog.get_logger(__name__)

_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_DAY_S = 24 * 3600.0
_FOREVER_MS = 2**31 - 1


class ExchangeServer:
    """One process of the exchange centre. It has no state of its own."""

    def __init__(self, settings: Settings, *, clock: Clock = system_clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = AsyncExitStack()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._drain = Drain()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Open the stores, follow the registry, and listen; ``port`` is set afterwards.

        Raises:
            ConfigurationError: a file or setting is wrong.
            Unavailable: ledger or blob store don't answer.
        """
        limits = self._settings.limits
        database = await self._open_database()
        ledger = Ledger(database, longest_upload=limits.longest_upload)
        await ledger.ensure_partitions()
        blobs = blob_store(self._settings.blobs)
        await blobs.probe()
        self._stack.callback(blobs.close)
        registry = RegistryFollower(
            ledger,
            clock=self._clock,
            interval_s=limits.status_interval_s,
            max_age_s=limits.status_max_age_s,
            clock_tolerance_s=limits.clock_tolerance_s,
        )
        hub = AttentionHub(ledger)
        denials = Denials(ledger, self._clock)
        notifications = Notifications(
            database,
            {"registry": lambda _payload: registry.wake(), "attention": hub.receive},
        )
        for part in (registry, hub, denials, notifications):
            await part.start()
            self._stack.push_async_callback(part.stop)
        registry.on_change(hub.wake_all)
        self._hub = hub
        guard = Guard(
            policy.Admission(registry, self._clock),
            denials,
            self._drain,
            OpenCalls(limits.unit_calls, limits.unit_watches, policy.WATCHES),
            unary_limit_s=limits.call_s,
            upload_limit_s=limits.longest_upload_s,
        )
        sweeper = Sweeper(ledger, blobs, limits.longest_upload)
        seal = self._seal(registry)
        self._every(_DAY_S, ledger.ensure_partitions)
        self._every(_DAY_S, partial(self._warn_before_end, seal))
        self._every(limits.sweep_interval_s, partial(sweeper.sweep, remove=True))
        await self._listen(guard, self._servicers(ledger, blobs, registry, hub, guard, seal))

    async def stop(self) -> None:
        """Refuse new calls, let running ones finish, then close everything."""
        limits = self._settings.limits
        await self._health.enter_graceful_shutdown()
        self._drain.draining = True
        if self._server is not None:
            self._hub.close_watches()
            if not await self._drain.wait_idle(limits.drain_s):
                log.warning("calls_cut_off", after_s=limits.drain_s)
            await self._server.stop(grace=1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _open_database(self) -> Database:
        settings = self._settings.ledger
        database = ledger_database(
            settings.dsn.get_secret_value(),
            connections=settings.connections,
            timeout_s=settings.timeout_s,
        )
        await database.open()
        self._stack.push_async_callback(database.close)
        return database

    @cached_property
    def _trust(self) -> SealTrust:
        trust = self._settings.trust
        return SealTrust(
            certificates.load_pem(_read(trust.root)), certificates.load_pem(_read(trust.seal_ca))
        )

    def _seal(self, registry: RegistryFollower) -> CentreSeal:
        files, now = self._settings.seal, self._clock()
        signer = load_signer(files.certificate, files.key)
        seal = CentreSeal(signer, self._trust, registry, now=now)
        seal.warn_before_end(now)
        return seal

    async def _warn_before_end(self, seal: CentreSeal) -> None:
        seal.warn_before_end(self._clock())

    def _servicers(
        self,
        ledger: Ledger,
        blobs: MinioBlobStore,
        registry: RegistryFollower,
        hub: AttentionHub,
        guard: Guard,
        seal: CentreSeal,
    ) -> tuple[ExchangeServicer, DirectoryServicer]:
        limits = self._settings.limits
        trust = self._trust
        budgets = Budgets(limits.memory_bytes, limits.unit_memory_bytes)
        recent = RecentParts(limits.recent_bytes, limits.recent_part_bytes)
        positions = Positions()
        exchange = ExchangeServicer(
            Submitter(
                ledger=ledger,
                blobs=blobs,
                registry=registry,
                trust=trust,
                seal=seal,
                budgets=budgets,
                recent=recent,
                clock=self._clock,
                idle_timeout_s=limits.idle_timeout_s,
                accepted=hub.envelope_accepted,
            ),
            Deliverer(
                ledger,
                blobs,
                Budgets(limits.download_memory_bytes, limits.unit_download_memory_bytes),
                recent,
                positions,
                limits.idle_timeout_s,
            ),
            Acknowledger(
                ledger, registry, trust, seal, self._clock, positions, hub.statement_recorded
            ),
            Tracker(ledger),
            Watcher(hub, ledger, limits.watch_poll_s),
            guard.still_admitted,
            [each.public_bytes(Encoding.DER) for each in (trust.seal_ca, trust.root)],
            limits.idle_timeout_s,
        )
        return exchange, DirectoryServicer(Directory(registry))

    async def _listen(
        self, guard: Guard, servicers: tuple[ExchangeServicer, DirectoryServicer]
    ) -> None:
        server = grpc.aio.server(interceptors=(guard,), options=_options(self._settings))
        exchange, directory = servicers
        exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(exchange, server)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [
            exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
            directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
        ]
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        try:
            self.port = server.add_secure_port(self._settings.listen, self._credentials())
        except RuntimeError as error:
            raise ConfigurationError(f"can't listen on {self._settings.listen}: {error}") from error
        await server.start()
        self._server = server
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("listening", address=self._settings.listen, port=self.port)

    def _credentials(self) -> grpc.ServerCredentials:
        tls = self._settings.tls
        return grpc.ssl_server_credentials(
            [(_read(tls.key), _read(tls.certificate))],
            root_certificates=_read(tls.client_ca),
            require_client_auth=True,
        )

    def _every(self, interval_s: float, step: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._tasks.add(asyncio.create_task(every(interval_s, "background_step_failed", step)))


def blob_store(settings: BlobSettings) -> MinioBlobStore:
    """The blob store that the settings describe."""
    return MinioBlobStore(
        endpoint=settings.endpoint,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        bucket=settings.bucket,
        region=settings.region,
        secure=settings.secure,
        threads=settings.threads,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )


def load_signer(certificate_path: Path, key_path: Path) -> KeySigner:
    """The centre-seal from its files.

    Raises:
        ConfigurationError: it is not a centre-seal, or others may read the key.
        KeyUnusable: the key can't be read or does not belong to the certificate.
    """
    certificate = certificates.load_pem(_read(certificate_path))
    if identity.of_certificate(certificate).kind is not Kind.CENTRE_SEAL:
        raise ConfigurationError(f"{certificate_path} is not the certificate of a centre-seal")
    if key_path.stat().st_mode & 0o077:
        raise ConfigurationError(f"others may read {key_path}: chmod 600 it")
    passphrase = os.environ.get("EXCHANGE_SERVER_SEAL_PASSPHRASE")
    try:
        key = serialization.load_pem_private_key(
            _read(key_path), passphrase.encode() if passphrase else None
        )
    except (ValueError, TypeError) as error:
        raise KeyUnusable(f"the key in {key_path} can't be read: {error}") from error
    return KeySigner(certificate, key)


async def sweep(settings: Settings, *, remove: bool) -> Swept:
    """One sweep over the blob store, outside of any server."""
    limits = settings.limits
    database = ledger_database(
        settings.ledger.dsn.get_secret_value(),
        connections=2,
        timeout_s=settings.ledger.timeout_s,
    )
    await database.open()
    blobs = blob_store(settings.blobs)
    try:
        ledger = Ledger(database, longest_upload=limits.longest_upload)
        sweeper = Sweeper(ledger, blobs, limits.longest_upload)
        return await sweeper.sweep(remove=remove)
    finally:
        blobs.close()
        await database.close()


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Run one server until SIGTERM or SIGINT, then drain. ``ready`` is told the port."""
    server = ExchangeServer(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await server.start()
        ready(server.port)
        await stop.wait()
        log.info("stopping")
    finally:
        await server.stop()


def _options(settings: Settings) -> list[tuple[str, int]]:
    limits = settings.limits
    return [
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", 4 * _MAX_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", limits.concurrent_streams),
        ("grpc.max_metadata_size", 16 * 1024),
        # Windows that grow with the bandwidth would hold megabytes for each connection.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 512 * 1024),
        ("grpc.max_connection_age_ms", int(limits.connection_age_s * 1000)),
        # A connection too old takes no new calls, and each call on it gets the time that it may
        # take anyway; the guard looks at certificates as often as on a young one.
        ("grpc.max_connection_age_grace_ms", min(int(limits.longest_upload_s * 1000), _FOREVER_MS)),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 9_000),
        ("grpc.http2.max_ping_strikes", 3),
        ("grpc.so_reuseport", 1),
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
