"""The inside of a running centre, for tests that speak to it without the SDK's own checks.

Keys and certificates of its units, its authority, its ledger as the owner, its objects, and the
raw gRPC channel over mutual TLS.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import msgspec
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_client.testing import LocalCentre
from exchange_pki.authority import Authority
from exchange_pki.keys import open_encrypted, passphrase_from
from exchange_pki.prepare import Order
from exchange_pki.publish import publish
from google.rpc import status_pb2

from document_exchange import codes, manifest, signature, status, times
from document_exchange.errors import ExchangeError, Unauthenticated, Unavailable
from document_exchange.manifest import (
    Direction,
    Document,
    Genre,
    Manifest,
    Part,
    PartRole,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
)
from document_exchange.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    exchange_pb2,
    exchange_pb2_grpc,
)
from exchange_server import unit_import
from exchange_server.registry_file import RegistryFile
from tests.pki_for_tests import Holder

SENDER, RECIPIENT = "qd-caizheng", "qd-jiaoyu"
DETAILS = "grpc-status-details-bin"


def now() -> datetime:
    """The clock of the centre, which runs on this machine."""
    return datetime.now(UTC)


class CentreInside:
    """What an operator of this centre could reach."""

    def __init__(self, centre: LocalCentre) -> None:
        self.address = centre.address
        self.metrics_address = ""
        """Of the second server, where its settings ask for metrics."""
        self.description: Mapping[str, Any] = centre.description
        self._clients = Path(self.description["clients"])
        self._pki = Path(self.description["pki"])
        self._passphrase = self._pki.with_name("passphrase")

    def unit(self, unit_id: str, profile: str = "system") -> Holder:
        """The certificate and key of a unit: ``system`` or ``seal``."""
        directory = self._clients / unit_id
        names = tomllib.loads((directory / "profile.toml").read_text())
        certificate = x509.load_pem_x509_certificate(
            (directory / names[f"{profile}_certificate"]).read_bytes()
        )
        key = serialization.load_pem_private_key(
            (directory / names[f"{profile}_key"]).read_bytes(), None
        )
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return Holder(certificate, key)

    def centre_seal(self) -> x509.Certificate:
        """The certificate of the seal that signs in the centre's name."""
        settings = Path(self.description["settings"])
        name = tomllib.loads(settings.read_text())["seal"]["certificate"]
        return x509.load_pem_x509_certificate((settings.parent / name).read_bytes())

    def issuing(self, authority: str) -> Holder:
        """``tls-ca`` or ``seal-ca`` with its key, to certify what the authority never would."""
        certificate = x509.load_pem_x509_certificate((self._pki / f"{authority}.pem").read_bytes())
        key = open_encrypted(
            self._pki / "private" / f"{authority}.key", passphrase_from(self._passphrase, {})
        )
        return Holder(certificate, key)

    def authority(self) -> Authority:
        return Authority.load(self._pki, passphrase_from(self._passphrase, {}))

    def issue(self, profile: str, unit: str | None, name: str, role: str | None = None) -> Holder:
        """A certificate as the authority issues it; the ledger knows it soon, see ``publish``."""
        key = ec.generate_private_key(ec.SECP256R1())
        certified = self.authority().issue(Order(profile, name, unit, role), key.public_key())
        return Holder(certified.certificate, key)

    async def staff(self, role: str, name: str = "") -> Holder:
        """A member of staff: registered, certified, and known to the centre."""
        name = name or f"{role}-{secrets.token_hex(4)}"
        person = {"name": name, "person": name[:40], "full_name": "张三", "role": role}
        registered = msgspec.convert({"staff": [person]}, RegistryFile)
        await unit_import.import_file(self.description["ledger"]["dsn_owner"], registered)
        holder = self.issue("staff", None, name, role)
        await self.publish()
        await admitted(self, holder)
        return holder

    async def publish(self) -> None:
        """Bring what was issued and revoked into the ledger."""
        await publish(self.authority(), self.description["ledger"]["dsn_authority"])

    async def revoke(self, holder: Holder) -> None:
        """Revoke a certificate, and say so in the ledger."""
        authority = self.authority()
        authority.revoke(authority.serial_of(holder.certificate), "keyCompromise")
        await self.publish()

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection as the ledger's owner."""
        connection = await asyncpg.connect(self.description["ledger"]["dsn_owner"])
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def stub(
        self, caller: Holder | None
    ) -> AsyncIterator[exchange_pb2_grpc.ExchangeServiceAsyncStub]:
        """The service, called with this certificate or with none."""
        async with self.channel(caller) as channel:
            yield exchange_pb2_grpc.ExchangeServiceStub(channel)

    @asynccontextmanager
    async def channel(
        self, caller: Holder | None, address: str = ""
    ) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own, with this certificate or with none; to the centre by default."""
        credentials = grpc.ssl_channel_credentials(
            (self._pki / "tls-ca.pem").read_bytes(),
            caller.key_pem if caller else None,
            caller.pem + (self._pki / "tls-ca.pem").read_bytes() if caller else None,
        )
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_send_message_length", 8 * 1024 * 1024),
        ]
        async with grpc.aio.secure_channel(
            address or self.address, credentials, options
        ) as channel:
            yield channel

    async def admits(self, caller: Holder) -> bool:
        """Whether the centre admits this certificate now, by a call that asks for nothing else."""
        async with self.channel(caller) as channel:
            stub = directory_pb2_grpc.DirectoryServiceStub(channel)
            try:
                await stub.ListUnits(directory_pb2.ListUnitsRequest(page_size=1), timeout=5)
            except grpc.aio.AioRpcError:
                return False
        return True

    @asynccontextmanager
    async def second_server(
        self,
        log: Path,
        more_settings: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[subprocess.Popen[bytes]]:
        """Another ``exchange-server run`` over the same stores; ``address`` is then its own.

        So a test may end it, see its exit code, or give it other settings, or more variables in
        its environment. Killed at the end.
        """
        settings = Path(self.description["settings"])
        second = settings.with_name("second.toml")
        # Ports of its own, for calls and for metrics.
        text = re.sub(r'^(listen = "127.0.0.1):\d+"', r'\1:0"', settings.read_text(), flags=re.M)
        second.write_text(text + more_settings)
        command = [sys.executable, "-m", "exchange_server", "run", "--config", str(second)]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, **(environment or {})},
            ) as server,
        ):
            try:
                said = await _listening(server)
                self.address, self.metrics_address = said["listening"], said.get("metrics", "")
                yield server
            finally:
                server.kill()

    def server(self) -> psutil.Process:
        """The process of ``exchange-server run``."""
        return server_process(int(self.description["pid"]))


async def _listening(server: subprocess.Popen[bytes]) -> dict[str, str]:
    assert server.stdout is not None
    while line := await asyncio.to_thread(server.stdout.readline):
        if line.startswith(b'{"listening"'):
            return msgspec.json.decode(line, type=dict[str, str])
    raise AssertionError("the server ended before it listened")


async def admitted(inside: CentreInside, caller: Holder) -> None:
    """Wait until the centre knows of this certificate, and of all that was published with it."""
    async with asyncio.timeout(10):
        while not await inside.admits(caller):
            pass


def server_process(dev_pid: int) -> psutil.Process:
    """The process of ``exchange-server run`` below that of ``exchange-server dev``."""
    (found,) = (
        process
        for process in psutil.Process(dev_pid).children(recursive=True)
        if process.cmdline()[1:4] == ["-m", "exchange_server", "run"]
    )
    return found


def typed(error: grpc.aio.AioRpcError) -> ExchangeError:
    """The typed error inside a gRPC error; by its status alone if the handshake already failed."""
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS:
            return status.from_status(status_pb2.Status.FromString(value))
    kinds = {
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    }
    return kinds.get(error.code(), ExchangeError)(error.details() or "")


def part(data: bytes, part_id: str = "part-1", role: PartRole = PartRole.BODY) -> Part:
    """The manifest's entry for these bytes."""
    return Part(
        part_id=part_id,
        role=role,
        filename=f"{part_id}.pdf",
        media_type="application/pdf",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def recipients(units: Iterable[str]) -> tuple[Recipient, ...]:
    return tuple(Recipient(unit=unit, kind=RecipientKind.TO) for unit in units)


def document(issuers: Sequence[str] = (SENDER,)) -> Document:
    """A notice with an identifier of its own."""
    return Document(
        doc_id=f"900000014-2026-{secrets.randbelow(10**9) + 1}",
        business="DOCUMENT",
        genre=Genre.LETTER,
        direction=Direction.PARALLEL,
        title="关于编制部门预算的函",
        issuers=tuple(issuers),
        signed_date="2026-11-20",
        secrecy=Secrecy.NONE,
        urgency=Urgency.NORMAL,
    )


def envelope(parts: Sequence[Part], **changes: Any) -> Manifest:
    """A manifest that the centre accepts, unless ``changes`` make it another."""
    made = Manifest(
        schema=manifest.SCHEMA,
        envelope_id=codes.new_id(now()),
        created_at=times.format_time(now()),
        sender=SENDER,
        sender_system="oa",
        document=document(),
        recipients=recipients([RECIPIENT]),
        parts=tuple(parts),
    )
    return msgspec.structs.replace(made, **changes)


@dataclass
class Upload:
    """One raw call of Submit: exactly these bytes, in exactly this order."""

    manifest: bytes
    signatures: tuple[bytes, ...]
    chunks: tuple[tuple[str, bytes], ...]
    header_before: tuple[int, ...] = (0,)
    """Before which chunks the header is sent; the number of chunks means at the end."""

    async def messages(self) -> AsyncIterator[exchange_pb2.SubmitRequest]:
        header = exchange_pb2.SubmitHeader(manifest=self.manifest, signatures=self.signatures)
        for place, chunk in enumerate((*self.chunks, None)):
            if place in self.header_before:
                yield exchange_pb2.SubmitRequest(header=header)
            if chunk is not None:
                part_id, data = chunk
                yield exchange_pb2.SubmitRequest(
                    chunk=exchange_pb2.PartChunk(part_id=part_id, data=data)
                )


def sealed(content: bytes, *seals: Holder) -> tuple[bytes, ...]:
    return tuple(signature.sign(content, seal.signer, at=now()) for seal in seals)
