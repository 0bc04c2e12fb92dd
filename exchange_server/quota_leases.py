"""What one process may still use of one limit of one unit. No I/O, and the clock is given.

The ledger leases a process small slices of each limit. What is taken comes out of the slice at
hand; what a process uses before it has a slice, or beyond it, is a debt that it reports with its
next ask. The ledger counts it like everything else, what is over the limit in the minutes after, so
that in the long run nobody has more than the limit. For a while it is passed by no more than this,
for each process that serves the unit:

* a rate, in any minute: one and a half slices that it holds from before, one first allowance, and
  what one taking takes beyond them (a call is 1; a document is taken whole, so that it is never
  cut off in its middle);
* a level: one first allowance, and what one taking takes beyond the lease.

Amounts are counts or bytes; moments are seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

RATES = ("calls_per_minute", "submissions_per_minute", "bytes_per_minute")
LEVELS = ("bytes_in_flight", "open_streams")

_SHARE = 20
"""A slice is this part of the limit, so that many processes can hold some of it ..."""
_LEAST_SLICE = 2
_LEAST_ALLOWANCE = 4
"""... but a handful of calls at once is nothing unusual, however small the limit."""
_MINUTE_S = 60.0
_MOST_SLICES = 4

ANSWER_SOON_S = 0.1
"""What to wait for an answer of the ledger that is under way."""
LEVEL_RETRY_S = 1.0
"""Nobody knows when a stream will end, so it is asked again this often."""
_LEAST_PAUSE_S = 0.25
_AWAY_S = 1.0
_NEVER = float("-inf")


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
    """Of a rate: used without a lease and not told yet; below 0: given back. Of a level: in use."""
    wanted: int


class Lease(Protocol):
    """The process's share of a limit."""

    limit: int

    def wait_s(self, now: float) -> float:
        """0 when something may be taken now, else after how many seconds to try again."""
        ...

    def take(self, amount: int, now: float) -> None:
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
        """The ledger is away: until it answers again, everything passes, and is counted."""
        ...

    def unused(self, now: float) -> int:
        """Leased and not used yet."""
        ...


@dataclass(slots=True)
class _Slice:
    left: int
    ends_at: float


class RateLease:
    """A share of so much a minute. A slice can be used for the minute in which it counts."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._slices: list[_Slice] = []
        self._debt = 0
        self._reported = 0
        """Debt that the ledger is just being told of."""
        self._asked_at: float | None = None
        """While an answer is under way."""
        self._full_until = _NEVER
        self._ask_from = 0.0
        self._away = False

    def wait_s(self, now: float) -> float:
        if self._away or self.unused(now):
            return 0.0
        if now < self._full_until:
            return self._full_until - now
        if self._debt + self._reported < allowance_of(self.limit):
            return 0.0
        return ANSWER_SOON_S

    def take(self, amount: int, now: float) -> None:
        self._drop_ended(now)
        while amount and self._slices:
            first = self._slices[0]
            part = min(amount, first.left)
            first.left -= part
            amount -= part
            if not first.left:
                self._slices.pop(0)
        self._debt += amount

    def give_back(self, amount: int, taken_at: float) -> None:
        """What was taken and not used; a slice of it stays here, as long as the taking counts."""
        forgiven = min(amount, max(0, self._debt))
        kept = min(amount - forgiven, slice_of(self.limit))
        self._debt -= amount - kept
        self._add(kept, taken_at + _MINUTE_S)

    def is_due(self, now: float) -> bool:
        if self._asked_at is not None or now < self._ask_from:
            return False
        if abs(self._debt) > slice_of(self.limit):
            return True  # a large document, or one that did not come: the others must know
        return now >= self._full_until and self.unused(now) <= slice_of(self.limit) // 2

    def ask(self, now: float) -> Ask:
        self._asked_at = now
        self._reported, self._debt = self._debt, 0
        return Ask(self._reported, slice_of(self.limit))

    def answered(self, granted: int, retry_s: float | None, now: float) -> None:
        # From the asking, since the ledger has counted it from a moment between the two.
        self._add(granted, (now if self._asked_at is None else self._asked_at) + _MINUTE_S)
        self._asked_at, self._away = None, False
        self._reported = 0
        self._full_until = _NEVER if retry_s is None else now + max(retry_s, _LEAST_PAUSE_S)

    def failed(self, now: float) -> None:
        self._asked_at, self._away = None, True
        self._debt += self._reported
        self._reported = 0
        self._ask_from = now + _AWAY_S

    def unused(self, now: float) -> int:
        self._drop_ended(now)
        return sum(each.left for each in self._slices)

    def _drop_ended(self, now: float) -> None:
        if any(each.ends_at <= now for each in self._slices):
            self._slices = [each for each in self._slices if each.ends_at > now]

    def _add(self, amount: int, ends_at: float) -> None:
        if amount <= 0:
            return
        if len(self._slices) < _MOST_SLICES:
            self._slices.append(_Slice(amount, ends_at))
            return
        # However often something is given back, this stays small: the earlier end counts.
        last = self._slices[-1]
        last.left += amount
        last.ends_at = min(last.ends_at, ends_at)


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
        if self._away or self.unused(now):
            return 0.0
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
        self._ask_from = now + _AWAY_S

    def unused(self, now: float) -> int:
        return max(0, self._held - self.in_use) if now < self._ends_at else 0
