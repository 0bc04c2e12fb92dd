"""Whoever is revoked or suspended is out within 2 s: on every server, in calls and open streams.

Also where no notification arrives. Each case prints how long it took.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import identity
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.v1 import exchange_pb2, exchange_pb2_grpc
from tests.pki_for_tests import Holder
from tests.real_centre import CentreInside, admitted, typed

Stub: TypeAlias = "exchange_pb2_grpc.ExchangeServiceAsyncStub"
Act = Callable[[CentreInside, Holder], Awaitable[None]]

UNIT = "qd-zhengfu"
"""A unit that no test beside these needs while they run."""
OUT_WITHIN_S = 2.0
SERVERS = 3


async def revoke(inside: CentreInside, holder: Holder) -> None:
    await inside.revoke(holder)


async def suspend_unit(inside: CentreInside, holder: Holder) -> None:
    async with inside.ledger() as ledger:
        await ledger.execute(
            "update exchange.units set status = 'SUSPENDED' where unit_id = $1", UNIT
        )


async def suspend_system(inside: CentreInside, holder: Holder) -> None:
    async with inside.ledger() as ledger:
        await ledger.execute(
            "insert into exchange.systems (unit_id, name, status) values ($1, $2, 'SUSPENDED')",
            UNIT,
            identity.of_certificate(holder.certificate).name,
        )


@asynccontextmanager
async def without_notifications(inside: CentreInside) -> AsyncIterator[None]:
    """Changes of the registry are told to nobody: as if every notification were lost."""
    async with inside.ledger() as ledger:
        told = await ledger.fetchval(
            "select pg_get_functiondef('exchange.registry_changed'::regproc)"
        )
        silent = told.replace("perform pg_notify('registry', '');", "")
        assert silent != told
        await ledger.execute(silent)
        try:
            yield
        finally:
            await ledger.execute(told)


@pytest.fixture
async def servers(
    local_centre: LocalCentre, tmp_path: Path
) -> AsyncIterator[tuple[CentreInside, ...]]:
    """Three servers over one ledger."""
    made = tuple(CentreInside(local_centre) for _ in range(SERVERS))
    async with AsyncExitStack() as stack:
        for number, each in enumerate(made[1:], 2):
            await stack.enter_async_context(each.second_server(tmp_path / f"{number}.log"))
        yield made
    async with made[0].ledger() as ledger:
        await ledger.execute("update exchange.units set status = 'ACTIVE' where unit_id = $1", UNIT)


async def refused(stub: Stub) -> ExchangeError:
    """The first refusal of one short call after another."""
    while True:
        try:
            await stub.ListDeliveries(exchange_pb2.ListDeliveriesRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return typed(error)


async def ended(watch: Any) -> ExchangeError:
    try:
        while await watch.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return typed(error)
    raise AssertionError("the watch ended without a word")


@pytest.mark.parametrize("lost", [False, True], ids=["notified", "notifications lost"])
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (revoke, CertificateRevoked),
        (suspend_unit, UnitNotActive),
        (suspend_system, SystemNotActive),
    ],
    ids=["certificate revoked", "unit suspended", "system suspended"],
)
async def test_out_within_two_seconds_everywhere(
    servers: tuple[CentreInside, ...],
    act: Act,
    expected: type[ExchangeError],
    lost: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = servers[0]
    holder = first.issue("system", UNIT, f"s{secrets.token_hex(4)}")
    await first.publish()
    async with AsyncExitStack() as stack:
        watches, stubs = [], []
        for server in servers:
            await admitted(server, holder)
            stub = await stack.enter_async_context(server.stub(holder))
            watch: Any = stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest(), timeout=60)
            while (await watch.read()).WhichOneof("event") != "caught_up":
                pass
            watches.append(watch)
            stubs.append(stub)
        if lost:
            await stack.enter_async_context(without_notifications(first))
        await act(first, holder)
        began = time.monotonic()
        async with asyncio.timeout(OUT_WITHIN_S):
            answers = await asyncio.gather(*map(refused, stubs), *map(ended, watches))
        took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{SERVERS} servers, calls and streams: out after {took:.2f} s")  # noqa: T201
    assert [type(answer) for answer in answers] == [expected] * len(answers)
