"""So much a minute, evenly, after a first allowance (the generic cell rate algorithm).

No I/O, and the clock is given.
"""

from __future__ import annotations

from collections import OrderedDict

_MINUTE_S = 60.0
_LONGEST_DEBT_S = 3600.0
"""Nothing counts for longer, however large it was; for quotas the ledger does the same."""
_NEVER = float("-inf")


class Pace:
    """How much one may still have. What is taken is never refused here: ask ``wait_s`` before."""

    def __init__(self, per_minute: int, at_once: int) -> None:
        """``at_once``: how much whoever took nothing for a while may have without waiting."""
        self._each_s = _MINUTE_S / per_minute
        self._ahead_s = (at_once - 1) * self._each_s
        self._paid_until = _NEVER

    def wait_s(self, now: float) -> float:
        """For how long nothing may be taken."""
        return max(0.0, self._paid_until - now - self._ahead_s)

    def take(self, amount: int, now: float) -> float:
        """For how long it is to be paid, at most an hour from now on."""
        began = max(self._paid_until, now)
        self._paid_until = max(began, min(began + amount * self._each_s, now + _LONGEST_DEBT_S))
        return self._paid_until - began

    def give_back(self, paced_s: float, used: int) -> None:
        """All of a taking but what was used of it."""
        self._paid_until -= max(0.0, paced_s - used * self._each_s)


class Paces:
    """The same for each of many who ask, in bounded memory."""

    def __init__(self, per_minute: int, at_once: int, *, most_names: int) -> None:
        """Beyond ``most_names`` those are forgotten who asked least lately: to turn away whoever is
        new would let some keep out all others."""
        self._per_minute = per_minute
        self._at_once = at_once
        self._most_names = most_names
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._paces)

    def take(self, name: str, now: float) -> float:
        """Take one, and return 0; or how long to wait, and then nothing was taken."""
        pace = self._paces.get(name)
        if pace is None:
            pace = self._paces[name] = Pace(self._per_minute, self._at_once)
            if len(self._paces) > self._most_names:
                self._paces.popitem(last=False)
        self._paces.move_to_end(name)
        wait_s = pace.wait_s(now)
        if not wait_s:
            pace.take(1, now)
        return wait_s
