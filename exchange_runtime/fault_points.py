"""Named points in the code at which a test may let the process die.

A point is a promise about what is true when the process ends there; `EXCHANGE_FAULT_POINT=name`
or `name:3` (the third time that it is reached) makes it end there at once, as a kill would. Without
the variable, reaching a point costs a comparison.
"""

from __future__ import annotations

import os
import signal

POINTS = frozenset(
    {
        # A receipt's life in the server, in this order. The centre's own DELIVERED, which nobody
        # seals, passes all but "receipt.sealed".
        "receipt.read",
        "receipt.sealed",
        "receipt.signed",
        "receipt.committed",
        "receipt.told",
        "receipt.answered",
    }
)

VARIABLE = "EXCHANGE_FAULT_POINT"


def _wanted() -> tuple[str, int]:
    name, _, count = os.environ.get(VARIABLE, "").partition(":")
    if name and name not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no point {name!r}; there are {sorted(POINTS)}")
    return name, int(count or 1)


_NAME, _COUNT = _wanted()
_reached = 0


def reach(point: str) -> None:
    """Say that ``point`` was reached; the process ends here if that was asked for."""
    global _reached
    if point != _NAME:
        return
    _reached += 1
    if _reached == _COUNT:
        os.kill(os.getpid(), signal.SIGKILL)
