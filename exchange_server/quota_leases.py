"""What a process leases of the limits of a unit, and its share of what is used at once.

The ledger leases a process small slices of each limit, and counts what each holds. For a while a
level is passed by no more than this, for each process that serves the unit: one first allowance,
and what one taking takes beyond the lease. ``quota_rates.py`` has what goes by the minute.

No I/O, and the clock is given. Amounts are counts or bytes; moments are seconds of a monotonic
clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

RATES = ("calls_per_minute", "submissions_per_minute", "bytes_per_minute")
LEVELS = ("bytes_in_flight", "open_streams")

_SHARE = 20
"""A slice is this part of the limit, so that many processes can hold some of it ..."""
_LEAST_SLICE = 2
_LEAST_ALLOWANCE = 4
"""... but a handful of calls at once is nothing unusual, however small the limit."""

ANSWER_SOON_S = 0.1
"""What to wait for an answer of the ledger that is under way."""
LEVEL_RETRY_S = 1.0
"""Nobody knows when a stream will end, so it is asked again this often."""
AWAY_S = 1.0
"""How long a ledger that did not answer is left alone."""


def slice_of(limit: int) -> int:
    """How much a process leases at once."""
    return min(limit, max(limit // _SHARE, _LEAST_SLICE))


def allowance_of(limit: int) -> int:
    """How much a process lets pass before the ledger has answered."""
    return min(limit, max(limit // _SHARE, _LEAST_ALLOWANCE))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process tells the ledger of a limit, and wants of it."""

    used: int
    """Of a rate: used without a lease and not told yet. Of a level: in use."""
    wanted: int
    entry: uuid.UUID = field(default_factory=uuid.uuid4)
    """Of a rate: what the ledger enters this under; an ask that is repeated has it again."""
    back: Mapping[uuid.UUID, int] = field(default_factory=dict)
    """Of a rate: what is given back of earlier entries."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The ledger's answer about one resource."""

    granted: int
    retry_s: float | None
    """When there is room again; None while there is, or where nobody knows."""


class Lease(Protocol):
    """The process's share of a limit."""

    limit: int

    def wait_s(self, now: float) -> float:
        """0 when something may be taken now, else after how many seconds to try again."""
        ...

    def take(self, amount: int, now: float) -> object:
        """Take, whatever ``wait_s`` says."""
        ...

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask: little is left, or others should have some of it."""
        ...

    def ask(self, now: float) -> Ask:
        """What to ask; ``answered`` or ``failed`` must follow before the next one."""
        ...

    def answered(self, granted: int, retry_s: float | None, now: float) -> None: ...

    def failed(self, now: float) -> None:
        """The ledger is away: until it answers again, this process keeps to the limit alone."""
        ...

    def unused(self, now: float) -> int:
        """Leased and not used yet."""
        ...


class LevelLease:
    """A share of so much at once, held until it is given back or the lease ends."""

    def __init__(self, limit: int, lease_s: float) -> None:
        self.limit = limit
        self.in_use = 0
        self._lease_s = lease_s
        self._held = 0
        """In use and more; counts until ``_ends_at``."""
        self._ends_at = 0.0
        self._asked = Ask(0, 0)
        self._asking = False
        self._ask_from = 0.0
        self._away = False

    def wait_s(self, now: float) -> float:
        if self.unused(now):
            return 0.0
        if self._away:
            return 0.0 if self.in_use < self.limit else LEVEL_RETRY_S
        if now >= self._ends_at and self.in_use < allowance_of(self.limit):
            return 0.0
        return ANSWER_SOON_S if self._asking else LEVEL_RETRY_S

    def take(self, amount: int, now: float) -> None:
        self.in_use += amount

    def give_back(self, amount: int) -> None:
        self.in_use -= amount

    def is_due(self, now: float) -> bool:
        unused = self.unused(now)
        few, many = slice_of(self.limit) // 2, 2 * slice_of(self.limit)
        low = self.in_use > 0 and unused <= few and now >= self._ask_from
        return not self._asking and (low or unused > many)

    def is_held(self, now: float) -> bool:
        """Whether the lease is to be renewed or given back."""
        return self.in_use > 0 or now < self._ends_at

    def ask(self, now: float) -> Ask:
        self._asking = True
        # Whoever uses nothing any more gives back what it holds.
        self._asked = Ask(self.in_use, slice_of(self.limit) if self.in_use else 0)
        return self._asked

    def answered(self, granted: int, retry_s: float | None, now: float) -> None:
        self._asking = self._away = False
        self._held = self._asked.used + granted
        self._ends_at = now + self._lease_s if self._held else 0.0
        if granted < self._asked.wanted:
            self._ask_from = now + LEVEL_RETRY_S

    def failed(self, now: float) -> None:
        self._asking, self._away = False, True
        self._ask_from = now + AWAY_S

    def unused(self, now: float) -> int:
        return max(0, self._held - self.in_use) if now < self._ends_at else 0
