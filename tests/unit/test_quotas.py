"""Quotas: never more than the limit and the slack that is promised, and no call waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_exchange import identity
from document_exchange.errors import QuotaExceeded
from exchange_runtime.values import Principal
from exchange_server.quota_leases import (
    ANSWER_SOON_S,
    Ask,
    Grant,
    LevelLease,
    allowance_of,
    slice_of,
)
from exchange_server.quota_rates import RateLease
from exchange_server.quotas import RESOURCES, MethodKinds, Quotas, Standing
from exchange_server.registry import Quota
from exchange_server.rpc.metering import method_kinds
from tests.pki_for_tests import NOW
from tests.quotas_for_tests import MINUTE_S, QuotaBooks, quota

CALL, SUBMIT, DOWNLOAD, WATCH = "/Call", "/Submit", "/DownloadPart", "/Watch"
KINDS = MethodKinds(
    submissions=frozenset({SUBMIT}),
    streams=frozenset({SUBMIT, DOWNLOAD, WATCH}),
    transfers=frozenset({SUBMIT, DOWNLOAD}),
)
UNIT = "qd-caizheng"
LEASE_S = 15.0


def principal(spiffe_path: str = f"unit/{UNIT}/system/oa") -> Principal:
    return Principal(
        identity=identity.parse(f"spiffe://exchange.example/{spiffe_path}"),
        fingerprint=bytes(32),
        not_before=NOW,
        not_after=NOW,
        address="10.0.0.7",
    )


def process(books: QuotaBooks) -> Quotas:
    return Quotas(books, lambda _unit: books.quota, KINDS, lease_s=LEASE_S, now=books.clock)


async def answered() -> None:
    """Let what is under way to the ledger and back arrive; it answers at once or not at all."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of the clock of the loop alone
            await asyncio.sleep(0.005)


def passed(quotas: Quotas, count: int, method: str = CALL) -> int:
    """How many of so many calls pass that come at once."""
    found = 0
    for _ in range(count):
        try:
            with quotas.place(principal(), method):
                found += 1
        except QuotaExceeded:
            pass
    return found


# ------------------------------------------------------------------ the promise, over processes

PAUSES_S = st.sampled_from([0.0, 0.001, 0.3, 1.0, 7.0, 20.0, 59.9, 60.0])
STEPS = st.lists(
    st.tuples(PAUSES_S, st.integers(0, 3), st.sampled_from(["take"] * 4 + ["ledger", "answer"])),
    max_size=250,
)


class Process:
    """One process's lease, its ask on the way to the ledger, and the answer on the way back."""

    def __init__(self, books: QuotaBooks, limit: int) -> None:
        self.books = books
        self.lease = RateLease(limit)
        self.ask: Ask | None = None
        self.answer: Grant | None = None

    def take(self, amount: int) -> int:
        now = self.books.now
        taken = amount if self.lease.wait_s(now) == 0 else 0
        self.lease.take(taken, now)
        if self.lease.is_due(now):
            self.ask = self.lease.ask(now)
        return taken

    def ledger(self) -> None:
        if self.ask is not None:
            self.answer = self.books.rate("calls_per_minute", self.ask)
            self.ask = None

    def tell(self) -> None:
        """Ask if it is due, and have the answer at once."""
        if self.lease.is_due(self.books.now):
            self.ask = self.lease.ask(self.books.now)
            self.ledger()
            self.answered()

    def answered(self) -> None:
        if self.answer is not None:
            self.lease.answered(self.answer.granted, self.answer.retry_s, self.books.now)
            self.answer = None


@settings(max_examples=400, deadline=None)
@given(limit=st.integers(1, 200), steps=STEPS, amounts=st.lists(st.integers(1, 30), min_size=1))
def test_no_minute_has_more_than_limit_and_slack(
    limit: int, steps: list[tuple[float, int, str]], amounts: list[int]
) -> None:
    """Four processes take as much as they can; asks and answers are late, in whatever order."""
    books = QuotaBooks(quota(calls_per_minute=limit))
    processes = [Process(books, limit) for _ in range(4)]
    taken: list[tuple[float, int]] = []
    for turn, (pause_s, number, what) in enumerate(steps):
        books.now += pause_s
        if what == "take":
            amount = processes[number].take(amounts[turn % len(amounts)])
            taken.append((books.now, amount))
        elif what == "ledger":
            processes[number].ledger()
        else:
            processes[number].answered()
    slack = 1.5 * slice_of(limit) + allowance_of(limit) + max(amounts) - 1
    for began, _ in taken:
        minute = sum(amount for at, amount in taken if began <= at < began + MINUTE_S)
        assert minute <= limit + len(processes) * slack


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(1, 200), pauses_s=st.lists(PAUSES_S, min_size=1, max_size=100))
def test_a_wait_is_as_long_as_it_says(limit: int, pauses_s: list[float]) -> None:
    """After it, something passes; a moment before, nothing does."""
    books = QuotaBooks(quota(calls_per_minute=limit))
    lease = RateLease(limit)

    def ask() -> None:
        if lease.is_due(books.now):
            grant = books.rate("calls_per_minute", lease.ask(books.now))
            lease.answered(grant.granted, grant.retry_s, books.now)

    for pause_s in pauses_s:
        books.now += pause_s
        while not (wait_s := lease.wait_s(books.now)):
            lease.take(1, books.now)
            ask()
        assert 0 < wait_s <= MINUTE_S + 1
        books.now += wait_s - 0.001
        assert lease.wait_s(books.now) > 0
        books.now += 0.002
        ask()
        assert lease.wait_s(books.now) == 0


def test_all_of_the_limit_can_be_used_minute_after_minute() -> None:
    """By three processes; nothing is lost in slices but what the others hold unused."""
    limit = 600
    books = QuotaBooks(quota(calls_per_minute=limit))
    processes = [Process(books, limit) for _ in range(3)]
    taken = 0
    for _ in range(10 * 60 * 20):
        books.now += 1 / 20
        for each in processes:
            taken += each.take(1)
            each.ledger()
            each.answered()
    assert taken >= 10 * limit * 0.9


def test_in_the_long_run_a_unit_gets_its_limit_and_no_more() -> None:
    """However it divides its calls over processes, and however late the answers are."""
    limit, minutes = 600, 10
    books = QuotaBooks(quota(calls_per_minute=limit))
    processes = [Process(books, limit) for _ in range(4)]
    taken = 0
    for step in range(minutes * 60 * 10):
        books.now += 1 / 10
        for number, each in enumerate(processes):
            taken += sum(each.take(1) for _ in range(10))
            if step % 4 == number:
                each.answered()
                each.ledger()
    once = len(processes) * (1.5 * slice_of(limit) + allowance_of(limit))
    assert limit * minutes * 0.8 <= taken <= limit * minutes + once


def test_a_document_larger_than_the_limit_is_taken_whole_and_lasts() -> None:
    books = QuotaBooks(quota(bytes_per_minute=1000))
    one, other = RateLease(1000), RateLease(1000)

    def ask(lease: RateLease) -> None:
        grant = books.rate("bytes_per_minute", lease.ask(books.now))
        lease.answered(grant.granted, grant.retry_s, books.now)

    one.take(2500, books.now)
    assert one.is_due(books.now)
    ask(one)
    other.take(1, books.now)
    ask(other)
    for lease in (one, other):
        assert 120 < lease.wait_s(books.now) < 122, "two minutes are full, the third has room"


@pytest.mark.parametrize("size", [900, 1001, 1500, 1999, 7300])
def test_large_documents_get_the_limit_in_the_long_run(size: int) -> None:
    """Each taken whole as soon as anything is free."""
    limit, minutes = 1000, 200
    books = QuotaBooks(quota(calls_per_minute=limit))
    process = Process(books, limit)
    taken = 0
    for _ in range(minutes * 60):
        books.now += 1
        taken += process.take(size)
        process.ledger()
        process.answered()
    assert 0.8 * limit * minutes <= taken <= limit * minutes + 2 * size


def told(books: QuotaBooks, lease: RateLease) -> None:
    """The ledger is asked, and answers at once."""
    grant = books.rate("bytes_per_minute", lease.ask(books.now))
    lease.answered(grant.granted, grant.retry_s, books.now)


def counted(books: QuotaBooks) -> int:
    return sum(amount for until, amount, _ in books.grants["bytes_per_minute"] if until > books.now)


@pytest.mark.parametrize("size", [900, 30_000, 1_000_000])
def test_what_did_not_come_is_given_back_to_all_and_nothing_else(size: int) -> None:
    """What others used, or this process before, counts on; however much was declared."""
    books = QuotaBooks(quota(bytes_per_minute=1000))
    other, lease = RateLease(1000), RateLease(1000)
    other.take(400, books.now)
    told(books, other)
    taking = lease.take(size, books.now)
    told(books, lease)
    lease.give_back(size - 100, taking, books.now)
    assert lease.is_due(books.now), "the others wait for it"
    told(books, lease)
    held = other.unused(books.now) + lease.unused(books.now)
    assert counted(books) == 400 + 100 + held
    assert held <= 2 * slice_of(1000)


@pytest.mark.parametrize("by_another", [True, False])
@pytest.mark.parametrize("later_s", [0, 30, 58, 59, 62, 100, 400])
def test_what_is_given_back_late_is_nothing_that_was_used_meanwhile(
    later_s: float, by_another: bool
) -> None:
    books = QuotaBooks(quota(bytes_per_minute=1000))
    lease = RateLease(1000)
    other = RateLease(1000) if by_another else lease
    taking = lease.take(900, books.now)
    told(books, lease)
    books.now += later_s
    other.take(700, books.now)
    told(books, other)
    lease.give_back(900, taking, books.now)
    if lease.is_due(books.now):
        told(books, lease)
    books.now += 59
    assert counted(books) >= 700, "for the minute after it was used"


def test_declaring_and_hanging_up_makes_no_room() -> None:
    """Two processes: one moves bytes, the other declares much and hangs up, all the while."""
    limit, minutes = 10_000, 5
    books = QuotaBooks(quota(calls_per_minute=limit))
    real, false = Process(books, limit), Process(books, limit)
    taken = 0
    for step in range(minutes * 60 * 4):
        books.now += 0.25
        taken += real.take(150)
        real.ledger()
        real.answered()
        if false.lease.wait_s(books.now) == 0:
            taking = false.lease.take(100 * limit, books.now)
            if step % 2:  # told to the ledger, or not yet
                false.tell()
            false.lease.give_back(100 * limit, taking, books.now)
        false.tell()
    assert taken <= limit * minutes + 2 * slice_of(limit) + 150


def test_what_was_given_back_to_a_slice_ends_with_it() -> None:
    books = QuotaBooks(quota(bytes_per_minute=1000))
    lease = RateLease(1000)
    told(books, lease)
    assert lease.unused(books.now) == slice_of(1000)
    for _ in range(3):
        books.now += 19
        taking = lease.take(slice_of(1000), books.now)
        lease.give_back(slice_of(1000), taking, books.now)
        assert lease.unused(books.now) == slice_of(1000)
    books.now += 3
    assert lease.unused(books.now) == 0


def test_giving_back_often_hoards_nothing() -> None:
    books = QuotaBooks(quota(bytes_per_minute=1000))
    lease = RateLease(1000)
    for _ in range(1000):
        books.now += 0.01
        taking = lease.take(500, books.now)
        if lease.is_due(books.now):
            told(books, lease)
        lease.give_back(500, taking, books.now)
        if lease.is_due(books.now):
            told(books, lease)
        assert lease.unused(books.now) <= 1.5 * slice_of(1000)
    assert len(lease._slices) < 10


def test_an_ask_whose_answer_was_lost_counts_once() -> None:
    """Also what was taken meanwhile, and what of both is given back."""
    books = QuotaBooks(quota(bytes_per_minute=1000))
    lease = RateLease(1000)
    first = lease.take(300, books.now)
    books.rate("bytes_per_minute", lease.ask(books.now))
    second = lease.take(200, books.now)
    lease.give_back(100, first, books.now)
    lease.failed(books.now)
    lease.give_back(50, second, books.now)
    told(books, lease)
    assert counted(books) == 350 + lease.unused(books.now)
    lease.give_back(150, second, books.now)
    lease.give_back(200, first, books.now)
    told(books, lease)
    assert counted(books) == lease.unused(books.now)


# ------------------------------------------------------------------ while the ledger is away


@pytest.mark.parametrize("size", [1, 7, 90])
def test_while_the_ledger_is_away_a_process_keeps_to_the_limit(size: int) -> None:
    limit, minutes = 600, 10
    lease = RateLease(limit)
    now, taken = 1000.0, []
    for _ in range(minutes * 60 * 20):
        now += 1 / 20
        if lease.is_due(now):
            lease.ask(now)
            lease.failed(now)
        if lease.wait_s(now) == 0:
            lease.take(size, now)
            taken.append((now, size))
    slack = allowance_of(limit) + size
    assert 0.95 * limit * minutes <= sum(amount for _, amount in taken)
    for began, _ in taken:
        assert sum(a for at, a in taken if began <= at < began + MINUTE_S) <= limit + slack


def test_while_the_ledger_is_away_hanging_up_makes_no_room() -> None:
    limit, minutes = 600, 70
    lease = RateLease(limit)
    now, taken = 1000.0, 0
    for _ in range(minutes * 60 * 4):
        now += 0.25
        if lease.is_due(now):
            lease.ask(now)
            lease.failed(now)
        if lease.wait_s(now) == 0:
            taking = lease.take(1000 * limit, now)
            lease.give_back(1000 * limit - 5, taking, now)
            taken += 5
    assert 0.9 * limit * minutes <= taken <= limit * minutes + allowance_of(limit) + 5


def test_while_the_ledger_is_away_nothing_counts_for_more_than_an_hour() -> None:
    lease = RateLease(600)
    lease.ask(1000.0)
    lease.failed(1000.0)
    lease.take(600 * 1000, 1000.0)
    assert 3590 < lease.wait_s(1000.0) <= 3600


def test_while_the_ledger_is_away_a_level_is_the_process_s_own() -> None:
    level = LevelLease(10, LEASE_S)
    level.ask(0.0)
    level.failed(0.0)
    for _ in range(10):
        assert level.wait_s(0.0) == 0
        level.take(1, 0.0)
    assert level.wait_s(0.0) > 0
    level.give_back(1)
    assert level.wait_s(0.0) == 0


def test_what_the_ledger_said_holds_while_it_is_away() -> None:
    lease = RateLease(600)
    lease.take(600, 1000.0)
    lease.ask(1000.0)
    lease.answered(0, 40.0, 1000.0)
    assert lease.wait_s(1030.0) == 10
    lease.take(100, 1030.0)
    lease.ask(1030.0)
    lease.failed(1030.0)
    assert lease.wait_s(1030.0) == 10


# ------------------------------------------------------------------ one process


async def test_no_call_waits_for_the_ledger() -> None:
    books = QuotaBooks(quota(calls_per_minute=400))
    books.answers.clear()
    quotas = process(books)
    assert passed(quotas, 100) == allowance_of(400)
    with pytest.raises(QuotaExceeded) as caught, quotas.place(principal(), CALL):
        pass
    assert caught.value.retry_after_s == ANSWER_SOON_S
    books.answers.set()
    await answered()
    assert passed(quotas, 100) == slice_of(400) + allowance_of(400), "the next one is under way"


async def test_a_refusal_says_what_was_used_and_when_there_is_more() -> None:
    books = QuotaBooks(quota(calls_per_minute=40))
    quotas = process(books)
    total = 0
    for _ in range(100):
        total += passed(quotas, 1)
        await answered()
    assert total == 40
    with pytest.raises(QuotaExceeded, match="calls_per_minute") as caught:
        quotas.place(principal(), CALL).__enter__()
    error = caught.value
    assert error.attributes == {"unit": UNIT, "resource": "calls_per_minute", "limit": "40"}
    assert 59 < error.retry_after_s <= 61
    books.now += error.retry_after_s
    assert passed(quotas, 1) == 1


async def test_refusals_cost_the_ledger_nothing() -> None:
    books = QuotaBooks(quota(calls_per_minute=40))
    quotas = process(books)
    while passed(quotas, 1):
        await answered()
    asked = len(books.asks)
    for _ in range(200):
        assert passed(quotas, 10) == 0
        await answered()
        books.now += 0.1
    assert len(books.asks) == asked


async def test_who_uses_nothing_costs_nothing() -> None:
    books = QuotaBooks(quota(calls_per_minute=40, open_streams=10, bytes_in_flight=10))
    quotas = process(books)
    await answered()
    assert books.asks == []
    assert asyncio.all_tasks() == {asyncio.current_task()} | {
        task for task in asyncio.all_tasks() if task.get_name() != "quota-lease"
    }
    await quotas.stop()


async def test_staff_servers_and_units_without_a_quota_are_not_metered() -> None:
    books = QuotaBooks(quota(calls_per_minute=1))
    quotas = process(books)
    for who in ("staff/li", "centre/server/one"):
        for _ in range(50):
            with quotas.place(principal(who), CALL):
                pass
    free = Quotas(books, lambda _unit: None, KINDS, now=books.clock)
    assert passed(free, 50) == 50
    assert passed(process(replace(books, quota=quota())), 50) == 50
    await answered()
    assert books.asks == []


async def test_what_passed_while_the_ledger_was_away_is_counted() -> None:
    limit = 40
    books = QuotaBooks(quota(calls_per_minute=limit), away=True)
    quotas = process(books)
    passed(quotas, 1)
    await answered()
    total = 1
    for _ in range(600):
        total += passed(quotas, 10)
        await answered()
        books.now += 0.1
    assert 0.9 * limit <= total <= limit + allowance_of(limit)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.place(principal(), CALL).__enter__()
    assert caught.value.retry_after_s <= MINUTE_S / limit
    books.away = False
    books.now += 1
    passed(quotas, 1)
    await answered()
    assert passed(quotas, 1) == 0
    with pytest.raises(QuotaExceeded) as caught:
        quotas.place(principal(), CALL).__enter__()
    assert caught.value.retry_after_s > 59


async def test_a_refusal_takes_nothing() -> None:
    books = QuotaBooks(quota(calls_per_minute=100, open_streams=4))
    quotas = process(books)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(quotas.place(principal(), WATCH))
            await answered()
        assert passed(quotas, 50, WATCH) == 0
        (calls,) = [s for s in await quotas.standing(UNIT) if s.resource == "calls_per_minute"]
        assert calls == Standing("calls_per_minute", 100, 96)
    assert passed(quotas, 1, WATCH) == 1


async def test_streams_are_held_renewed_and_given_back() -> None:
    books = QuotaBooks(quota(open_streams=10))
    one, other = (
        Quotas(books, lambda _unit: books.quota, KINDS, lease_s=0.15, now=books.clock)
        for _ in range(2)
    )
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(one.place(principal(), WATCH))
            await answered()
        with other.place(principal(), WATCH):
            await answered()
            assert passed(other, 5, WATCH) == 0, "what passed before the answer, and no more"
        asked = len(books.asks)

        def renewals() -> int:
            return sum(ask["open_streams"].used == 10 for ask in books.asks[asked:])

        await until(lambda: renewals() >= 3)
    await until(lambda: books.held == {})
    await one.stop()
    await other.stop()
    assert books.held == {}


async def test_bytes_count_when_declared_and_come_back_when_they_do_not_flow() -> None:
    books = QuotaBooks(quota(bytes_per_minute=1_000_000, bytes_in_flight=500_000))
    quotas = process(books)
    with quotas.transfer(UNIT, 900_000) as transfer:
        await answered()
        # In flight all of it, so that nothing more may begin, and no upload is even read.
        with pytest.raises(QuotaExceeded), quotas.transfer(UNIT, 1):
            pass
        with pytest.raises(QuotaExceeded), quotas.place(principal(), SUBMIT):
            pass
        transfer.flow(100_000)
    await answered()
    standings = {s.resource: s for s in await quotas.standing(UNIT)}
    assert standings["bytes_in_flight"].left == 500_000
    assert standings["bytes_per_minute"].left == 900_000
    with quotas.transfer(UNIT, 100_000):
        pass


async def test_small_parts_go_along_only_while_there_is_room() -> None:
    books = QuotaBooks(quota(bytes_per_minute=1000))
    quotas = process(books)
    assert quotas.take_bytes(UNIT, 1000)
    await answered()
    assert not quotas.take_bytes(UNIT, 1)
    assert quotas.take_bytes(UNIT, 0)


async def test_more_is_felt_at_once() -> None:
    books = QuotaBooks(quota(calls_per_minute=4))
    quotas = process(books)
    while passed(quotas, 1):
        await answered()
    books.quota = quota(calls_per_minute=400)
    assert passed(quotas, 1) == 1


async def test_an_answer_that_does_not_come_is_an_absence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow ledger opens no door: nothing more passes than without any."""
    monkeypatch.setattr("exchange_server.quota_asking._LONGEST_ANSWER_S", 0.01)
    books = QuotaBooks(quota(calls_per_minute=40))
    books.answers.clear()
    quotas = process(books)
    assert passed(quotas, 100) == allowance_of(40)
    (unit,) = quotas._keeper._units.values()
    await until(lambda: unit.away)
    assert passed(quotas, 100) == 0
    books.now += MINUTE_S / 40
    assert passed(quotas, 100) == 1
    await quotas.stop()


def test_streams_and_uploads_are_read_from_the_wire_contract() -> None:
    kinds = method_kinds()
    exchange, directory = (
        "/document_exchange.v1.ExchangeService/",
        "/document_exchange.v1.Directory",
    )
    assert kinds.submissions == {exchange + "Submit"}
    evidence = "/document_exchange.v1.EvidenceService/GetEvidence"
    assert kinds.transfers == {exchange + "Submit", exchange + "DownloadPart", evidence}
    assert kinds.streams >= {
        exchange + "Submit",
        exchange + "DownloadPart",
        exchange + "WatchDeliveries",
        exchange + "WatchSubmissions",
        directory + "Service/WatchOwnCertificates",
    }
    assert exchange + "GetEnvelope" not in kinds.streams


def test_every_limit_of_a_quota_is_metered() -> None:
    assert set(RESOURCES) == set(Quota.__slots__) - {"unit_id"}


def test_a_level_is_strict_once_the_ledger_has_answered() -> None:
    level = LevelLease(10, LEASE_S)
    for _ in range(3):
        assert level.wait_s(0.0) == 0
        level.take(1, 0.0)
    ask = level.ask(0.0)
    assert (ask.used, ask.wanted) == (3, slice_of(10))
    level.answered(0, None, 0.0)
    for now in (0.0, 1.5, LEASE_S - 0.1):
        assert level.wait_s(now) > 0
    level.give_back(1)
    assert level.wait_s(1.0) == 0
