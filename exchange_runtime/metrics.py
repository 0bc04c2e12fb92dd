"""Metrics of a service process in Prometheus's format, on a port of their own.

The port is for an operations network: it says how much is exchanged, never by whom. Each process
has its own registry of metrics; names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from document_exchange.errors import ConfigurationError

_CALL_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)


def new_registry() -> CollectorRegistry:
    """The metrics of one process: empty but for its memory, CPU time and open files."""
    # Otherwise each counter has a second series, which nobody reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class MeasuredCall:
    """One call while it runs; ``code`` is OK until it is answered otherwise."""

    __slots__ = ("code",)

    def __init__(self) -> None:
        self.code = "OK"


class CallMetrics:
    """How many calls there were, how they ended and how long they took, by method.

    ``method`` is without the package: ``ExchangeService/Submit``. Methods that the service does
    not have never come here, so nobody can invent label values.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "exchange_calls",
            "Calls that ended, by method and by OK, CANCELLED or the code of the error.",
            ("method", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "exchange_call_duration_seconds",
            "How long calls took until their end; watches last as long as they are open.",
            ("method",),
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._open = Gauge(
            "exchange_calls_open", "Calls that are open now.", ("method",), registry=registry
        )

    @contextmanager
    def call(self, method: str) -> Iterator[MeasuredCall]:
        """Measure one call for as long as the context lasts; the caller sets its code."""
        name = method.rpartition(".")[2]
        measured = MeasuredCall()
        started = time.monotonic()
        self._open.labels(name).inc()
        try:
            yield measured
        finally:
            self._open.labels(name).dec()
            self._ended.labels(name, measured.code).inc()
            self._seconds.labels(name).observe(time.monotonic() - started)


def gauge(registry: CollectorRegistry, name: str, words: str, read: Callable[[], float]) -> None:
    """A gauge that is read when somebody looks; ``read`` runs in the exporter's thread."""
    Gauge(name, words, registry=registry).set_function(read)


class Followed(Protocol):
    """What a process goes by, and how old it is."""

    @property
    def max_age_s(self) -> float: ...

    def age_s(self) -> float: ...


def show_followed(registry: CollectorRegistry, followed: Followed) -> None:
    """How old it is what this process knows of who is admitted."""
    gauge(
        registry,
        "exchange_registry_age_seconds",
        "Seconds since this process knew who is admitted; beyond the maximum it admits nobody.",
        followed.age_s,
    )
    gauge(
        registry,
        "exchange_registry_max_age_seconds",
        "The age beyond which this process admits nobody (limits.status_max_age_s).",
        lambda: followed.max_age_s,
    )


class MetricsPort:
    """Serves one process's metrics over plain HTTP until it is closed."""

    def __init__(self, listen: str, registry: CollectorRegistry) -> None:
        """``listen`` is HOST:PORT; port 0 takes a free one, see ``port``.

        Raises:
            ConfigurationError: it can't be listened on.
        """
        host, _, port = listen.rpartition(":")
        try:
            found: tuple[WSGIServer, threading.Thread] = start_http_server(
                int(port), host.strip("[]"), registry
            )
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"can't listen on {listen} for metrics: {error}") from error
        self._server, self._thread = found
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
