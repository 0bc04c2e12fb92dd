"""A delivery from the centre's side: its own statements, and what the ledger has of it.

``clerk`` makes the statements that no party causes, with the parts of a server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from document_exchange import codes
from document_exchange.errors import NotFound
from document_exchange.receipt import Deadline, DeadlineKind
from document_exchange.v1 import directory_pb2, directory_pb2_grpc
from exchange_runtime.clock import system_clock
from exchange_server import config
from exchange_server.recording import Recorder
from exchange_server.registry import RegistryFollower
from exchange_server.seal_files import SealFiles
from exchange_server.statements import CentreSeal
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.values import DeliveryPosition, Dues, NewStatement
from tests.life_for_tests import Paper, answered, trust_of
from tests.real_centre import RECIPIENT, SENDER, CentreInside, now


@asynccontextmanager
async def clerk(inside: CentreInside) -> AsyncIterator[Recorder]:
    """The part of a server that records, with its own seal, for what no party causes.

    Its hints reach nobody, so watches see what it records with their next poll.
    """
    settings = config.load(Path(inside.description["settings"]))
    database = ledger_database(settings.ledger.dsn.get_secret_value(), connections=2, timeout_s=10)
    await database.open()
    ledger = Ledger(database, longest_upload=timedelta(hours=4))
    registry = RegistryFollower(ledger)
    await registry.start()
    try:
        seal = CentreSeal(SealFiles(settings.seal).load(), trust_of(inside), registry, now=now())
        yield Recorder(ledger, registry, seal, system_clock, _no_dues, _told)
    finally:
        await registry.stop()
        await database.close()


async def _no_dues(position: DeliveryPosition, at: datetime) -> Dues:
    return Dues(None, None)


def _told(statement: NewStatement) -> None:
    """Nobody watches here."""


async def position_of(
    recorder: Recorder, paper: Paper, recipient: str = RECIPIENT
) -> DeliveryPosition:
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    found = await ledger.find_position(paper.envelope_id, recipient)
    assert found is not None
    return found


async def a_deadline(
    inside: CentreInside, paper: Paper, kind: DeadlineKind, recipient: str = RECIPIENT
) -> Deadline:
    """One of long from now on, so that no server says anything of it."""
    due_at = "2099-01-01T00:00:00.000Z"
    async with inside.ledger() as ledger:
        await ledger.execute(
            "insert into exchange.deadlines (envelope_id, recipient, kind, remind_at, due_at)"
            " values ($1::uuid, $2, $3, '2099-01-01Z', '2099-01-01Z')"
            " on conflict (envelope_id, recipient, kind)"
            " do update set remind_at = excluded.remind_at, due_at = excluded.due_at",
            paper.envelope_id,
            recipient,
            kind.value,
        )
    return Deadline(kind=kind, due_at=due_at)


async def standing(inside: CentreInside, paper: Paper) -> list[Any]:
    """All that the ledger has of an envelope's deliveries, but for refusals."""
    queries = (
        "select * from exchange.deliveries where envelope_id = $1::uuid order by recipient",
        "select recipient, seq, type, receipt, admission from exchange.statements"
        " where envelope_id = $1::uuid order by recipient, seq",
        "select * from exchange.attention where envelope_id = $1::uuid order by unit_id, side",
        "select event from exchange.events where envelope_id = $1::uuid and type <> 'DENIED'"
        " order by event_no",
        "select count(*) from exchange.event_queue q join exchange.events e using (event_no)"
        " where e.envelope_id = $1::uuid and e.type <> 'DENIED'",
    )
    async with inside.ledger() as ledger:
        return [
            [dict(row) for row in await ledger.fetch(query, paper.envelope_id)] for query in queries
        ]


async def steps(inside: CentreInside, paper: Paper, recipient: str = RECIPIENT) -> list[str]:
    """The types of a delivery's statements, by seq."""
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select type from exchange.statements where envelope_id = $1::uuid and recipient = $2"
            " order by seq",
            paper.envelope_id,
            recipient,
        )
    return [row["type"] for row in rows]


async def short_lived_unit(inside: CentreInside) -> str:
    """A unit that only receives, of the test's own, so that it may be closed."""
    number = str(secrets.randbelow(10**8)).zfill(8)
    code = next(c for c in (number + x for x in "0123456789X") if codes.is_organisation_code(c))
    unit = f"qd-{code.lower()}"
    async with inside.ledger() as ledger:
        await ledger.execute(
            "insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind,"
            " organisation_code) values ($1, '临时机构', 'Temporary', '临时', 'DEPARTMENT', $2)",
            unit,
            code,
        )
    async with inside.channel(inside.unit(SENDER)) as channel, asyncio.timeout(10):
        directory = directory_pb2_grpc.DirectoryServiceStub(channel)
        while True:  # until the server has read of it
            request = directory_pb2.GetUnitRequest(unit_id=unit)
            with suppress(NotFound):
                await answered(directory.GetUnit(request, timeout=5))
                return unit
