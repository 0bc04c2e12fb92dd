"""Ends the open streams of whoever may no longer call, whatever they wait for.

A stream may wait for its caller to send, or to read, for as long as the caller likes; so that its
caller is admitted no longer is found out from outside. One look a second serves all streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from document_exchange.errors import ExchangeError
from exchange_runtime.values import Principal

LOOK_EVERY_S = 1.0


@dataclass(eq=False, slots=True)
class _Stream:
    principal: Principal
    task: asyncio.Task[object]
    cancelling: int
    """Cancellations that others had asked for before."""
    error: ExchangeError | None = None


class OpenStreams:
    """The streams that are open, and one timer while there are any."""

    def __init__(
        self, still_admitted: Callable[[Principal], None], *, every_s: float = LOOK_EVERY_S
    ) -> None:
        """``still_admitted`` raises an ExchangeError when the caller may no longer call."""
        self._still_admitted = still_admitted
        self._every_s = every_s
        self._open: set[_Stream] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def admitted(self, principal: Principal) -> Iterator[None]:
        """What the current task does in this context ends when ``principal`` may no longer call.

        Raises:
            ExchangeError: what ``still_admitted`` raised.
        """
        task = asyncio.current_task()
        assert task is not None, "streams are served by tasks"
        stream = _Stream(principal, task, task.cancelling())
        self._open.add(stream)
        self._look_later()
        try:
            yield
        except asyncio.CancelledError:
            # As asyncio.timeout does: if somebody else has cancelled the task too, that counts.
            if stream.error is None or task.uncancel() > stream.cancelling:
                raise
            raise stream.error from None
        finally:
            self._open.discard(stream)

    def _look_later(self) -> None:
        if self._timer is None and self._open:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look)

    def _look(self) -> None:
        self._timer = None
        admitted: set[bytes] = set()
        for stream in self._open:
            # Many streams have the same caller; each that ends needs an error of its own.
            if stream.error is not None or stream.principal.fingerprint in admitted:
                continue
            try:
                self._still_admitted(stream.principal)
                admitted.add(stream.principal.fingerprint)
            except ExchangeError as error:
                stream.error = error
                stream.task.cancel()
        self._look_later()
