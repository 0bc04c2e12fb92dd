"""EvidenceService: decodes a request, collects, sends each file in messages of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from document_exchange.evidence import Content
from document_exchange.v1 import evidence_pb2, evidence_pb2_grpc
from exchange_runtime.rpc import caller
from exchange_server.deliver import CHUNK_BYTES
from exchange_server.evidence import EvidenceCollector


class EvidenceServicer(evidence_pb2_grpc.EvidenceServiceServicer):
    """The method of proto/document_exchange/v1/evidence.proto."""

    def __init__(self, collector: EvidenceCollector) -> None:
        self._collector = collector

    async def GetEvidence(
        self, request: evidence_pb2.GetEvidenceRequest, context: Any
    ) -> AsyncIterator[evidence_pb2.GetEvidenceResponse]:
        content = Content.DIGESTS if request.without_content else Content.PARTS
        async with aclosing(
            self._collector.files(
                caller.current(), request.envelope_id, request.recipients, content
            )
        ) as files:
            async for path, data in files:
                for start in range(0, max(len(data), 1), CHUNK_BYTES):
                    yield evidence_pb2.GetEvidenceResponse(
                        path=path, data=data[start : start + CHUNK_BYTES]
                    )
