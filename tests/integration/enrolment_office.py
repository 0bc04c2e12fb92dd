"""The authority's side of enrolment for integration tests: a real ledger and a real authority."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from exchange_pki.authority import Authority
from exchange_pki.publish import Publisher
from exchange_pki.register import Certified
from exchange_pki.service.enrolment import Application, Enrolled, Enrolment
from exchange_pki.service.ledger import AuthorityLedger, authority_database
from exchange_pki.service.seals import Seals
from exchange_pki.service.tokens import Holder, NewToken, Tokens
from exchange_pki.service.worker import AuthorityWorker

from document_exchange import event
from document_exchange.errors import (
    Unavailable,
)
from exchange_runtime.clock import system_clock
from exchange_runtime.database import Database
from exchange_runtime.values import Actor
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage.migrate import migrate
from tests.authority_for_tests import PASSPHRASE, TRUST_DOMAIN, copy_of_authority
from tests.enrolment_for_tests import (
    OTHER_UNIT,
    UNIT,
    Pair,
)

OPERATOR = Actor(f"spiffe://{TRUST_DOMAIN}/staff/operator", "10.0.0.1")
SECURITY_STAFF = Actor(f"spiffe://{TRUST_DOMAIN}/staff/security", "10.0.0.2")
ADDRESS = "10.0.0.7"
SYSTEM, SEALED = Holder(UNIT, "oa"), Holder(UNIT, "oa", "main")

SUSPEND_UNIT = f"update exchange.units set status = 'SUSPENDED' where unit_id = '{UNIT}'"
RESUME_UNIT = f"update exchange.units set status = 'ACTIVE' where unit_id = '{UNIT}'"
REGISTRY = f"""
insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code) values
    ('{UNIT}', '财政局', 'Finance', '财政', 'DEPARTMENT', '005117558'),
    ('{OTHER_UNIT}', '教育局', 'Education', '教育', 'DEPARTMENT', '005117566');
insert into exchange.staff (name, person, full_name, role) values
    ('li.na', '1', '李娜', 'security'), ('wang', '2', '王', 'auditor');
"""


@dataclass
class Office:
    """The authority's side of enrolment, as one process has it, and the owner of its ledger."""

    database: Database
    worker: AuthorityWorker
    tokens: Tokens
    seals: Seals
    enrolment: Enrolment
    owner: asyncpg.Connection
    state: Path
    dsn: str
    """Of the authority's role."""

    async def token(self, holder: Holder = SYSTEM, lifetime_s: int = 0) -> NewToken:
        return await self.tokens.issue(OPERATOR, holder, lifetime_s)

    async def enrol(self, application: Application) -> Enrolled:
        return await self.enrolment.enrol(application, ADDRESS)

    async def events(self, *types: str, about: str) -> list[event.Event]:
        """Events of these types whose detail names this token, in their order."""
        rows = await self.owner.fetch(
            "select event from exchange.events where type = any ($1) order by event_no", list(types)
        )
        found = [event.decode(row["event"]) for row in rows]
        return [each for each in found if (each.detail or {}).get("token_id") == about]

    def with_issuer(self, issuer: Any, **options: Any) -> Enrolment:
        """Another process on the same ledger, which signs so."""
        seals = Seals(self.database, issuer, system_clock)
        return Enrolment(self.database, issuer, seals, system_clock, **options)


class FailingIssuer:
    """Takes part in everything and then dies before it signs what this profile says."""

    def __init__(self, worker: AuthorityWorker, profile: str) -> None:
        self.trust_domain = worker.trust_domain
        self.read = worker.read
        self._worker = worker
        self._profile = profile

    async def issue(self, order: Any, public_key: Any, **more: Any) -> Certified:
        if order.profile == self._profile:
            raise Unavailable
        return await self._worker.issue(order, public_key, **more)


class BriefIssuer(FailingIssuer):
    """Its certificates live for seconds."""

    def __init__(self, worker: AuthorityWorker) -> None:
        super().__init__(worker, "none")

    async def issue(self, order: Any, public_key: Any, **more: Any) -> Certified:
        return await super().issue(order, public_key, lifetime=timedelta(seconds=2), **more)


@asynccontextmanager
async def open_office(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """An office whose ledger is this database."""
    await asyncio.to_thread(migrate, postgres.dsn("owner", database))
    owner = await asyncpg.connect(postgres.dsn("owner", database))
    await owner.execute(REGISTRY)
    state = copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("pki") / "pki", live=True)
    pool = authority_database(postgres.dsn("authority", database), connections=4, timeout_s=10)
    await pool.open()
    worker = AuthorityWorker(
        Authority.load(state, PASSPHRASE), Publisher(AuthorityLedger(pool)), lifetimes={}
    )
    await worker.start()
    seals = Seals(pool, worker, system_clock)
    yield Office(
        database=pool,
        worker=worker,
        tokens=Tokens(pool, system_clock),
        seals=seals,
        enrolment=Enrolment(pool, worker, seals, system_clock),
        owner=owner,
        state=state,
        dsn=postgres.dsn("authority", database),
    )
    await worker.stop()
    await pool.close()
    await owner.close()


async def waiting_seal(office: Office) -> tuple[str, Pair, str]:
    """(request_id, its keys, the token) of a seal that nobody decided about."""
    issued, pair = await office.token(SEALED), Pair()
    enrolled = await office.enrol(pair.application(issued.token))
    assert enrolled.seal is not None
    return enrolled.seal.request_id, pair, issued.token
