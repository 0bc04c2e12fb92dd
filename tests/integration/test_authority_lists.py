"""The authority's lists, certificates and inventory, over HTTP and over mutual TLS."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_pki.authority import Authority
from exchange_pki.prepare import Order
from exchange_pki.publish import Publisher
from exchange_pki.register import Certified
from exchange_pki.service.ledger import AuthorityLedger, authority_database
from exchange_pki.service.worker import AuthorityWorker

from document_exchange.errors import InvalidRequest
from document_exchange.v1.authority_pb2 import (
    GetCrlRequest,
    ListCertificatesRequest,
    RevokeRequest,
)
from tests.authority_for_tests import new_private_key
from tests.integration.authority_calls import (
    WITHIN_S,
    admitted,
    office_fixture,
    refusal,
    service_fixture,
)
from tests.integration.authority_service import UNIT, AuthorityOffice, Service

office = office_fixture()
service = service_fixture()


# ------------------------------------------------------------------------------ lists over HTTP


async def fetched(service: Service, path: str) -> bytes:
    def get() -> bytes:
        with urllib.request.urlopen(f"http://{service.http}{path}", timeout=5) as answer:
            assert answer.headers["Content-Length"] is not None
            return bytes(answer.read())

    return await asyncio.to_thread(get)


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )


async def test_openssl_verifies_with_what_comes_over_http(
    office: AuthorityOffice, service: Service, tmp_path: Path
) -> None:
    """Root, authorities and lists over plain HTTP; the root is checked by its fingerprint."""
    good, bad = office.issue("system", UNIT, "openssl-1"), office.issue("system", UNIT, "openssl-2")
    seal = office.issue("seal", UNIT, "openssl")
    await admitted(office, service, bad)
    security = await admitted(office, service, office.staff("security"))
    async with office.call(service, security) as stub:
        fingerprint = hashlib.sha256(bad.der).hexdigest()
        await stub.Revoke(RevokeRequest(fingerprint=fingerprint, reason="keyCompromise"))
        over_grpc = (await stub.GetCrl(GetCrlRequest(issuer="tls-ca"))).crl
    assert over_grpc == await fetched(service, "/crl/tls-ca.crl")
    for name in ("root", "tls-ca", "seal-ca"):
        (tmp_path / f"{name}.pem").write_bytes(await fetched(service, f"/{name}.pem"))
        (tmp_path / f"{name}.crl").write_bytes(await fetched(service, f"/crl/{name}.crl"))
        listed = openssl("crl", "-inform", "DER", "-in", tmp_path / f"{name}.crl")
        (tmp_path / f"{name}.crl.pem").write_text(listed.stdout)
    root = x509.load_pem_x509_certificate((tmp_path / "root.pem").read_bytes())
    digest = hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()
    assert digest == office.open().root_fingerprint
    for leaf, issuer, expected in (
        (good, "tls-ca", "OK"),
        (seal, "seal-ca", "OK"),
        (bad, "tls-ca", "certificate revoked"),
    ):
        (tmp_path / "leaf.pem").write_bytes(leaf.pem)
        lists = [tmp_path / f"{name}.crl.pem" for name in ("root", issuer)]
        (tmp_path / "lists.pem").write_text("".join(each.read_text() for each in lists))
        done = openssl(
            *("verify", "-x509_strict", "-crl_check_all", "-CAfile", tmp_path / "root.pem"),
            *("-untrusted", tmp_path / f"{issuer}.pem", "-CRLfile", tmp_path / "lists.pem"),
            tmp_path / "leaf.pem",
        )
        assert expected in done.stdout + done.stderr, done
        assert (done.returncode == 0) is (expected == "OK")


async def is_listed(service: Service, certified: Certified) -> bool:
    der = await fetched(service, f"/crl/{certified.issuer}.crl")
    listed = x509.load_der_x509_crl(der)
    return listed.get_revoked_certificate_by_serial_number(int(certified.serial, 16)) is not None


async def test_a_revocation_by_hand_gets_on_the_list(
    office: AuthorityOffice, service: Service
) -> None:
    """By whoever had no passphrase to sign a list, or died before it: the service signs one."""
    order = Order("system", "by-hand", unit=UNIT)
    certified = office.open().issue(order, new_private_key().public_key())
    Authority.load(office.state).revoke(certified.serial, "keyCompromise")
    async with asyncio.timeout(WITHIN_S):
        while not await is_listed(service, certified):
            pass


@asynccontextmanager
async def working(office: AuthorityOffice) -> AsyncIterator[AuthorityWorker]:
    """The service's worker without its clock: nothing is done unless the test asks for it."""
    database = authority_database(office.dsn, connections=2, timeout_s=10)
    await database.open()
    worker = AuthorityWorker(office.open(), Publisher(AuthorityLedger(database)), lifetimes={})
    try:
        await worker.start()
        yield worker
    finally:
        await worker.stop()
        await database.close()


async def test_a_list_that_could_not_be_signed_is_due_until_it_is(office: AuthorityOffice) -> None:
    authority = office.open()
    order = Order("seal", "not-listed", unit=UNIT)
    certified = authority.issue(order, new_private_key().public_key())

    async def is_on_its_list(worker: AuthorityWorker) -> bool:
        listed = x509.load_der_x509_crl(await worker.crl("seal-ca"))
        serial = int(certified.serial, 16)
        return listed.get_revoked_certificate_by_serial_number(serial) is not None

    async with working(office) as worker:
        await worker.sign_due_crls(timedelta(0))
        authority.refresh()
        number = authority.register.last_number("seal-ca") + 1
        # Something is in its place. Its number is used up then, so the next attempt succeeds.
        authority.layout.numbered_crl("seal-ca", number).mkdir()
        await worker.revoke(certified.serial, "superseded", actor="test")
        assert not await is_on_its_list(worker)
        await worker.follow()
        assert not await is_on_its_list(worker), "what fails is not tried all the time"
        await worker.sign_due_crls(timedelta(days=1))
        assert await is_on_its_list(worker)
        authority.refresh()
        signed = authority.register.last_number("seal-ca")
        await worker.follow()
        await worker.sign_due_crls(timedelta(days=1))
        authority.refresh()
        assert authority.register.last_number("seal-ca") == signed


async def said(service: Service, request: bytes) -> bytes:
    """All that comes back for these bytes."""
    host, _, port = service.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /crl/root.crl?now HTTP/1.0\r\n\r\n", 200),
        (b"GET /journal.jsonl HTTP/1.1\r\n\r\n", 404),
        (b"GET /../private/root.key HTTP/1.1\r\n\r\n", 404),
        (b"GET //root.pem HTTP/1.1\r\n\r\n", 404),
        (b"GET /%72oot.pem HTTP/1.1\r\n\r\n", 404),
        (b"POST /root.pem HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 405),
        (b"GET /root.pem\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\x10 hello\r\n\r\n", 400),
        (b"GET /root.pem HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_http_answers_little_and_strictly(
    service: Service, request_: bytes, status: int
) -> None:
    answer = await said(service, request_)
    assert answer.split(b" ", 2)[:2] == [b"HTTP/1.1", str(status).encode()], answer
    assert b"Connection: close\r\n" in answer


async def test_http_head_has_no_content(service: Service) -> None:
    head, _, content = (await said(service, b"HEAD /root.pem HTTP/1.1\r\n\r\n")).partition(
        b"\r\n\r\n"
    )
    assert b"Content-Type: application/x-pem-file" in head
    assert content == b""


async def test_nobody_holds_the_http_port(office: AuthorityOffice) -> None:
    settings = "[limits]\nhttp_connections = 4\nhttp_s = 0.5"
    async with office.service(settings) as service:
        host, _, port = service.http.rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(4)]
        try:
            for _, writer in held:
                writer.write(b"GET /root.pem HTT")
            async with asyncio.timeout(WITHIN_S):
                for reader, _ in held:
                    assert await reader.read() == b"", "cut off without an answer"
            assert (await said(service, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"ok\n")
        finally:
            for _, writer in held:
                writer.close()


async def test_one_address_does_not_shut_the_http_port(office: AuthorityOffice) -> None:
    settings = "[limits]\nhttp_connections = 8\nhttp_address_connections = 4\nhttp_s = 60"
    async with office.service(settings) as service:
        host, _, port = service.http.rpartition(":")

        async def connected(source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(host, int(port), local_addr=(source, 0))

        held = [await connected("127.0.0.2") for _ in range(12)]
        try:
            async with asyncio.timeout(WITHIN_S):
                for reader, _ in held[4:]:
                    with suppress(ConnectionResetError):
                        assert await reader.read() == b"", "beyond the share of its address"
                reader, writer = await connected("127.0.0.3")
                writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
                assert (await reader.read()).endswith(b"ok\n")
                writer.close()
                for _, writer in held:
                    writer.transport.abort()
                answer = b""  # the share of the first one is free again
                while not answer.endswith(b"ok\n"):
                    reader, writer = await connected("127.0.0.2")
                    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
                    with suppress(ConnectionResetError):
                        answer = await reader.read()
                    writer.close()
        finally:
            for _, writer in held:
                writer.close()


async def test_an_unknown_issuer_has_no_list(office: AuthorityOffice, service: Service) -> None:
    caller = await admitted(office, service, office.issue("system", UNIT, "lists"))
    async with office.call(service, caller) as stub:
        for issuer in ("", "../private/root", "root-1"):
            request = GetCrlRequest(issuer=issuer)
            assert type(await refusal(stub.GetCrl(request))) is InvalidRequest


# ------------------------------------------------------------------------------ inventory


async def test_the_inventory(office: AuthorityOffice, service: Service) -> None:
    auditor = await admitted(office, service, office.staff("auditor"))
    authority = office.open()

    def issue(name: str, days: int) -> str:
        order = Order(
            "system",
            name,
            unit="qd-tongji",
            not_after=datetime.now(UTC).replace(microsecond=0) + timedelta(days=days),
        )
        return authority.issue(order, new_private_key().public_key()).fingerprint

    ending, replaced, successor = issue("a", 5), issue("b", 5), issue("b", 25)
    long, revoked = issue("c", 25), issue("d", 5)
    authority.revoke(authority.register.serials[revoked], "superseded")
    await office.publish()

    async def listed(**wanted: object) -> list[str]:
        found: list[str] = []
        request = ListCertificatesRequest(unit="qd-tongji", page_size=2, **wanted)  # type: ignore[arg-type]
        async with office.call(service, auditor) as stub:
            while True:
                page = await stub.ListCertificates(request)
                assert len(page.certificates) <= 2
                found += [each.fingerprint for each in page.certificates]
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    assert await listed() == [ending, successor, replaced, long, revoked]
    assert await listed(valid_only=True) == [ending, successor, replaced, long]
    assert await listed(ending_within_s=10 * 86400) == [ending]
    assert await listed(ending_within_s=2**62) == [ending, successor, long]
    assert await listed(profile="seal") == []
    async with office.call(service, auditor) as stub:
        for wrong in (
            ListCertificatesRequest(unit="No Unit"),
            ListCertificatesRequest(profile="king"),
            ListCertificatesRequest(page_size=-1),
            ListCertificatesRequest(page_token="zz"),
            ListCertificatesRequest(ending_within_s=-1),
            ListCertificatesRequest(ending_within_s=-(2**63)),
        ):
            assert type(await refusal(stub.ListCertificates(wrong))) is InvalidRequest


async def test_the_log_warns_of_what_ends(office: AuthorityOffice) -> None:
    authority = office.open()
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    for name, not_after in (("ends", soon), ("replaced", soon), ("replaced", None)):
        order = Order("system", name, unit=UNIT, not_after=not_after)
        authority.issue(order, new_private_key().public_key())
    async with office.service("warn_before_days = 5") as service:
        warned = {
            entry["identity"].rpartition("/")[2] for entry in service.logged("certificate_ends")
        }
    assert "ends" in warned
    assert "replaced" not in warned
