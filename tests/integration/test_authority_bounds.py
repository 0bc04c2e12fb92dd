"""What one connection to the authority may ask is bounded before any of its code sees it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
import pytest

from document_exchange.errors import StatusUnknown
from document_exchange.v1 import authority_pb2
from tests.http2_for_tests import (
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    connect,
    half_sent_call,
    read_frame,
)
from tests.integration.authority_calls import (
    admitted,
    office_fixture,
    refusal,
    service_fixture,
)
from tests.integration.authority_service import UNIT, AuthorityOffice, Service

ENROL = "/document_exchange.v1.EnrolmentService/Enrol"
TRUST_BUNDLE = "/document_exchange.v1.EnrolmentService/GetTrustBundle"
KIB = 1024
PATIENCE_S = 10

office = office_fixture()
service = service_fixture()


async def status_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_message_of_more_than_64_kib_is_not_read(
    office: AuthorityOffice, service: Service
) -> None:
    operator = await admitted(office, service, office.staff("operator"))
    async with office.enrolment(service) as enrolment, office.call(service, operator) as authority:
        for size, expected in (
            (64 * KIB, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (64 * KIB - 64, grpc.StatusCode.INVALID_ARGUMENT),
        ):
            listed = authority.ListTokens(authority_pb2.ListTokensRequest(unit="x" * size))
            assert await status_of(listed) is expected
        large = enrolment.Enrol(authority_pb2.EnrolRequest(token="x" * 64 * KIB))
        assert await status_of(large) is grpc.StatusCode.RESOURCE_EXHAUSTED
        known = enrolment.GetTrustBundle(authority_pb2.GetTrustBundleRequest())
        assert await status_of(known) is grpc.StatusCode.OK


async def test_of_a_message_too_long_not_even_the_beginning_is_kept(service: Service) -> None:
    """It is refused upon the length that it declares, not when all of it has come."""
    reader, writer = await connect(service.enrolment)
    writer.write(PREFACE + half_sent_call(1, ENROL, 64 * KIB + 1, b"x"))
    async with asyncio.timeout(PATIENCE_S):
        while (await read_frame(reader))[:2] != (HEADERS, 1):
            pass
    writer.close()


async def test_half_sent_messages_are_few_and_end_with_their_connection(
    office: AuthorityOffice,
) -> None:
    """The call does not begin before its message is there, so no time limit of calls helps."""
    settings = "[limits]\nenrolment_age_s = 2.0\ncall_s = 1.0"
    async with office.service(settings) as service:
        reader, writer = await connect(service.enrolment)
        writer.write(PREFACE)
        for stream in range(1, 21, 2):
            writer.write(half_sent_call(stream, ENROL, 64 * KIB, b"x" * KIB))
        refused, seen = 0, set()
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    kind, _, _ = await read_frame(reader)
                    seen.add(kind)
                    refused += kind == RST_STREAM and GOAWAY not in seen
            except (asyncio.IncompleteReadError, ConnectionResetError):
                pass  # the server has closed it
        writer.close()
    assert refused == 2, "eight of ten are let in"
    assert GOAWAY in seen


async def test_connections_to_the_enrolment_port_are_bounded(office: AuthorityOffice) -> None:
    async with office.service("[limits]\nenrolment_connections = 2") as service:
        host, _, port = service.enrolment.rpartition(":")
        for _ in range(3):  # what never gets through TLS leaves its place, too
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"no TLS at all\r\n" * 10)
            with suppress(ConnectionResetError):
                await asyncio.wait_for(reader.read(), PATIENCE_S)
            writer.close()
        held = []
        for _ in range(2):
            reader, writer = await connect(service.enrolment)
            writer.write(PREFACE)
            await asyncio.wait_for(read_frame(reader), PATIENCE_S)
            held.append(writer)
        with pytest.raises(OSError):
            await asyncio.wait_for(connect(service.enrolment), PATIENCE_S)
        for writer in held:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S), office.enrolment(service) as stub:
            request = authority_pb2.GetTrustBundleRequest()
            while await status_of(stub.GetTrustBundle(request)) is not grpc.StatusCode.OK:
                pass


async def test_kinds_of_refusals_beyond_the_bound_are_counted_together(
    office: AuthorityOffice,
) -> None:
    """Tokens and networks make kinds, and whoever floods the port has many of both."""
    before = len(await office.events("TOKEN_REFUSED"))
    async with office.service("[limits]\nenrolment_refusals = 1") as service:
        async with office.enrolment(service) as stub:
            for token in ("x" * 40, "", "x" * 40):
                enrolling = stub.Enrol(authority_pb2.EnrolRequest(token=token, unit=UNIT))
                assert await status_of(enrolling) is not grpc.StatusCode.OK
        async with office.channel(service.enrolment, None) as channel:
            for method in (ENROL, TRUST_BUNDLE):
                call: Any = channel.unary_unary(method)
                assert await status_of(call(b"\xff")) is grpc.StatusCode.INVALID_ARGUMENT
        service.process.terminate()
        await asyncio.to_thread(service.process.wait, PATIENCE_S)
    told = [each.detail or {} for each in (await office.events("TOKEN_REFUSED"))[before:]]
    assert [each for each in told if "repeats" not in each] == told[:1]
    counted = [(each["method"], each["repeats"], each.get("callers")) for each in told[1:]]
    assert sorted(counted) == [
        (ENROL, "1", "several"),
        (ENROL, "2", None),
        (TRUST_BUNDLE, "1", "several"),
    ]


async def test_nobody_enrols_while_the_ledger_is_not_followed(office: AuthorityOffice) -> None:
    """Or while clocks differ: what holds for callers with a certificate holds for those without."""
    async with (
        office.service("[limits]\nstatus_max_age_s = 0.000001") as service,
        office.enrolment(service) as stub,
    ):
        enrolling = stub.Enrol(authority_pb2.EnrolRequest(token="x" * 40))
        assert type(await refusal(enrolling)) is StatusUnknown
        known = stub.GetTrustBundle(authority_pb2.GetTrustBundleRequest())
        assert await status_of(known) is grpc.StatusCode.OK
