"""The composition root: makes the parts of one process of the authority, starts and stops them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import grpc
import structlog
from cryptography.x509 import ObjectIdentifier
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from document_exchange.certificates import SealTrust
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_pki.authority import Authority
from exchange_pki.keys import passphrase_from
from exchange_pki.prepare import Order
from exchange_pki.publish import Publisher
from exchange_pki.service import admission, enrolment, http, ports, time_stamping
from exchange_pki.service.admission import AuthorityAdmission, Callers, CallersInLedger
from exchange_pki.service.config import Settings
from exchange_pki.service.enrolment import Enrolment
from exchange_pki.service.inventory import Inventory
from exchange_pki.service.ledger import AuthorityLedger, authority_database, saying_what_is_wrong
from exchange_pki.service.metrics import StandingMetrics
from exchange_pki.service.ports import Listening
from exchange_pki.service.renewal import Renewal
from exchange_pki.service.revocation import Revoker
from exchange_pki.service.rpc.authority import AuthorityServicer, Steps
from exchange_pki.service.rpc.enrolment import EnrolmentServicer
from exchange_pki.service.schedule import Schedule
from exchange_pki.service.seals import Seals
from exchange_pki.service.time_stamping import TimeStamping
from exchange_pki.service.tokens import Tokens
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.clock import Clock, system_clock
from exchange_runtime.database import Database
from exchange_runtime.denials import Denials
from exchange_runtime.event_ledger import EventsInLedger
from exchange_runtime.following import Follower
from exchange_runtime.metrics import CallMetrics, MetricsPort, new_registry, show_followed
from exchange_runtime.notifications import Notifications
from exchange_runtime.rpc.guard import Drain, Guard
from exchange_runtime.rpc.open_calls import OpenCalls
from exchange_runtime.rpc.open_door import OpenDoor

log = structlog.get_logger(__name__)

AUTHORITY = authority_pb2.DESCRIPTOR.services_by_name["AuthorityService"].full_name


class _Part(Protocol):
    """What is started and stopped with the service."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class _Parts:
    """What the methods of both services are made of."""

    worker: AuthorityWorker
    database: Database
    inventory: Inventory
    admission: AuthorityAdmission
    tsa: TimeStamping | None


class AuthorityService:
    """One process. What it knows beyond its state directory and the ledger is of no weight."""

    def __init__(self, settings: Settings, *, clock: Clock = system_clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = AsyncExitStack()
        self._servers: list[grpc.aio.Server] = []
        self._health = health.aio.HealthServicer()
        self._drain = Drain()
        self._metrics = new_registry()
        self._calls = CallMetrics(self._metrics)

    async def start(self) -> Listening:
        """Open the authority, bring the ledger up to its journal, and listen.

        Raises:
            ConfigurationError: a file or setting is wrong, or the ledger is another authority's.
            KeyUnusable: the authority's keys can't be opened.
            NotPermitted: the DSN's role is not the authority's.
            Unavailable: the ledger does not answer.
        """
        authority = self._open_authority()
        with saying_what_is_wrong():
            database = await self._open_database()
            publisher = Publisher(AuthorityLedger(database))
            worker = AuthorityWorker(authority, publisher, self._settings.lifetimes.by_profile())
            await worker.start()
        self._stack.push_async_callback(worker.stop)
        callers = await self._follow_callers(database)
        events = EventsInLedger(database)
        denials = Denials(events, self._clock)
        refusals = Denials(
            events,
            self._clock,
            most_kinds=self._settings.limits.enrolment_refusals,
            event_type="TOKEN_REFUSED",
        )
        inventory = Inventory(database, self._clock)
        soon = timedelta(days=self._settings.warn_before_days)
        standing = StandingMetrics(self._metrics, database, self._clock, soon)
        tsa = self._time_stamping(authority, worker, callers)
        schedule = self._schedule(worker, inventory, standing, tsa)
        for part in (denials, refusals, schedule):
            await self._begin(part)
        admission_ = AuthorityAdmission(callers, self._clock)
        parts = _Parts(worker, database, inventory, admission_, tsa)
        return await self._listen(
            parts, self._guard(parts.admission, denials), self._door(refusals)
        )

    async def stop(self) -> None:
        """Refuse new calls, let running ones finish, then close everything."""
        await self._health.enter_graceful_shutdown()
        self._drain.draining = True
        if self._servers:
            if not await self._drain.wait_idle(self._settings.limits.drain_s):
                log.warning("calls_cut_off", after_s=self._settings.limits.drain_s)
            await asyncio.gather(*(server.stop(grace=1.0) for server in self._servers))
        await self._stack.aclose()

    def _open_authority(self) -> Authority:
        settings = self._settings
        passphrase = passphrase_from(settings.passphrase_file, os.environ)
        authority = Authority.load(settings.state, passphrase)
        authority.open_keys()
        return authority

    async def _open_database(self) -> Database:
        settings = self._settings.ledger
        database = authority_database(
            settings.dsn.get_secret_value(),
            connections=settings.connections,
            timeout_s=settings.timeout_s,
        )
        await database.open()
        self._stack.push_async_callback(database.close)
        return database

    async def _begin(self, part: _Part) -> None:
        await part.start()
        self._stack.push_async_callback(part.stop)

    async def _follow_callers(self, database: Database) -> Follower[Callers]:
        limits = self._settings.limits
        callers = Follower(
            CallersInLedger(database),
            clock=self._clock,
            interval_s=limits.status_interval_s,
            max_age_s=limits.status_max_age_s,
            clock_tolerance_s=limits.clock_tolerance_s,
        )
        notifications = Notifications(database, {"registry": lambda _payload: callers.wake()})
        await self._begin(callers)
        await self._begin(notifications)
        show_followed(self._metrics, callers)
        return callers

    def _time_stamping(
        self, authority: Authority, worker: AuthorityWorker, callers: Follower[Callers]
    ) -> TimeStamping | None:
        settings = self._settings.timestamps
        if not settings.name:
            return None
        return TimeStamping(
            worker,
            authority.own_key(worker.limited(Order("tsa", settings.name))),
            ObjectIdentifier(settings.policy),
            self._clock,
            callers.current,
            self._metrics,
            address_rate=self._settings.limits.timestamp_address_rate,
        )

    def _schedule(
        self,
        worker: AuthorityWorker,
        inventory: Inventory,
        standing: StandingMetrics,
        tsa: TimeStamping | None,
    ) -> Schedule:
        settings = self._settings
        return Schedule(
            worker,
            inventory,
            follow_interval_s=settings.follow_interval_s,
            crl_interval_s=settings.crl_interval_s,
            warn_before=timedelta(days=settings.warn_before_days),
            count=standing.count,
            renew=[tsa.keep_key] if tsa else [],
        )

    def _guard(self, admitting: AuthorityAdmission, denials: Denials) -> Guard:
        limits = self._settings.limits
        return Guard(
            admitting,
            denials,
            self._drain,
            OpenCalls(limits.caller_calls, limits.caller_calls, admission.WATCHES),
            self._calls,
            unary_limit_s=limits.call_s,
            upload_limit_s=limits.call_s,
        )

    def _door(self, refusals: Denials) -> OpenDoor:
        limits = self._settings.limits
        return OpenDoor(
            actor=enrolment.ACTOR,
            told_apart_by=enrolment.TOLD_APART_BY,
            refusals=refusals,
            drain=self._drain,
            calls=OpenCalls(limits.enrolment_calls, limits.enrolment_calls, frozenset()),
            calls_of_address=OpenCalls(limits.address_calls, limits.address_calls, frozenset()),
            metrics=self._calls,
            limit_s=limits.call_s,
        )

    async def _listen(self, parts: _Parts, guard: Guard, door: OpenDoor) -> Listening:
        settings = self._settings
        authority, authority_address = ports.grpc_server(
            settings, guard, settings.listen, mutual=True
        )
        enrolling, enrolment_address = ports.grpc_server(
            settings, door, settings.enrolment_listen, mutual=False
        )
        listening = Listening(
            authority_address,
            enrolment_address,
            await self._serve_http(parts),
            self._serve_metrics(),
        )
        self._add_services(parts, authority, enrolling, listening)
        for server in (authority, enrolling):
            await server.start()
            self._servers.append(server)
        for name in ("", AUTHORITY):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("listening", **listening.as_json())
        return listening

    def _add_services(
        self,
        parts: _Parts,
        authority: grpc.aio.Server,
        enrolling: grpc.aio.Server,
        listening: Listening,
    ) -> None:
        settings, worker, database = self._settings, parts.worker, parts.database
        seals = Seals(database, worker, self._clock)
        trust = SealTrust(worker.trust.root, worker.trust.seal_ca)
        steps = Steps(
            worker,
            Renewal(worker, trust, parts.admission.role_of, self._clock),
            Revoker(worker, parts.inventory),
            parts.inventory,
        )
        authority_pb2_grpc.add_AuthorityServiceServicer_to_server(
            AuthorityServicer(
                steps,
                tokens=Tokens(database, self._clock),
                seals=seals,
                root_fingerprint=worker.root_fingerprint,
                enrolment_address=settings.enrolment_address or listening.enrolment,
            ),
            authority,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, authority)
        authority_pb2_grpc.add_EnrolmentServiceServicer_to_server(
            EnrolmentServicer(
                Enrolment(
                    database, worker, seals, self._clock, seal_approval=settings.seal_approval
                ),
                worker.trust,
                check_followed=parts.admission.callers.current,
                centre_address=settings.centre_address,
                authority_address=settings.authority_address or listening.authority,
            ),
            enrolling,
        )

    async def _serve_http(self, parts: _Parts) -> str:
        settings = self._settings
        port = http.HttpPort(
            http.resources(parts.worker),
            _desks(parts.tsa),
            most_connections=settings.limits.http_connections,
            most_of_address=settings.limits.http_address_connections,
            limit_s=settings.limits.http_s,
        )
        number = await port.start(settings.http_listen)
        self._stack.push_async_callback(port.stop)
        return ports.address(settings.http_listen, number)

    def _serve_metrics(self) -> str:
        listen = self._settings.metrics_listen
        if not listen:
            return ""
        port = MetricsPort(listen, self._metrics)
        self._stack.callback(port.close)
        return ports.address(listen, port.port)


def _desks(tsa: TimeStamping | None) -> Mapping[str, http.Desk]:
    if tsa is None:
        return {}
    types = time_stamping.QUERY_TYPE, time_stamping.REPLY_TYPE
    return {
        time_stamping.PATH: http.Desk(
            *types, time_stamping.LONGEST_QUERY_BYTES, tsa.admit, tsa.answer
        ),
    }


async def serve(settings: Settings, ready: Callable[[Listening], None]) -> None:
    """Run one service until SIGTERM or SIGINT, then drain. ``ready`` is told its addresses."""
    service = AuthorityService(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        ready(await service.start())
        await stop.wait()
        log.info("stopping")
    finally:
        await service.stop()
