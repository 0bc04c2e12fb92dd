"""What a server process counts of documents and deliveries, and what it shows of its own state."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from document_exchange.receipt import DeadlineKind, State
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.metrics import gauge, show_followed
from exchange_server.budget import Budgets
from exchange_server.registry import Registry, RegistryFollower
from exchange_server.stamping import StampsStanding
from exchange_server.values import DeadlinesStanding

_SOON = timedelta(days=10)
"""A third of a system certificate's life: those that end sooner were not renewed in time."""
_PROFILES = ("system", "seal", "staff", "server", "centre-seal")
_OPEN_STATES = (State.PENDING, State.DELIVERED)


class DocumentMetrics:
    """Counters that the edge feeds; all of them are of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._documents = Counter(
            "exchange_documents",
            "Documents by what became of them: ACCEPTED, REPEATED, or the code of the refusal.",
            ("outcome",),
            registry=registry,
        )
        self._steps = Counter(
            "exchange_delivery_steps",
            "Statements recorded about deliveries, by type of receipt.",
            ("type",),
            registry=registry,
        )
        self._bytes = Counter(
            "exchange_part_bytes",
            "Bytes of parts, by direction: received from senders, sent to recipients.",
            ("direction",),
            registry=registry,
        )
        self._deliveries = Gauge(
            "exchange_deliveries_open",
            "Deliveries that await their recipient, by state, in the whole ledger.",
            ("state",),
            registry=registry,
        )
        self._received = self._bytes.labels("received")
        self._sent = self._bytes.labels("sent")

    def document(self, outcome: str) -> None:
        """A submission ended: accepted, repeated, or refused with this code."""
        self._documents.labels(outcome).inc()

    def step(self, type_: str) -> None:
        """A statement was recorded."""
        self._steps.labels(type_).inc()

    def received(self, count: int) -> None:
        """Bytes of a part came in."""
        self._received.inc(count)

    def sent(self, count: int) -> None:
        """Bytes of a part went out."""
        self._sent.inc(count)

    def open_deliveries(self, found: Iterable[tuple[str, int]]) -> None:
        """How many deliveries the ledger has in each open state."""
        counts = dict(found)
        for state in _OPEN_STATES:
            self._deliveries.labels(state.value).set(counts.get(state.value, 0))


class DeadlineMetrics:
    """What the whole ledger has of deadlines, whichever process counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "exchange_deadlines_open",
            "Deadlines that count and were not said to be overdue, by kind, in the whole ledger.",
            ("kind",),
            registry=registry,
        )
        self._overdue = Gauge(
            "exchange_deadlines_overdue",
            "Deadlines that have passed and still count, by kind, in the whole ledger.",
            ("kind",),
            registry=registry,
        )
        self._lag = Gauge(
            "exchange_deadlines_lag_seconds",
            "For how long a reminder or OVERDUE has been due that no process has recorded.",
            registry=registry,
        )

    def standing(self, found: Iterable[DeadlinesStanding], now: datetime) -> None:
        """What the ledger has of each kind."""
        kinds = {each.kind: each for each in found}
        for kind in DeadlineKind:
            standing = kinds.get(kind)
            self._open.labels(kind.value).set(standing.open if standing else 0)
            self._overdue.labels(kind.value).set(standing.overdue if standing else 0)
        waiting = [each.waiting_since for each in kinds.values() if each.waiting_since]
        self._lag.set((now - min(waiting)).total_seconds() if waiting else 0.0)


class StampMetrics:
    """What of the centre's signatures awaits a time-stamp, in the whole ledger; own failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queued = Gauge(
            "exchange_stamps_queued",
            "Signatures of the centre that are in no batch yet.",
            registry=registry,
        )
        self._open = Gauge(
            "exchange_stamp_batches_open", "Batches without a time-stamp.", registry=registry
        )
        self._age = Gauge(
            "exchange_stamps_waiting_seconds",
            "For how long the oldest signature without a time-stamp has waited; 0: none waits.",
            registry=registry,
        )
        self._last = Gauge(
            "exchange_stamps_last_timestamp_seconds",
            "The time of the last time-stamp, as Unix time; 0: there is none.",
            registry=registry,
        )
        self._failures = Counter(
            "exchange_stamp_failures",
            "Times that this process asked for a time-stamp and got none that is acceptable.",
            registry=registry,
        )

    def failed(self) -> None:
        """A batch got no token."""
        self._failures.inc()

    def standing(self, found: StampsStanding, now: datetime) -> None:
        """What the ledger has."""
        self._queued.set(found.queued)
        self._open.set(found.open_batches)
        waiting = (now - found.waiting_since).total_seconds() if found.waiting_since else 0.0
        self._age.set(max(waiting, 0.0))
        self._last.set(found.stamped_at.timestamp() if found.stamped_at else 0.0)


def show_registry(metrics: CollectorRegistry, follower: RegistryFollower, clock: Clock) -> None:
    """What the interceptor goes by: how old it is, and which certificates end soon."""
    show_followed(metrics, follower)
    gauge(
        metrics,
        "exchange_registry_version",
        "The version of the registry that this process goes by.",
        lambda: float(follower.last.version if follower.last else 0),
    )
    metrics.register(_EndingCertificates(follower, clock))
    lists = Gauge(
        "exchange_crl_next_update_timestamp_seconds",
        "When the newest revocation list ends, as Unix time, by issuer; 0: there is none.",
        ("issuer",),
        registry=metrics,
    )
    for issuer in ("root", "seal-ca"):
        lists.labels(issuer).set_function(partial(_next_update, issuer, follower, clock))


def show_memory(metrics: CollectorRegistry, budgets: dict[str, Budgets]) -> None:
    """How much of the memory for documents is in use, by use (upload, download)."""
    used = Gauge(
        "exchange_memory_used_bytes",
        "Bytes of documents in memory, by use.",
        ("use",),
        registry=metrics,
    )
    for use, budget in budgets.items():
        used.labels(use).set_function(partial(_used, budget))


def show_pool(metrics: CollectorRegistry, database: Database) -> None:
    """How busy the connections to the ledger are."""
    gauge(
        metrics,
        "exchange_ledger_connections_in_use",
        "Connections to the ledger with a query running.",
        lambda: float(database.in_use),
    )
    gauge(
        metrics,
        "exchange_ledger_connections_limit",
        "Connections to the ledger that this process may have (ledger.connections).",
        lambda: float(database.connections),
    )


def _used(budget: Budgets) -> float:
    return float(budget.used_bytes)


class _EndingCertificates(Collector):
    """Counts all profiles in one pass, and only when somebody looks."""

    def __init__(self, follower: RegistryFollower, clock: Clock) -> None:
        self._follower = follower
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        found = GaugeMetricFamily(
            "exchange_certificates_ending",
            "Valid certificates that end within 10 days and have no successor, by profile.",
            labels=("profile",),
        )
        ending = _ending(self._follower.last, self._clock())
        for profile in _PROFILES:
            found.add_metric((profile,), ending[profile])
        return (found,)


def _ending(registry: Registry | None, now: datetime) -> Tally[str]:
    """Counted over whole holders: who has a certificate that lasts longer needs no renewal."""
    lasting: dict[tuple[str, str], datetime] = {}
    for certificate in registry.certificates.values() if registry else ():
        if not certificate.revoked and certificate.not_before <= now < certificate.not_after:
            key = (certificate.profile, certificate.identity)
            lasting[key] = max(certificate.not_after, lasting.get(key, certificate.not_after))
    return Tally(profile for (profile, _), until in lasting.items() if until - now < _SOON)


def _next_update(issuer: str, follower: RegistryFollower, clock: Clock) -> float:
    registry = follower.last
    if registry is None:
        return 0.0
    lists = registry.root_crls if issuer == "root" else registry.seal_crls
    now = clock()
    begun = (crl.next_update.timestamp() for crl in lists if crl.this_update <= now)
    return max(begun, default=0.0)
