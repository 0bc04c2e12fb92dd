"""For tests of deadlines: a centre that leaves them alone, and processes that look for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from exchange_client.testing import LocalCentre

from document_exchange import manifest
from document_exchange.receipt import Deadline, DeadlineKind, ReceiptType
from exchange_runtime.database import Database
from exchange_runtime.values import Principal
from exchange_server import config
from exchange_server.app import ExchangeServer
from exchange_server.recording import Recorder
from exchange_server.reminders import DueDeadline, Reminders
from exchange_server.storage.deadlines import DeadlinesOnPostgres
from exchange_server.storage.ledger import ledger_database
from exchange_server.values import DeliveryPosition, StatementRecord
from tests.clerk_for_tests import clerk, steps
from tests.integration.conftest import SMALL_CITY
from tests.life_for_tests import Paper, Parties
from tests.real_centre import RECIPIENT, SENDER, CentreInside, document, now

R = ReceiptType
SIGN_FOR, REPLY = DeadlineKind.SIGN_FOR, DeadlineKind.REPLY


@dataclass
class Moved:
    """The clock that deadlines are compared with; it stands still until it is moved."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Row:
    """A deadline as the ledger has it."""

    remind_at: datetime
    due_at: datetime
    reminded: bool
    overdue: bool
    claimed: bool
    failures: int
    answered: bool


@dataclass
class Bench:
    """What the tests work with: the parties, the ledger, and processes that look for deadlines."""

    inside: CentreInside
    parties: Parties
    recorder: Recorder
    clock: Moved
    ledgers: list[DeadlinesOnPostgres]
    """Each with connections of its own, as processes have them."""

    @property
    def ledger(self) -> DeadlinesOnPostgres:
        return self.ledgers[0]

    def reminders(self, number: int = 0) -> Reminders:
        return Reminders(self.ledgers[number], self.recorder, self.clock)

    async def row(
        self, paper: Paper, kind: DeadlineKind = SIGN_FOR, recipient: str = RECIPIENT
    ) -> Row | None:
        async with self.inside.ledger() as owner:
            found = await owner.fetchrow(
                "select remind_at, due_at, reminded, overdue, claimed_until > '-infinity',"
                " failures, answered_by is not null"
                " from exchange.deadlines"
                " where envelope_id = $1::uuid and recipient = $2 and kind = $3",
                paper.envelope_id,
                recipient,
                kind.value,
            )
        return Row(*found) if found else None

    async def due(self, paper: Paper, kind: DeadlineKind = SIGN_FOR) -> datetime:
        """Move the clock to the end of a deadline, and return it."""
        row = await self.row(paper, kind)
        assert row is not None
        self.clock.at = row.due_at
        return row.due_at

    async def claimed(self, *papers: Paper, kind: DeadlineKind = SIGN_FOR) -> list[DueDeadline]:
        """The claim of a process that goes no further for now, on what is due of these."""
        found = await self.ledger.claim_deadlines(self.clock(), timedelta(seconds=30), 10_000)
        ours = {each.envelope_id: each for each in found if each.kind is kind}
        return [ours[paper.envelope_id] for paper in papers]

    async def steps(self, paper: Paper, recipient: str = RECIPIENT) -> list[str]:
        return await steps(self.inside, paper, recipient)

    async def awaited_by(self, paper: Paper) -> list[str]:
        """The sides that have something to see."""
        async with self.inside.ledger() as owner:
            rows = await owner.fetch(
                "select side from exchange.attention where envelope_id = $1::uuid order by side",
                paper.envelope_id,
            )
        return [row["side"] for row in rows]

    async def is_overdue(self, paper: Paper) -> bool:
        found, _ = await self.parties.track(paper, SENDER)
        return found[RECIPIENT].status.overdue

    async def about_deadlines(self, paper: Paper) -> list[str]:
        found = await self.steps(paper)
        return [each for each in found if each in ("REMINDED", "OVERDUE")]


class Holding(DeadlinesOnPostgres):
    """The ledger of a process that has made its claim before."""

    def __init__(self, database: Database, claimed: list[DueDeadline]) -> None:
        super().__init__(database)
        self.claims = [claimed]

    async def claim_deadlines(
        self, now: datetime, claim: timedelta, limit: int
    ) -> list[DueDeadline]:
        return self.claims.pop() if self.claims else []


@dataclass
class Meanwhile:
    """Something happens after it was decided what to say, and before it is recorded."""

    recorder: Recorder
    what: Callable[[], Awaitable[object]]

    def check(self) -> None:
        self.recorder.check()

    async def own(
        self,
        position: DeliveryPosition,
        type_: ReceiptType,
        principal: Principal | None,
        deadline: Deadline | None = None,
    ) -> StatementRecord | None:
        await self.what()
        return await self.recorder.own(position, type_, principal, deadline)


@contextmanager
def idle_centre() -> Iterator[LocalCentre]:
    """A centre of the test's own, because clocks are moved and units closed; it leaves what is due
    to the tests."""
    idle = {"EXCHANGE_SERVER_DEADLINES__INTERVAL_S": "86400"}
    with LocalCentre(registry=SMALL_CITY, environment=idle) as centre:
        yield centre


@asynccontextmanager
async def three_databases(local_centre: LocalCentre) -> AsyncIterator[list[Database]]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    async with AsyncExitStack() as stack:
        opened = [ledger_database(dsn, connections=2, timeout_s=10) for _ in range(3)]
        for each in opened:
            await each.open()
            stack.push_async_callback(each.close)
        yield opened


@asynccontextmanager
async def a_bench(local_centre: LocalCentre, databases: list[Database]) -> AsyncIterator[Bench]:
    inside = CentreInside(local_centre)
    async with Parties(inside) as parties, clerk(inside) as recorder:
        ledgers = [DeadlinesOnPostgres(each) for each in databases]
        yield Bench(inside, parties, recorder, Moved(now()), ledgers)


def asking_for_a_reply(**more: Any) -> manifest.Document:
    return msgspec.structs.replace(document(), reply_required=True, **more)


@asynccontextmanager
async def not_recorded(bench: Bench, paper: Paper) -> AsyncIterator[None]:
    """Meanwhile the ledger refuses every statement about this paper, by an error of its own."""
    async with bench.inside.ledger() as owner:
        await owner.execute(
            "create function public.refuse_statement() returns trigger language plpgsql as"
            " $$ begin raise exception 'nobody thought of this'; end $$"
        )
        try:
            await owner.execute(
                "create trigger refuse_statement before insert on exchange.statements for each row"
                f" when (new.envelope_id = '{paper.envelope_id}')"
                " execute function public.refuse_statement()"
            )
            yield
        finally:
            await owner.execute("drop function public.refuse_statement cascade")


@asynccontextmanager
async def a_server(bench: Bench) -> AsyncIterator[None]:
    """Another process over the same ledger, which looks all the time, by the clock of the tests."""
    settings = config.load(Path(bench.inside.description["settings"]))
    quick = settings.deadlines.model_copy(update={"interval_s": 0.02})
    alone = settings.model_copy(
        update={"listen": "127.0.0.1:0", "metrics": config.Metrics(), "deadlines": quick}
    )
    server = ExchangeServer(alone, deadline_clock=bench.clock)
    await server.start()
    try:
        yield
    finally:
        await server.stop()


async def sign(bench: Bench, paper: Paper) -> None:
    """The recipient signs for it."""
    await bench.parties.say(paper, R.DELIVERED)
    await bench.parties.say(paper, R.SIGNED_FOR)
