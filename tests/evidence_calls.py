"""GetEvidence as it goes over the wire, without the SDK's own checks; and the parts behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange import offline
from document_exchange.evidence import ROOT_CERTIFICATE, seal_ca_path
from document_exchange.v1 import evidence_pb2, evidence_pb2_grpc
from exchange_runtime.clock import system_clock
from exchange_server import config
from exchange_server.evidence_files import EvidenceFiles
from exchange_server.evidence_plan import EvidencePlanner
from exchange_server.evidence_sealing import IndexSealer
from exchange_server.registry import RegistryFollower
from exchange_server.seal_files import SealFiles
from exchange_server.statements import CentreSeal
from exchange_server.storage.evidence import EvidenceOnPostgres
from exchange_server.storage.ledger import Ledger, ledger_database
from tests.life_for_tests import trust_of
from tests.real_centre import SENDER, CentreInside, now, typed


async def collected(inside: CentreInside, caller: str = SENDER, **request: Any) -> dict[str, bytes]:
    """The files as the centre sends them; raises the typed error of its refusal."""
    files: dict[str, bytes] = {}
    async with inside.channel(inside.unit(caller)) as channel:
        stub = evidence_pb2_grpc.EvidenceServiceStub(channel)
        try:
            async for message in stub.GetEvidence(
                evidence_pb2.GetEvidenceRequest(**request), timeout=60
            ):
                assert len(message.data) <= 256 * 1024
                files[message.path] = files.get(message.path, b"") + message.data
        except grpc.aio.AioRpcError as error:
            assert not files, "it was refused in its middle"
            raise typed(error) from None
    return files


async def stamped(inside: CentreInside, envelope_id: str) -> None:
    """Wait until no signature of an envelope waits for its time-stamp, if it is to have any."""
    waiting = """
        select exists (select from exchange.stamp_queue where envelope_id = $1::uuid)
            or exists (select from exchange.stamps join exchange.stamp_batches b using (batch)
                        where envelope_id = $1::uuid and b.response is null)"""
    async with inside.ledger() as ledger, asyncio.timeout(30):
        while await ledger.fetchval(waiting, envelope_id):
            pass


@asynccontextmanager
async def evidence_parts(
    inside: CentreInside,
) -> AsyncIterator[tuple[EvidencePlanner, IndexSealer, EvidenceFiles]]:
    """What a server puts evidence together with, on the centre's own ledger and with its seal."""
    settings = config.load(Path(inside.description["settings"]))
    database = ledger_database(settings.ledger.dsn.get_secret_value(), connections=4, timeout_s=10)
    await database.open()
    ledger = Ledger(database, longest_upload=timedelta(hours=4))
    registry = RegistryFollower(ledger)
    await registry.start()
    try:
        trust, kept = trust_of(inside), EvidenceOnPostgres(database)
        seal = CentreSeal(SealFiles(settings.seal).load(), trust, registry, now=now())
        authorities = {ROOT_CERTIFICATE: _der(trust.root), seal_ca_path(): _der(trust.seal_ca)}
        yield (
            EvidencePlanner(ledger, kept, authorities, {}),
            IndexSealer(kept, registry, seal, system_clock),
            EvidenceFiles(kept, offline.texts()),
        )
    finally:
        await registry.stop()
        await database.close()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
