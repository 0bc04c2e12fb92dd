"""A revocation list that ends is said once: in the log, and as an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import structlog

from document_exchange.errors import Unavailable
from exchange_runtime.values import PreparedEvent
from exchange_server.list_watch import ListWatch
from exchange_server.registry import Crl, Registry, RegistryFollower

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def crl(number: int, ends: datetime) -> Crl:
    return Crl(number, ends - 7 * DAY, ends, b"")


class Followed:
    def __init__(self, *seal_lists: Crl) -> None:
        self.seal_lists = seal_lists

    def current(self) -> Registry:
        root = (crl(1, NOON + 300 * DAY),)
        long_begun = (Crl(1, NOON - DAY, root[0].next_update, b""),)
        return Registry(1, {}, {}, frozenset(), long_begun, self.seal_lists)


class Events:
    def __init__(self) -> None:
        self.recorded: list[PreparedEvent] = []
        self.away = False

    async def record_event(self, prepared: PreparedEvent) -> None:
        if self.away:
            raise Unavailable
        self.recorded.append(prepared)


def watch(followed: Followed, events: Events) -> ListWatch:
    return ListWatch(cast(RegistryFollower, followed), events, lambda: NOON)


async def test_a_list_that_ended_is_an_event_once() -> None:
    events = Events()
    looks = watch(Followed(crl(7, NOON)), events)
    await looks.look()
    await looks.look()
    (told,) = events.recorded
    assert told.event.type == "REVOCATION_LIST_EXPIRED"
    assert told.event.detail == {
        "issuer": "seal-ca",
        "number": "7",
        "next_update": "2026-11-20T12:00:00.000Z",
    }


async def test_what_the_ledger_did_not_take_is_tried_again() -> None:
    events = Events()
    looks = watch(Followed(crl(7, NOON)), events)
    events.away = True
    with pytest.raises(Unavailable):
        await looks.look()
    events.away = False
    await looks.look()
    assert len(events.recorded) == 1


async def test_a_newer_list_in_force_is_what_counts() -> None:
    events = Events()
    with structlog.testing.capture_logs() as logs:
        await watch(Followed(crl(7, NOON - DAY), crl(8, NOON + 6 * DAY)), events).look()
    assert not events.recorded
    assert not logs


async def test_the_log_warns_once_before_a_list_ends() -> None:
    events = Events()
    looks = watch(Followed(crl(7, NOON + DAY)), events)
    with structlog.testing.capture_logs() as logs:
        await looks.look()
        await looks.look()
    assert [(line["event"], line["issuer"]) for line in logs] == [("crl_ends", "seal-ca")]
    assert not events.recorded
