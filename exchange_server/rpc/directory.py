"""DirectoryService: decodes a request, asks the directory, encodes the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from document_exchange.v1 import directory_pb2, directory_pb2_grpc
from exchange_runtime.rpc import caller
from exchange_runtime.values import Principal
from exchange_server.directory import Directory
from exchange_server.own_certificates import OwnCertificates
from exchange_server.route_check import Question, RouteChecker
from exchange_server.rpc import messages
from exchange_server.who_am_i import WhoAmI


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """The methods of proto/document_exchange/v1/directory.proto."""

    def __init__(
        self,
        directory: Directory,
        routes: RouteChecker,
        certificates: OwnCertificates,
        who_am_i: WhoAmI,
        still_admitted: Callable[[Principal], None],
    ) -> None:
        self._directory = directory
        self._routes = routes
        self._certificates = certificates
        self._who_am_i = who_am_i
        self._still_admitted = still_admitted

    async def ListUnits(
        self, request: directory_pb2.ListUnitsRequest, context: Any
    ) -> directory_pb2.ListUnitsResponse:
        found, token = self._directory.list_units(
            request.group, request.page_size, request.page_token
        )
        return directory_pb2.ListUnitsResponse(
            units=[messages.unit(record) for record in found], next_page_token=token
        )

    async def GetUnit(
        self, request: directory_pb2.GetUnitRequest, context: Any
    ) -> directory_pb2.GetUnitResponse:
        return directory_pb2.GetUnitResponse(
            unit=messages.unit(self._directory.unit(request.unit_id))
        )

    async def ListGroups(
        self, request: directory_pb2.ListGroupsRequest, context: Any
    ) -> directory_pb2.ListGroupsResponse:
        found, token = self._directory.list_groups(request.page_size, request.page_token)
        return directory_pb2.ListGroupsResponse(
            groups=[messages.group(record) for record in found], next_page_token=token
        )

    async def WhoAmI(
        self, request: directory_pb2.WhoAmIRequest, context: Any
    ) -> directory_pb2.WhoAmIResponse:
        answer = await self._who_am_i.answer(caller.current())
        return directory_pb2.WhoAmIResponse(
            identity=answer.identity,
            unit=messages.unit(answer.unit) if answer.unit is not None else None,
            role=answer.role,
            certificate=messages.certificate(answer.certificate),
            address=answer.address,
            server_time=messages.timestamp(answer.server_time),
            status_age_s=answer.status_age_s,
            quotas=[
                directory_pb2.QuotaStanding(resource=q.resource, limit=q.limit, left=q.left)
                for q in answer.quotas
            ],
            log_origin="",  # the centre runs no transfer log yet
        )

    async def ListOwnCertificates(
        self, request: directory_pb2.ListOwnCertificatesRequest, context: Any
    ) -> directory_pb2.ListOwnCertificatesResponse:
        found, token = await self._certificates.listed(
            caller.current(), request.page_size, request.page_token
        )
        return directory_pb2.ListOwnCertificatesResponse(
            certificates=[messages.own_certificate(record) for record in found],
            next_page_token=token,
        )

    async def WatchOwnCertificates(
        self, request: directory_pb2.WatchOwnCertificatesRequest, context: Any
    ) -> AsyncIterator[directory_pb2.WatchOwnCertificatesResponse]:
        principal = caller.current()
        async with aclosing(
            self._certificates.watch(principal, partial(self._still_admitted, principal))
        ) as watch:
            async for record in watch:
                if record is None:
                    yield directory_pb2.WatchOwnCertificatesResponse(
                        caught_up=directory_pb2.CertificatesCaughtUp()
                    )
                else:
                    yield directory_pb2.WatchOwnCertificatesResponse(
                        certificate=messages.own_certificate(record)
                    )

    async def CheckRoute(
        self, request: directory_pb2.CheckRouteRequest, context: Any
    ) -> directory_pb2.CheckRouteResponse:
        answer = await self._routes.check(
            caller.current(),
            Question(
                request.recipient,
                request.business,
                request.genre,
                request.direction,
                request.sender,
            ),
        )
        return directory_pb2.CheckRouteResponse(
            allowed=answer.allowed,
            reason=answer.reason,
            route_id=answer.route_id,
            steps=[
                directory_pb2.RouteStep(name=step.name, passed=step.passed, detail=step.detail)
                for step in answer.steps
            ],
        )
