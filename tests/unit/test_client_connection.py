"""The SDK's connection: answers that are lost on the way, and a network that connects slowly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from exchange_client import AsyncClient, PartSource, Submission, Timing
from exchange_client.channel import CONNECT_TIMEOUT_MS
from exchange_client.retry import from_rpc_error

from document_exchange.errors import Unavailable
from document_exchange.v1 import exchange_pb2
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import Pki

ONCE = Timing(retry_budget_s=0)
PATIENT = Timing(retry_budget_s=20)


class LosingCentre(ScriptedCentre):
    """Ends the next submissions with a status that is not its own answer."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki)
        self.lose: list[grpc.StatusCode] = []

    def Submit(self, request_iterator: Any, context: Any) -> exchange_pb2.SubmitResponse:
        if self.lose:
            context.abort(self.lose.pop(), "Stream removed")
        return super().Submit(request_iterator, context)


@pytest.fixture(scope="module")
def running() -> Iterator[LosingCentre]:
    centre = LosingCentre(Pki())
    with centre:
        yield centre


@pytest.fixture
def centre(running: LosingCentre) -> LosingCentre:
    running.forget()
    running.lose.clear()
    return running


async def send(client: AsyncClient, size: int) -> Submission:
    return await client.send(
        title="关于编制部门预算的通知",
        recipients=["qd-jiaoyu"],
        files=[PartSource(bytes(size), filename="通知.pdf")],
        doc_id="005117558-2009-16",
        genre="NOTICE",
    )


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "CANCELLED"])
@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_lost_answer_is_asked_for_again(centre: LosingCentre, code: str, size: int) -> None:
    centre.lose = [grpc.StatusCode[code]] * 2
    async with AsyncClient(centre.profile("qd-caizheng"), PATIENT) as client:
        submission = await send(client, size)
    assert list(centre.held) == [submission.envelope_id]
    assert centre.lose == []


class SlowNetwork:
    """Passes bytes on, but only some time after a connection was opened."""

    def __init__(self, address: str, delay_s: float) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._delay_s = delay_s
        self.connections = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The address to connect to instead."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
        finally:
            server.close()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        await asyncio.sleep(self._delay_s)  # the network itself; nobody waits by this
        far, onward = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(_copy(near, onward), _copy(far, back))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def test_a_slow_handshake_is_waited_for(centre: LosingCentre) -> None:
    """As when every unit connects at once: who begins anew makes the queue longer."""
    network = SlowNetwork(centre.address, delay_s=1.0)
    async with network.listening() as address:
        profile = centre.profile("qd-caizheng", address=address)
        async with AsyncClient(profile, ONCE) as client:
            await send(client, 10)
    assert network.connections == 1


async def test_who_is_not_there_is_said_in_words(centre: LosingCentre) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        async with AsyncClient(centre.profile("qd-caizheng", address=address), ONCE) as client:
            with pytest.raises(Unavailable, match=f"^nothing listens at {address}: ") as raised:
                await client.unit("qd-jiaoyu")
    assert "certificate" not in str(raised.value)


@pytest.mark.parametrize(
    "details",
    [
        "errors resolving nowhere.invalid:8443: [field:hostname lookup error: not found]",
        "DNS resolution failed for nowhere.invalid:8443: C-ares status is not ARES_SUCCESS",
    ],
)
def test_a_name_that_leads_nowhere_is_said_in_words(details: str) -> None:
    none = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, details)
    said = from_rpc_error(error, "nowhere.invalid:8443")
    assert isinstance(said, Unavailable)
    assert str(said).startswith("the host in nowhere.invalid:8443 can't be found")


def test_an_attempt_to_connect_ends_before_the_call_does() -> None:
    """So that a server that can't be reached is reported as that."""
    assert Timing().call_deadline_s * 1000 > CONNECT_TIMEOUT_MS
