"""EvidenceService: decodes a request, collects, sends each file in messages of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from document_exchange.evidence import Content
from document_exchange.v1 import evidence_pb2, evidence_pb2_grpc
from exchange_runtime.rpc import caller
from exchange_runtime.values import Principal
from exchange_server.deliver import CHUNK_BYTES
from exchange_server.evidence import EvidenceCollector


class EvidenceServicer(evidence_pb2_grpc.EvidenceServiceServicer):
    """The method of proto/document_exchange/v1/evidence.proto."""

    def __init__(
        self, collector: EvidenceCollector, still_admitted: Callable[[Principal], None]
    ) -> None:
        """``still_admitted`` raises when the caller may no longer call."""
        self._collector = collector
        self._still_admitted = still_admitted

    async def GetEvidence(
        self, request: evidence_pb2.GetEvidenceRequest, context: Any
    ) -> AsyncIterator[evidence_pb2.GetEvidenceResponse]:
        principal = caller.current()
        content = Content.DIGESTS if request.without_content else Content.PARTS
        async with aclosing(
            self._collector.files(principal, request.envelope_id, request.recipients, content)
        ) as files:
            async for path, data in files:  # a large file in several pieces
                for start in range(0, max(len(data), 1), CHUNK_BYTES):
                    self._still_admitted(principal)
                    yield evidence_pb2.GetEvidenceResponse(
                        path=path, data=data[start : start + CHUNK_BYTES]
                    )
