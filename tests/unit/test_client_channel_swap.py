"""Channels that are replaced while calls run: no call fails, and watches go on by themselves."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from exchange_client import AsyncClient, Timing

from document_exchange import codes, status
from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    ExchangeError,
    Unauthenticated,
)
from document_exchange.v1 import directory_pb2, envelope_pb2, exchange_pb2
from tests.centre_for_tests import ScriptedCentre, now
from tests.pki_for_tests import Holder, Pki

UNIT = "qd-caizheng"
ONCE = Timing(retry_budget_s=0)
PATIENT = Timing(retry_budget_s=20)


class HoldingCentre(ScriptedCentre):
    """Holds calls back until it is told, and keeps watches open."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki)
        self.go_on = threading.Event()
        self.held_back: queue.Queue[str] = queue.Queue()
        self.refusals: list[ExchangeError] = []
        self.late_refusals: list[ExchangeError] = []
        """For calls that were held back."""
        self.certificates: list[bytes] = []
        self.waiting: list[exchange_pb2.WatchDeliveriesResponse] = []
        """What a watch shows, at its beginning and as it comes."""

    def GetUnit(self, request: Any, context: Any) -> directory_pb2.GetUnitResponse:
        self.certificates.append(context.auth_context()["x509_pem_cert"][0])
        _refuse(self.refusals, context)
        if request.unit_id == "qd-held":
            self.held_back.put(request.unit_id)
            assert self.go_on.wait(20)
            _refuse(self.late_refusals, context)
        return super().GetUnit(request, context)

    def WatchDeliveries(self, request: Any, context: Any) -> Iterator[Any]:
        self.calls.append("WatchDeliveries")
        over = threading.Event()
        context.add_callback(over.set)
        sent = len(self.waiting)
        yield from self.waiting[:sent]
        yield exchange_pb2.WatchDeliveriesResponse(caught_up=exchange_pb2.CaughtUp())
        while not over.wait(0.02):
            yield from self.waiting[sent:]
            sent = len(self.waiting)


def _refuse(refusals: list[ExchangeError], context: Any) -> None:
    if refusals:
        error = refusals.pop(0)
        made = status.to_status(error)
        context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
        context.abort(grpc.StatusCode[error.grpc_status], made.message)


@pytest.fixture(scope="module")
def running() -> Iterator[HoldingCentre]:
    centre = HoldingCentre(Pki())
    with centre:
        yield centre


@pytest.fixture
def centre(running: HoldingCentre) -> HoldingCentre:
    running.forget()
    running.certificates.clear()
    running.waiting.clear()
    running.go_on.clear()
    return running


async def move(client: AsyncClient, centre: ScriptedCentre) -> Holder:
    """As a renewal does."""
    fresh = centre.system(UNIT)
    profile = centre.profile(
        UNIT,
        system_chain=fresh.pem + centre.pki.tls_ca.pem,
        system_key=fresh.key_pem,
        system_certificate=fresh.certificate,
    )
    connection = client.session.connection
    connection.move_to(await connection.open_beside(profile))
    return fresh


async def test_a_call_ends_where_it_began_and_the_next_has_the_new_certificate(
    centre: HoldingCentre,
) -> None:
    async with AsyncClient(centre.profile(UNIT), ONCE) as client:
        held = asyncio.create_task(client.unit("qd-held"))
        await asyncio.to_thread(centre.held_back.get)
        fresh = [await move(client, centre) for _ in range(3)]
        await client.unit("qd-jiaoyu")
        assert not held.done()
        centre.go_on.set()
        assert (await held).unit_id == "qd-held"
        await client.unit("qd-jiaoyu")
    assert centre.certificates[0] not in [each.pem for each in fresh]
    assert centre.certificates[1:] == [fresh[-1].pem] * 2


async def test_calls_that_race_the_swap_do_not_fail(centre: HoldingCentre) -> None:
    async with AsyncClient(centre.profile(UNIT), ONCE) as client:
        over = asyncio.Event()

        async def calls() -> int:
            count = 0
            while not over.is_set():
                await client.unit("qd-jiaoyu")
                count += 1
            return count

        callers = [asyncio.create_task(calls()) for _ in range(8)]
        for _ in range(15):
            await move(client, centre)
        over.set()
        counts = await asyncio.gather(*callers)
    assert min(counts) > 0
    assert len(set(centre.certificates)) > 10


async def test_a_retired_channel_is_closed_when_its_last_call_has_ended(
    centre: HoldingCentre,
) -> None:
    async with AsyncClient(centre.profile(UNIT), ONCE) as client:
        channel = client.session.connection._channel
        first = channel.newest
        held = asyncio.create_task(client.unit("qd-held"))
        await asyncio.to_thread(centre.held_back.get)
        await move(client, centre)
        assert not first.is_closed()
        centre.go_on.set()
        await held
        async with asyncio.timeout(5):
            while not first.is_closed():
                await client.unit("qd-jiaoyu")
        second = channel.newest
        await move(client, centre)
        async with asyncio.timeout(5):
            while not second.is_closed():
                await client.unit("qd-jiaoyu")


def delivered() -> exchange_pb2.WatchDeliveriesResponse:
    """A delivery that came to the unit."""
    return exchange_pb2.WatchDeliveriesResponse(
        delivery=envelope_pb2.Delivery(
            envelope_id=codes.new_id(now()),
            recipient=UNIT,
            state=envelope_pb2.DELIVERY_STATE_PENDING,
        )
    )


async def test_a_watch_goes_on_without_a_gap_or_a_repetition(centre: HoldingCentre) -> None:
    sent: list[str] = []
    shown: list[str] = []
    async with AsyncClient(centre.profile(UNIT), ONCE) as client, asyncio.timeout(20):
        changes = client.watch()
        for _ in range(6):
            # It stays, so every watch that begins later shows it again.
            centre.waiting.append(delivered())
            sent.append(centre.waiting[-1].delivery.envelope_id)
            shown.append((await anext(changes)).envelope_id)
            await move(client, centre)
        await changes.aclose()
    assert shown == sent
    assert centre.calls.count("WatchDeliveries") >= 6


async def test_a_watch_that_is_cancelled_ends(centre: HoldingCentre) -> None:
    """The task's own cancellation is no move."""
    async with AsyncClient(centre.profile(UNIT), ONCE) as client:

        async def forever() -> None:
            async for _ in client.watch():
                pass

        task = asyncio.create_task(forever())
        async with asyncio.timeout(5):
            while "WatchDeliveries" not in centre.calls:
                await client.unit("qd-jiaoyu")
            task.cancel()
            await move(client, centre)
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("error", [CertificateExpired, CertificateRevoked])
async def test_what_the_old_certificate_is_refused_for_is_tried_again_with_the_new_one(
    centre: HoldingCentre, error: type[ExchangeError]
) -> None:
    async with AsyncClient(centre.profile(UNIT), PATIENT) as client:
        centre.refusals = [error()]
        with pytest.raises(error):
            await client.unit("qd-jiaoyu")
        # It begins on the old channel, and is refused when there is a new one already.
        centre.late_refusals = [error()]
        call = asyncio.create_task(client.unit("qd-held"))
        await asyncio.to_thread(centre.held_back.get)
        await move(client, centre)
        centre.go_on.set()
        assert (await call).unit_id == "qd-held"
        assert not centre.late_refusals


async def test_a_server_that_has_not_heard_of_the_new_certificate_is_asked_again(
    centre: HoldingCentre,
) -> None:
    async with AsyncClient(centre.profile(UNIT), PATIENT) as client:
        centre.refusals = [CertificateNotAdmitted()]
        with pytest.raises(CertificateNotAdmitted):
            await client.unit("qd-jiaoyu")
        await move(client, centre)
        centre.refusals = [CertificateNotAdmitted()]
        await client.unit("qd-jiaoyu")
        assert not centre.refusals
        centre.refusals = [Unauthenticated()]
        with pytest.raises(Unauthenticated):
            await client.unit("qd-jiaoyu")
