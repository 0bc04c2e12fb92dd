"""AdminService: decodes a request, asks the administrator, encodes the answer."""

from __future__ import annotations

from typing import Any

from document_exchange.entry_changes import check_count
from document_exchange.v1 import admin_pb2, admin_pb2_grpc
from exchange_runtime.rpc import caller
from exchange_server.admin import Administrator
from exchange_server.proposals import Proposals
from exchange_server.rpc import admin_messages as messages


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """The methods of proto/document_exchange/v1/admin.proto."""

    def __init__(self, administrator: Administrator, proposals: Proposals) -> None:
        self._administrator = administrator
        self._proposals = proposals

    async def ListEntries(
        self, request: admin_pb2.ListEntriesRequest, context: Any
    ) -> admin_pb2.ListEntriesResponse:
        found, token, version = await self._administrator.list_entries(
            messages.read_kind(request.kind),
            request.unit_id,
            request.page_size,
            request.page_token,
        )
        return admin_pb2.ListEntriesResponse(
            entries=[messages.entry(each) for each in found],
            next_page_token=token,
            version=version,
        )

    async def ApplyChanges(
        self, request: admin_pb2.ApplyChangesRequest, context: Any
    ) -> admin_pb2.ApplyChangesResponse:
        check_count(len(request.changes))  # before any of them is read
        outcome = await self._administrator.apply(
            caller.current(),
            [messages.read_change(each, place) for place, each in enumerate(request.changes)],
            dry_run=request.dry_run,
            reason=request.reason,
            version=request.version,
        )
        return admin_pb2.ApplyChangesResponse(
            differences=[messages.difference(each) for each in outcome.differences],
            applied=outcome.applied,
            proposal_id=outcome.proposal_id,
        )

    async def ListProposals(
        self, request: admin_pb2.ListProposalsRequest, context: Any
    ) -> admin_pb2.ListProposalsResponse:
        found, token = await self._proposals.listed(
            messages.read_standing(request.standing), request.page_size, request.page_token
        )
        return admin_pb2.ListProposalsResponse(
            proposals=[messages.proposal(each) for each in found], next_page_token=token
        )

    async def GetProposal(
        self, request: admin_pb2.GetProposalRequest, context: Any
    ) -> admin_pb2.GetProposalResponse:
        found = await self._proposals.found(request.proposal_id)
        return admin_pb2.GetProposalResponse(proposal=messages.proposal(found))

    async def DecideProposal(
        self, request: admin_pb2.DecideProposalRequest, context: Any
    ) -> admin_pb2.DecideProposalResponse:
        decided, differences = await self._proposals.decide(
            caller.current(), request.proposal_id, approve=request.approve, reason=request.reason
        )
        return admin_pb2.DecideProposalResponse(
            proposal=messages.proposal(decided),
            differences=[messages.difference(each) for each in differences],
        )
