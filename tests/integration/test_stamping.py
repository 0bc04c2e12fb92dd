"""The centre's signatures get time-stamps: all of them, once each, whoever is away or dies."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import asyncpg
import psutil
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes, manifest, timestamp_answer
from document_exchange.certificates import fingerprint
from document_exchange.errors import Unavailable
from document_exchange.manifest import Manifest
from document_exchange.timestamp import MAX_RESPONSE_BYTES
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.stamping import Stamper, external_judge
from exchange_server.storage import stamps
from exchange_server.storage.ledger import ledger_database
from exchange_server.storage.migrate import migrate
from exchange_server.storage.stamps import StampsOnPostgres
from exchange_server.time_stamping_client import TimeStampingClient
from tests.integration.conftest import SMALL_CITY
from tests.pki_for_tests import Pki
from tests.real_centre import SENDER, CentreInside, Upload, envelope, part, sealed
from tests.timestamps_for_tests import POLICY, SERIAL, tsa_of_now
from tests.tsa_for_tests import OpensslTsa, serving

BODY = b"%PDF-1.7"
BATCH = 1000
"""As `exchange-server dev` has it."""
WITHIN_S = 45
OPEN = "select count(*) from exchange.stamp_batches where response is null"
QUEUED = "select count(*) from exchange.stamp_queue"


@pytest.fixture(scope="module")
def local_centre() -> Iterator[LocalCentre]:
    """Its own, because its processes are stopped."""
    with LocalCentre(registry=SMALL_CITY) as centre:
        yield centre


async def submitted(inside: CentreInside) -> Manifest:
    made = envelope([part(BODY)])
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", BODY),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=30)
    return made


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            pass


async def stamp_of(owner: asyncpg.Connection, envelope_id: str) -> asyncpg.Record:
    """The batch of this acceptance, once it has its token."""
    query = """select b.*, e.receipt_signature from exchange.stamps s
                 join exchange.stamp_batches b using (batch)
                 join exchange.envelopes e using (envelope_id)
                where s.envelope_id = $1::uuid and s.seq = 0 and b.response is not null"""
    await until(lambda: found(owner, query, envelope_id))
    row = await owner.fetchrow(query, envelope_id)
    assert row is not None
    return row


async def found(owner: asyncpg.Connection, query: str, *arguments: object) -> bool:
    return await owner.fetchrow(query, *arguments) is not None


async def none_waits(owner: asyncpg.Connection) -> bool:
    return not await owner.fetchval(OPEN) and not await owner.fetchval(QUEUED)


async def queue(owner: asyncpg.Connection, count: int) -> dict[str, str]:
    """Signatures in the queue: digest in hex by envelope_id."""
    at = datetime.now(UTC)
    rows = {codes.new_id(at): secrets.token_hex(32) for _ in range(count)}
    await owner.execute(
        """insert into exchange.stamp_queue (envelope_id, recipient, seq, signature_sha256)
           select u::uuid, '', 0, decode(d, 'hex') from unnest($1::text[], $2::text[]) t (u, d)""",
        list(rows),
        list(rows.values()),
    )
    return rows


@contextmanager
def standing_still(process: psutil.Process) -> Iterator[None]:
    """Neither dead nor answering."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def authority_process(inside: CentreInside) -> psutil.Process:
    children = psutil.Process(int(inside.description["pid"])).children(recursive=True)
    (authority,) = (
        each for each in children if each.cmdline()[1:4] == ["-m", "exchange_pki", "serve"]
    )
    return authority


async def failures(inside: CentreInside) -> float:
    host, _, port = str(inside.description["metrics"]).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    lines = (await reader.read()).decode().splitlines()
    writer.close()
    (value,) = (x.split()[1] for x in lines if x.startswith("exchange_stamp_failures_total"))
    return float(value)


async def test_openssl_and_sha256sum_verify_a_stored_stamp(
    inside: CentreInside, tmp_path: Path
) -> None:
    before = datetime.now(UTC)
    sent = await submitted(inside)
    async with inside.ledger() as owner:
        stamp = await stamp_of(owner, sent.envelope_id)
        newest = await owner.fetch(
            "select issuer, max(number) n from exchange.crls group by issuer"
        )
    assert before - timedelta(seconds=1) < stamp["stamped_at"] < datetime.now(UTC)
    assert {stamp["root_crl"], stamp["seal_crl"]} <= {
        number for row in newest for number in range(row["n"] + 1)
    }
    (tmp_path / "1.txt").write_bytes(stamp["lines"])
    (tmp_path / "1.tsr").write_bytes(stamp["response"])
    (tmp_path / "accepted.p7s").write_bytes(stamp["receipt_signature"])
    pki = Path(inside.description["pki"])
    verifying = ["openssl", "ts", "-verify", "-data", "1.txt", "-in", "1.tsr"]
    chain = ["-CAfile", str(pki / "root.pem"), "-untrusted", str(pki / "seal-ca.pem")]
    subprocess.run([*verifying, *chain], cwd=tmp_path, check=True, capture_output=True)
    named = subprocess.run(
        ["sha256sum", "accepted.p7s"], cwd=tmp_path, check=True, capture_output=True
    ).stdout.split()[0]
    lines = (tmp_path / "1.txt").read_bytes()
    assert named in lines.split(b"\n")
    assert lines == b"".join(sorted(set(lines.splitlines(keepends=True))))


async def test_documents_flow_while_the_service_is_away_and_tokens_follow(
    inside: CentreInside,
) -> None:
    async with inside.ledger() as owner:
        await until(lambda: none_waits(owner))
        failed = await failures(inside)
        with standing_still(authority_process(inside)):
            sent = [await submitted(inside) for _ in range(3)]
            async with asyncio.timeout(WITHIN_S):
                while await failures(inside) < failed + 2:
                    pass
            assert await owner.fetchval(OPEN) >= 1
            sent.append(await submitted(inside))
        for each in sent:
            assert (await stamp_of(owner, each.envelope_id))["attempts"] >= 1
        await until(lambda: none_waits(owner))


async def test_of_three_processes_each_signature_is_in_exactly_one_batch(
    inside: CentreInside, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(inside.ledger())
        for name in ("second.log", "third.log"):
            await stack.enter_async_context(inside.second_server(tmp_path / name))
        rows = await queue(owner, 2500)
        await until(lambda: none_waits(owner))
        stamps = await owner.fetch(
            """select s.envelope_id::text, b.batch, b.lines, b.response
                 from exchange.stamps s join exchange.stamp_batches b using (batch)
                where s.envelope_id = any ($1::uuid[])""",
            list(rows),
        )
    assert sorted(each["envelope_id"] for each in stamps) == sorted(rows)
    batches = {each["batch"]: each["lines"] for each in stamps}
    for each in stamps:
        assert each["response"] is not None
        assert rows[each["envelope_id"]].encode() in each["lines"].split(b"\n")
    listed = [line for lines in batches.values() for line in lines.splitlines()]
    assert len(listed) == len(set(listed)) >= len(rows)
    assert len(batches) > 2
    assert all(len(lines.splitlines()) <= BATCH for lines in batches.values())


async def test_who_dies_between_batch_and_token_leaves_it_to_the_others(
    inside: CentreInside, tmp_path: Path
) -> None:
    async with inside.ledger() as owner:
        await until(lambda: none_waits(owner))
        with standing_still(authority_process(inside)):
            async with inside.second_server(tmp_path / "second.log") as server:
                with standing_still(inside.server()):
                    (envelope_id,) = await queue(owner, 1)
                    asked = f"{OPEN.replace('count(*)', '1')} and attempts = 1"
                    await until(lambda: found(owner, asked))
                    server.kill()
                    server.wait()
                    batch = await owner.fetchval("select max(batch) from exchange.stamp_batches")
        await until(lambda: none_waits(owner))
        kept = await owner.fetch(
            "select batch from exchange.stamps where envelope_id = $1::uuid", envelope_id
        )
        assert [each["batch"] for each in kept] == [batch]


class Desk:
    """A stamper on a ledger of its own, with services outside of the exchange."""

    def __init__(self, owner: asyncpg.Connection, ledger: StampsOnPostgres, pki: Pki) -> None:
        self.owner, self.ledger, self.pki = owner, ledger, pki
        self.failures = 0

    def stamper(self, url: str) -> Stamper:
        chain = [self.pki.root.certificate, self.pki.seal_ca.certificate]
        return Stamper(
            self.ledger,
            TimeStampingClient(url, timeout_s=5),
            external_judge(chain, fingerprint(self.pki.root.certificate)),
            lambda: datetime.now(UTC),
            batch_size=10,
            interval_s=0.001,
            timeout_s=5,
            clock_tolerance_s=60,
            failed=self.failed,
        )

    def failed(self) -> None:
        self.failures += 1


@pytest.fixture(scope="module")
async def desk(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[Desk]:
    await asyncio.to_thread(migrate, postgres.dsn("owner", database))
    opened = ledger_database(postgres.dsn("exchange", database), connections=2, timeout_s=10)
    owner = await asyncpg.connect(postgres.dsn("owner", database))
    await opened.open()
    yield Desk(owner, StampsOnPostgres(opened), Pki())
    await opened.close()
    await owner.close()


async def test_an_external_service_stamps(desk: Desk, tmp_path: Path) -> None:
    await queue(desk.owner, 25)
    with OpensslTsa(tmp_path, tsa_of_now(desk.pki), tsa_name="yes").served() as url:
        await desk.stamper(url).run()
    assert await none_waits(desk.owner)
    rows = await desk.owner.fetch("select * from exchange.stamp_batches")
    assert sorted(len(each["lines"].splitlines()) for each in rows) == [5, 10, 10]
    assert {each["root_crl"] for each in rows} == {None}
    standing = await desk.ledger.standing()
    assert (standing.queued, standing.open_batches, standing.waiting_since) == (0, 0, None)
    assert standing.stamped_at == max(each["stamped_at"] for each in rows)


async def test_a_long_queue_is_counted_as_far_as_matters(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "MOST_COUNTED", 20)
    await queue(desk.owner, 25)
    oldest = await desk.owner.fetchval("select min(queued_at) from exchange.stamp_queue")
    standing = await desk.ledger.standing()
    assert (standing.queued, standing.waiting_since) == (20, oldest)
    with serving(answering(good(desk.pki))) as url:
        await desk.stamper(url).run()
    assert (await desk.ledger.standing()).queued == 0


def answering(
    answer: Callable[[bytes], bytes],
    status: int = 200,
    media_type: str = "application/timestamp-reply",
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            raise AssertionError("a redirection was followed")

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    return Handler


@pytest.mark.parametrize("case", ["wrong time", "another's", "nonsense", "other bytes"])
async def test_what_does_not_verify_is_not_stored(desk: Desk, case: str) -> None:
    tsa = tsa_of_now(Pki() if case == "another's" else desk.pki)

    def answer(query: bytes) -> bytes:
        at = datetime.now(UTC) - timedelta(hours=2 if case == "wrong time" else 0)
        if case == "other bytes":
            query = query.replace(query[30:40], bytes(10))
        made = timestamp_answer.respond(query, tsa.signer, at=at, serial=SERIAL, policy=POLICY)
        return b"nonsense" if case == "nonsense" else made.der

    before = desk.failures
    await queue(desk.owner, 1)
    with serving(answering(answer)) as url:
        stamper = desk.stamper(url)
        await stamper.run()
        assert await desk.owner.fetchval(OPEN) == 1
        assert desk.failures > before
    with serving(answering(good(desk.pki))) as url:

        async def stamped() -> bool:
            await desk.stamper(url).run()
            return await none_waits(desk.owner)

        await until(stamped)


def good(pki: Pki) -> Callable[[bytes], bytes]:
    tsa = tsa_of_now(pki)

    def answer(query: bytes) -> bytes:
        now = datetime.now(UTC)
        return timestamp_answer.respond(query, tsa.signer, at=now, serial=SERIAL, policy=POLICY).der

    return answer


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (answering(lambda _: b"", status=302), "answers 302"),
        (answering(lambda _: b"", status=500), "answers 500"),
        (answering(lambda _: b"x", media_type="text/html"), "text/html"),
        (answering(lambda _: bytes(MAX_RESPONSE_BYTES + 1)), "more than"),
    ],
)
async def test_what_is_no_answer_means_that_the_service_is_away(
    handler: type[BaseHTTPRequestHandler], why: str
) -> None:
    with serving(handler) as url:
        client = TimeStampingClient(url, timeout_s=5)
        with pytest.raises(Unavailable, match=why):
            await client.ask(b"query")
        client.close()


async def test_an_answer_that_drips_is_given_up() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"query")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n\r\n")
        try:
            while True:
                writer.write(hashlib.sha256().digest()[:1])
                await writer.drain()
                await asyncio.sleep(0.1)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(Unavailable, match="takes longer"):
        await TimeStampingClient(url, timeout_s=0.5).ask(b"query")
    server.close()


async def test_who_is_not_the_owner_can_only_do_so_by_the_functions(desk: Desk) -> None:
    async with asyncio.timeout(10):
        rights = await desk.owner.fetchrow(
            """select has_table_privilege('exchange_server', 'exchange.stamp_batches', 'update') u,
                      has_table_privilege('exchange_server', 'exchange.stamp_queue', 'delete') d,
                      has_table_privilege('exchange_server', 'exchange.stamps', 'insert') i"""
        )
    assert rights is not None
    assert tuple(rights) == (False, False, False)
