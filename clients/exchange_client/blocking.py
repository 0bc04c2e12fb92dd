"""Running the asynchronous SDK for programs without an event loop.

grpc.aio allows one event loop for each process, so all blocking clients share one, in one thread.
The wrappers below turn the asynchronous methods into blocking ones, signature and documentation
included; there is no second implementation.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
Inner = TypeVar("Inner")
Inner_co = TypeVar("Inner_co", covariant=True)


class _LoopThread:
    """The event loop of this process's blocking clients; begins with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; a new one in a forked child, where the thread does not exist."""
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._process = os.getpid()
                threading.Thread(
                    target=self._loop.run_forever, name="exchange-client", daemon=True
                ).start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for ``work``, cancelling it if the waiting is interrupted (Ctrl-C)."""
        loop = self.loop()
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        except BaseException:
            # By the coroutine, since Ctrl-C may come before there is a future to cancel.
            loop.call_soon_threadsafe(_cancel, loop, work)
            raise


def _cancel(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, object]) -> None:
    for task in asyncio.all_tasks(loop):
        if task.get_coro() is work:
            task.cancel()


LOOP = _LoopThread()


class Facade(Protocol[Inner_co]):
    """A blocking object around an asynchronous one."""

    @property
    def _inner(self) -> Inner_co: ...


def blocking(
    method: Callable[Concatenate[Inner, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Facade[Inner], P], T]:
    """The blocking form of an asynchronous method."""

    @functools.wraps(method)
    def call(self: Facade[Inner], *args: P.args, **kwargs: P.kwargs) -> T:
        return LOOP.run(method(self._inner, *args, **kwargs))

    return cast("Callable[Concatenate[Facade[Inner], P], T]", call)


def blocking_iterator(
    method: Callable[Concatenate[Inner, P], AsyncGenerator[T, None]],
    show: Callable[[T], U],
) -> Callable[Concatenate[Facade[Inner], P], Iterator[U]]:
    """The blocking form of an asynchronous iterator, its items passed through ``show``."""

    @functools.wraps(method)
    def iterate(self: Facade[Inner], *args: P.args, **kwargs: P.kwargs) -> Iterator[U]:
        items = method(self._inner, *args, **kwargs)
        try:
            while (item := LOOP.run(_next(items))) is not None:
                yield show(item[0])
        finally:
            if not sys.is_finalizing():  # then the loop's thread is gone, and waiting is for ever
                LOOP.run(items.aclose())

    return cast("Callable[Concatenate[Facade[Inner], P], Iterator[U]]", iterate)


async def _next(items: AsyncIterator[T]) -> tuple[T] | None:
    """The next item in a tuple of its own; None at the end."""
    async for item in items:
        return (item,)
    return None
