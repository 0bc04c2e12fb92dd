"""Keeps one connection listening to the ledger's notifications, across breaks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from document_exchange.errors import ExchangeError
from exchange_server.storage.database import Database

log = structlog.get_logger(__name__)


class Notifications:
    """Calls back with the payload of each notification. They are hints: some may be lost."""

    def __init__(self, database: Database, channels: Mapping[str, Callable[[str], None]]) -> None:
        self._database = database
        self._channels = channels
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name="notifications")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._database.listen(self._channels)
            except ExchangeError as error:
                log.warning("notifications_not_followed", error=str(error))
                await asyncio.sleep(1.0)
                continue
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _, closed=closed: closed.set())
            try:
                await closed.wait()
                log.warning("notifications_interrupted")
            finally:
                connection.terminate()
