"""The authority's time-stamping service, asked by openssl over plain HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import urllib3
from asn1crypto import tsp  # type: ignore[import-untyped]
from cryptography import x509

from document_exchange import timestamp
from document_exchange.certificates import CrlPair, SealTrust, load_pem
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import copy_of_authority
from tests.integration.authority_service import AuthorityOffice, Service, founded

AS_OFTEN_AS_TESTS_ASK = "limits.timestamp_address_rate = 1_000_000"
STAMPS = f'{AS_OFTEN_AS_TESTS_ASK}\n[timestamps]\nname = "tsa-1"'
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
DATA = b"what is stamped\n"
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture(scope="module")
async def office(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AuthorityOffice:
    directory = tmp_path_factory.mktemp("office")
    copied = copy_of_authority(tmp_path_factory, directory / "copied", live=True)
    return await founded(directory, postgres, database, copied)


@pytest.fixture(scope="module")
async def service(office: AuthorityOffice) -> AsyncIterator[Service]:
    async with office.service(STAMPS) as running:
        yield running


async def posted(service: Service, body: bytes, **headers: str) -> tuple[int, str, bytes]:
    """Status, media type and content of the answer."""

    def post() -> tuple[int, str, bytes]:
        sent = {"Content-Type": QUERY, **headers}
        answer = urllib3.request(
            "POST", f"http://{service.http}/tsa", body=body, headers=sent, retries=False
        )
        return answer.status, answer.headers["Content-Type"], answer.data

    return await asyncio.to_thread(post)


async def stamped(service: Service, data: bytes = DATA, nonce: int = 2**64 + 1) -> bytes:
    query = timestamp.query(hashlib.sha256(data).digest(), nonce)
    status, media_type, content = await posted(service, query)
    assert (status, media_type) == (200, REPLY)
    return content


def judged(office: AuthorityOffice, response: bytes) -> timestamp.Stamp:
    """By the authority's certificates and newest lists, as they are in its directory."""
    state = office.state
    trust = SealTrust(*(load_pem((state / f"{n}.pem").read_bytes()) for n in ("root", "seal-ca")))
    lists = [(state / "crl" / f"{name}.crl").read_bytes() for name in ("root", "seal-ca")]
    return timestamp.verify(response, DATA, trust, CrlPair.from_der(*lists))


def signer(response: bytes) -> x509.Certificate:
    found = tsp.TimeStampResp.load(response)["time_stamp_token"]["content"]["certificates"]
    (certificate,) = found
    return x509.load_der_x509_certificate(certificate.dump())


def timestamp_time(response: bytes) -> datetime:
    found = tsp.TimeStampResp.load(response)["time_stamp_token"]["content"]["encap_content_info"]
    at = found["content"].parsed["gen_time"].native
    assert isinstance(at, datetime)
    return at


async def test_openssl_asks_and_verifies(
    office: AuthorityOffice, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(DATA)

    def openssl(*words: str | Path) -> bytes:
        done = subprocess.run(["openssl", "ts", *words], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    openssl("-query", "-data", "data", "-sha256", "-cert", "-out", "q.tsq")
    status, media_type, response = await posted(service, (tmp_path / "q.tsq").read_bytes())
    assert (status, media_type) == (200, REPLY)
    (tmp_path / "r.tsr").write_bytes(response)
    root, seal_ca = office.state / "root.pem", office.state / "seal-ca.pem"
    chain = ("-CAfile", root, "-untrusted", seal_ca)
    assert b"OK" in openssl("-verify", "-in", "r.tsr", "-queryfile", "q.tsq", *chain)
    assert b"OK" in openssl("-verify", "-in", "r.tsr", "-data", "data", *chain)
    assert judged(office, response).tsa.endswith("/centre/tsa/tsa-1")


async def test_serial_numbers_never_come_twice(service: Service) -> None:
    answers = [await stamped(service, bytes([n])) for n in range(50)]
    serials = {
        tsp.TimeStampResp.load(each)["time_stamp_token"]["content"]["encap_content_info"]["content"]
        .parsed["serial_number"]
        .native
        for each in answers
    }
    assert len(serials) == 50
    assert min(serials) >= 2**128


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"no question", {}, 200),
        (bytes(4096), {}, 200),
        (bytes(4097), {}, 413),
        (b"x", {"Content-Type": "text/plain"}, 415),
        (b"x", {"Transfer-Encoding": "chunked"}, 501),
    ],
)
async def test_what_is_no_question_is_refused(
    service: Service, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, _, content = await posted(service, body, **headers)
    assert found == status
    if status == 200:
        assert content[:2] == b"\x30" + bytes([len(content) - 2])
        assert b"the question is not a TimeStampReq in DER" in content


async def test_it_only_answers_questions(service: Service) -> None:
    answer = await asyncio.to_thread(
        urllib3.request, "GET", f"http://{service.http}/tsa", retries=False
    )
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_the_certificate_outlives_the_process_and_is_one_for_all(
    office: AuthorityOffice, service: Service
) -> None:
    first = signer(await stamped(service))
    async with office.service(STAMPS) as other:
        assert signer(await stamped(other)) == first
    assert (office.state / "private" / "tsa-tsa-1.pem").stat().st_mode & 0o077 == 0
    assert b"ENCRYPTED PRIVATE KEY" in (office.state / "private" / "tsa-tsa-1.pem").read_bytes()


async def test_a_revoked_one_is_replaced(office: AuthorityOffice) -> None:
    settings = f'{AS_OFTEN_AS_TESTS_ASK}\n[timestamps]\nname = "tsa-2"'
    # Looked at four times within that interval.
    async with office.service(f"crl_interval_s = 1\n{settings}") as running:
        lost = signer(await stamped(running))
        authority = office.open()
        authority.revoke(authority.serial_of(lost), "keyCompromise")
        async with asyncio.timeout(20):
            # Between the two there is none, and that is said.
            while b"no certificate" in (response := await stamped(running)) or (
                signer(response) == lost
            ):
                pass
            # The list that names the lost one begins with a whole second, which may be the next.
            newest = (office.state / "crl" / "seal-ca.crl").read_bytes()
            begins = x509.load_der_x509_crl(newest).last_update_utc
            while timestamp_time(response) < begins:
                response = await stamped(running)
        assert judged(office, response).tsa.endswith("/centre/tsa/tsa-2")


async def test_it_is_renewed_before_it_ends(office: AuthorityOffice) -> None:
    settings = f'{AS_OFTEN_AS_TESTS_ASK}\n[timestamps]\nname = "tsa-3"\n[lifetimes]\ntsa_s = 6'
    async with office.service(f"crl_interval_s = 1\n{settings}") as running:
        first = signer(await stamped(running))
        async with asyncio.timeout(20):
            while (now := signer(await stamped(running))) == first:
                pass
        assert now.not_valid_before_utc < first.not_valid_after_utc


async def test_without_a_name_there_is_none(office: AuthorityOffice) -> None:
    async with office.service() as running:
        status, _, _ = await posted(running, timestamp.query(DIGEST, 1))
        assert status == 404


async def test_one_address_may_ask_only_so_often(office: AuthorityOffice) -> None:
    """Another one is answered meanwhile, and what is published is for all."""
    settings = """
metrics_listen = "127.0.0.1:0"
limits.timestamp_address_rate = 50
timestamps.name = "tsa-1"
"""
    query = timestamp.query(DIGEST, 1)

    def asked(service: Service, source: str, path: str = "/tsa") -> urllib3.BaseHTTPResponse:
        host, _, port = service.http.rpartition(":")
        with urllib3.HTTPConnectionPool(host, int(port), source_address=(source, 0)) as pool:
            if path != "/tsa":
                return pool.request("GET", path, retries=False)
            headers = {"Content-Type": QUERY}
            return pool.request("POST", path, body=query, headers=headers, retries=False)

    async with office.service(settings) as running:
        (listening,) = running.logged("listening")
        metrics = listening["metrics"]
        began = time.monotonic()
        answers = [await asyncio.to_thread(asked, running, "127.0.0.1") for _ in range(10)]
        # A tenth of them at once, then one in 1.2 s.
        granted = [answer for answer in answers if answer.status == 200]
        assert 5 <= len(granted) <= 6 + (time.monotonic() - began) / 1.2
        refused = answers[-1]
        assert (refused.status, refused.reason) == (429, "Too Many Requests")
        assert refused.headers["Retry-After"] in ("1", "2")
        for source, path in (("127.0.0.2", "/tsa"), ("127.0.0.1", "/root.pem")):
            assert (await asyncio.to_thread(asked, running, source, path)).status == 200
        text = await asyncio.to_thread(
            lambda: urllib3.request("GET", f"http://{metrics}/metrics").data.decode()
        )
        too_many = len(answers) - len(granted)
        assert f'exchange_timestamp_answers_total{{outcome="TOO_MANY"}} {too_many}.0' in text
