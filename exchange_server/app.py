"""The composition root: makes the parts of one server process, starts and stops them in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from document_exchange import certificates, offline
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError
from document_exchange.evidence import ROOT_CERTIFICATE, seal_ca_path, tsa_path
from document_exchange.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    correspondence_pb2,
    correspondence_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    evidence_pb2,
    evidence_pb2_grpc,
    exchange_pb2,
    exchange_pb2_grpc,
)
from exchange_runtime.background import every
from exchange_runtime.clock import Clock, system_clock
from exchange_runtime.database import Database
from exchange_runtime.denials import Denials
from exchange_runtime.event_ledger import EventsInLedger
from exchange_runtime.metrics import CallMetrics, MetricsPort, new_registry
from exchange_runtime.notifications import Notifications
from exchange_runtime.rpc.credentials import ReloadingCredentials
from exchange_runtime.rpc.guard import Drain, Guard
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_runtime.rpc.options import server_options
from exchange_server import metrics, policy
from exchange_server.acknowledge import Acknowledger
from exchange_server.admin import Administrator
from exchange_server.administration import Comparer
from exchange_server.attention import AttentionHub
from exchange_server.budget import Budgets
from exchange_server.config import BlobSettings, Settings
from exchange_server.correspondence import Correspondence
from exchange_server.deadlines import FurtherDues
from exchange_server.deliver import Deliverer
from exchange_server.directory import Directory
from exchange_server.evidence import EvidenceCollector
from exchange_server.expiry import Expiry
from exchange_server.list_watch import LOOK_EVERY_S, ListWatch
from exchange_server.own_certificates import OwnCertificates
from exchange_server.positions import Positions
from exchange_server.proposals import Proposals
from exchange_server.quotas import Quotas
from exchange_server.recent import RecentParts
from exchange_server.recording import Recorder
from exchange_server.registry import RegistryFollower
from exchange_server.reminders import Reminders
from exchange_server.route_check import RouteChecker
from exchange_server.rpc.admin import AdminServicer
from exchange_server.rpc.correspondence import CorrespondenceServicer
from exchange_server.rpc.directory import DirectoryServicer
from exchange_server.rpc.evidence import EvidenceServicer
from exchange_server.rpc.exchange import ExchangeServicer
from exchange_server.rpc.metering import method_kinds
from exchange_server.seal_files import SealFiles
from exchange_server.stamping import Stamper, external_judge, own_judge
from exchange_server.statements import CentreSeal
from exchange_server.storage.blobs import MinioBlobStore
from exchange_server.storage.certificates import CertificatesOnPostgres
from exchange_server.storage.correspondence import CorrespondenceOnPostgres
from exchange_server.storage.deadlines import DeadlinesOnPostgres
from exchange_server.storage.entries import EntriesOnPostgres
from exchange_server.storage.evidence import EvidenceOnPostgres
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.storage.stamps import StampsOnPostgres
from exchange_server.submit import Submitter
from exchange_server.sweep import Sweeper, Swept
from exchange_server.time_stamping_client import TimeStampingClient
from exchange_server.track import Tracker
from exchange_server.values import NewStatement
from exchange_server.watch import Watcher
from exchange_server.who_am_i import WhoAmI

log = structlog.get_logger(__name__)

_DAY_S = 24 * 3600.0
_LONGEST_TSA_CHAIN = 9
_COUNT_S = 30.0
"""How often what is open in the ledger is counted for the metrics."""


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
        self._deadlines = settings.deadlines.rules()
        self._stack = AsyncExitStack()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._drain = Drain()
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics = new_registry()
        self._documents = metrics.DocumentMetrics(self._metrics)
        self.port = 0
        self.metrics_port = 0
        """0 where no metrics are served."""

    async def start(self) -> None:
        """Open the stores, follow the registry, and listen; ``port`` is set afterwards.

        Raises:
            ConfigurationError: a file or setting is wrong.
            Unavailable: ledger or blob store don't answer.
        """
        limits = self._settings.limits
        database = await self._open_database()
        stamp = bool(self._settings.timestamps.url)
        ledger = Ledger(database, longest_upload=limits.longest_upload, stamp=stamp)
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
        events = EventsInLedger(database)
        denials = Denials(events, self._clock)
        notifications = Notifications(
            database,
            {"registry": lambda _payload: registry.wake(), "attention": hub.receive},
        )
        for part in (registry, hub, denials, notifications):
            await part.start()
            self._stack.push_async_callback(part.stop)
        registry.on_change(hub.wake_all)
        self._hub = hub
        quotas = Quotas(
            ledger,
            lambda unit: registry.current().quota_of(unit),
            method_kinds(),
            lease_s=limits.quota_lease_s,
        )
        self._stack.push_async_callback(quotas.stop)
        guard = Guard(
            policy.Admission(registry, self._clock),
            denials,
            self._drain,
            OpenCalls(limits.unit_calls, limits.unit_watches, policy.WATCHES),
            CallMetrics(self._metrics),
            unary_limit_s=limits.call_s,
            upload_limit_s=limits.longest_upload_s,
            quotas=quotas,
        )
        sweeper = Sweeper(ledger, blobs, limits.longest_upload)
        seal = self._seal(registry)
        self._every(LOOK_EVERY_S, ListWatch(registry, events, self._clock).look)
        metrics.show_registry(self._metrics, registry, self._clock)
        await _count_open(ledger, self._documents)
        self._every(_COUNT_S, partial(_count_open, ledger, self._documents))
        metrics.show_pool(self._metrics, database)
        self._every(_DAY_S, ledger.ensure_partitions)
        self._every(_DAY_S, partial(self._warn_before_end, seal))
        self._every(limits.sweep_interval_s, partial(sweeper.sweep, remove=True))
        self._certificates = OwnCertificates(CertificatesOnPostgres(database), registry)
        recorder = self._recorder(ledger, registry, hub, seal)
        await self._follow_deadlines(DeadlinesOnPostgres(database), recorder)
        if stamp:
            await self._stamp(StampsOnPostgres(database), registry)
        exchange = self._exchange(ledger, blobs, registry, hub, guard, seal, quotas, recorder)
        await self._listen(
            guard,
            exchange,
            CorrespondenceServicer(Correspondence(CorrespondenceOnPostgres(database))),
            self._evidence(ledger, EvidenceOnPostgres(database), registry, seal, guard),
            self._directory(registry, guard, quotas),
            self._admin(database),
        )

    async def stop(self) -> None:
        """Refuse new calls, let running ones finish, then close everything."""
        limits = self._settings.limits
        await self._health.enter_graceful_shutdown()
        self._drain.draining = True
        if self._server is not None:
            self._hub.close_watches()
            self._certificates.close_watches()
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
        files, now = SealFiles(self._settings.seal), self._clock()
        seal = CentreSeal(files.load(), self._trust, registry, now=now)
        seal.warn_before_end(now)
        self._every(
            self._settings.limits.reload_interval_s, partial(files.follow, seal, self._clock)
        )
        return seal

    async def _warn_before_end(self, seal: CentreSeal) -> None:
        seal.warn_before_end(self._clock())

    def _recorder(
        self, ledger: Ledger, registry: RegistryFollower, hub: AttentionHub, seal: CentreSeal
    ) -> Recorder:
        return Recorder(
            ledger,
            registry,
            seal,
            self._clock,
            FurtherDues(self._deadlines, ledger),
            partial(_statement_recorded, hub, self._documents),
        )

    async def _follow_deadlines(self, ledger: DeadlinesOnPostgres, recorder: Recorder) -> None:
        """Say what is due, let expire what nobody will take, and count; all of it for ever."""
        interval_s = self._settings.deadlines.interval_s
        self._every(interval_s, Reminders(ledger, recorder, self._deadline_clock).run)
        self._every(interval_s, Expiry(ledger, recorder).run)
        count = partial(
            _count_deadlines, ledger, metrics.DeadlineMetrics(self._metrics), self._deadline_clock
        )
        await count()
        self._every(_COUNT_S, count)

    @cached_property
    def _external_tsa(self) -> tuple[x509.Certificate, ...]:
        """Root first, of a time-stamping service that is not the exchange's own."""
        path = self._settings.timestamps.ca
        if path is None:
            return ()
        chain = certificates.load_chain_pem(_read(path))
        roots = [each for each in chain if each.issuer == each.subject]
        if len(roots) != 1:
            raise ConfigurationError(f"{path} must hold exactly one root, it holds {len(roots)}")
        if len(chain) > _LONGEST_TSA_CHAIN:
            raise ConfigurationError(f"{path} holds more than {_LONGEST_TSA_CHAIN} certificates")
        return (*roots, *(each for each in chain if each not in roots))

    async def _stamp(self, ledger: StampsOnPostgres, registry: RegistryFollower) -> None:
        """Have what the centre signs time-stamped, and count what waits; for ever."""
        settings = self._settings.timestamps
        shown = metrics.StampMetrics(self._metrics)
        client = TimeStampingClient(settings.url, timeout_s=settings.timeout_s)
        self._stack.callback(client.close)
        chain = self._external_tsa
        stamper = Stamper(
            ledger,
            client,
            external_judge(chain, certificates.fingerprint(chain[0]))
            if chain
            else own_judge(self._trust, registry),
            self._clock,
            batch_size=settings.batch_size,
            interval_s=settings.interval_s,
            timeout_s=settings.timeout_s,
            clock_tolerance_s=self._settings.limits.clock_tolerance_s,
            failed=shown.failed,
        )
        self._every(settings.interval_s, stamper.run)
        count = partial(_count_stamps, ledger, shown, self._clock)
        await count()
        self._every(min(_COUNT_S, settings.interval_s), count)

    def _exchange(
        self,
        ledger: Ledger,
        blobs: MinioBlobStore,
        registry: RegistryFollower,
        hub: AttentionHub,
        guard: Guard,
        seal: CentreSeal,
        quotas: Quotas,
        recorder: Recorder,
    ) -> ExchangeServicer:
        limits = self._settings.limits
        trust = self._trust
        uploads = Budgets(limits.memory_bytes, limits.unit_memory_bytes)
        downloads = Budgets(limits.download_memory_bytes, limits.unit_download_memory_bytes)
        metrics.show_memory(self._metrics, {"upload": uploads, "download": downloads})
        documents = self._documents
        recent = RecentParts(limits.recent_bytes, limits.recent_part_bytes)
        positions = Positions()
        return ExchangeServicer(
            Submitter(
                ledger=ledger,
                blobs=blobs,
                registry=registry,
                trust=trust,
                seal=seal,
                budgets=uploads,
                recent=recent,
                quotas=quotas,
                clock=self._clock,
                idle_timeout_s=limits.idle_timeout_s,
                dues=self._deadlines.dues,
                accepted=hub.envelope_accepted,
            ),
            Deliverer(
                ledger,
                blobs,
                downloads,
                recent,
                positions,
                limits.idle_timeout_s,
                quotas,
            ),
            Acknowledger(ledger, registry, trust, recorder, positions),
            Tracker(ledger),
            Watcher(hub, ledger, limits.watch_poll_s),
            guard.still_admitted,
            [each.public_bytes(Encoding.DER) for each in (trust.seal_ca, trust.root)],
            limits.idle_timeout_s,
            documents,
        )

    def _evidence(
        self,
        ledger: Ledger,
        evidence: EvidenceOnPostgres,
        registry: RegistryFollower,
        seal: CentreSeal,
        guard: Guard,
    ) -> EvidenceServicer:
        authorities = {
            ROOT_CERTIFICATE: self._trust.root.public_bytes(Encoding.DER),
            seal_ca_path(): self._trust.seal_ca.public_bytes(Encoding.DER),
        }
        return EvidenceServicer(
            EvidenceCollector(
                ledger,
                evidence,
                registry,
                seal,
                self._clock,
                authorities,
                {
                    tsa_path(number): each.public_bytes(Encoding.DER)
                    for number, each in enumerate(self._external_tsa, 1)
                },
                offline.texts(),
            ),
            guard.still_admitted,
        )

    def _directory(
        self, registry: RegistryFollower, guard: Guard, quotas: Quotas
    ) -> DirectoryServicer:
        return DirectoryServicer(
            Directory(registry),
            RouteChecker(registry, self._clock, quotas.standing),
            self._certificates,
            WhoAmI(registry, self._certificates, quotas.standing, self._clock),
            guard.still_admitted,
        )

    def _admin(self, database: Database) -> AdminServicer:
        ledger = EntriesOnPostgres(database)
        comparer = Comparer()
        proposals = Proposals(ledger, self._clock, comparer)
        return AdminServicer(Administrator(ledger, proposals, self._clock, comparer), proposals)

    async def _listen(
        self,
        guard: Guard,
        exchange: ExchangeServicer,
        correspondence: CorrespondenceServicer,
        evidence: EvidenceServicer,
        directory: DirectoryServicer,
        admin: AdminServicer,
    ) -> None:
        server = grpc.aio.server(interceptors=(guard,), options=_options(self._settings))
        exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(exchange, server)
        correspondence_pb2_grpc.add_CorrespondenceServiceServicer_to_server(correspondence, server)
        evidence_pb2_grpc.add_EvidenceServiceServicer_to_server(evidence, server)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [
            exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
            correspondence_pb2.DESCRIPTOR.services_by_name["CorrespondenceService"].full_name,
            evidence_pb2.DESCRIPTOR.services_by_name["EvidenceService"].full_name,
            directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
            admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
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
        if self._settings.metrics.listen:
            port = MetricsPort(self._settings.metrics.listen, self._metrics)
            self._stack.callback(port.close)
            self.metrics_port = port.port
        log.info("listening", address=self._settings.listen, port=self.port)

    def _credentials(self) -> grpc.ServerCredentials:
        tls = self._settings.tls
        return ReloadingCredentials(
            tls.certificate, tls.key, tls.client_ca, clock=self._clock
        ).server_credentials()

    def _every(self, interval_s: float, step: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._tasks.add(asyncio.create_task(every(interval_s, "background_step_failed", step)))


def _statement_recorded(
    hub: AttentionHub, documents: metrics.DocumentMetrics, statement: NewStatement
) -> None:
    position = statement.position
    hub.statement_recorded(
        position.sender, position.envelope_id, position.recipient, statement.seen_by
    )
    documents.step(statement.type.value)


async def _count_open(ledger: Ledger, documents: metrics.DocumentMetrics) -> None:
    documents.open_deliveries(await ledger.open_deliveries())


async def _count_deadlines(
    ledger: DeadlinesOnPostgres, shown: metrics.DeadlineMetrics, clock: Clock
) -> None:
    now = clock()
    shown.standing(await ledger.standing(now), now)


async def _count_stamps(
    ledger: StampsOnPostgres, shown: metrics.StampMetrics, clock: Clock
) -> None:
    shown.standing(await ledger.standing(), clock())


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


def _options(settings: Settings) -> list[tuple[str, int]]:
    limits = settings.limits
    return server_options(
        concurrent_streams=limits.concurrent_streams,
        connection_age_s=limits.connection_age_s,
        longest_call_s=limits.longest_upload_s,
        handshake_s=limits.handshake_s,
        share_port=True,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
