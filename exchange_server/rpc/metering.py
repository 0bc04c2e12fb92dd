"""Which methods cost more than one call, read from the wire contract: new ones count too."""

from __future__ import annotations

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from document_exchange.v1 import (
    admin_pb2,
    correspondence_pb2,
    directory_pb2,
    evidence_pb2,
    exchange_pb2,
)
from exchange_server.quotas import MethodKinds

_FILES = (
    exchange_pb2,
    correspondence_pb2,
    evidence_pb2,
    directory_pb2,
    admin_pb2,
    health_pb2,
    reflection_pb2,
)


def method_kinds() -> MethodKinds:
    """The methods of every service that this server offers."""
    streams = {
        f"/{service.full_name}/{method.name}"
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.client_streaming or method.server_streaming
    }
    exchange = exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"].full_name
    submit, download = f"/{exchange}/Submit", f"/{exchange}/DownloadPart"
    evidence = evidence_pb2.DESCRIPTOR.services_by_name["EvidenceService"].full_name
    return MethodKinds(
        submissions=frozenset({submit}),
        streams=frozenset(streams),
        transfers=frozenset({submit, download, f"/{evidence}/GetEvidence"}),
    )
