"""What tests ask of a running authority: who gets in, what is refused, and which event says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest

from document_exchange import identity
from document_exchange.errors import ExchangeError
from document_exchange.v1 import authority_pb2_grpc
from document_exchange.v1.authority_pb2 import GetCrlRequest, RenewRequest
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import copy_of_authority, new_private_key
from tests.enrolment_for_tests import signing_request
from tests.integration.authority_service import AuthorityOffice, Service, founded, holder
from tests.pki_for_tests import Holder
from tests.real_centre import typed

WITHIN_S = 2.0
"""What is issued, revoked or suspended works within this time."""


def office_fixture() -> Any:
    """A fixture: an authority and a ledger for one test module. ``office = office_fixture()``."""

    @pytest.fixture(scope="module")
    async def office(
        postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
    ) -> AuthorityOffice:
        copy = tmp_path_factory.mktemp("copy") / "pki"
        state = copy_of_authority(tmp_path_factory, copy, live=True)
        return await founded(tmp_path_factory.mktemp("office"), postgres, database, state)

    return office


def service_fixture() -> Any:
    """A fixture: one process of the module's ``office``. ``service = service_fixture()``."""

    @pytest.fixture(scope="module")
    async def service(office: AuthorityOffice) -> AsyncIterator[Service]:
        async with office.service() as running:
            yield running

    return service


def show(figure: str) -> None:
    """A figure for whoever runs pytest with -s."""
    sys.stderr.write(f"\n{figure}\n")


async def refusal(call: Awaitable[object]) -> ExchangeError:
    """The typed error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return typed(caught.value)


async def calling_on(stub: authority_pb2_grpc.AuthorityServiceAsyncStub) -> None:
    """Call again and again on one connection, until that fails."""
    while True:
        await stub.GetCrl(GetCrlRequest(issuer="root"))


async def renewed(office: AuthorityOffice, service: Service, caller: Holder) -> Holder:
    """What the caller has after renewing."""
    key = new_private_key()
    async with office.call(service, caller) as stub:
        answer = await stub.Renew(RenewRequest(request=signing_request(key)))
    return holder(answer.certificate, key)


async def admitted(office: AuthorityOffice, service: Service, caller: Holder) -> Holder:
    """Wait until the service knows a certificate that was issued beside it."""
    async with asyncio.timeout(WITHIN_S):
        while await access(office, service, caller) is not None:
            pass
    return caller


async def access(
    office: AuthorityOffice, service: Service, caller: Holder
) -> type[ExchangeError] | None:
    """With which error the service turns the caller away; None if it does not."""
    async with office.call(service, caller) as stub:
        try:
            await stub.GetCrl(GetCrlRequest(issuer="root"))
        except grpc.aio.AioRpcError as error:
            return type(typed(error))
    return None


async def denials(office: AuthorityOffice, caller: Holder) -> list[tuple[str, str]]:
    """(method, code) of each refusal of this caller that is an event."""
    who = str(identity.of_certificate(caller.certificate))
    found = []
    for each in await office.events("DENIED"):
        if each.actor == who and each.detail is not None:
            found.append((each.detail["method"], each.detail["code"]))
    return found
