"""Health and reflection over mutual TLS, as balancers and tools of operators use them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from document_exchange.errors import CertificateRevoked
from document_exchange.v1 import exchange_pb2_grpc
from tests.real_centre import SENDER, CentreInside, typed

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = {
    "document_exchange.v1.ExchangeService",
    "document_exchange.v1.AdminService",
    "document_exchange.v1.CorrespondenceService",
    "document_exchange.v1.DirectoryService",
    "document_exchange.v1.EvidenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


def health(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def reflection(channel: Any) -> Any:
    return reflection_pb2_grpc.ServerReflectionStub(channel)


def check(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def test_health_is_told_and_watched(inside: CentreInside) -> None:
    async with inside.channel(inside.unit(SENDER)) as channel:
        for service in ("", "document_exchange.v1.ExchangeService"):
            assert (await health(channel).Check(check(service), timeout=5)).status == SERVING
            watch = health(channel).Watch(check(service), timeout=5)
            assert (await watch.read()).status == SERVING
            watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel).Check(check("nothing"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_what_there_is(inside: CentreInside) -> None:
    async with inside.channel(inside.unit(SENDER)) as channel:
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        found = [
            each
            async for each in reflection(channel).ServerReflectionInfo(iter([asked]), timeout=5)
        ]
    assert {each.name for each in found[0].list_services_response.service} == SERVICES


async def test_a_revoked_certificate_ends_its_watch_of_health(inside: CentreInside) -> None:
    clerk = await inside.staff("operator")
    async with inside.channel(clerk) as channel:
        watch = health(channel).Watch(check(), timeout=30)
        assert (await watch.read()).status == SERVING
        await inside.revoke(clerk)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert type(typed(caught.value)) is CertificateRevoked


async def test_who_only_looks_on_does_not_delay_the_end(
    inside: CentreInside, tmp_path: Path
) -> None:
    """And hears of it: a balancer sends no more calls here. Uploads are given time for a header."""
    async with (
        inside.second_server(tmp_path / "server.log", "[limits]\nidle_timeout_s = 1\n") as server,
        inside.channel(inside.unit(SENDER)) as channel,
    ):
        watch = health(channel).Watch(check())
        assert (await watch.read()).status == SERVING
        stream = reflection(channel).ServerReflectionInfo()
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await stream.read()
        silent = exchange_pb2_grpc.ExchangeServiceStub(channel).Submit()
        await silent.wait_for_connection()
        server.send_signal(signal.SIGTERM)
        assert (await watch.read()).status == NOT_SERVING
        assert await asyncio.to_thread(server.wait, 10) == 0
