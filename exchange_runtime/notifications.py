"""Keeps one connection listening to the ledger's notifications, across breaks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from exchange_runtime.background import surviving
from exchange_runtime.database import Database

log = structlog.get_logger(__name__)


class Notifications:
    """Calls back with the payload of each notification. They are hints: some may be lost."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Callable[[str], None]],
        *,
        pause_s: float = 1.0,
    ) -> None:
        self._database = database
        self._channels = channels
        self._pause_s = pause_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="notifications")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            with surviving("notifications_not_followed"):
                await self._listen_once()
            await asyncio.sleep(self._pause_s)

    async def _listen_once(self) -> None:
        """Listen until the connection breaks."""
        connection = await self._database.listen(self._channels)
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            await closed.wait()
            log.warning("notifications_interrupted")
        finally:
            connection.terminate()
