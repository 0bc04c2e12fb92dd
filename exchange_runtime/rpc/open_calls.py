"""How many calls each caller has open: nobody takes more than a share of the server.

What a connection may have open is bounded by HTTP/2, but anybody may open many connections. So
calls are counted for each unit, whatever the connection and system, and for each other identity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager

from document_exchange.errors import TooManyCalls
from exchange_runtime.values import Principal


class OpenCalls:
    """Counts the open calls of each caller by method."""

    def __init__(self, most_calls: int, most_watches: int, watches: Set[str]) -> None:
        """``watches``: the methods whose calls stay open without end."""
        self._most_calls = most_calls
        self._most_watches = most_watches
        self._watches = watches
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def place(self, principal: Principal, method: str) -> Iterator[None]:
        """Have a place for one call for as long as the context lasts.

        Raises:
            TooManyCalls: the caller has all of its places taken.
        """
        with self.place_of(principal.unit or str(principal.identity), method):
            yield

    @contextmanager
    def place_of(self, caller: str, method: str) -> Iterator[None]:
        """The same for whom nothing but a name, or an address, is known of.

        Raises:
            TooManyCalls
        """
        most = self._most_watches if method in self._watches else self._most_calls
        key = (caller, method)
        if self._open[key] >= most:
            raise TooManyCalls(
                f"{caller} has {most} calls of {method} open, which is as many as it may; "
                "end some, or wait for them",
                method=method,
                limit=str(most),
            )
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
