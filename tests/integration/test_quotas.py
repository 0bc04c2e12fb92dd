"""Quotas over two server processes and one ledger, on the wire and through the SDK."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from exchange_client import PartSource, Timing
from exchange_client.testing import LocalCentre
from google.rpc import error_details_pb2, status_pb2

from document_exchange import event, identity, manifest
from document_exchange.errors import ExchangeError, NotFound, QuotaExceeded
from document_exchange.v1 import directory_pb2, directory_pb2_grpc, exchange_pb2, exchange_pb2_grpc
from exchange_runtime.database import Database
from exchange_server.quota_leases import Ask, allowance_of, slice_of
from exchange_server.storage.ledger import Ledger, ledger_database
from tests.evidence_calls import collected
from tests.quotas_for_tests import QuotaBooks, quota
from tests.real_centre import (
    DETAILS,
    RECIPIENT,
    SENDER,
    CentreInside,
    envelope,
    part,
    sealed,
    typed,
)
from tests.rivals import overtaken, rival

UNIT = SENDER
LIMITS = "\n[limits]\nquota_lease_s = 2\n"
LIST = directory_pb2.ListUnitsRequest(page_size=1)
WATCH = exchange_pb2.WatchSubmissionsRequest()

SetQuota = Callable[..., Awaitable[None]]


@pytest.fixture
async def set_quota(local_centre: LocalCentre) -> AsyncIterator[SetQuota]:
    """Gives the unit this quota and nothing used of it; at the end it has none again."""
    inside = CentreInside(local_centre)

    async def forget(ledger: asyncpg.Connection[asyncpg.Record]) -> None:
        for table in ("quotas", "quota_grants", "quota_levels"):
            await ledger.execute(f"delete from exchange.{table}")

    async def set_(**limits: int) -> None:
        async with inside.ledger() as ledger, ledger.transaction():
            await forget(ledger)
            await ledger.execute(
                f"insert into exchange.quotas (unit_id, {', '.join(limits)})"
                f" values ($1, {', '.join(str(limit) for limit in limits.values())})",
                UNIT,
            )

    yield set_
    async with inside.ledger() as ledger:
        await forget(ledger)


@asynccontextmanager
async def server(centre: LocalCentre, log: Path) -> AsyncIterator[CentreInside]:
    inside = CentreInside(centre)
    async with inside.second_server(log, LIMITS) as process:
        inside.process = process  # type: ignore[attr-defined]
        yield inside


async def refusal(call: Any) -> ExchangeError | None:
    """None if it passes."""
    try:
        async with asyncio.timeout(10):
            await (call.read() if hasattr(call, "read") else call)
    except grpc.aio.AioRpcError as error:
        return typed(error)
    return None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


# ------------------------------------------------------------------ over two processes


async def test_a_limit_holds_over_both_and_for_this_unit_alone(
    local_centre: LocalCentre, set_quota: SetQuota, tmp_path: Path
) -> None:
    limit = 60
    await set_quota(calls_per_minute=limit)
    async with (
        server(local_centre, tmp_path / "one.log") as one,
        server(local_centre, tmp_path / "other.log") as other,
        one.channel(one.unit(UNIT)) as first,
        other.channel(other.unit(UNIT)) as second,
        one.channel(one.unit(RECIPIENT)) as neighbour,
    ):
        stubs = [directory_pb2_grpc.DirectoryServiceStub(each) for each in (first, second)]
        passed = 0
        refused: list[ExchangeError] = []
        for number in range(6 * limit):
            error = await refusal(stubs[number % 2].ListUnits(LIST, timeout=5))
            passed += error is None
            refused += [error] if error is not None else []
        assert limit - 2 * slice_of(limit) <= passed <= limit + 2 * allowance_of(limit)
        assert {type(error) for error in refused} == {QuotaExceeded}
        full = [e for e in refused if isinstance(e, QuotaExceeded) and e.retry_after_s > 1]
        assert len(full) > limit
        assert all(e.retry_after_s <= 61 for e in full)
        assert full[-1].attributes == {
            "unit": UNIT,
            "resource": "calls_per_minute",
            "limit": str(limit),
        }
        stub = directory_pb2_grpc.DirectoryServiceStub(neighbour)
        assert [await refusal(stub.ListUnits(LIST, timeout=5)) for _ in range(2 * limit)] == (
            [None] * 2 * limit
        )
        async with one.ledger() as ledger:
            rows = await ledger.fetch(
                "select event from exchange.events where type = 'DENIED' and actor = $1",
                str(identity.of_certificate(one.unit(UNIT).certificate)),
            )
            assert not await ledger.fetch(
                "select from exchange.quota_grants where unit_id = $1", RECIPIENT
            )
    details = [event.decode(row["event"]).detail or {} for row in rows]
    assert {
        "method": "/document_exchange.v1.DirectoryService/ListUnits",
        "code": "QUOTA_EXCEEDED",
        "unit": UNIT,
        "resource": "calls_per_minute",
    } in details


async def test_the_delay_crosses_as_retry_info(
    local_centre: LocalCentre, set_quota: SetQuota, tmp_path: Path
) -> None:
    await set_quota(calls_per_minute=4)
    async with (
        server(local_centre, tmp_path / "log") as one,
        one.channel(one.unit(UNIT)) as channel,
    ):
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 - some pass before
            while True:
                await stub.ListUnits(LIST, timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    (packed,) = [v for n, v in caught.value.trailing_metadata() or () if n == DETAILS]
    info = error_details_pb2.RetryInfo()
    (detail,) = [
        each for each in status_pb2.Status.FromString(packed).details if each.Is(info.DESCRIPTOR)
    ]
    detail.Unpack(info)
    error = typed(caught.value)
    assert isinstance(error, QuotaExceeded)
    assert info.retry_delay.seconds + info.retry_delay.nanos / 1e9 == error.retry_after_s > 0


async def test_streams_of_a_process_that_was_killed_come_back(
    local_centre: LocalCentre, set_quota: SetQuota, tmp_path: Path
) -> None:
    limit = 6
    await set_quota(open_streams=limit)
    async with (
        AsyncExitStack() as stack,
        server(local_centre, tmp_path / "one.log") as one,
        server(local_centre, tmp_path / "other.log") as other,
    ):
        stubs = [
            await stack.enter_async_context(each.stub(each.unit(UNIT))) for each in (one, other)
        ]
        kept: list[list[Any]] = [[], []]

        async def opened(number: int) -> bool:
            """Whether one more was opened."""
            call = stubs[number].WatchSubmissions(WATCH)
            error = await refusal(call)
            if error is None:
                kept[number].append(call)
            else:
                assert isinstance(error, QuotaExceeded)
                assert error.attributes["resource"] == "open_streams"
            return error is None

        async def full(number: int) -> bool:
            """Whether as many are open as may be, now that it has tried to open one more."""
            await opened(number)
            return len(kept[number]) >= limit

        await until(lambda: full(0))
        assert not await opened(0), "the seventh"
        for _ in range(20):
            await opened(1)
        assert len(kept[1]) <= allowance_of(limit)
        one.process.kill()  # type: ignore[attr-defined]
        await until(lambda: full(1))
        assert not await opened(1)


async def test_bytes_in_flight(
    local_centre: LocalCentre, set_quota: SetQuota, tmp_path: Path
) -> None:
    body = bytes(900_000)
    await set_quota(bytes_in_flight=1_000_000)
    async with (
        server(local_centre, tmp_path / "log") as one,
        one.stub(one.unit(UNIT)) as stub,
    ):
        begun = []
        for _ in range(2):  # the second begins while a little is free, and is taken whole
            begun.append(await begin(one, stub, body))
            await until(lambda: held(one, "bytes_in_flight", 900_000 * len(begun)))
        error = await refusal(stub.Submit(iter(())))
        assert isinstance(error, QuotaExceeded)
        assert error.attributes["resource"] == "bytes_in_flight"
        for call in begun:
            call.cancel()

        async def passes() -> bool:
            return not isinstance(await refusal(stub.Submit(iter(()))), QuotaExceeded)

        await until(passes)
        async with one.ledger() as ledger:
            await until(lambda: gone(ledger))


async def test_evidence_counts_as_bytes_and_is_refused_before_its_first_one(
    local_centre: LocalCentre, set_quota: SetQuota, tmp_path: Path
) -> None:
    async with local_centre.async_client(UNIT) as client:
        file = PartSource(b"%PDF-1.7", filename="a.pdf")
        sent = await client.send(title="函", recipients=RECIPIENT, files=file)
    await set_quota(bytes_per_minute=5000)
    async with server(local_centre, tmp_path / "log") as one:
        asked = {"envelope_id": sent.envelope_id, "without_content": True}
        files = await collected(one, UNIT, **asked)  # more than there is, so it uses up all
        assert sum(map(len, files.values())) > 5000
        # A slice that was asked for before that may still come, and let one more pass.
        with suppress(QuotaExceeded):
            await collected(one, UNIT, **asked)
        with pytest.raises(QuotaExceeded) as refused:
            await collected(one, UNIT, **asked)
        assert refused.value.attributes["resource"] == "bytes_per_minute"
        # Another unit has its own; more may be stamped by now.
        assert files.keys() <= (await collected(one, RECIPIENT, **asked)).keys()


async def begin(
    inside: CentreInside, stub: exchange_pb2_grpc.ExchangeServiceAsyncStub, body: bytes
) -> Any:
    """An upload of which the first bytes have come."""
    content = manifest.encode(envelope([part(body)]))
    call = stub.Submit()
    header = exchange_pb2.SubmitHeader(
        manifest=content, signatures=sealed(content, inside.unit(UNIT, "seal"))
    )
    await call.write(exchange_pb2.SubmitRequest(header=header))
    chunk = exchange_pb2.PartChunk(part_id="part-1", data=body[:1000])
    await call.write(exchange_pb2.SubmitRequest(chunk=chunk))
    return call


async def held(inside: CentreInside, resource: str, amount: int) -> bool:
    async with inside.ledger() as ledger:
        found = await ledger.fetchval(
            "select sum(held) from exchange.quota_levels where unit_id = $1 and resource = $2",
            UNIT,
            resource,
        )
    return found is not None and found >= amount


async def gone(ledger: asyncpg.Connection[asyncpg.Record]) -> bool:
    return not await ledger.fetchval("select count(*) from exchange.quota_levels")


# ------------------------------------------------------------------ the SDK


async def use_up_for(inside: CentreInside, seconds: float, limit: int) -> None:
    """As if another process had used all of the calls, the longest time ago."""
    async with inside.ledger() as ledger:
        await ledger.execute(
            "insert into exchange.quota_grants values"
            " ($1, 'calls_per_minute', clock_timestamp() + $2, $3, gen_random_uuid())",
            UNIT,
            timedelta(seconds=seconds),
            limit,
        )


async def test_the_sdk_waits_and_succeeds_or_says_how_long(
    local_centre: LocalCentre, set_quota: SetQuota
) -> None:
    limit = 40
    await set_quota(calls_per_minute=limit)
    inside = CentreInside(local_centre)
    await use_up_for(inside, 6, limit)
    patient, hasty = Timing(retry_budget_s=20), Timing(retry_budget_s=0.5)
    async with (
        local_centre.async_client(UNIT, patient) as client,
        local_centre.async_client(UNIT, hasty) as in_a_hurry,
    ):
        said = r"come again in [1-6]\.\d s"
        with pytest.raises(QuotaExceeded, match=said) as caught:  # noqa: PT012 - some pass before
            while True:
                await in_a_hurry.unit(RECIPIENT)
        began = time.monotonic()
        assert (await client.unit(RECIPIENT)).unit_id == RECIPIENT
        assert time.monotonic() - began >= caught.value.retry_after_s - 1


# ------------------------------------------------------------------ the ledger's functions


@pytest.fixture
async def database(local_centre: LocalCentre) -> AsyncIterator[Database]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    opened = ledger_database(dsn, connections=10, timeout_s=10)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    return Ledger(database, longest_upload=timedelta(hours=4))


async def test_what_is_granted_at_once_is_never_more_than_the_limit(
    ledger: Ledger, set_quota: SetQuota
) -> None:
    await set_quota(calls_per_minute=100, open_streams=50)

    def wanted() -> dict[str, Ask]:
        return {"calls_per_minute": Ask(0, 7), "open_streams": Ask(0, 7)}

    answers = await asyncio.gather(
        *[ledger.lease_quota(UNIT, uuid.uuid4(), 60, wanted()) for _ in range(60)]
    )
    assert sum(answer["calls_per_minute"].granted for answer in answers) == 100
    assert sum(answer["open_streams"].granted for answer in answers) == 50
    assert await ledger.quota_used(UNIT) == {"calls_per_minute": 100, "open_streams": 50}


async def test_a_lease_counts_what_another_is_just_being_granted(
    ledger: Ledger, set_quota: SetQuota, local_centre: LocalCentre
) -> None:
    await set_quota(calls_per_minute=10, open_streams=10)
    asks = {"calls_per_minute": Ask(0, 7), "open_streams": Ask(0, 7)}
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    async with rival(dsn, "exchange_server.storage") as first:
        one = Ledger(first, longest_upload=timedelta(hours=1))
        granted = await one.lease_quota(UNIT, uuid.uuid4(), 60, asks)
        assert {each.granted for each in granted.values()} == {7}
        other = {resource: Ask(0, 7) for resource in asks}
        found = await overtaken(first, ledger.lease_quota(UNIT, uuid.uuid4(), 60, other))
    assert not isinstance(found, ExchangeError)
    assert {each.granted for each in found.values()} == {3}


async def test_the_ledger_counts_as_its_model_does(ledger: Ledger, set_quota: SetQuota) -> None:
    """So that what the unit tests try at every moment holds for the functions, too."""
    limits = {"calls_per_minute": 50, "bytes_per_minute": 1000, "open_streams": 20}
    await set_quota(**limits)
    books = QuotaBooks(quota(UNIT, **limits))
    chance = random.Random(7)
    processes = [uuid.UUID(int=number) for number in range(4)]
    entered: dict[str, list[uuid.UUID]] = {"calls_per_minute": [], "bytes_per_minute": []}

    def ask(resource: str, used: int, wanted: int) -> Ask:
        """Sometimes one that was made before; of earlier entries something is given back."""
        entries = entered[resource]
        again = bool(entries) and chance.random() < 0.1
        made = Ask(
            chance.randint(0, used),
            chance.randint(0, wanted),
            chance.choice(entries) if again else uuid.uuid4(),
            {
                entry: chance.randint(1, 2 * used)
                for entry in chance.sample(entries, min(len(entries), chance.randint(0, 2)))
            },
        )
        entries.append(made.entry)
        return made

    for turn in range(150):
        process = chance.choice(processes)
        asks = {
            "calls_per_minute": ask("calls_per_minute", 3, 5),
            # Now and then more than an hour can hold.
            "bytes_per_minute": ask("bytes_per_minute", 900 if turn % 10 else 90_000, 50),
            "open_streams": Ask(chance.randint(0, 5), chance.randint(0, 3)),
        }
        books.now = time.time()
        theirs = await ledger.lease_quota(UNIT, process, 60, asks)
        ours = await books.lease_quota(UNIT, process, 60, asks)
        assert {k: v.granted for k, v in theirs.items()} == {k: v.granted for k, v in ours.items()}
        for resource, grant in theirs.items():
            expected = ours[resource].retry_s
            assert (grant.retry_s is None) is (expected is None)
            if grant.retry_s is not None and expected is not None:
                assert abs(grant.retry_s - expected) <= 3, "seconds are rounded up"
    used = await books.quota_used(UNIT)
    assert await ledger.quota_used(UNIT) == {k: v for k, v in used.items() if v}


async def test_of_what_is_gone_nothing_counts(ledger: Ledger, set_quota: SetQuota) -> None:
    await set_quota(open_streams=5)
    dead, living = uuid.uuid4(), uuid.uuid4()
    await ledger.lease_quota(UNIT, dead, 0.3, {"open_streams": Ask(5, 0)})

    async def free() -> bool:
        found = await ledger.lease_quota(UNIT, living, 60, {"open_streams": Ask(0, 5)})
        return found["open_streams"].granted == 5

    assert not await free()
    await until(free)
    await ledger.return_quota(living)
    assert await ledger.quota_used(UNIT) == {}


async def test_the_row_of_all_units_is_for_those_without_one(
    ledger: Ledger, set_quota: SetQuota, local_centre: LocalCentre
) -> None:
    await set_quota(calls_per_minute=3)
    async with CentreInside(local_centre).ledger() as owner:
        await owner.execute(
            "insert into exchange.quotas (unit_id, calls_per_minute) values ('*', 2)"
        )
    wanted = {"calls_per_minute": Ask(0, 9), "open_streams": Ask(0, 9)}
    for unit, granted in ((UNIT, 3), (RECIPIENT, 2)):
        found = await ledger.lease_quota(unit, uuid.uuid4(), 60, wanted)
        assert (found["calls_per_minute"].granted, found["open_streams"].granted) == (granted, 9)


async def test_the_server_leases_by_the_function_alone(local_centre: LocalCentre) -> None:
    connection = await asyncpg.connect(local_centre.description["ledger"]["dsn_exchange"])
    try:
        for statement in (
            "update exchange.quotas set calls_per_minute = 0",
            "delete from exchange.quota_grants",
            "delete from exchange.quota_levels",
            "select exchange.lease_rate('a', 'calls_per_minute', 9, gen_random_uuid(), 0, 9)",
            "select exchange.return_rate('a', '{}', '{}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_unit_that_does_not_exist_is_no_matter_of_quotas(
    local_centre: LocalCentre, set_quota: SetQuota
) -> None:
    """Refusals for other reasons are calls like all others."""
    await set_quota(calls_per_minute=4)
    async with local_centre.async_client(UNIT, Timing(retry_budget_s=0)) as client:

        async def full() -> bool:
            try:
                await client.unit("qd-nobody")
            except QuotaExceeded:
                return True
            except NotFound:
                return False
            return False

        await until(full)
