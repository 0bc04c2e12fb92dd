"""Streams of the service: whoever hangs up gives back at once what the call held."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from document_exchange import identity
from document_exchange.v1 import exchange_pb2
from exchange_runtime.clock import system_clock
from exchange_runtime.metrics import new_registry
from exchange_runtime.rpc import caller
from exchange_runtime.values import Principal
from exchange_server.attention import AttentionHub, Key
from exchange_server.budget import Budgets
from exchange_server.deliver import Deliverer, DeliveryLedger
from exchange_server.metrics import DocumentMetrics
from exchange_server.positions import Positions
from exchange_server.recent import RecentParts
from exchange_server.rpc.exchange import ExchangeServicer
from exchange_server.values import Block, StoredPart
from exchange_server.watch import Watcher, WatchLedger
from tests.quotas_for_tests import unlimited

MIB = 1024 * 1024
DATA = bytes(MIB)
ENVELOPE = "019a0000-0000-7000-8000-000000000001"
READER = Principal(
    identity.parse("spiffe://exchange.example/unit/qd-jiaoyu/system/oa"),
    b"",
    system_clock(),
    system_clock(),
    "10.0.0.1",
)


class Books:
    """One part of one block; nothing awaits anybody."""

    async def find_part_for(self, unit: str, envelope_id: str, part_id: str) -> StoredPart:
        block = Block(0, 0, "key", len(DATA), hashlib.sha256(DATA).digest())
        return StoredPart(len(DATA), [block], withdrawn=False)

    async def get(self, key: str) -> bytes:
        return DATA

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Any]:
        return []

    waiting_submissions = waiting_deliveries

    async def notify(self, payload: str) -> None: ...


def service(books: Books, budgets: Budgets) -> ExchangeServicer:
    """The streams that go out alone need no more than this."""
    unused: Any = None
    return ExchangeServicer(
        submitter=unused,
        deliverer=Deliverer(
            cast(DeliveryLedger, books),
            books,
            budgets,
            RecentParts(0, 0),
            Positions(),
            30.0,
            unlimited(),
        ),
        acknowledger=unused,
        tracker=unused,
        watcher=Watcher(AttentionHub(books), cast(WatchLedger, books), poll_s=3600.0),
        still_admitted=lambda _principal: None,
        chain=(),
        idle_timeout_s=30.0,
        metrics=DocumentMetrics(new_registry()),
    )


def polls() -> list[asyncio.Task[Any]]:
    """Units are polled for as long as somebody watches."""
    return [
        task
        for task in asyncio.all_tasks()
        if task.get_name().startswith("poll") and not task.cancelling()
    ]


async def test_a_download_holds_no_memory_any_more() -> None:
    budgets = Budgets(16 * MIB, 16 * MIB)
    caller.set_current(READER)
    request = exchange_pb2.DownloadPartRequest(envelope_id=ENVELOPE, part_id="part-1")
    stream: Any = service(Books(), budgets).DownloadPart(request, None)
    async with aclosing(stream):
        await anext(stream)
        assert budgets.used_bytes == MIB
    assert budgets.used_bytes == 0


async def test_a_watch_is_told_nothing_any_more() -> None:
    caller.set_current(READER)
    servicer = service(Books(), Budgets(16 * MIB, 16 * MIB))
    streams: list[Any] = [
        servicer.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest(), None),
        servicer.WatchSubmissions(exchange_pb2.WatchSubmissionsRequest(), None),
    ]
    for stream in streams:
        async with aclosing(stream):
            assert (await anext(stream)).WhichOneof("event") == "caught_up"
            assert len(polls()) == 1
        assert polls() == []
