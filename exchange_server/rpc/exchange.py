"""ExchangeService: decodes a request, takes the step, encodes the answer. Nothing else.

Streams close what they read from (``aclosing``): a client that hangs up gives back at once what
its call held, and not when the garbage collector comes by.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from document_exchange import fields
from document_exchange.errors import DeadlinePassed, ExchangeError, InvalidRequest
from document_exchange.v1 import exchange_pb2, exchange_pb2_grpc
from exchange_runtime.requests import check_shape
from exchange_runtime.rpc import caller
from exchange_runtime.values import Principal
from exchange_server.acknowledge import Acknowledger
from exchange_server.deliver import Deliverer
from exchange_server.metrics import DocumentMetrics
from exchange_server.rpc import messages
from exchange_server.submit import Submitter
from exchange_server.track import Tracker
from exchange_server.watch import Watcher

MAX_CHUNK_BYTES = 1024 * 1024


class ExchangeServicer(exchange_pb2_grpc.ExchangeServiceServicer):
    """The methods of proto/document_exchange/v1/exchange.proto."""

    def __init__(
        self,
        submitter: Submitter,
        deliverer: Deliverer,
        acknowledger: Acknowledger,
        tracker: Tracker,
        watcher: Watcher,
        still_admitted: Callable[[Principal], None],
        chain: Sequence[bytes],
        idle_timeout_s: float,
        metrics: DocumentMetrics,
    ) -> None:
        self._metrics = metrics
        self._submitter = submitter
        self._deliverer = deliverer
        self._acknowledger = acknowledger
        self._tracker = tracker
        self._watcher = watcher
        self._still_admitted = still_admitted
        self._chain = tuple(chain)
        self._idle_timeout_s = idle_timeout_s

    async def Submit(
        self, request_iterator: AsyncIterator[exchange_pb2.SubmitRequest], context: Any
    ) -> exchange_pb2.SubmitResponse:
        principal = caller.current()
        manifest, signatures = await self._header(request_iterator)
        try:
            submitted = await self._submitter.submit(
                principal, manifest, signatures, self._chunks(principal, request_iterator)
            )
        except ExchangeError as error:
            self._metrics.document(error.code)
            raise
        self._metrics.document("REPEATED" if submitted.repeated else "ACCEPTED")
        return exchange_pb2.SubmitResponse(
            accepted=messages.statement(submitted.statement),
            repeated_submission=submitted.repeated,
        )

    async def _header(
        self, requests: AsyncIterator[exchange_pb2.SubmitRequest]
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Manifest and signatures. The message itself, up to 4 MiB, is not kept."""
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                first = await anext(aiter(requests), None)
        except TimeoutError:
            raise DeadlinePassed(
                f"no header came for {self._idle_timeout_s:g} s; send again"
            ) from None
        if first is None or first.WhichOneof("message") != "header":
            raise InvalidRequest("the first message must be the header", field="header")
        return first.header.manifest, tuple(first.header.signatures)

    async def _chunks(
        self, principal: Principal, requests: AsyncIterator[exchange_pb2.SubmitRequest]
    ) -> AsyncIterator[tuple[str, bytes]]:
        async for request in requests:
            if request.WhichOneof("message") != "chunk":
                raise InvalidRequest("after the header only chunks may come", field="message")
            if len(request.chunk.data) > MAX_CHUNK_BYTES:
                raise InvalidRequest(
                    f"a chunk has at most {MAX_CHUNK_BYTES} bytes", field="chunk.data"
                )
            self._still_admitted(principal)
            self._metrics.received(len(request.chunk.data))
            yield request.chunk.part_id, request.chunk.data

    async def ListDeliveries(
        self, request: exchange_pb2.ListDeliveriesRequest, context: Any
    ) -> exchange_pb2.ListDeliveriesResponse:
        found, token = await self._deliverer.list_deliveries(
            caller.current(), messages.states(request.states), request.page_size, request.page_token
        )
        return exchange_pb2.ListDeliveriesResponse(
            deliveries=[messages.delivery(summary) for summary in found], next_page_token=token
        )

    async def WatchDeliveries(
        self, request: exchange_pb2.WatchDeliveriesRequest, context: Any
    ) -> AsyncIterator[exchange_pb2.WatchDeliveriesResponse]:
        principal = caller.current()
        async with aclosing(
            self._watcher.deliveries(principal.unit, partial(self._still_admitted, principal))
        ) as watch:
            async for summary in watch:
                if summary is None:
                    yield exchange_pb2.WatchDeliveriesResponse(caught_up=exchange_pb2.CaughtUp())
                else:
                    yield exchange_pb2.WatchDeliveriesResponse(delivery=messages.delivery(summary))

    async def GetEnvelope(
        self, request: exchange_pb2.GetEnvelopeRequest, context: Any
    ) -> exchange_pb2.GetEnvelopeResponse:
        principal = caller.current()
        accepted, own = await self._deliverer.envelope(principal, request.envelope_id)
        enclosed = self._deliverer.enclosed(
            principal, request.envelope_id, own, request.max_enclosed_bytes
        )
        self._metrics.sent(sum(len(data) for _, data in enclosed))
        return exchange_pb2.GetEnvelopeResponse(
            envelope=messages.envelope(accepted, self._chain),
            delivery=messages.delivery(own) if own is not None else None,
            enclosed=[
                exchange_pb2.EnclosedPart(part_id=part_id, data=data) for part_id, data in enclosed
            ],
        )

    async def DownloadPart(
        self, request: exchange_pb2.DownloadPartRequest, context: Any
    ) -> AsyncIterator[exchange_pb2.DownloadPartResponse]:
        principal = caller.current()
        check_shape(request.part_id, fields.PartId, "part_id")
        async with aclosing(
            self._deliverer.download(
                principal, request.envelope_id, request.part_id, request.offset
            )
        ) as chunks:
            async for chunk in chunks:
                self._still_admitted(principal)
                yield exchange_pb2.DownloadPartResponse(data=chunk)
                self._metrics.sent(len(chunk))

    async def ConfirmDelivery(
        self, request: exchange_pb2.ConfirmDeliveryRequest, context: Any
    ) -> exchange_pb2.ConfirmDeliveryResponse:
        record = await self._acknowledger.confirm_delivery(
            caller.current(), request.envelope_id, request.manifest_sha256
        )
        return exchange_pb2.ConfirmDeliveryResponse(delivered=messages.statement(record))

    async def RecordReceipt(
        self, request: exchange_pb2.RecordReceiptRequest, context: Any
    ) -> exchange_pb2.RecordReceiptResponse:
        record = await self._acknowledger.record_receipt(
            caller.current(), request.receipt.content, request.receipt.signature
        )
        return exchange_pb2.RecordReceiptResponse(statement=messages.statement(record))

    async def ConfirmSeen(
        self, request: exchange_pb2.ConfirmSeenRequest, context: Any
    ) -> exchange_pb2.ConfirmSeenResponse:
        sides = {exchange_pb2.PARTY_RECIPIENT: "R", exchange_pb2.PARTY_SENDER: "S"}
        side = sides.get(request.party)
        if side is None:
            raise InvalidRequest("party must be RECIPIENT or SENDER", field="party")
        await self._acknowledger.confirm_seen(
            caller.current(), request.envelope_id, request.recipient, request.seq, side
        )
        return exchange_pb2.ConfirmSeenResponse()

    async def TrackEnvelope(
        self, request: exchange_pb2.TrackEnvelopeRequest, context: Any
    ) -> exchange_pb2.TrackEnvelopeResponse:
        tracked, token = await self._tracker.track(
            caller.current(), request.envelope_id, request.page_size, request.page_token
        )
        return exchange_pb2.TrackEnvelopeResponse(
            envelope=None
            if request.page_token
            else messages.envelope(tracked.envelope, self._chain),
            deliveries=[
                exchange_pb2.TrackedDelivery(
                    status=messages.delivery_status(status),
                    statements=[messages.statement(record) for record in records],
                )
                for status, records in tracked.deliveries
            ],
            revocation_lists=[messages.revocation_list(der) for der in tracked.crls],
            next_page_token=token,
        )

    async def ListSubmissions(
        self, request: exchange_pb2.ListSubmissionsRequest, context: Any
    ) -> exchange_pb2.ListSubmissionsResponse:
        found, token = await self._tracker.submissions(
            caller.current(), messages.states(request.states), request.page_size, request.page_token
        )
        return exchange_pb2.ListSubmissionsResponse(
            submissions=[messages.submission(summary) for summary in found], next_page_token=token
        )

    async def WatchSubmissions(
        self, request: exchange_pb2.WatchSubmissionsRequest, context: Any
    ) -> AsyncIterator[exchange_pb2.WatchSubmissionsResponse]:
        principal = caller.current()
        async with aclosing(
            self._watcher.submissions(principal.unit, partial(self._still_admitted, principal))
        ) as watch:
            async for summary in watch:
                if summary is None:
                    yield exchange_pb2.WatchSubmissionsResponse(caught_up=exchange_pb2.CaughtUp())
                else:
                    yield exchange_pb2.WatchSubmissionsResponse(
                        submission=messages.submission(summary)
                    )
