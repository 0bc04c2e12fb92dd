"""Watch: sends a unit everything that awaits its attention, then everything as it comes.

What is new stands in the ledger's table ``attention`` until it is confirmed or acted upon, so a
watch that breaks loses nothing. A hint (``attention``) that is lost is made good by reading the
keys of all that waits for a unit every few seconds, once for all of its watches; each then reads
what it has not sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from document_exchange.errors import ShuttingDown
from exchange_server.attention import AttentionHub, Key, Standing, Subscription
from exchange_server.polls import SharedPolls
from exchange_server.values import DeliverySummary, SubmissionSummary

_PAGE = 500

Summary = TypeVar("Summary", DeliverySummary, SubmissionSummary, covariant=True)


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Summary]):
    """Something that awaits attention: its key, the seq to see, and what it looks like now."""

    key: Key
    seq: int
    summary: Summary


class WatchLedger(Protocol):
    """What watching asks of the ledger. ``keys=None`` means all, paged by ``after``."""

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[DeliverySummary]]: ...

    async def waiting_submissions(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[SubmissionSummary]]: ...

    async def waiting_seqs(
        self, unit: str, side: str, after: Key | None, limit: int
    ) -> list[tuple[Key, int]]:
        """Key and seq to see of all that waits on one side (R, S), by key and paged by ``after``.

        Whatever one of the two above returns is in here, too, with the same seq.
        """
        ...


class _Reader(Protocol[Summary]):
    async def __call__(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> Sequence[Waiting[Summary]]: ...


class Watcher:
    """Runs watches: everything that waits, then everything as it comes.

    Whoever breaks off a watch closes it (``aclosing``): it gives its subscription back then.
    """

    def __init__(self, hub: AttentionHub, ledger: WatchLedger, poll_s: float) -> None:
        self._hub = hub
        self._ledger = ledger
        self._polls = SharedPolls(self._standing, poll_s)

    def deliveries(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncGenerator[DeliverySummary | None, None]:
        """Deliveries to ``unit``; None marks the end of what waited when the watch began.

        ``still_admitted`` raises when the caller may no longer call; that ends the watch. It is
        asked before each summary goes out, since what waits may be much and its reader slow.

        Raises:
            ShuttingDown: this process ends; another one goes on.
            Unavailable: the ledger can't be read.
        """
        return self._watch("R", unit, self._ledger.waiting_deliveries, still_admitted)

    def submissions(
        self, unit: str, still_admitted: Callable[[], None]
    ) -> AsyncGenerator[SubmissionSummary | None, None]:
        """Changed deliveries of what ``unit`` sent, likewise."""
        return self._watch("S", unit, self._ledger.waiting_submissions, still_admitted)

    async def _watch(
        self,
        side: str,
        unit: str,
        read: _Reader[Summary],
        still_admitted: Callable[[], None],
    ) -> AsyncGenerator[Summary | None, None]:
        def look() -> None:
            if self._hub.closing:
                raise ShuttingDown
            still_admitted()

        sent = _Sent()
        caught_up = False
        with (
            self._hub.subscribe(side, unit) as subscription,
            self._polls.follow((side, unit), subscription.poll),
        ):
            pages = _all_pages(read, unit)
            while True:
                async with aclosing(pages):
                    async for page in pages:
                        for waiting in sent.unsent(page):
                            look()
                            yield waiting.summary
                if not caught_up:
                    look()
                    yield None
                    caught_up = True
                await subscription.wake.wait()
                look()
                pages = _lacking(read, unit, subscription, sent)

    async def _standing(self, topic: tuple[str, str]) -> Standing:
        side, unit = topic
        standing: dict[Key, int] = {}
        after: Key | None = None
        while True:
            page = await self._ledger.waiting_seqs(unit, side, after, _PAGE)
            standing.update(page)
            if len(page) < _PAGE:
                return standing
            after, _ = page[-1]


class _Sent:
    """What one watch has sent: the last seq of each key that still waits."""

    def __init__(self) -> None:
        self._seqs: dict[Key, int] = {}
        self._since_poll: set[Key] = set()

    def unsent(self, page: Iterable[Waiting[Summary]]) -> Iterator[Waiting[Summary]]:
        """What of it was not sent yet; from now on it was."""
        for waiting in page:
            if self._seqs.get(waiting.key, -1) < waiting.seq:
                self._seqs[waiting.key] = waiting.seq
                self._since_poll.add(waiting.key)
                yield waiting

    def behind(self, polled: Standing) -> set[Key]:
        """What waits and was not sent. What waits no longer is forgotten.

        What was sent since the last poll may have come after this one was read, so it stays.
        """
        for key in self._seqs.keys() - polled.keys() - self._since_poll:
            del self._seqs[key]
        self._since_poll.clear()
        return {key for key, seq in polled.items() if self._seqs.get(key, -1) < seq}


def _lacking(
    read: _Reader[Summary], unit: str, subscription: Subscription, sent: _Sent
) -> AsyncGenerator[Sequence[Waiting[Summary]], None]:
    """Pages of what a watch that was woken may not have sent; the hints so far count as taken.

    Raises:
        ExchangeError: in the place of a poll that failed.
    """
    subscription.wake.clear()
    keys, subscription.keys = subscription.keys, set()
    polled, subscription.polled = subscription.polled, None
    if isinstance(polled, Exception):
        raise polled
    if polled is not None:
        keys |= sent.behind(polled)
    if subscription.overflown:
        subscription.overflown = False
        return _all_pages(read, unit)
    return _pages_of(read, unit, sorted(keys))


async def _all_pages(
    read: _Reader[Summary], unit: str
) -> AsyncGenerator[Sequence[Waiting[Summary]], None]:
    after: Key | None = None
    while True:
        page = await read(unit, None, after, _PAGE)
        yield page
        if len(page) < _PAGE:
            return
        after = page[-1].key


async def _pages_of(
    read: _Reader[Summary], unit: str, keys: Sequence[Key]
) -> AsyncGenerator[Sequence[Waiting[Summary]], None]:
    for start in range(0, len(keys), _PAGE):
        some = keys[start : start + _PAGE]
        yield await read(unit, some, None, len(some))
