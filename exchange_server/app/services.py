"""The services of a server, each made of the parts that it needs."""

from __future__ import annotations

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange import offline
from document_exchange.evidence import ROOT_CERTIFICATE, seal_ca_path, tsa_path
from document_exchange.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    correspondence_pb2,
    correspondence_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    evidence_pb2,
    evidence_pb2_grpc,
    exchange_pb2,
    exchange_pb2_grpc,
)
from exchange_server import metrics
from exchange_server.acknowledge import Acknowledger
from exchange_server.admin import Administrator
from exchange_server.administration import Comparer
from exchange_server.app.parts import Parts
from exchange_server.budget import Budgets
from exchange_server.correspondence import Correspondence
from exchange_server.deliver import Deliverer
from exchange_server.directory import Directory
from exchange_server.evidence import EvidenceCollector
from exchange_server.evidence_files import EvidenceFiles
from exchange_server.evidence_plan import EvidencePlanner
from exchange_server.evidence_sealing import IndexSealer
from exchange_server.positions import Positions
from exchange_server.proposals import Proposals
from exchange_server.recent import RecentParts
from exchange_server.route_check import RouteChecker
from exchange_server.rpc.admin import AdminServicer
from exchange_server.rpc.correspondence import CorrespondenceServicer
from exchange_server.rpc.directory import DirectoryServicer
from exchange_server.rpc.evidence import EvidenceServicer
from exchange_server.rpc.exchange import ExchangeServicer
from exchange_server.storage.correspondence import CorrespondenceOnPostgres
from exchange_server.storage.entries import EntriesOnPostgres
from exchange_server.storage.evidence import EvidenceOnPostgres
from exchange_server.submit import Submitter
from exchange_server.track import Tracker
from exchange_server.watch import Watcher
from exchange_server.who_am_i import WhoAmI

NAMES = (
    exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
    correspondence_pb2.DESCRIPTOR.services_by_name["CorrespondenceService"].full_name,
    evidence_pb2.DESCRIPTOR.services_by_name["EvidenceService"].full_name,
    directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)


def add_services(parts: Parts, server: grpc.aio.Server) -> None:
    """Make all of them, and add them to a server that does not listen yet."""
    exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(_exchange(parts), server)
    correspondence_pb2_grpc.add_CorrespondenceServiceServicer_to_server(
        CorrespondenceServicer(Correspondence(CorrespondenceOnPostgres(parts.database))), server
    )
    evidence_pb2_grpc.add_EvidenceServiceServicer_to_server(_evidence(parts), server)
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(_directory(parts), server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(_admin(parts), server)


def _exchange(parts: Parts) -> ExchangeServicer:
    limits, ledger, trust = parts.settings.limits, parts.ledger, parts.trust
    uploads = Budgets(limits.memory_bytes, limits.unit_memory_bytes)
    downloads = Budgets(limits.download_memory_bytes, limits.unit_download_memory_bytes)
    metrics.show_memory(parts.metrics, {"upload": uploads, "download": downloads})
    recent = RecentParts(limits.recent_bytes, limits.recent_part_bytes)
    positions = Positions()
    return ExchangeServicer(
        Submitter(
            ledger=ledger,
            blobs=parts.blobs,
            registry=parts.registry,
            trust=trust,
            seal=parts.seal,
            budgets=uploads,
            recent=recent,
            quotas=parts.quotas,
            clock=parts.clock,
            idle_timeout_s=limits.idle_timeout_s,
            dues=parts.deadlines.dues,
            accepted=parts.hub.envelope_accepted,
        ),
        Deliverer(
            ledger,
            parts.blobs,
            downloads,
            recent,
            positions,
            limits.idle_timeout_s,
            parts.quotas,
        ),
        Acknowledger(ledger, parts.registry, trust, parts.recorder, positions),
        Tracker(ledger),
        Watcher(parts.hub, ledger, limits.watch_poll_s),
        parts.guard.still_admitted,
        [each.public_bytes(Encoding.DER) for each in (trust.seal_ca, trust.root)],
        limits.idle_timeout_s,
        parts.documents,
    )


def _evidence(parts: Parts) -> EvidenceServicer:
    authorities = {
        ROOT_CERTIFICATE: parts.trust.root.public_bytes(Encoding.DER),
        seal_ca_path(): parts.trust.seal_ca.public_bytes(Encoding.DER),
    }
    tsa_certificates = {
        tsa_path(number): each.public_bytes(Encoding.DER)
        for number, each in enumerate(parts.tsa_chain, 1)
    }
    ledger = EvidenceOnPostgres(parts.database)
    return EvidenceServicer(
        EvidenceCollector(
            EvidencePlanner(parts.ledger, ledger, authorities, tsa_certificates),
            IndexSealer(ledger, parts.registry, parts.seal, parts.clock),
            EvidenceFiles(ledger, offline.texts()),
            parts.quotas,
        ),
        parts.guard.still_admitted,
    )


def _directory(parts: Parts) -> DirectoryServicer:
    registry, standing = parts.registry, parts.quotas.standing
    return DirectoryServicer(
        Directory(registry),
        RouteChecker(registry, parts.clock, standing),
        parts.certificates,
        WhoAmI(registry, parts.certificates, standing, parts.clock),
        parts.guard.still_admitted,
    )


def _admin(parts: Parts) -> AdminServicer:
    ledger = EntriesOnPostgres(parts.database)
    comparer = Comparer()
    proposals = Proposals(ledger, parts.clock, comparer)
    return AdminServicer(Administrator(ledger, proposals, parts.clock, comparer), proposals)
