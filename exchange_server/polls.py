"""Polls that many share: one reading of a topic at a time, for everybody who follows it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Topic = TypeVar("Topic", bound=Hashable)
Reading = TypeVar("Reading")


class SharedPolls(Generic[Topic, Reading]):
    """Reads each topic that anybody follows, again and again, and tells all its followers.

    The pauses are random, from half the interval to the whole of it: so topics whose followers
    came at the same moment, as after a restart, are not read at the same moment for ever.
    """

    def __init__(self, read: Callable[[Topic], Awaitable[Reading]], interval_s: float) -> None:
        self._read = read
        self._interval_s = interval_s
        self._followers: dict[Topic, set[Callable[[Reading | Exception], None]]] = defaultdict(set)
        self._tasks: dict[Topic, asyncio.Task[None]] = {}

    @contextmanager
    def follow(self, topic: Topic, tell: Callable[[Reading | Exception], None]) -> Iterator[None]:
        """Have each reading, or the error in its place, told to ``tell`` while the context lasts.

        ``tell`` must be a callable of this follower alone. Every reading that it is told began
        after the one before had been told.
        """
        self._followers[topic].add(tell)
        if topic not in self._tasks:
            self._tasks[topic] = asyncio.create_task(self._poll(topic), name=f"poll {topic}")
        try:
            yield
        finally:
            self._followers[topic].discard(tell)
            if not self._followers[topic]:
                del self._followers[topic]
                self._tasks.pop(topic).cancel()

    async def _poll(self, topic: Topic) -> None:
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(0.5, 1))
            reading: Reading | Exception
            try:
                reading = await self._read(topic)
            except Exception as error:
                reading = error
            for tell in tuple(self._followers[topic]):
                tell(reading)
