"""The parts that services and background work share, opened in the order in which they need
one another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from cryptography import x509
from prometheus_client import CollectorRegistry

from document_exchange.certificates import SealTrust
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.denials import Denials
from exchange_runtime.event_ledger import EventsInLedger
from exchange_runtime.metrics import CallMetrics, new_registry
from exchange_runtime.notifications import Notifications
from exchange_runtime.rpc.guard import Drain, Guard
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_server import policy
from exchange_server.app.stores import blob_store, database_of
from exchange_server.app.trust import external_tsa, seal_trust
from exchange_server.attention import AttentionHub
from exchange_server.config import Limits, Settings
from exchange_server.deadlines import DeadlineRules, FurtherDues
from exchange_server.metrics import DocumentMetrics
from exchange_server.own_certificates import OwnCertificates
from exchange_server.quotas import Quotas
from exchange_server.recording import Recorder
from exchange_server.registry import RegistryFollower
from exchange_server.rpc.metering import method_kinds
from exchange_server.seal_files import SealFiles
from exchange_server.statements import CentreSeal
from exchange_server.storage.blobs import MinioBlobStore
from exchange_server.storage.certificates import CertificatesOnPostgres
from exchange_server.storage.ledger import Ledger
from exchange_server.values import NewStatement


@dataclass(frozen=True)
class Parts:
    """Everything is open and running, until the stack that it was opened on is closed."""

    settings: Settings
    clock: Clock
    metrics: CollectorRegistry
    documents: DocumentMetrics
    database: Database
    ledger: Ledger
    blobs: MinioBlobStore
    registry: RegistryFollower
    hub: AttentionHub
    quotas: Quotas
    guard: Guard
    trust: SealTrust
    tsa_chain: tuple[x509.Certificate, ...]
    """Root first, of a time-stamping service that is not the exchange's own; else none."""
    deadlines: DeadlineRules
    seal_files: SealFiles
    seal: CentreSeal
    certificates: OwnCertificates
    recorder: Recorder


async def open_parts(
    settings: Settings, clock: Clock, drain: Drain, stack: AsyncExitStack
) -> Parts:
    """Open the stores, follow the registry, and make what can sign and record.

    Raises:
        ConfigurationError: a file or setting is wrong.
        Unavailable: ledger or blob store don't answer.
    """
    limits, deadlines = settings.limits, settings.deadlines.rules()
    metrics = new_registry()
    documents = DocumentMetrics(metrics)
    database = database_of(settings.ledger)
    await database.open()
    stack.push_async_callback(database.close)
    stamp = bool(settings.timestamps.url)
    ledger = Ledger(database, longest_upload=limits.longest_upload, stamp=stamp)
    await ledger.ensure_partitions()
    blobs = blob_store(settings.blobs)
    await blobs.probe()
    stack.callback(blobs.close)
    registry = _registry(ledger, clock, limits)
    hub = AttentionHub(ledger)
    denials = Denials(EventsInLedger(database), clock)
    await _follow(database, registry, hub, denials, stack)
    quotas = Quotas(
        ledger,
        lambda unit: registry.current().quota_of(unit),
        method_kinds(),
        lease_s=limits.quota_lease_s,
    )
    stack.push_async_callback(quotas.stop)
    files, trust, now = SealFiles(settings.seal), seal_trust(settings), clock()
    seal = CentreSeal(files.load(), trust, registry, now=now)
    seal.warn_before_end(now)
    return Parts(
        settings=settings,
        clock=clock,
        metrics=metrics,
        documents=documents,
        database=database,
        ledger=ledger,
        blobs=blobs,
        registry=registry,
        hub=hub,
        quotas=quotas,
        guard=_guard(registry, denials, drain, quotas, metrics, clock, limits),
        trust=trust,
        tsa_chain=external_tsa(settings),
        deadlines=deadlines,
        seal_files=files,
        seal=seal,
        certificates=OwnCertificates(CertificatesOnPostgres(database), registry),
        recorder=Recorder(
            ledger,
            registry,
            seal,
            clock,
            FurtherDues(deadlines, ledger),
            partial(_statement_recorded, hub, documents),
        ),
    )


def _registry(ledger: Ledger, clock: Clock, limits: Limits) -> RegistryFollower:
    return RegistryFollower(
        ledger,
        clock=clock,
        interval_s=limits.status_interval_s,
        max_age_s=limits.status_max_age_s,
        clock_tolerance_s=limits.clock_tolerance_s,
    )


async def _follow(
    database: Database,
    registry: RegistryFollower,
    hub: AttentionHub,
    denials: Denials,
    stack: AsyncExitStack,
) -> None:
    notifications = Notifications(
        database,
        {"registry": lambda _payload: registry.wake(), "attention": hub.receive},
    )
    for part in (registry, hub, denials, notifications):
        await part.start()
        stack.push_async_callback(part.stop)
    registry.on_change(hub.wake_all)


def _guard(
    registry: RegistryFollower,
    denials: Denials,
    drain: Drain,
    quotas: Quotas,
    metrics: CollectorRegistry,
    clock: Clock,
    limits: Limits,
) -> Guard:
    return Guard(
        policy.Admission(registry, clock),
        denials,
        drain,
        OpenCalls(limits.unit_calls, limits.unit_watches, policy.WATCHES),
        CallMetrics(metrics),
        unary_limit_s=limits.call_s,
        upload_limit_s=limits.longest_upload_s,
        quotas=quotas,
    )


def _statement_recorded(
    hub: AttentionHub, documents: DocumentMetrics, statement: NewStatement
) -> None:
    position = statement.position
    hub.statement_recorded(
        position.sender, position.envelope_id, position.recipient, statement.seen_by
    )
    documents.step(statement.type.value)
