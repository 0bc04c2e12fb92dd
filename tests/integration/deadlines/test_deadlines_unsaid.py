"""Deadlines over the real ledger: what can't be said now waits, and holds up nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives import hashes

from document_exchange import identity, times
from document_exchange.errors import Unavailable
from document_exchange.receipt import Deadline, DeadlineKind, ReceiptType
from exchange_runtime.database import Database
from exchange_runtime.values import Principal
from exchange_server import config
from exchange_server.expiry import Expiry
from exchange_server.registry import RegistryFollower
from exchange_server.reminders import AT_ONCE, DueDeadline, Reminders
from exchange_server.seal_files import SealFiles
from exchange_server.statements import CentreSeal
from exchange_server.storage.ledger import Ledger, ledger_database
from tests.clerk_for_tests import position_of, short_lived_unit
from tests.deadlines_for_tests import (
    Bench,
    Holding,
    Meanwhile,
    Moved,
    not_recorded,
)
from tests.ended_lists import ended_lists
from tests.life_for_tests import trust_of
from tests.real_centre import RECIPIENT, now

R = ReceiptType
SIGN_FOR = DeadlineKind.SIGN_FOR


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
    bench.clock.at += timedelta(seconds=60)
    await bench.reminders().run()
    assert await bench.steps(papers[0]) == ["OVERDUE"]


async def test_more_than_a_batch_that_the_ledger_refuses_keeps_nothing_behind_it(
    bench: Bench,
) -> None:
    """They rest, twice as long each time, for all processes; one traceback each is enough."""
    units = [await short_lived_unit(bench.inside) for _ in range(AT_ONCE + 1)]
    paper, behind = await bench.parties.send(units), await bench.parties.send()
    await bench.due(behind)

    async def tried(number: int) -> list[tuple[int, bool]]:
        """How often each had failed, and whether its traceback was logged."""
        with structlog.testing.capture_logs() as logs:
            await bench.reminders(number).run()
        return [
            (line["failures"], line["exc_info"])
            for line in logs
            if line["event"] == "deadline_not_recorded"
        ]

    async with not_recorded(bench, paper):
        assert await tried(0) == [(1, True)] * len(units)
        assert await bench.steps(behind) == ["OVERDUE"]
        for rest_s, failures in ((60, 2), (120, 3)):
            bench.clock.at += timedelta(seconds=rest_s - 1)
            assert await tried(1) == []
            bench.clock.at += timedelta(seconds=1)
            assert await tried(2) == [(failures, False)] * len(units)
    bench.clock.at += timedelta(seconds=240)
    assert await tried(1) == []
    assert [await bench.steps(paper, unit) for unit in units] == [["OVERDUE"]] * len(units)


async def test_none_rests_longer_than_an_hour(bench: Bench) -> None:
    paper = await bench.parties.send()
    row = await bench.row(paper)
    assert row is not None
    bench.clock.at = row.remind_at
    claim = timedelta(seconds=30)
    due = DueDeadline(paper.envelope_id, RECIPIENT, SIGN_FOR, row.due_at)
    for failures in range(1, 30):
        assert await bench.ledger.rest_deadline(due, row.remind_at, claim) == failures
    bench.clock.at = row.remind_at + timedelta(seconds=3599)
    await bench.reminders().run()
    assert await bench.steps(paper) == []
    bench.clock.at += timedelta(seconds=1)
    await bench.reminders().run()
    assert await bench.steps(paper) == ["REMINDED"]
    said = await bench.row(paper)
    assert said is not None
    assert (said.failures, said.claimed) == (0, False)


async def test_one_whose_delivery_is_locked_does_not_keep_those_it_was_claimed_with(
    bench: Bench,
) -> None:
    """The ledger answers, but for this one."""
    papers = [await bench.parties.send() for _ in range(2)]
    await bench.due(papers[-1])
    dsn = bench.inside.description["ledger"]["dsn_exchange"]
    quick = ledger_database(dsn, connections=2, timeout_s=0.5)
    await quick.open()
    try:
        recorder = replace(bench.recorder, ledger=Ledger(quick, longest_upload=timedelta(hours=4)))
        async with bench.inside.ledger() as owner, owner.transaction():
            await owner.execute(
                "select from exchange.deliveries where envelope_id = $1::uuid for update",
                papers[0].envelope_id,
            )
            await Reminders(bench.ledger, recorder, bench.clock).run()
    finally:
        await quick.close()
    assert [await bench.steps(paper) for paper in papers] == [[], ["OVERDUE"]]


async def test_while_the_lists_have_ended_the_centre_says_nothing_by_itself(bench: Bench) -> None:
    """Nobody could ever check it. What a recipient confirms is recorded all the same."""
    paper = await bench.parties.send()
    due_at = await bench.due(paper)
    ended = replace(bench.recorder, registry=ended_lists(bench.recorder.registry))
    for step in (Reminders(bench.ledger, ended, bench.clock), Expiry(bench.ledger, ended)):
        with pytest.raises(Unavailable, match="revocation lists have ended"):
            await step.run()
    row = await bench.row(paper)
    assert row is not None
    assert not row.claimed
    # They may end after it was looked.
    position = await position_of(bench.recorder, paper)
    about = Deadline(kind=SIGN_FOR, due_at=times.format_time(due_at))
    with pytest.raises(Unavailable, match="revocation lists have ended"):
        await ended.own(position, R.OVERDUE, None, about)
    certificate = bench.inside.unit(RECIPIENT).certificate
    caller = Principal(
        identity.of_certificate(certificate),
        certificate.fingerprint(hashes.SHA256()),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        "127.0.0.1",
    )
    assert await ended.own(position, R.DELIVERED, caller)
    assert await bench.steps(paper) == ["DELIVERED"]
