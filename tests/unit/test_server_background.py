"""Background loops outlive errors that nobody thought of, and still end when they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import asyncpg
import pytest
import structlog

from document_exchange.errors import Unavailable
from exchange_runtime.background import every
from exchange_runtime.database import Database
from exchange_runtime.notifications import Notifications
from exchange_server.attention import AttentionHub

UNEXPECTED = (ValueError("nobody thought of this"), Unavailable(), KeyError("nor of this"))


class Failing:
    """Something that fails with one error after the other, and then does its work."""

    def __init__(self) -> None:
        self.errors = list(UNEXPECTED)
        self.asked = asyncio.Event()
        self.done = asyncio.Event()
        self.given: list[Any] = []

    async def __call__(self, *arguments: Any) -> None:
        self.asked.set()
        if self.errors:
            raise self.errors.pop(0)
        self.given.extend(arguments)
        self.done.set()

    async def worked(self) -> None:
        await asyncio.wait_for(self.done.wait(), 10)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_periodic_step_goes_on_and_says_what_went_wrong() -> None:
    step = Failing()
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(every(0.001, "background_step_failed", step))
        await step.worked()
        await ended(task)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("background_step_failed", "error"),
        ("background_step_failed", "warning"),
        ("background_step_failed", "error"),
    ]
    assert logs[0]["exc_info"], "an error of ours comes with its traceback"


class _Notified:
    """The one thing that sending hints asks of the ledger."""

    def __init__(self) -> None:
        self.notify = Failing()


async def test_hints_go_on_after_an_error() -> None:
    ledger = _Notified()
    hub = AttentionHub(ledger, coalesce_s=0)
    await hub.start()
    try:
        for _ in UNEXPECTED:
            ledger.notify.asked.clear()
            hub.envelope_accepted("lost", ["qd-jiaoyu"])
            await asyncio.wait_for(ledger.notify.asked.wait(), 10)
        hub.envelope_accepted("told", ["qd-jiaoyu"])
        await ledger.notify.worked()
    finally:
        await hub.stop()
    (payload,) = ledger.notify.given
    assert "told" in payload
    assert "lost" not in payload


class _Connection:
    """A connection that breaks as soon as somebody asks to be told."""

    def add_termination_listener(self, told: Callable[[Any], None]) -> None:
        told(self)

    def terminate(self) -> None:
        pass


class _Listening:
    """The one thing that following notifications asks of the database."""

    def __init__(self) -> None:
        self.asked = Failing()

    async def listen(self, channels: Mapping[str, Callable[[str], None]]) -> asyncpg.Connection:
        await self.asked(channels)
        return cast(asyncpg.Connection, _Connection())


async def test_notifications_are_followed_again_after_an_error() -> None:
    database = _Listening()
    notifications = Notifications(cast(Database, database), {}, pause_s=0.001)
    await notifications.start()
    try:
        await database.asked.worked()
        database.asked.done.clear()
        await database.asked.worked()  # the connection broke, and there is a next one
    finally:
        await notifications.stop()
