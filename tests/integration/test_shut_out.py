"""Whoever is revoked or suspended is out within 2 s: on every server, in calls and open streams.

Also where no notification arrives. Each case prints how long it took.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.request import urlopen

import grpc
import pytest
from exchange_client.testing import LocalCentre
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from document_exchange import identity, manifest
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    exchange_pb2,
    exchange_pb2_grpc,
)
from exchange_server.rpc.metering import method_kinds
from tests.forgeries import chunks_of
from tests.pki_for_tests import Holder
from tests.real_centre import (
    SENDER,
    CentreInside,
    Upload,
    admitted,
    envelope,
    part,
    sealed,
    typed,
)

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


# ------------------------------------------------------------------ streams that wait


async def downloadable(inside: CentreInside, data: bytes) -> exchange_pb2.DownloadPartRequest:
    made = envelope([part(data)])
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), chunks_of(data))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=60)
    return exchange_pb2.DownloadPartRequest(envelope_id=made.envelope_id, part_id="part-1")


async def paused_upload(inside: CentreInside, caller: Holder, stub: Stub) -> Any:
    """Its header and first chunk have come, and nothing more does."""
    data = bytes(1024 * 1024)
    system = identity.of_certificate(caller.certificate).name
    content = manifest.encode(envelope([part(data)], sender_system=system))
    call = stub.Submit(timeout=60)
    header = exchange_pb2.SubmitHeader(
        manifest=content, signatures=sealed(content, inside.unit(SENDER, "seal"))
    )
    await call.write(exchange_pb2.SubmitRequest(header=header))
    chunk = exchange_pb2.PartChunk(part_id="part-1", data=data[:1000])
    await call.write(exchange_pb2.SubmitRequest(chunk=chunk))
    return call


async def trickle(upload: Any) -> None:
    """Send on, a byte at a time, as long as the centre lets it."""
    chunk = exchange_pb2.SubmitRequest(chunk=exchange_pb2.PartChunk(part_id="part-1", data=b"x"))
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while not upload.done():
            await upload.write(chunk)
            await asyncio.sleep(0.05)


async def opened(inside: CentreInside, caller: Holder, channel: Any) -> dict[str, Any]:
    """One stream of each method that has one; all of them wait for the caller or for news."""
    stub: Any = exchange_pb2_grpc.ExchangeServiceStub(channel)
    directory: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    calls = {
        "ExchangeService/Submit": await paused_upload(inside, caller, stub),
        "ExchangeService/WatchDeliveries": stub.WatchDeliveries(
            exchange_pb2.WatchDeliveriesRequest()
        ),
        "ExchangeService/WatchSubmissions": stub.WatchSubmissions(
            exchange_pb2.WatchSubmissionsRequest()
        ),
        "DirectoryService/WatchOwnCertificates": directory.WatchOwnCertificates(
            directory_pb2.WatchOwnCertificatesRequest()
        ),
        "Health/Watch": health.Watch(health_pb2.HealthCheckRequest()),
        "ServerReflection/ServerReflectionInfo": reflection.ServerReflectionInfo(),
    }
    talk = calls["ServerReflection/ServerReflectionInfo"]
    await talk.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await talk.read()
    return calls


async def open_calls(inside: CentreInside) -> dict[str, float]:
    """By method, as the server's metrics say."""

    def read() -> str:
        with urlopen(f"http://{inside.metrics_address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return {
        sample.labels["method"]: sample.value
        for family in text_string_to_metric_families(await asyncio.to_thread(read))
        for sample in family.samples
        if sample.name == "exchange_calls_open" and sample.value
    }


async def answer_of(call: Any) -> ExchangeError:
    if hasattr(call, "read"):
        return await ended(call)
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return typed(error)
    raise AssertionError("the call succeeded")


async def test_streams_that_wait_for_their_caller_end_as_well(
    local_centre: LocalCentre, tmp_path: Path
) -> None:
    """Whoever sends nothing and reads nothing is out no later than all others, in every method."""
    inside = CentreInside(local_centre)
    holder = inside.issue("system", SENDER, f"s{secrets.token_hex(4)}")
    await inside.publish()
    part_of_much = await downloadable(inside, bytes(24 * 1024 * 1024))
    async with (
        inside.second_server(tmp_path / "log"),
        inside.channel(holder) as channel,
        inside.stub(holder) as reader,
    ):
        await admitted(inside, holder)
        calls = await opened(inside, holder, channel)
        # More than the windows of the connection hold: the server waits until it is read.
        calls["ExchangeService/DownloadPart"] = unread = reader.DownloadPart(part_of_much)
        await unread.read()
        # Evidence without parts fits into the windows, so its stream can't be made to wait.
        waiting = {name.rpartition(".")[2] for name in method_kinds().streams}
        assert waiting - {"EvidenceService/GetEvidence"} == set(calls)
        trickling = await paused_upload(inside, holder, reader)
        sending = asyncio.create_task(trickle(trickling))
        expected = {**dict.fromkeys(calls, 1), "ExchangeService/Submit": 2}
        async with asyncio.timeout(10):
            while await open_calls(inside) != expected:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
        await revoke(inside, holder)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await open_calls(inside):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
            answers = await asyncio.gather(*map(answer_of, calls.values()))
            await sending
    assert dict(zip(calls, map(type, answers), strict=True)) == dict.fromkeys(
        calls, CertificateRevoked
    )
