"""Deadlines and expiry over the real ledger: each is said once, by whichever process is alive.

Tests move the clock that deadlines are compared with; everything is signed and recorded by the real
one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import msgspec
import pytest
import structlog
from exchange_client.testing import LocalCentre

from document_exchange import manifest, times
from document_exchange.document import Urgency
from document_exchange.errors import Unavailable
from document_exchange.manifest import Recipient, RecipientKind
from document_exchange.receipt import Deadline, DeadlineKind, ReasonCode, ReceiptType, State
from exchange_runtime.database import Database
from exchange_runtime.values import Principal
from exchange_server import config
from exchange_server.app import ExchangeServer
from exchange_server.expiry import Expiry
from exchange_server.recording import Recorder
from exchange_server.registry import RegistryFollower
from exchange_server.reminders import AT_ONCE, DueDeadline, Reminders
from exchange_server.seal_files import SealFiles
from exchange_server.statements import CentreSeal
from exchange_server.storage.deadlines import DeadlinesOnPostgres
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.values import DeadlinesStanding, DeliveryPosition, StatementRecord
from tests.clerk_for_tests import clerk, position_of, short_lived_unit, steps
from tests.integration.conftest import SMALL_CITY
from tests.life_for_tests import Paper, Parties, trust_of, verified
from tests.real_centre import RECIPIENT, SENDER, CentreInside, document, now
from tests.rivals import overtaken, rival

R = ReceiptType
SIGN_FOR, REPLY = DeadlineKind.SIGN_FOR, DeadlineKind.REPLY
COPIED = "qd-tongji"
End: TypeAlias = Callable[["Bench", Paper], Awaitable[None]]


@pytest.fixture(scope="module")
def local_centre() -> Iterator[LocalCentre]:
    """Its own, because clocks are moved and units closed; it leaves what is due to the tests."""
    idle = {"EXCHANGE_SERVER_DEADLINES__INTERVAL_S": "86400"}
    with LocalCentre(registry=SMALL_CITY, environment=idle) as centre:
        yield centre


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
                "select remind_at, due_at, reminded, overdue, claimed_until > '-infinity'"
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


@pytest.fixture
async def databases(local_centre: LocalCentre) -> AsyncIterator[list[Database]]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    async with AsyncExitStack() as stack:
        opened = [ledger_database(dsn, connections=2, timeout_s=10) for _ in range(3)]
        for each in opened:
            await each.open()
            stack.push_async_callback(each.close)
        yield opened


@pytest.fixture
async def bench(local_centre: LocalCentre, databases: list[Database]) -> AsyncIterator[Bench]:
    inside = CentreInside(local_centre)
    async with Parties(inside) as parties, clerk(inside) as recorder:
        ledgers = [DeadlinesOnPostgres(each) for each in databases]
        yield Bench(inside, parties, recorder, Moved(now()), ledgers)


def asking_for_a_reply(**more: Any) -> manifest.Document:
    return msgspec.structs.replace(document(), reply_required=True, **more)


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


async def test_both_sides_see_at_once_what_one_process_says(
    bench: Bench, local_centre: LocalCentre
) -> None:
    """Their watches are at another."""
    async with (
        a_server(bench),
        bench.parties.watching(RECIPIENT, "R") as mine,
        bench.parties.watching(SENDER, "S") as theirs,
    ):
        paper = await bench.parties.send()
        row = await bench.row(paper)
        assert row is not None
        new = await mine.until(paper.envelope_id, RECIPIENT, 0)
        assert new.sign_due.ToDatetime(UTC) == row.due_at
        bench.clock.at = row.remind_at
        assert not (await mine.until(paper.envelope_id, RECIPIENT, 1)).overdue
        assert await bench.awaited_by(paper) == ["R"]
        bench.clock.at = row.due_at
        for watch in (mine, theirs):
            assert (await watch.until(paper.envelope_id, RECIPIENT, 2)).overdue
    assert await bench.steps(paper) == ["REMINDED", "OVERDUE"]
    found, lists = await bench.parties.track(paper, SENDER)
    trust = trust_of(bench.inside)
    said = [verified(trust, paper, each, lists).receipt for each in found[RECIPIENT].statements]
    about = Deadline(kind=SIGN_FOR, due_at=times.format_time(row.due_at))
    both = [(R.REMINDED, about), (R.OVERDUE, about)]
    assert [(each.type, each.deadline) for each in said] == both
    async with local_centre.async_client(SENDER) as client:
        (delivery,) = (await client.track(paper.envelope_id)).deliveries
    assert [(each.type, each.receipt.deadline) for each in delivery.statements] == both


async def test_three_processes_say_each_once(bench: Bench) -> None:
    """More than one of them claims at once; and one goes on alone until nothing is left."""
    units = [await short_lived_unit(bench.inside) for _ in range(AT_ONCE + 5)]
    paper = await bench.parties.send([RECIPIENT, *units])
    row = await bench.row(paper)
    assert row is not None
    expected: list[str] = []
    for moment, processes, said in (
        (row.remind_at, 3, ["REMINDED"]),
        (row.due_at, 1, ["OVERDUE"]),
        (row.due_at + timedelta(days=30), 3, []),
    ):
        bench.clock.at = moment
        await asyncio.gather(*(bench.reminders(number).run() for number in range(processes)))
        expected += said
        for unit in (RECIPIENT, *units):
            assert await bench.steps(paper, unit) == expected


async def test_the_ledger_takes_each_once(bench: Bench) -> None:
    """Whatever a process believes; and no reminder after the end."""
    paper = await bench.parties.send()
    row = await bench.row(paper)
    assert row is not None
    about = Deadline(kind=SIGN_FOR, due_at=times.format_time(row.due_at))
    taken = []
    for kind in (R.REMINDED, R.REMINDED, R.OVERDUE, R.OVERDUE, R.REMINDED):
        position = await position_of(bench.recorder, paper)
        taken.append(await bench.recorder.own(position, kind, None, about) is not None)
    assert taken == [True, False, True, False, False]
    assert await bench.steps(paper) == ["REMINDED", "OVERDUE"]


async def test_of_two_that_have_the_same_claim_one_says_it(
    bench: Bench, databases: list[Database]
) -> None:
    paper = await bench.parties.send()
    due_at = await bench.due(paper)
    (deadline,) = await bench.claimed(paper)
    late = Reminders(Holding(databases[1], [deadline]), bench.recorder, bench.clock)
    dsn = bench.inside.description["ledger"]["dsn_owner"]
    async with rival(dsn, "exchange_server.storage") as first:
        ledger = Ledger(first, longest_upload=timedelta(hours=4))
        recorder = replace(bench.recorder, ledger=ledger)
        position = await ledger.find_position(paper.envelope_id, RECIPIENT)
        assert position is not None
        about = Deadline(kind=SIGN_FOR, due_at=times.format_time(due_at))
        assert await recorder.own(position, R.OVERDUE, None, about)
        assert await overtaken(first, late.run()) == 0
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_another_goes_on_where_one_died_with_its_claim(bench: Bench) -> None:
    paper = await bench.parties.send()
    await bench.due(paper)
    await bench.claimed(paper)
    await bench.reminders(1).run()
    assert await bench.steps(paper) == []
    bench.clock.at += timedelta(seconds=30)
    await bench.reminders(1).run()
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_after_a_standstill_it_is_too_late_for_a_reminder(bench: Bench) -> None:
    paper = await bench.parties.send(document=asking_for_a_reply())
    await bench.due(paper, REPLY)
    await bench.reminders().run()
    assert await bench.steps(paper) == ["OVERDUE", "OVERDUE"]
    row = await bench.row(paper, REPLY)
    assert row is not None
    assert (row.reminded, row.overdue) == (True, True)


async def test_the_delivery_moves_on_and_the_deadline_counts_still(bench: Bench) -> None:
    """What was decided upon a position that is no more is decided anew."""
    paper = await bench.parties.send()
    await bench.due(paper)
    said: list[str] = []

    async def confirm_once() -> None:
        if not said:
            said.append("DELIVERED")
            await bench.parties.say(paper, R.DELIVERED)

    await Reminders(bench.ledger, Meanwhile(bench.recorder, confirm_once), bench.clock).run()
    assert await bench.steps(paper) == ["DELIVERED", "OVERDUE"]


async def sign(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.DELIVERED)
    await bench.parties.say(paper, R.SIGNED_FOR)


async def withdraw(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.WITHDRAWN)


async def refuse(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.REFUSED)


async def declare_void(bench: Bench, paper: Paper) -> None:
    await bench.parties.send(voids=paper.envelope_id)


@pytest.mark.parametrize("end", [sign, withdraw, refuse, declare_void])
@pytest.mark.parametrize("when", ["before", "claimed", "decided"])
async def test_what_need_not_be_signed_for_any_more_is_not_overdue(
    bench: Bench,
    databases: list[Database],
    end: End,
    when: str,
) -> None:
    paper = await bench.parties.send()
    await bench.due(paper)
    if when == "decided":
        done: list[bool] = []

        async def meanwhile() -> None:
            if not done:
                done.append(True)
                await end(bench, paper)

        claimed = await bench.claimed(paper)
        ledger = Holding(databases[0], claimed)
        await Reminders(ledger, Meanwhile(bench.recorder, meanwhile), bench.clock).run()
        assert done
    else:
        claimed = await bench.claimed(paper) if when == "claimed" else []
        await end(bench, paper)
        await Reminders(Holding(databases[0], claimed), bench.recorder, bench.clock).run()
    bench.clock.at += timedelta(days=400)
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == []
    assert await bench.row(paper) is None
    assert not await bench.is_overdue(paper)


async def reply(bench: Bench, paper: Paper) -> None:
    answer = msgspec.structs.replace(
        document(),
        doc_id=f"900000022-2026-{secrets.randbelow(10**9) + 1}",
        issuers=(RECIPIENT,),
        reply_to=paper.envelope_id,
    )
    await bench.parties.send([SENDER], sender=RECIPIENT, document=answer)


async def complete(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.COMPLETED)


async def give_back(bench: Bench, paper: Paper) -> None:
    await bench.parties.say(paper, R.RETURNED, reason_code=ReasonCode.NOT_OUR_REMIT)


@pytest.mark.parametrize("end", [reply, complete, give_back, declare_void])
@pytest.mark.parametrize("overdue", [False, True])
async def test_what_is_answered_or_done_with_is_not_overdue(
    bench: Bench, end: End, overdue: bool
) -> None:
    paper = await bench.parties.send(document=asking_for_a_reply())
    await sign(bench, paper)
    await bench.due(paper, REPLY)
    if overdue:
        await bench.reminders().run()
        assert await bench.is_overdue(paper)
    await end(bench, paper)
    bench.clock.at += timedelta(days=400)
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == ["OVERDUE"] * overdue
    assert await bench.row(paper, REPLY) is None
    assert not await bench.is_overdue(paper)


async def test_a_reply_that_comes_while_its_reminder_is_signed_is_not_reminded_of(
    bench: Bench, databases: list[Database]
) -> None:
    """The delivery itself does not move on by it."""
    paper = await bench.parties.send(document=asking_for_a_reply())
    await sign(bench, paper)
    row = await bench.row(paper, REPLY)
    assert row is not None
    bench.clock.at = row.remind_at
    meanwhile = Meanwhile(bench.recorder, lambda: reply(bench, paper))
    claimed = await bench.claimed(paper, kind=REPLY)
    ledger = Holding(databases[0], claimed)
    await Reminders(ledger, meanwhile, bench.clock).run()
    assert await bench.about_deadlines(paper) == []


async def test_a_reply_is_due_by_the_date_of_the_document_from_those_addressed(
    bench: Bench,
) -> None:
    day = now().date() + timedelta(days=20)
    paper = await bench.parties.send(
        document=asking_for_a_reply(reply_due=day.isoformat()),
        recipients=(
            Recipient(unit=RECIPIENT, kind=RecipientKind.TO),
            Recipient(unit=COPIED, kind=RecipientKind.CC),
        ),
    )
    row = await bench.row(paper, REPLY)
    assert row is not None
    assert row.due_at == datetime(day.year, day.month, day.day, 9, tzinfo=UTC)  # 17:00 there
    assert await bench.row(paper, REPLY, COPIED) is None
    assert await bench.row(paper, SIGN_FOR, COPIED) is not None
    await sign(bench, paper)
    bench.clock.at = row.due_at
    await bench.reminders().run()
    assert await bench.about_deadlines(paper) == ["OVERDUE"]
    assert await bench.steps(paper, COPIED) == ["OVERDUE"]


async def test_what_is_offered_again_has_its_time_anew(bench: Bench) -> None:
    # By the clock: by workdays it might end with the same day of the offices again.
    paper = await bench.parties.send(document=asking_for_a_reply(urgency=Urgency.EXTRA_URGENT))
    first = await bench.row(paper)
    assert first is not None
    await bench.due(paper)
    await bench.reminders().run()
    await bench.parties.say(paper, R.DELIVERED)
    await bench.parties.say(paper, R.REFUSED)
    assert await bench.row(paper) is None
    await bench.parties.say(paper, R.OFFERED_AGAIN)
    again = await bench.row(paper)
    assert again is not None
    assert again.due_at > first.due_at
    assert (again.reminded, again.overdue) == (False, False)
    assert await bench.row(paper, REPLY) is not None
    found, _ = await bench.parties.track(paper, SENDER)
    assert found[RECIPIENT].status.sign_due.ToDatetime(UTC) == again.due_at
    assert not found[RECIPIENT].status.overdue
    bench.clock.at = again.due_at
    await bench.reminders().run()
    assert (await bench.about_deadlines(paper)) == ["OVERDUE", "OVERDUE"]


async def test_a_clock_that_was_ahead_keeps_nothing(bench: Bench) -> None:
    paper = await bench.parties.send()
    due_at = await bench.due(paper)
    bench.clock.at = due_at + timedelta(days=365)
    await bench.claimed(paper)
    bench.clock.at = due_at
    await bench.reminders().run()
    assert await bench.steps(paper) == ["OVERDUE"]


async def test_a_process_that_can_not_sign_claims_nothing(
    bench: Bench, databases: list[Database]
) -> None:
    """Its clock is ahead of the ledger's, so all that it would say is worth nothing."""
    paper = await bench.parties.send()
    await bench.due(paper)
    clock = Moved(now())
    settings = config.load(Path(bench.inside.description["settings"]))
    ledger = Ledger(databases[0], longest_upload=timedelta(hours=4))
    registry = RegistryFollower(ledger, clock=clock, interval_s=3600)
    await registry.start()
    try:
        trust = trust_of(bench.inside)
        seal = CentreSeal(SealFiles(settings.seal).load(), trust, registry, now=now())
        blind = replace(bench.recorder, registry=registry, seal=seal, clock=clock)
        clock.at += timedelta(days=2)
        for step in (Reminders(bench.ledger, blind, clock), Expiry(bench.ledger, blind)):
            with pytest.raises(Unavailable):
                await step.run()
    finally:
        await registry.stop()
    row = await bench.row(paper)
    assert row is not None
    assert not row.claimed
    assert await bench.steps(paper) == []


async def test_a_deadline_of_what_has_ended_goes_and_is_said_once(bench: Bench) -> None:
    """By no step of ours; it must not come again and again."""
    paper, other = await bench.parties.send(), await bench.parties.send()
    due_at = await bench.due(other)
    await withdraw(bench, paper)
    async with bench.inside.ledger() as owner:
        await owner.execute(
            "insert into exchange.deadlines (envelope_id, recipient, kind, remind_at, due_at)"
            " values ($1::uuid, $2, 'REPLY', $3, $3)",
            paper.envelope_id,
            RECIPIENT,
            due_at - timedelta(days=1),
        )
    with structlog.testing.capture_logs() as logs:
        await bench.reminders().run()
        bench.clock.at += timedelta(hours=1)
        await bench.reminders().run()
    dropped = [line["envelope_id"] for line in logs if line["event"] == "deadline_dropped"]
    assert dropped == [paper.envelope_id]
    assert await bench.row(paper, REPLY) is None
    assert await bench.steps(paper) == ["WITHDRAWN"]
    assert await bench.steps(other) == ["OVERDUE"]


async def test_one_that_can_not_be_recorded_does_not_keep_the_others(
    bench: Bench, databases: list[Database]
) -> None:
    """Though it was due first."""
    papers = [await bench.parties.send() for _ in range(3)]
    await bench.due(papers[-1])
    claimed = await bench.claimed(*papers)
    fault = iter([ValueError("nobody thought of this")])

    async def fail_once() -> None:
        for error in fault:
            raise error

    with structlog.testing.capture_logs() as logs:
        ledger = Holding(databases[0], claimed)
        await Reminders(ledger, Meanwhile(bench.recorder, fail_once), bench.clock).run()
    assert [line["envelope_id"] for line in logs if line["event"] == "deadline_not_recorded"] == [
        papers[0].envelope_id
    ]
    assert [await bench.steps(paper) for paper in papers] == [[], ["OVERDUE"], ["OVERDUE"]]
    bench.clock.at += timedelta(seconds=30)
    await bench.reminders().run()
    assert await bench.steps(papers[0]) == ["OVERDUE"]


async def test_what_counts_is_counted(bench: Bench) -> None:
    async def standing(at: datetime) -> dict[DeadlineKind, DeadlinesStanding]:
        return {each.kind: each for each in await bench.ledger.standing(at)}

    await bench.parties.send(document=asking_for_a_reply())
    bench.clock.at = now() + timedelta(days=1000)
    await bench.reminders().run()
    before = await standing(bench.clock.at)
    assert before[SIGN_FOR].waiting_since is None
    paper = await bench.parties.send(document=asking_for_a_reply())
    row = await bench.row(paper)
    assert row is not None
    sent = await standing(row.due_at)
    assert sent[SIGN_FOR].open == before[SIGN_FOR].open + 1
    assert sent[SIGN_FOR].waiting_since == row.remind_at
    bench.clock.at = row.due_at
    await bench.reminders().run()
    after = await standing(row.due_at)
    assert after[SIGN_FOR].overdue == before[SIGN_FOR].overdue + 1
    assert after[SIGN_FOR].open == before[SIGN_FOR].open
    assert after[SIGN_FOR].waiting_since is None


async def close(inside: CentreInside, unit: str, successor: str | None = None) -> None:
    async with inside.ledger() as owner:
        await owner.execute(
            "update exchange.units set status = 'CLOSED', successor = $2 where unit_id = $1",
            unit,
            successor,
        )


async def test_what_waits_for_a_closed_unit_expires_once(bench: Bench) -> None:
    """More than a page of it, and three processes that look at once."""
    units = [await short_lived_unit(bench.inside) for _ in range(AT_ONCE + 5)]
    paper = await bench.parties.send([RECIPIENT, *units])
    for unit in units:
        await close(bench.inside, unit)
    expired = await asyncio.gather(
        *(Expiry(ledger, bench.recorder).run() for ledger in bench.ledgers)
    )
    assert sum(expired) == len(units)
    for unit in units:
        assert await bench.steps(paper, unit) == ["EXPIRED"]
        assert await bench.row(paper, SIGN_FOR, unit) is None
    assert await bench.steps(paper) == []
    found, lists = await bench.parties.track(paper, SENDER)
    trust = trust_of(bench.inside)
    (statement,) = found[units[0]].statements
    said = verified(trust, paper, statement, lists).receipt
    assert (said.type, said.state_after) == (R.EXPIRED, State.EXPIRED)


async def test_the_sender_hears_at_once_that_it_expired(bench: Bench) -> None:
    """By a server that runs, without being told."""
    unit = await short_lived_unit(bench.inside)
    paper = await bench.parties.send([unit])
    async with a_server(bench), bench.parties.watching(SENDER, "S") as watch:
        await close(bench.inside, unit)
        await watch.until(paper.envelope_id, unit, 1)
    assert await bench.steps(paper, unit) == ["EXPIRED"]


async def test_nothing_expires_that_may_still_be_delivered(bench: Bench) -> None:
    followed, suspended = [await short_lived_unit(bench.inside) for _ in range(2)]
    paper = await bench.parties.send([RECIPIENT, followed, suspended])
    await close(bench.inside, followed, successor=RECIPIENT)
    async with bench.inside.ledger() as owner:
        await owner.execute(
            "update exchange.units set status = 'SUSPENDED' where unit_id = $1", suspended
        )
    with structlog.testing.capture_logs() as logs:
        await Expiry(bench.ledger, bench.recorder).run()
    assert "delivery_not_expired" not in {line["event"] for line in logs}
    for unit in (followed, suspended):
        assert await bench.steps(paper, unit) == []
        assert await bench.row(paper, SIGN_FOR, unit) is not None


@pytest.mark.parametrize(
    "statement",
    [
        "insert into exchange.deadlines (envelope_id) select envelope_id from exchange.deadlines",
        "update exchange.deadlines set due_at = now()",
        "delete from exchange.deadlines",
        "select exchange.set_deadlines(null, null, null, null, null, null, null)",
        "select exchange.deadlines_after(null, null, null)",
    ],
)
async def test_a_server_can_move_no_deadline(local_centre: LocalCentre, statement: str) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_no_server_drops_a_deadline_that_counts(bench: Bench) -> None:
    paper = await bench.parties.send()
    await bench.ledger.drop_deadlines(paper.envelope_id, RECIPIENT)
    assert await bench.row(paper) is not None
