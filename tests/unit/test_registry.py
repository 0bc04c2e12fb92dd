"""The registry in memory: followed, woken by hints, and closed when it can't be followed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from document_exchange.errors import StatusUnknown, Unavailable
from exchange_runtime import following
from exchange_runtime.clock import system_clock
from exchange_runtime.metrics import new_registry
from exchange_server.metrics import show_registry
from exchange_server.registry import Crl, Registry, RegistryFollower

FOREVER_S = 3600.0


class Source:
    """A ledger's registry: its version goes up with each change, and it can fall silent.

    The ledger's clock is this machine's, unless a test sets another.
    """

    def __init__(self) -> None:
        self.version = 1
        self.directory = 0
        self.silent = False
        self.stuck = False
        self.loads = 0
        self.clock = system_clock
        self._asked = asyncio.Condition()
        self._count = 0

    async def registry_version(self) -> tuple[int, datetime]:
        async with self._asked:
            self._count += 1
            self._asked.notify_all()
        if self.stuck:
            await asyncio.Event().wait()
        if self.silent:
            raise Unavailable("the ledger does not answer")
        return self.version, self.clock()

    async def load_registry(self) -> Registry:
        self.loads += 1
        return Registry(self.version, {}, {}, frozenset(), directory=self.directory)

    async def asked(self, more: int) -> None:
        """Wait until it was asked ``more`` times from now on."""
        async with asyncio.timeout(10), self._asked:
            goal = self._count + more
            await self._asked.wait_for(lambda: self._count >= goal)


@dataclass
class MonotonicClock:
    """Stands in for the module ``time``."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MonotonicClock:
    made = MonotonicClock()
    monkeypatch.setattr(following, "time", made)
    return made


def test_before_the_first_reading_nobody_is_admitted(source: Source) -> None:
    with pytest.raises(Unavailable):
        RegistryFollower(source).current()


async def test_a_server_does_not_start_without_a_registry(source: Source) -> None:
    source.silent = True
    follower = RegistryFollower(source)
    with pytest.raises(Unavailable):
        await follower.start()
    with pytest.raises(Unavailable):
        follower.current()


async def test_metrics_warn_long_before_it_fails_closed(
    source: Source, clock: MonotonicClock
) -> None:
    follower = RegistryFollower(source, interval_s=0.001, max_age_s=10.0)
    metrics = new_registry()
    show_registry(metrics, follower, system_clock)
    await follower.start()
    try:
        source.silent = True
        await source.asked(2)
        assert metrics.get_sample_value("exchange_registry_age_seconds") == 0.0
        clock.now_s += 4.0
        age = metrics.get_sample_value("exchange_registry_age_seconds")
        most = metrics.get_sample_value("exchange_registry_max_age_seconds")
        assert age is not None
        assert most is not None
        assert 0.3 * most < age < most
        assert follower.current().version == 1
    finally:
        await follower.stop()


async def test_it_fails_closed_after_its_maximum_age_and_opens_again(
    source: Source, clock: MonotonicClock
) -> None:
    follower = RegistryFollower(source, interval_s=0.001, max_age_s=10.0)
    await follower.start()
    try:
        source.silent = True
        await source.asked(2)
        clock.now_s += 10.0
        assert follower.current().version == 1
        clock.now_s += 0.001
        with pytest.raises(StatusUnknown, match="can't be followed"):
            follower.current()
        source.silent = False
        await source.asked(2)
        assert follower.current().version == 1
        assert source.loads == 1, "only a new version is read in whole"
    finally:
        await follower.stop()


async def test_a_ledger_that_hangs_is_as_one_that_fails(source: Source) -> None:
    """Real time: what hangs must be given up after the maximum age, and asked again."""
    follower = RegistryFollower(source, interval_s=0.001, max_age_s=0.05)
    await follower.start()
    try:
        source.stuck = True
        await source.asked(3)
        with pytest.raises(Unavailable):
            follower.current()
        source.stuck = False
        source.version = 2
        await source.asked(3)
        assert follower.current().version == 2
    finally:
        await follower.stop()


async def test_a_reading_counts_from_before_it_was_asked_for(
    source: Source, clock: MonotonicClock
) -> None:
    """An answer that took 8 s says nothing about these 8 s."""
    load = source.load_registry

    async def slow() -> Registry:
        clock.now_s += 8.0
        return await load()

    source.load_registry = slow  # type: ignore[method-assign]
    follower = RegistryFollower(source, interval_s=FOREVER_S, max_age_s=10.0)
    await follower.start()
    try:
        assert follower.age_s() == 8.0
        clock.now_s += 2.5
        with pytest.raises(Unavailable):
            follower.current()
    finally:
        await follower.stop()


async def test_a_hint_is_followed_at_once_and_listeners_hear_of_changes(source: Source) -> None:
    follower = RegistryFollower(source, interval_s=FOREVER_S)
    heard = asyncio.Event()
    await follower.start()
    try:
        undo = follower.on_change(heard.set)
        source.version = 2
        follower.wake()
        await asyncio.wait_for(heard.wait(), 10)
        assert follower.current().version == 2
        undo()
        heard.clear()
        again = asyncio.Event()
        follower.on_change(again.set)
        source.version = 3
        follower.wake()
        await asyncio.wait_for(again.wait(), 10)
    finally:
        await follower.stop()
    assert not heard.is_set()


async def test_without_hints_the_poll_finds_a_change(source: Source) -> None:
    follower = RegistryFollower(source, interval_s=0.001)
    await follower.start()
    try:
        source.version = 2
        await source.asked(2)
        assert follower.current().version == 2
    finally:
        await follower.stop()


HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class WallClock:
    """A clock that a test sets."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("wrong", [8 * HOUR, -8 * HOUR, timedelta(seconds=61)])
async def test_a_process_whose_clock_is_wrong_admits_nobody_until_it_is_set(
    source: Source, clock: MonotonicClock, wrong: timedelta
) -> None:
    source.clock = WallClock()
    own = WallClock(NOON + wrong)
    follower = RegistryFollower(source, clock=own, interval_s=FOREVER_S, clock_tolerance_s=60)
    with structlog.testing.capture_logs() as logs:
        await follower.start()
    try:
        assert [line["log_level"] for line in logs if "clock" in line["event"]] == ["error"]
        with pytest.raises(Unavailable, match="clocks of this server and of its ledger differ"):
            follower.current()
        own.now = NOON + timedelta(seconds=59)
        assert follower.current().version == 1
        own.now = NOON + wrong
        with pytest.raises(Unavailable, match="clocks"):
            follower.current()  # at once, without a further reading
    finally:
        await follower.stop()


async def test_what_the_round_trip_took_is_no_difference_of_clocks(
    source: Source, clock: MonotonicClock
) -> None:
    """The answer took 9 s, and says only that the ledger's clock was read within them."""
    own = WallClock()
    source.clock = WallClock()
    ask = source.registry_version

    async def slow() -> tuple[int, datetime]:
        answer = await ask()
        clock.now_s += 9.0
        own.now += timedelta(seconds=9)
        return answer

    source.registry_version = slow  # type: ignore[method-assign]
    follower = RegistryFollower(source, clock=own, interval_s=FOREVER_S, clock_tolerance_s=1)
    await follower.start()
    try:
        assert follower.current().version == 1
        own.now += timedelta(seconds=1.5)
        with pytest.raises(Unavailable, match="differ by 2 s"):
            follower.current()
    finally:
        await follower.stop()


async def test_an_authority_whose_clock_is_ahead_is_named_in_the_log(source: Source) -> None:
    now = source.clock()
    made = Crl(1, now + HOUR, now + 2 * HOUR, b"")

    async def ahead() -> Registry:
        return Registry(1, {}, {}, frozenset(), (made,), ())

    source.load_registry = ahead  # type: ignore[method-assign]
    follower = RegistryFollower(source, interval_s=FOREVER_S)
    with structlog.testing.capture_logs() as logs:
        await follower.start()
    await follower.stop()
    assert ("crl_ahead", "warning") in {(line["event"], line["log_level"]) for line in logs}


def crl(number: int, begins: timedelta) -> Crl:
    return Crl(number, NOON + begins, NOON + begins + 168 * HOUR, b"")


def in_force(root: Sequence[Crl], seal: Sequence[Crl]) -> tuple[int, int]:
    registry = Registry(1, {}, {}, frozenset(), tuple(root), tuple(seal))
    found = registry.crls_in_force(NOON)
    return found[0].number, found[1].number


def test_a_list_that_has_not_begun_is_not_in_force() -> None:
    """No verifier accepts a list of a later moment than the statement's."""
    begun = [crl(2, -2 * HOUR), crl(3, -HOUR), crl(1, -3 * HOUR)]
    assert in_force([*begun, crl(4, HOUR)], [crl(5, HOUR / 3600), *begun]) == (3, 3)
    assert in_force([crl(4, 0 * HOUR), *begun], begun) == (4, 3)


def test_of_lists_that_have_begun_the_last_one_issued_counts() -> None:
    """The authority's clock was ahead and was set: its list 7 begins before its list 6."""
    assert in_force([crl(6, -HOUR), crl(7, -2 * HOUR)], [crl(1, -HOUR)]) == (7, 1)


@pytest.mark.parametrize("seal", [[], [crl(1, HOUR)]])
def test_without_a_list_that_has_begun_nothing_is_signed(seal: list[Crl]) -> None:
    with pytest.raises(Unavailable, match="no revocation list of seal-ca"):
        in_force([crl(1, -HOUR)], seal)


async def test_who_needs_a_newer_directory_waits_for_it_and_no_longer(source: Source) -> None:
    """Woken, so not for the interval; and not without end for one that never comes."""
    follower = RegistryFollower(source, interval_s=FOREVER_S)
    await follower.start()
    try:
        await follower.reach(0, timeout_s=10)
        waiting = asyncio.create_task(follower.reach(2, timeout_s=10))
        await source.asked(1)
        assert not waiting.done()
        for version in (2, 3):  # another change comes first, which is of something else
            source.version, source.directory = version, version - 1
            follower.wake()
            await source.asked(1)
        await waiting
        assert follower.current().directory == 2
        with pytest.raises(Unavailable, match="version 3 of the directory"):
            await follower.reach(3, timeout_s=0.05)
    finally:
        await follower.stop()
