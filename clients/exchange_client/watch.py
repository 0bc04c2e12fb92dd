"""Watches that outlive broken streams: without gaps, and without showing the same thing twice.

The centre keeps what awaits a unit's attention and sends all of it again at the start of every
watch. So opening the stream again loses nothing; what has been shown already is left out here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from document_exchange.errors import ExchangeError, QuotaExceeded
from exchange_client.retry import quota_pause_s

T = TypeVar("T")
Message = TypeVar("Message")

FIRST_PAUSE_S = 0.1
MAX_REMEMBERED = 65_536
"""Entries; beyond it the oldest may be shown again, which a recipient must bear anyway."""

_LOG = logging.getLogger("exchange_client.watch")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """Something to show; ``key`` and ``seq`` say which statement of which delivery it is."""

    key: tuple[str, str]
    seq: int
    value: T


class Shown:
    """Which (delivery, seq) this watch has shown, in bounded memory."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._seqs: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._sent_again: set[tuple[str, str]] | None = None

    def begin(self) -> None:
        """A stream begins: the centre sends again what still awaits attention."""
        self._sent_again = set()

    def caught_up(self) -> None:
        """All that awaits attention was sent: what was not among it may be forgotten."""
        if self._sent_again is None:
            return
        for key in [key for key in self._seqs if key not in self._sent_again]:
            del self._seqs[key]
        self._sent_again = None

    def is_new(self, key: tuple[str, str], seq: int) -> bool:
        """Whether this was not shown yet; from now on it was."""
        if self._sent_again is not None:
            self._sent_again.add(key)
        if self._seqs.get(key, -1) >= seq:
            return False
        self._seqs[key] = seq
        self._seqs.move_to_end(key)
        if len(self._seqs) > self._limit:
            self._seqs.popitem(last=False)
        return True

    def __len__(self) -> int:
        return len(self._seqs)


async def unbroken(
    open_stream: Callable[[], AsyncGenerator[Message, None]],
    read: Callable[[Message], Change[T] | None],
    *,
    follow: bool,
    pause_max_s: float,
) -> AsyncGenerator[T, None]:
    """Everything that the streams bring, each change once, across any number of streams.

    Args:
        open_stream: begins a stream.
        read: takes a message apart; None is the mark that the stream has caught up.
        follow: go on for ever; otherwise end when all that awaited attention was shown.
        pause_max_s: longest pause, in seconds, before a stream is opened again.

    Raises:
        ExchangeError: what trying again can't mend (a revoked certificate, for example).
    """
    shown = Shown()
    failures = 0
    while True:
        shown.begin()
        try:
            async with aclosing(open_stream()) as stream:
                async for message in stream:
                    failures = 0
                    change = read(message)
                    if change is None:
                        shown.caught_up()
                        if not follow:
                            return
                    elif shown.is_new(change.key, change.seq):
                        yield change.value
            least_s = 0.0
        except ExchangeError as error:
            if not error.retryable:
                raise
            _LOG.info("the watch broke and will be opened again: %s", error)
            least_s = quota_pause_s(error) if isinstance(error, QuotaExceeded) else 0.0
        failures += 1
        await asyncio.sleep(max(least_s, pause_s(failures, pause_max_s)))


def pause_s(failures: int, pause_max_s: float) -> float:
    """The pause after so many failures in a row: doubling, half of it random."""
    longest = min(pause_max_s, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 30))
    return longest * (0.5 + random.random() / 2)
