"""CorrespondenceService: decodes a request, asks for thread or circulation, encodes the answer."""

from __future__ import annotations

from typing import Any

from document_exchange.v1 import correspondence_pb2, correspondence_pb2_grpc, envelope_pb2
from exchange_runtime.rpc import caller
from exchange_server.correspondence import CirculationEntry, Correspondence, ThreadItem
from exchange_server.rpc import messages


class CorrespondenceServicer(correspondence_pb2_grpc.CorrespondenceServiceServicer):
    """The methods of proto/document_exchange/v1/correspondence.proto."""

    def __init__(self, correspondence: Correspondence) -> None:
        self._correspondence = correspondence

    async def GetThread(
        self, request: correspondence_pb2.GetThreadRequest, context: Any
    ) -> correspondence_pb2.GetThreadResponse:
        items, truncated = await self._correspondence.thread(caller.current(), request.envelope_id)
        return correspondence_pb2.GetThreadResponse(
            items=[_item(item) for item in items], truncated=truncated
        )

    async def GetCirculation(
        self, request: correspondence_pb2.GetCirculationRequest, context: Any
    ) -> correspondence_pb2.GetCirculationResponse:
        found = await self._correspondence.circulation(caller.current(), request.envelope_id)
        return correspondence_pb2.GetCirculationResponse(
            envelope_id=found.envelope_id,
            sender=found.sender,
            title=found.title,
            recipients=[_entry(entry) for entry in found.entries],
        )


def _item(item: ThreadItem) -> correspondence_pb2.ThreadItem:
    envelope = item.envelope
    return correspondence_pb2.ThreadItem(
        envelope=envelope_pb2.Submission(
            envelope_id=envelope.envelope_id,
            title=envelope.title,
            doc_id=envelope.doc_id,
            number=envelope.number,
            accepted_at=messages.timestamp(envelope.accepted_at),
            deliveries=[messages.delivery_status(status) for status in item.deliveries],
        ),
        sender=envelope.sender,
        business=envelope.business,
        genre=envelope.genre,
        links=[
            correspondence_pb2.Link(
                kind=correspondence_pb2.LinkKind.Value(f"LINK_KIND_{link.kind}"),
                envelope_id=link.earlier,
            )
            for link in item.links
        ],
        standing=[
            correspondence_pb2.StateCount(state=messages.state_number(state), count=count)
            for state, count in item.standing.items()
        ],
    )


def _entry(entry: CirculationEntry) -> correspondence_pb2.CirculationEntry:
    return correspondence_pb2.CirculationEntry(
        status=messages.delivery_status(entry.status),
        recipient_kind=entry.kind,
        signed_for_at=messages.optional_timestamp(entry.signed_for_at),
        answered_by=entry.answered_by,
        answered_at=messages.optional_timestamp(entry.answered_at),
    )
