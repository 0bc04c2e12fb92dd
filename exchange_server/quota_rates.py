"""What one process may still use of so much a minute. No I/O, and the clock is given.

What is taken comes out of the slice at hand; what a process uses before it has a slice, or beyond
it, is a debt that it reports with its next ask. The ledger counts it like everything else, what is
over the limit in the minutes after, so that in the long run nobody has more than the limit. For a
while it is passed by no more than this, for each process that serves the unit: in any minute one
and a half slices that it holds from before, one first allowance, and what one taking takes beyond
them (a call is 1; a document is taken whole, so that it is never cut off in its middle).

The ledger enters each ask under a name of its own. What was taken and not used is given back to the
entry that it came from, and so never at the cost of what was used.

While the ledger does not answer, a process keeps to the limit by itself: a first allowance, then
evenly over the minute.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field

from exchange_runtime.pace import Pace
from exchange_server.quota_leases import (
    ANSWER_SOON_S,
    AWAY_S,
    Ask,
    allowance_of,
    slice_of,
)

_MINUTE_S = 60.0
_LEAST_PAUSE_S = 0.25
_NEVER = float("-inf")


@dataclass(eq=False, slots=True)
class _Entry:
    """What one ask is entered under; the name changes while the ledger may know another."""

    name: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(eq=False, slots=True)
class _Slice:
    entry: _Entry
    left: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Taking:
    """Where something was taken from; it can be given back there, once."""

    amount: int
    slices: tuple[tuple[_Slice, int], ...]
    owed: int
    """What no slice had; told under ``entry``."""
    entry: _Entry
    paced_s: float


class RateLease:
    """A share of so much a minute. A slice can be used for the minute in which it counts."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._slices: list[_Slice] = []
        self._pace = Pace(limit, allowance_of(limit))
        self._debt = 0
        self._entry = _Entry()
        """What the debt will be told under."""
        self._reported = 0
        """Debt that the ledger is just being told of."""
        self._asked = self._entry
        """What it is being told under."""
        self._back: Counter[uuid.UUID] = Counter()
        self._asked_at: float | None = None
        """While an answer is under way."""
        self._full_until = _NEVER
        self._ask_from = 0.0
        self._away = False

    def wait_s(self, now: float) -> float:
        if self.unused(now):
            return 0.0
        if now < self._full_until:
            return self._full_until - now
        if self._away:
            return self._pace.wait_s(now)
        if self._debt + self._reported < allowance_of(self.limit):
            return 0.0
        return ANSWER_SOON_S

    def take(self, amount: int, now: float) -> Taking:
        self._drop_ended(now)
        paced_s, owed, parts = self._pace.take(amount, now), amount, []
        while owed and self._slices:
            first = self._slices[0]
            part = min(owed, first.left)
            parts.append((first, part))
            first.left -= part
            owed -= part
            if not first.left:
                self._slices.pop(0)
        self._debt += owed
        return Taking(amount, tuple(parts), owed, self._entry, paced_s)

    def give_back(self, amount: int, taking: Taking, now: float) -> None:
        """What was taken and not used; at most a slice of it stays here, the rest is for all."""
        self._pace.give_back(taking.paced_s, taking.amount - amount)
        owed = min(amount, taking.owed)
        if taking.entry.name == self._entry.name:
            self._debt -= owed  # the ledger was not told yet
        else:
            self._back[taking.entry.name] += owed
        left = amount - owed
        for piece, part in taking.slices:
            returned = min(left, part)
            left -= returned
            kept = min(returned, max(0, slice_of(self.limit) - self.unused(now)))
            self._keep(piece, kept)
            self._back[piece.entry.name] += returned - kept

    def is_due(self, now: float) -> bool:
        if self._asked_at is not None or now < self._ask_from:
            return False
        if max(self._debt, self._back.total()) > slice_of(self.limit):
            return True  # a large document, or one that did not come: the others must know
        return now >= self._full_until and self._is_low(now)

    def ask(self, now: float) -> Ask:
        self._asked_at = now
        self._reported, self._debt = self._debt, 0
        self._asked, self._entry = self._entry, _Entry()
        # Told once: if the answer is lost, nobody knows whether it was done, and twice is too much.
        back, self._back = +self._back, Counter()
        wanted = slice_of(self.limit) if self._is_low(now) else 0
        return Ask(self._reported, wanted, self._asked.name, back)

    def answered(self, granted: int, retry_s: float | None, now: float) -> None:
        if granted:
            # From the asking, since the ledger has counted it from a moment between the two.
            asked_at = now if self._asked_at is None else self._asked_at
            self._slices.append(_Slice(self._asked, granted, asked_at + _MINUTE_S))
        self._asked_at, self._away = None, False
        self._reported = 0
        self._full_until = _NEVER if retry_s is None else now + max(retry_s, _LEAST_PAUSE_S)

    def failed(self, now: float) -> None:
        self._asked_at, self._away = None, True
        # Under the same name again, so that it counts once if the ledger has it already.
        self._entry.name = self._asked.name
        self._debt += self._reported - self._back.pop(self._asked.name, 0)
        self._reported = 0
        self._ask_from = now + AWAY_S

    def unused(self, now: float) -> int:
        self._drop_ended(now)
        return sum(each.left for each in self._slices)

    def _is_low(self, now: float) -> bool:
        return self.unused(now) <= slice_of(self.limit) // 2

    def _drop_ended(self, now: float) -> None:
        if any(each.ends_at <= now for each in self._slices):
            self._slices = [each for each in self._slices if each.ends_at > now]

    def _keep(self, piece: _Slice, amount: int) -> None:
        if amount and not piece.left:
            self._slices.append(piece)
            self._slices.sort(key=lambda each: each.ends_at)
        piece.left += amount
