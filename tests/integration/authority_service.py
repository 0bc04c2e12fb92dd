"""A running authority for integration tests: founded, on a ledger of its own, with real mutual TLS.

``founded`` makes authority and ledger, ``AuthorityOffice.service`` starts ``exchange-pki serve`` as
a process on free ports (several may run on the same state), and a ``Desk`` calls it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_pki.authority import Authority
from exchange_pki.handout import Errand, run
from exchange_pki.keys import Passphrase
from exchange_pki.prepare import Order
from exchange_pki.publish import publish

from document_exchange import event
from document_exchange.event import Event
from document_exchange.v1 import authority_pb2_grpc
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.storage.migrate import migrate
from tests.authority_for_tests import PASSPHRASE, new_private_key
from tests.pki_for_tests import Holder

UNIT, OTHER_UNIT = "qd-caizheng", "qd-jiaoyu"
STAFF = {"wang": "operator", "li.na": "security", "zhao": "auditor"}
CENTRE_ADDRESS = "centre.example:7443"

_REGISTRY = f"""
insert into exchange.units (unit_id, name_zh, name_en, short_zh, kind, organisation_code) values
    ('{UNIT}', '财政局', 'Finance', '财政', 'DEPARTMENT', '005117558'),
    ('{OTHER_UNIT}', '教育局', 'Education', '教育', 'DEPARTMENT', '005117566');
insert into exchange.staff (name, person, full_name, role) values
    ('wang', '1001', '王伟', 'operator'), ('li.na', '1002', '李娜', 'security'),
    ('zhao', '1003', '赵敏', 'auditor');
"""


@dataclass
class Service:
    """One process of ``exchange-pki serve``."""

    process: subprocess.Popen[bytes]
    authority: str
    enrolment: str
    http: str
    log: Path

    def logged(self, name: str) -> list[dict[str, Any]]:
        """The entries of its log with this event."""
        lines = [line for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [entry for entry in map(json.loads, lines) if entry.get("event") == name]


@dataclass
class AuthorityOffice:
    """An authority with its ledger, and what its administrators could reach."""

    directory: Path
    dsn: str
    """Of the role exchange_authority."""
    owner_dsn: str
    passphrase: Passphrase = PASSPHRASE
    _number: int = field(default=0)

    @property
    def state(self) -> Path:
        return self.directory / "pki"

    def open(self) -> Authority:
        """The authority as the command line opens it, beside the running service."""
        return Authority.load(self.state, self.passphrase)

    def issue(self, profile: str, unit: str | None, name: str, role: str | None = None) -> Holder:
        """A certificate by the command line's way; the service is to find it in the journal."""
        key = new_private_key()
        certified = self.open().issue(Order(profile, name, unit=unit, role=role), key.public_key())
        return Holder(certified.certificate, key)

    def systems(self, name: str, count: int) -> list[Holder]:
        """Certificates of so many systems of the unit, each with a name of its own."""
        keys = [new_private_key() for _ in range(count)]
        orders = [Order("system", f"{name}-{number}", unit=UNIT) for number in range(count)]
        public = [key.public_key() for key in keys]
        certified = self.open().issue_all(list(zip(orders, public, strict=True)))
        return [Holder(each.certificate, key) for each, key in zip(certified, keys, strict=True)]

    def staff(self, role: str) -> Holder:
        """A new certificate of the registered member of staff with this role."""
        (name,) = (name for name, has in STAFF.items() if has == role)
        return self.issue("staff", None, name, role)

    async def staff_token(self, name: str) -> str:
        """A token for this member of staff, by the command of whoever keeps the authority."""
        words = ("token", "--staff", name, "--state", self.state, "--dsn", self.dsn, "--json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exchange_pki", *map(str, words)),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        return str(json.loads(printed)["token"])

    async def publish(self) -> None:
        """As ``exchange-pki publish`` does."""
        await publish(self.open(), self.dsn)

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection as the ledger's owner."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def events(self, *types: str) -> list[Event]:
        """The events of these types, in their order."""
        async with self.ledger() as owner:
            rows = await owner.fetch(
                "select event from exchange.events where type = any ($1) order by event_no",
                list(types),
            )
        return [event.decode(row["event"]) for row in rows]

    @asynccontextmanager
    async def service(
        self, settings: str = "", *, follow_interval_s: float = 0.1, ledger: str = ""
    ) -> AsyncIterator[Service]:
        """One more process on this state. Killed at the end; may be ended before.

        Args:
            settings: TOML after the settings that every test needs.
            follow_interval_s: how often it looks at the journal.
            ledger: TOML for the section of that name.
        """
        self._number += 1
        config = self.directory / f"authority-{self._number}.toml"
        config.write_text(
            'state = "pki"\n'
            'listen = "127.0.0.1:0"\n'
            'enrolment_listen = "127.0.0.1:0"\n'
            'http_listen = "127.0.0.1:0"\n'
            f'centre_address = "{CENTRE_ADDRESS}"\n'
            f"follow_interval_s = {follow_interval_s}\n"
            f"{settings}\n"
            '[tls]\ncertificate = "tls/server.pem"\nkey = "tls/server.key"\n'
            f'[ledger]\ndsn = "{self.dsn}"\n{ledger}\n'
        )
        log = config.with_suffix(".log")
        command = [sys.executable, "-m", "exchange_pki", "serve", "--config", str(config)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "EXCHANGE_PKI_PASSPHRASE": self.passphrase.secret.decode(),
        }
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=output, env=environment
            ) as process,
        ):
            try:
                listening = await _listening(process, log)
                yield Service(
                    process, listening["authority"], listening["enrolment"], listening["http"], log
                )
            finally:
                process.kill()

    @asynccontextmanager
    async def call(
        self, service: Service, caller: Holder | None
    ) -> AsyncIterator[authority_pb2_grpc.AuthorityServiceAsyncStub]:
        """AuthorityService, called with this certificate over a connection of its own."""
        async with self.channel(service.authority, caller) as channel:
            yield authority_pb2_grpc.AuthorityServiceStub(channel)

    @asynccontextmanager
    async def enrolment(
        self, service: Service
    ) -> AsyncIterator[authority_pb2_grpc.EnrolmentServiceAsyncStub]:
        """EnrolmentService, called without a certificate."""
        async with self.channel(service.enrolment, None) as channel:
            yield authority_pb2_grpc.EnrolmentServiceStub(channel)

    @asynccontextmanager
    async def channel(self, address: str, caller: Holder | None) -> AsyncIterator[grpc.aio.Channel]:
        """A connection that trusts the TLS CA alone."""
        tls_ca = (self.state / "tls-ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(
            tls_ca,
            caller.key_pem if caller else None,
            caller.pem + tls_ca if caller else None,
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            yield channel


def holder(der: bytes, key: ec.EllipticCurvePrivateKey) -> Holder:
    """The holder of a certificate that the service gave."""
    return Holder(x509.load_der_x509_certificate(der), key)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


async def founded(
    directory: Path, postgres: EmbeddedPostgres, database: str, copied: Path
) -> AuthorityOffice:
    """An authority (``copied`` has its state) with a ledger: units, staff, a server certificate."""
    await asyncio.to_thread(migrate, postgres.dsn("owner", database))
    office = AuthorityOffice(
        directory, postgres.dsn("authority", database), postgres.dsn("owner", database)
    )
    copied.rename(office.state)
    name = f"authority-{secrets.token_hex(2)}"
    order = Order("server", name, dns_names=("localhost",), ip_addresses=("127.0.0.1",))
    run(office.open(), [Errand(order, directory / "tls")])
    async with office.ledger() as owner:
        await owner.execute(_REGISTRY)
    return office


async def _listening(process: subprocess.Popen[bytes], log: Path) -> Mapping[str, str]:
    assert process.stdout is not None
    while line := await asyncio.to_thread(process.stdout.readline):
        if line.startswith(b'{"listening"'):
            found: Mapping[str, str] = json.loads(line)["listening"]
            return found
    raise AssertionError(f"the service ended before it listened: {log.read_text()[-2000:]}")
