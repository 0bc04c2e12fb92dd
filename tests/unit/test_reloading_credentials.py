"""Server credentials that follow their files, seen from outside: in handshakes with a real port."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from document_exchange.certificates import fingerprint
from document_exchange.errors import ConfigurationError
from exchange_runtime.rpc.credentials import ReloadingCredentials
from exchange_runtime.watched_files import WatchedFiles
from tests.pki_for_tests import CLIENT, DAY, SERVER, TRUST_DOMAIN, Holder, Pki, key_usage, make_leaf

PKI = Pki()
OTHER = Pki()


def now() -> datetime:
    return datetime.now(UTC)


def server_certificate(issuer: Holder = PKI.tls_ca, ends: datetime | None = None) -> Holder:
    return make_leaf(
        f"spiffe://{TRUST_DOMAIN}/centre/server/one",
        issuer=issuer,
        purposes=SERVER,
        usage=key_usage("digital_signature"),
        further_names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
        not_before=now() - 2 * DAY,
        not_after=ends or now() + DAY,
    )


def client_certificate(issuer: Holder) -> Holder:
    return make_leaf(
        f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa",
        issuer=issuer,
        purposes=CLIENT,
        usage=key_usage("digital_signature"),
        not_before=now() - DAY,
        not_after=now() + DAY,
    )


@dataclass
class Files:
    """The three files of a port."""

    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    @property
    def client_ca(self) -> Path:
        return self.directory / "client-ca.pem"

    def write(self, holder: Holder, issuer: Holder = PKI.tls_ca) -> None:
        self.certificate.write_bytes(holder.pem + issuer.pem)
        self.key.write_bytes(holder.key_pem)

    def credentials(self) -> ReloadingCredentials:
        return ReloadingCredentials(self.certificate, self.key, self.client_ca)


@pytest.fixture
def first() -> Holder:
    return server_certificate()


@pytest.fixture
def files(tmp_path: Path, first: Holder) -> Files:
    made = Files(tmp_path)
    made.write(first)
    made.client_ca.write_bytes(PKI.tls_ca.pem)
    return made


@asynccontextmanager
async def listening(credentials: ReloadingCredentials) -> AsyncIterator[int]:
    """The port of a server that has one service."""
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def shown(port: int) -> str:
    """The fingerprint of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(der).hexdigest()


def client_channel(
    port: int, holder: Holder | None = None, trusted: Holder = PKI.tls_ca
) -> grpc.aio.Channel:
    caller = holder or client_certificate(PKI.tls_ca)
    return grpc.aio.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(trusted.pem, caller.key_pem, caller.pem),
        [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)],
    )


def _stub(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


async def check(channel: grpc.aio.Channel) -> None:
    await _stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)


async def test_new_files_are_in_the_next_handshake_and_open_connections_go_on(
    files: Files, first: Holder
) -> None:
    credentials = files.credentials()
    async with listening(credentials) as port, client_channel(port) as channel:
        await check(channel)
        watch = _stub(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        assert await shown(port) == fingerprint(first.certificate)
        for _ in range(3):
            fresh = server_certificate()
            files.write(fresh)
            assert await shown(port) == fingerprint(fresh.certificate)
            assert credentials.fingerprint == fingerprint(fresh.certificate)
            async with client_channel(port) as another:
                await check(another)
            await check(channel)
        assert not watch.done()
        watch.cancel()


async def test_a_certificate_whose_key_is_not_there_yet_is_waited_with(
    files: Files, first: Holder
) -> None:
    fresh = server_certificate()
    async with listening(files.credentials()) as port:
        with structlog.testing.capture_logs() as logs:
            files.certificate.write_bytes(fresh.pem + PKI.tls_ca.pem)
            assert await shown(port) == fingerprint(first.certificate)
            assert await shown(port) == fingerprint(first.certificate)
            files.key.write_bytes(fresh.key_pem)
            assert await shown(port) == fingerprint(fresh.certificate)
    assert [line["event"] for line in logs] == ["tls_certificate_kept", "tls_certificate_taken"]
    assert "is not the key of" in logs[0]["fault"]


def _empty(files: Files) -> None:
    files.certificate.write_bytes(b"")


def _half_a_key(files: Files) -> None:
    files.write(server_certificate())
    files.key.write_bytes(files.key.read_bytes()[:100])


def _away(files: Files) -> None:
    files.write(server_certificate())
    files.key.unlink()


def _expired(files: Files) -> None:
    files.write(server_certificate(ends=now() - DAY / 2))


def _no_chain(files: Files) -> None:
    files.write(server_certificate(), issuer=OTHER.tls_ca)


def _no_client_ca(files: Files) -> None:
    files.write(server_certificate())
    files.client_ca.write_bytes(b"nothing")


@pytest.mark.parametrize("damage", [_empty, _half_a_key, _away, _expired, _no_chain, _no_client_ca])
async def test_what_is_broken_leaves_the_last_good_one_in_use(
    files: Files, first: Holder, damage: Callable[[Files], None]
) -> None:
    async with listening(files.credentials()) as port:
        with structlog.testing.capture_logs() as logs:
            damage(files)
            for _ in range(3):
                assert await shown(port) == fingerprint(first.certificate)
        assert [line["event"] for line in logs] == ["tls_certificate_kept"]
        async with client_channel(port) as channel:
            await check(channel)
        fresh = server_certificate()
        files.write(fresh)
        files.client_ca.write_bytes(PKI.tls_ca.pem)
        assert await shown(port) == fingerprint(fresh.certificate)


async def test_another_client_ca_is_taken_too(files: Files) -> None:
    stranger = client_certificate(OTHER.tls_ca)
    async with listening(files.credentials()) as port:
        async with client_channel(port, stranger) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)
        files.client_ca.write_bytes(OTHER.tls_ca.pem)
        async with client_channel(port, stranger) as channel:
            await check(channel)
        async with client_channel(port) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)


async def test_without_a_client_ca_callers_need_no_certificate(files: Files) -> None:
    credentials = ReloadingCredentials(files.certificate, files.key)
    async with (
        listening(credentials) as port,
        grpc.aio.secure_channel(
            f"127.0.0.1:{port}", grpc.ssl_channel_credentials(PKI.tls_ca.pem)
        ) as channel,
    ):
        await check(channel)


@pytest.mark.parametrize("damage", [_empty, _half_a_key, _away, _expired, _no_chain, _no_client_ca])
def test_a_server_does_not_start_with_broken_ones(
    files: Files, damage: Callable[[Files], None]
) -> None:
    damage(files)
    with pytest.raises(ConfigurationError):
        files.credentials()


def test_files_that_stay_the_same_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    watched = WatchedFiles(path)
    assert watched.changed() == (b"one",)
    with monkeypatch.context() as blind:
        blind.delattr(Path, "read_bytes")
        assert watched.changed() is None
    path.write_bytes(b"two")
    assert watched.changed() == (b"two",)


def test_a_file_written_twice_within_a_tick_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamps of both are the same; that the first was just written gives it away."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    watched = WatchedFiles(path)
    stamps = watched._stamps()
    monkeypatch.setattr(watched, "_stamps", lambda: stamps)
    assert watched.changed() == (b"one",)
    path.write_bytes(b"two")
    assert watched.changed() == (b"two",)
    assert watched.changed() is None


def test_what_could_not_be_used_is_given_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    watched = WatchedFiles(path)
    assert watched.changed() == (b"one",)
    assert watched.changed() is None
    watched.forget()
    assert watched.changed() == (b"one",)
