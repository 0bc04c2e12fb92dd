"""DirectoryService: decodes a request, asks the directory, encodes the answer."""

from __future__ import annotations

from typing import Any

from document_exchange.v1 import directory_pb2, directory_pb2_grpc
from exchange_server.directory import Directory
from exchange_server.rpc import messages


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """The methods of proto/document_exchange/v1/directory.proto."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

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
