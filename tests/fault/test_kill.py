"""The server is killed, or told to stop, amid submissions: what was acknowledged stays, once."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from exchange_client import AsyncClient, PartSource, Timing
from exchange_client.testing import LocalCentre

from document_exchange import manifest
from document_exchange.v1 import exchange_pb2
from exchange_server.storage.blobs import MinioBlobStore
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    part,
    sealed,
    server_process,
    typed,
)

CITY = Path(__file__).parents[1] / "integration" / "small_city.toml"
PATIENT = Timing(retry_budget_s=90)
DOCUMENTS = 200
CHUNK = 256 * 1024


@pytest.mark.timeout(240)
async def test_a_killed_server_loses_and_doubles_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KILL_SEED", secrets.randbits(32)))
    with capsys.disabled():
        print(f"\nKILL_SEED={seed}")  # noqa: T201 - to repeat what failed
    kill_after = random.Random(seed).randrange(1, DOCUMENTS - 40)
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def send(client: AsyncClient, number: int) -> str:
        sent = await client.send(
            title=f"document {number}",
            recipients=[RECIPIENT],
            files=[PartSource(os.urandom(20_000))],
        )
        acknowledged.append(sent.envelope_id)
        if len(acknowledged) == kill_after:
            enough.set()
        return sent.envelope_id

    centre = LocalCentre(registry=CITY, state=tmp_path / "state")
    async with centre, centre.async_client(SENDER, PATIENT) as client:
        sending = [asyncio.create_task(send(client, number)) for number in range(DOCUMENTS)]
        async with asyncio.timeout(60):
            await enough.wait()
        server_process(centre.process_id).kill()
        assert len(acknowledged) < DOCUMENTS, "the kill came too late to show anything"
        await centre.__aexit__(None, None, None)
        before = list(acknowledged)
        await centre.__aenter__()
        async with CentreInside(centre).ledger() as ledger:
            kept = await ledger.fetch("select envelope_id::text from exchange.envelopes")
            assert set(before) <= {row["envelope_id"] for row in kept}
            sent = await asyncio.gather(*sending)
            rows = await ledger.fetch("select envelope_id::text, title from exchange.envelopes")
            deliveries = await ledger.fetchval("select count(*) from exchange.deliveries")
        assert sorted(row["envelope_id"] for row in rows) == sorted(sent)
        assert {row["title"] for row in rows} == {f"document {n}" for n in range(DOCUMENTS)}
        assert deliveries == len(rows) == DOCUMENTS
        listed = [each.envelope_id async for each in client.submissions()]
        assert sorted(listed) == sorted(sent)


@pytest.mark.timeout(180)
async def test_a_server_told_to_stop_finishes_what_it_began(tmp_path: Path) -> None:
    """A second server process over the same ledger and store, so that its exit code is ours."""
    async with LocalCentre(registry=CITY, state=tmp_path / "state") as centre:
        inside = CentreInside(centre)
        async with inside.second_server(tmp_path / "second.log") as server:
            await _stop_amid_a_submission(inside, server)
            assert await asyncio.to_thread(server.wait, 40) == 0


async def _stop_amid_a_submission(inside: CentreInside, server: subprocess.Popen[bytes]) -> None:
    data = os.urandom(9 * 1024 * 1024)
    made = envelope([part(data)])
    content = manifest.encode(made)
    chunks = tuple(("part-1", data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), chunks)
    refused = asyncio.Event()

    async def messages() -> AsyncIterator[exchange_pb2.SubmitRequest]:
        count = 0
        async for message in upload.messages():
            count += 1
            if count > len(chunks):
                await refused.wait()
            yield message

    caller = inside.unit(SENDER)
    async with inside.stub(caller) as stub:
        answer = asyncio.create_task(_submit(stub, messages()))
        await _stored(inside, made.envelope_id)
        server.send_signal(signal.SIGTERM)
        await _until_unavailable(stub)
        refused.set()
        answered = await answer
    assert not answered.repeated_submission
    async with inside.ledger() as ledger:
        assert await ledger.fetchval(
            "select count(*) from exchange.envelopes where envelope_id = $1::uuid", made.envelope_id
        )


async def _submit(stub: object, messages: object) -> exchange_pb2.SubmitResponse:
    response: exchange_pb2.SubmitResponse = await stub.Submit(messages, timeout=60)  # type: ignore[attr-defined]
    return response


async def _stored(inside: CentreInside, envelope_id: str) -> None:
    """Wait until the centre has stored a block of this envelope, so it has begun with it."""
    store = MinioBlobStore(**inside.description["blobs"], secure=False)
    try:
        async with asyncio.timeout(30):
            while not any([envelope_id in blob.key async for blob in store.list()]):
                pass
    finally:
        store.close()


async def _until_unavailable(stub: object) -> None:
    """New calls are turned away once the signal has arrived; nothing else may come of them."""
    request = exchange_pb2.ListDeliveriesRequest()
    async with asyncio.timeout(20):
        while True:
            try:
                await stub.ListDeliveries(request, timeout=5)  # type: ignore[attr-defined]
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return
                raise typed(error) from None
