"""The sweep: what is removed, by which clocks, and how much of the store is listed for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from document_exchange import codes
from document_exchange.errors import Unavailable
from exchange_server.sweep import Sweeper

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONGEST_UPLOAD = 4 * HOUR


@dataclass(frozen=True)
class Found:
    key: str
    last_modified: datetime


@dataclass
class Stores:
    """A ledger and an object store, each with a clock of its own."""

    now: datetime = NOW
    named: set[str] = field(default_factory=set)
    objects: dict[str, datetime] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    deletes: bool = True

    async def clock(self) -> datetime:
        return self.now

    async def named_objects(self, envelope_ids: Sequence[str]) -> set[str]:
        return {key for key in self.named if key.split("/")[1] in envelope_ids}

    async def list(self, prefix: str = "") -> AsyncIterator[Found]:
        self.prefixes.append(prefix)
        for key, last_modified in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield Found(key, last_modified)

    async def delete(self, keys: Sequence[str]) -> None:
        if not self.deletes:
            raise Unavailable
        for key in keys:
            del self.objects[key]

    def add(self, made: datetime, last_modified: datetime | None = None, day: str = "") -> str:
        """An object that nothing names; ``last_modified`` by the store's clock."""
        key = f"{day or made.date()}/{codes.new_id(made)}/0123"
        self.objects[key] = last_modified or made
        return key


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def sweeper(stores: Stores) -> Sweeper:
    return Sweeper(stores, stores, LONGEST_UPLOAD)


async def test_old_objects_that_nothing_names_go_and_no_others(
    stores: Stores, sweeper: Sweeper
) -> None:
    old, named, today = (stores.add(NOW - age) for age in (2 * DAY, 2 * DAY, 11 * HOUR))
    stores.named.add(named)
    # Yesterday is over, and nobody can be uploading from then any more but until its last moment.
    yesterday = stores.add(NOW - 13 * HOUR)
    foreign = {"probe/x": NOW - 9 * DAY, f"2026-13-40/{codes.new_id(NOW)}/0": NOW - 9 * DAY}
    stores.objects.update(foreign)
    counted = await sweeper.sweep(remove=False)
    assert len(stores.objects) == 6
    assert await sweeper.sweep(remove=True) == counted
    assert (counted.listed, counted.removed) == (6, 2)
    assert stores.objects.keys() == {named, today, *foreign}
    assert not {old, yesterday} & stores.objects.keys()


@pytest.mark.parametrize("behind", [9 * HOUR, 300 * DAY])
async def test_a_store_whose_clock_is_behind_loses_no_fresh_block(
    stores: Stores, sweeper: Sweeper, behind: timedelta
) -> None:
    fresh = [stores.add(NOW - age, NOW - age - behind) for age in (0 * HOUR, 8 * HOUR, 11 * HOUR)]
    stores.now = NOW.replace(hour=7)  # what was stored yesterday at midnight is 7 hours old
    fresh.append(stores.add(stores.now - 8 * HOUR, stores.now - 8 * HOUR - behind))
    assert (await sweeper.sweep(remove=True)).removed == 0
    assert stores.objects.keys() == set(fresh)


async def test_a_key_of_another_day_does_not_outweigh_the_stores_clock(
    stores: Stores, sweeper: Sweeper
) -> None:
    stores.add(NOW, NOW, day="2026-01-01")
    assert (await sweeper.sweep(remove=True)).removed == 0


async def test_after_the_first_sweep_only_days_that_are_over_are_listed_each_once(
    stores: Stores, sweeper: Sweeper
) -> None:
    await sweeper.sweep(remove=True)
    left_behind = [stores.add(NOW + hours * HOUR) for hours in range(48)]
    removed = 0
    for hours in range(1, 72):
        stores.now = NOW + hours * HOUR
        removed += (await sweeper.sweep(remove=True)).removed
    assert stores.prefixes == ["", "2026-11-20/", "2026-11-21/", "2026-11-22/"]
    assert removed == len(left_behind)


async def test_after_a_pause_the_days_between_are_made_good(
    stores: Stores, sweeper: Sweeper
) -> None:
    await sweeper.sweep(remove=True)
    stores.now = NOW + 3 * DAY
    lost = [stores.add(NOW + age) for age in (0 * DAY, DAY, 2 * DAY)]
    stores.deletes = False
    with pytest.raises(Unavailable):
        await sweeper.sweep(remove=True)
    stores.deletes = True
    assert (await sweeper.sweep(remove=True)).removed == len(lost)


async def test_once_a_week_everything_is_listed(stores: Stores, sweeper: Sweeper) -> None:
    await sweeper.sweep(remove=True)
    late = stores.add(NOW - 30 * DAY)
    stores.now = NOW + 7 * DAY - HOUR
    await sweeper.sweep(remove=True)
    assert late in stores.objects
    stores.now = NOW + 7 * DAY
    await sweeper.sweep(remove=True)
    assert stores.prefixes.count("") == 2
    assert late not in stores.objects


async def test_counting_alone_does_not_pass_for_a_sweep(stores: Stores, sweeper: Sweeper) -> None:
    await sweeper.sweep(remove=False)
    old = stores.add(NOW - 30 * DAY)
    await sweeper.sweep(remove=True)
    assert old not in stores.objects
