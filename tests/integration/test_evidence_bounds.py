"""What evidence costs the centre: what its ledger keeps, how often it seals, to whom it gives."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from exchange_client import AsyncClient, PartSource
from exchange_client.testing import LocalCentre

from document_exchange import evidence, identity
from document_exchange.errors import (
    InternalError,
    LimitExceeded,
    NotFound,
    StateConflict,
    Unavailable,
)
from document_exchange.evidence import Content
from exchange_runtime import events
from exchange_runtime.values import Principal
from exchange_server.evidence_ledger import MOST_A_DAY, NewIndex, SealedIndex
from exchange_server.storage.evidence import EvidenceOnPostgres
from exchange_server.storage.ledger import ledger_database
from tests.ended_lists import ended_lists
from tests.evidence_calls import collected, evidence_parts, stamped
from tests.real_centre import RECIPIENT, SENDER, CentreInside, now
from tests.rivals import overtaken, rival
from tests.shell_for_tests import Shell

OTHER = "qd-zhengfu"


@pytest.fixture
async def finance(local_centre: LocalCentre) -> AsyncIterator[AsyncClient]:
    async with local_centre.async_client(SENDER) as client:
        yield client


@pytest.fixture
async def envelope_id(inside: CentreInside, finance: AsyncClient) -> str:
    """Of a document that waits for two recipients."""
    files = PartSource(b"%PDF-1.7", filename="a.pdf")
    sent = await finance.send(title="函", recipients=[RECIPIENT, OTHER], files=files)
    await stamped(inside, sent.envelope_id)  # so that nothing is added to its evidence meanwhile
    return sent.envelope_id


@pytest.fixture
async def kept(local_centre: LocalCentre) -> AsyncIterator[EvidenceOnPostgres]:
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    database = ledger_database(dsn, connections=4, timeout_s=10)
    await database.open()
    yield EvidenceOnPostgres(database)
    await database.close()


def caller(inside: CentreInside, unit: str = SENDER) -> Principal:
    certificate = inside.unit(unit).certificate
    whose = identity.of_certificate(certificate)
    return Principal(whose, b"", now(), now() + dt.timedelta(hours=1), "10.0.0.1")


def new_index(
    inside: CentreInside,
    envelope_id: str,
    content: bytes,
    *,
    made_at: dt.datetime | None = None,
    seal: x509.Certificate | None = None,
) -> NewIndex:
    """As a server has it kept, of some content."""
    at = made_at or now()
    content_sha256 = hashlib.sha256(content).digest()
    seal = seal or inside.centre_seal()
    return NewIndex(
        content_sha256,
        envelope_id,
        SENDER,
        SealedIndex(at, str(identity.of_certificate(seal)), 1, 1, b"signature"),
        seal.fingerprint(hashes.SHA256()),
        events.prepare(
            "EVIDENCE_SEALED",
            at,
            caller(inside),
            envelope_id=envelope_id,
            manifest_sha256="0" * 64,
            detail={"content": Content.PARTS.value, "content_sha256": content_sha256.hex()},
        ),
    )


async def sealed_before(
    inside: CentreInside, envelope_id: str, count: int, age: dt.timedelta
) -> None:
    """As if the sender had asked for so many other bundles then."""
    async with inside.ledger() as ledger:
        await ledger.execute(
            "insert into exchange.sealed_indexes select sha256(n::text::bytea || $1::text::bytea),"
            " $1::uuid, $2, $3::timestamptz, 'seal', 1, 1, '' from generate_series(1, $4::int) n",
            envelope_id,
            SENDER,
            now() - age,
            count,
        )


async def sealed(inside: CentreInside, envelope_id: str) -> int:
    """How many indexes are kept, each of which is an event, too."""
    async with inside.ledger() as ledger:
        rows = await ledger.fetchval(
            "select count(*) from exchange.sealed_indexes where envelope_id = $1::uuid", envelope_id
        )
        recorded = await ledger.fetchval(
            "select count(*) from exchange.events"
            " where envelope_id = $1::uuid and type = 'EVIDENCE_SEALED'",
            envelope_id,
        )
    assert rows == recorded
    return int(rows)


async def test_the_ledger_keeps_of_an_index_only_what_cant_be_rebuilt(
    inside: CentreInside, finance: AsyncClient, envelope_id: str
) -> None:
    own = await finance.sent(envelope_id)
    for text in ("一", "二", "三", "四"):
        for recipient in (RECIPIENT, OTHER):
            await own.urge(recipient, text)
    files = await collected(inside, envelope_id=envelope_id)
    async with inside.ledger() as ledger:
        (row,) = await ledger.fetch(
            "select signature, pg_column_size(s.*) as size_bytes"
            " from exchange.sealed_indexes s where envelope_id = $1::uuid",
            envelope_id,
        )
    assert row["signature"] == files[evidence.INDEX_SIGNATURE]
    assert len(files[evidence.INDEX]) > 5000
    assert row["size_bytes"] < len(row["signature"]) + 500


async def test_an_index_that_is_not_what_was_sealed_is_not_given_out(
    inside: CentreInside, envelope_id: str
) -> None:
    await collected(inside, envelope_id=envelope_id)
    async with inside.ledger() as ledger:
        await ledger.execute(
            "update exchange.sealed_indexes set made_at = made_at + interval '1 s'"
            " where envelope_id = $1::uuid",
            envelope_id,
        )
    with pytest.raises(InternalError):
        await collected(inside, envelope_id=envelope_id)


async def test_while_the_lists_have_ended_nothing_new_is_sealed(
    inside: CentreInside, envelope_id: str
) -> None:
    """Nobody could ever check it. What was sealed before is given all the same."""
    by, recipients = caller(inside), frozenset[str]()
    async with evidence_parts(inside) as (planner, sealer, _):
        ended = replace(sealer, registry=ended_lists(sealer.registry))
        plan = await planner.plan(by, envelope_id, recipients, Content.DIGESTS)
        with pytest.raises(Unavailable, match="revocation lists have ended"):
            await ended.sealed(by, plan)
        assert await sealed(inside, envelope_id) == 0
        before = await sealer.sealed(by, plan)
        plan = await planner.plan(by, envelope_id, recipients, Content.DIGESTS)
        assert (await ended.sealed(by, plan)).signature == before.signature


async def test_of_two_that_race_the_first_is_kept_and_recorded(
    inside: CentreInside, local_centre: LocalCentre, kept: EvidenceOnPostgres, envelope_id: str
) -> None:
    earlier = new_index(inside, envelope_id, b"the same")
    later = new_index(inside, envelope_id, b"the same", made_at=now() + dt.timedelta(seconds=1))
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    async with rival(dsn, "exchange_server.storage") as first:
        assert await EvidenceOnPostgres(first).keep_sealed_index(earlier) == earlier.sealed
        assert await overtaken(first, kept.keep_sealed_index(later)) == earlier.sealed
    assert await sealed(inside, envelope_id) == 1


async def test_what_was_signed_with_a_seal_revoked_meanwhile_is_not_kept(
    inside: CentreInside, kept: EvidenceOnPostgres, envelope_id: str
) -> None:
    seal = inside.issue("centre-seal", None, f"s{secrets.token_hex(4)}")
    await inside.publish()
    before = new_index(inside, envelope_id, b"before", seal=seal.certificate)
    assert await kept.keep_sealed_index(before) == before.sealed
    await inside.revoke(seal)
    after = new_index(inside, envelope_id, b"after", seal=seal.certificate)
    assert await kept.keep_sealed_index(after) == "CENTRE_SEAL_REVOKED"
    assert await kept.keep_sealed_index(before) == before.sealed
    assert await sealed(inside, envelope_id) == 1


async def test_a_recipient_that_it_did_not_go_to_is_named(
    inside: CentreInside, envelope_id: str
) -> None:
    for caller_, asked in ((SENDER, "qd-nowhere"), (RECIPIENT, OTHER)):
        with pytest.raises(NotFound, match=f"to no {asked} that you may see") as caught:
            await collected(inside, caller_, envelope_id=envelope_id, recipients=[asked])
        assert caught.value.attributes["recipient"] == asked


async def test_racing_calls_get_the_same_bytes(
    inside: CentreInside, local_centre: LocalCentre, tmp_path: Path, envelope_id: str
) -> None:
    other = CentreInside(local_centre)
    async with other.second_server(tmp_path / "log"):
        found = await asyncio.gather(
            *(
                collected(server, unit, envelope_id=envelope_id, recipients=[RECIPIENT])
                for server in (inside, other)
                for unit in (SENDER, RECIPIENT)
            )
        )
    assert all(each == found[0] for each in found)
    assert await sealed(inside, envelope_id) == 1


async def test_racing_calls_do_not_pass_the_limit_of_a_day(
    inside: CentreInside, local_centre: LocalCentre, kept: EvidenceOnPostgres, envelope_id: str
) -> None:
    await sealed_before(inside, envelope_id, MOST_A_DAY - 1, dt.timedelta(hours=23))
    dsn = local_centre.description["ledger"]["dsn_exchange"]
    async with rival(dsn, "exchange_server.storage") as first:
        last = new_index(inside, envelope_id, b"the last")
        assert await EvidenceOnPostgres(first).keep_sealed_index(last) == last.sealed
        refused = await overtaken(
            first, kept.keep_sealed_index(new_index(inside, envelope_id, b"one more"))
        )
    assert refused == "TOO_MANY"
    assert await kept.keep_sealed_index(last) == last.sealed


async def test_a_unit_gets_so_many_different_bundles_of_an_envelope_in_a_day(
    inside: CentreInside, envelope_id: str
) -> None:
    before = await collected(inside, envelope_id=envelope_id)
    await sealed_before(inside, envelope_id, MOST_A_DAY, dt.timedelta(hours=25))
    await collected(inside, envelope_id=envelope_id, recipients=[RECIPIENT])
    async with inside.ledger() as ledger:
        await ledger.execute(
            "update exchange.sealed_indexes set made_at = now() - interval '23 hours'"
            " where envelope_id = $1::uuid and sealed_by = 'seal'",
            envelope_id,
        )
    with pytest.raises(LimitExceeded) as refused:
        await collected(inside, envelope_id=envelope_id, recipients=[OTHER])
    assert refused.value.attributes["limit"] == str(MOST_A_DAY)
    # What was sealed before is there as ever, and the sender's asking takes nothing from others.
    assert await collected(inside, envelope_id=envelope_id) == before
    await collected(inside, OTHER, envelope_id=envelope_id)


async def test_twenty_recipients_at_most_may_be_named(
    inside: CentreInside, finance: AsyncClient, envelope_id: str, tmp_path: Path
) -> None:
    named = [RECIPIENT] * (evidence.MAX_CHOSEN_RECIPIENTS + 1)
    with pytest.raises(LimitExceeded) as refused:
        await collected(inside, envelope_id=envelope_id, recipients=named)
    assert refused.value.attributes["limit"] == "20"
    with pytest.raises(LimitExceeded, match="21 recipients are named"):
        await finance.evidence(envelope_id, named, to=tmp_path / "refused.zip")
    assert await sealed(inside, envelope_id) == 0
    await collected(inside, envelope_id=envelope_id, recipients=named[1:])


@pytest.mark.parametrize("state", ["WITHDRAWN", "EXPIRED"])
async def test_for_who_gets_no_content_any_more_no_index_of_it_is_sealed(
    inside: CentreInside, envelope_id: str, local_centre: LocalCentre, tmp_path: Path, state: str
) -> None:
    async with inside.ledger() as ledger:
        await ledger.execute(
            "update exchange.deliveries set state = $3"
            " where envelope_id = $1::uuid and recipient = $2",
            envelope_id,
            RECIPIENT,
            state,
        )
    with pytest.raises(StateConflict, match="without its content"):
        await collected(inside, RECIPIENT, envelope_id=envelope_id)
    shell = Shell(local_centre.config_dir, tmp_path)
    said = await asyncio.to_thread(
        shell.run, "--profile", RECIPIENT, "evidence", envelope_id, "-o", "e.zip", code=6
    )
    assert f"exchange evidence {envelope_id} --without-content" in said.stderr
    assert await sealed(inside, envelope_id) == 0
    await collected(inside, RECIPIENT, envelope_id=envelope_id, without_content=True)
    await collected(inside, envelope_id=envelope_id)  # for its sender it is its own
    await collected(inside, OTHER, envelope_id=envelope_id)


async def test_the_size_that_is_planned_is_that_of_what_goes_out(
    inside: CentreInside,
    finance: AsyncClient,
    envelope_id: str,
    local_centre: LocalCentre,
    tmp_path: Path,
) -> None:
    """It is what a quota is asked for. Statements with admissions and without, and newer lists."""
    own = await finance.sent(envelope_id)
    await own.urge(RECIPIENT, "请尽快签收")
    async with local_centre.async_client(OTHER) as other:
        await (await other.delivery(envelope_id)).download(tmp_path)
    async with evidence_parts(inside) as (planner, sealer, reader):
        for _ in ("sealed now", "rebuilt"):
            plan = await planner.plan(caller(inside), envelope_id, frozenset(), Content.PARTS)
            index = await sealer.sealed(caller(inside), plan)
            sizes = [len(data) async for _, data in reader.in_order(plan, index)]
            assert reader.size_bytes(plan, index) == sum(sizes)
