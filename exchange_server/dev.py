"""A whole centre in one state directory, for development, tests and the demo.

Starts the embedded PostgreSQL and object store, founds an authority, imports the units, issues
their certificates into client profiles, and runs ``exchange-server run`` with real settings over
real mutual TLS. Other packages' commands are run as processes. A later start over the same
directory finds everything as it was.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

import click

from document_exchange import certificates
from document_exchange.errors import ConfigurationError
from exchange_server import registry_file
from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres
from exchange_server.embedded.processes import (
    DirectoryLock,
    GuardedProcess,
    free_ports,
    read_or_make_settings,
)
from exchange_server.registry_file import RegistryFile

TRUST_DOMAIN = "exchange.example"
_SYSTEM = "oa"
_SEAL = "main"
_READY_TIMEOUT_S = 60.0
_PREDECESSOR_TIMEOUT_S = 90.0
"""A server that drains has 40 s, then store and database end."""


class DevStack:
    """One state directory's processes, from start to stop."""

    def __init__(self, state: Path, registry: Path | None) -> None:
        self.state = state.absolute()
        self._registry = registry
        self._pki = self.state / "pki"
        self._clients = self.state / "clients"
        self._centre = self.state / "centre"
        self._stop = threading.Event()
        self._lock = DirectoryLock(self.state)

    def run(self) -> int:
        """Start everything, say so, stay until SIGINT or SIGTERM; returns the exit code.

        Raises:
            EmbeddedPartFailed: another one runs on this directory, or a part can't be started.
            ConfigurationError: another step failed.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked_to_stop)
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Before anything is touched that may be another one's.
            self._lock.acquire(_PREDECESSOR_TIMEOUT_S)
            stack.callback(self._lock.release)
            ready_file = self.state / "dev.json"
            ready_file.unlink(missing_ok=True)
            found = self._registry_file()
            postgres = stack.enter_context(EmbeddedPostgres(self.state))
            objects = stack.enter_context(EmbeddedObjectStore(self.state))
            self._prepare(postgres, found)
            settings = self._write_settings(postgres, objects)
            server = self._start_server(settings, stack)
            self._describe(ready_file, postgres, objects, found)
            stack.callback(ready_file.unlink, missing_ok=True)
            click.echo(
                f"ready: {len(found.unit)} units at {self._address()}; profiles in "
                f"{self._clients} (EXCHANGE_CONFIG={self._clients}); Ctrl-C stops"
            )
            sys.stdout.flush()
            while not self._stop.wait(0.5):
                if not server.running:
                    click.echo(f"the server ended; see {self.state / 'server.log'}", err=True)
                    return 1
        return 0

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._lock.announce_release()
        self._stop.set()

    # ---------------------------------------------------------------- units and certificates

    def _registry_file(self) -> RegistryFile:
        """The registry file given now, or that of the last start, or the sample."""
        kept = self.state / "units.toml"
        if self._registry is not None:
            kept.write_bytes(self._registry.read_bytes())
        elif not kept.exists():
            sample = resources.files("exchange_server") / "sample_units.toml"
            kept.write_bytes(sample.read_bytes())
        return registry_file.read_file(kept)

    def _prepare(self, postgres: EmbeddedPostgres, found: RegistryFile) -> None:
        owner = postgres.dsn("owner")
        server = [sys.executable, "-m", "exchange_server"]
        self._call([*server, "migrate"], EXCHANGE_SERVER_OWNER_DSN=owner)
        self._call(
            [*server, "import-units", str(self.state / "units.toml")],
            EXCHANGE_SERVER_OWNER_DSN=owner,
        )
        passphrase = self.state / "passphrase"
        if not passphrase.exists():
            _write_private(passphrase, secrets.token_urlsafe(24) + "\n")
        authority = ["--state", str(self._pki), "--passphrase-file", str(passphrase)]
        pki = [sys.executable, "-m", "exchange_pki"]
        if not (self._pki / "root.pem").exists():
            self._call([*pki, "init", *authority, "--trust-domain", TRUST_DOMAIN])
        orders = self._missing_certificates(found)
        if orders:
            batch = self.state / "orders.jsonl"
            batch.write_text("".join(json.dumps(order) + "\n" for order in orders))
            self._call(
                [*pki, "issue-batch", str(batch), *authority, "--out", str(self.state), "--replace"]
            )
            batch.unlink()
        self._call([*pki, "crl", *authority])
        self._call(
            [*pki, "publish", "--state", str(self._pki)],
            EXCHANGE_PKI_DSN=postgres.dsn("authority"),
        )
        for unit in found.unit:
            self._write_profile(unit.unit_id)

    def _missing_certificates(self, found: RegistryFile) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = []

        def order(profile: str, name: str, directory: Path, **more: Any) -> None:
            if not (directory / f"{profile}.pem").exists():
                place = str(directory.relative_to(self.state))
                orders.append({"profile": profile, "name": name, "directory": place, **more})

        order("server", "centre", self._centre, dns=["localhost"], ip=["127.0.0.1"])
        order("centre-seal", "main", self._centre)
        for unit in found.unit:
            directory = self._clients / unit.unit_id
            order("system", _SYSTEM, directory, unit=unit.unit_id)
            order("seal", _SEAL, directory, unit=unit.unit_id)
        return orders

    def _write_profile(self, unit_id: str) -> None:
        directory = self._clients / unit_id
        for name in ("root.pem", "tls-ca.pem", "seal-ca.pem"):
            (directory / name).write_bytes((self._pki / name).read_bytes())
        profile = {
            "address": self._address(),
            "root": "root.pem",
            "root_fingerprint": self._root_fingerprint(),
            "tls_ca": "tls-ca.pem",
            "seal_ca": "seal-ca.pem",
            "system_certificate": "system.pem",
            "system_key": "system.key",
            "seal_certificate": "seal.pem",
            "seal_key": "seal.key",
        }
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in profile.items())
        _write_private(directory / "profile.toml", text)

    # ---------------------------------------------------------------- the server

    def _address(self) -> str:
        ports = read_or_make_settings(
            self.state / "ports.json", lambda: {"server": free_ports(1)[0]}
        )
        return f"127.0.0.1:{ports['server']}"

    def _write_settings(self, postgres: EmbeddedPostgres, objects: EmbeddedObjectStore) -> Path:
        quoted = json.dumps
        text = f"""\
# Written at each start of `exchange-server dev`.
listen = {quoted(self._address())}

[tls]
certificate = "centre/server.pem"
key = "centre/server.key"
client_ca = "pki/tls-ca.pem"

[seal]
certificate = "centre/centre-seal.pem"
key = "centre/centre-seal.key"

[trust]
root = "pki/root.pem"
seal_ca = "pki/seal-ca.pem"

[ledger]
dsn = {quoted(postgres.dsn("exchange"))}

[blobs]
endpoint = {quoted(objects.endpoint)}
access_key = {quoted(objects.access_key)}
secret_key = {quoted(objects.secret_key)}
bucket = {quoted(objects.bucket)}
secure = false
"""
        path = self.state / "server.toml"
        _write_private(path, text)
        return path

    def _start_server(self, settings: Path, stack: ExitStack) -> GuardedProcess:
        lock = DirectoryLock(self._centre)
        lock.acquire(_PREDECESSOR_TIMEOUT_S)
        stack.callback(lock.release)
        log = self.state / "server.log"
        start = log.stat().st_size if log.exists() else 0
        server = GuardedProcess.start(
            [sys.executable, "-m", "exchange_server", "run", "--config", str(settings)],
            log=log,
            stop_signals=(signal.SIGTERM, signal.SIGKILL),
            grace_s=40.0,
            lock=lock,
            environment=_environment(),
            directory=self.state,
        )
        stack.callback(server.stop)

        def listening() -> bool:
            with log.open("rb") as output:
                output.seek(start)
                return b'{"listening"' in output.read()

        server.wait_until_ready(listening, "exchange-server", _READY_TIMEOUT_S)
        return server

    def _describe(
        self,
        path: Path,
        postgres: EmbeddedPostgres,
        objects: EmbeddedObjectStore,
        found: RegistryFile,
    ) -> None:
        described = {
            "address": self._address(),
            "pid": os.getpid(),
            "root_fingerprint": self._root_fingerprint(),
            "clients": str(self._clients),
            "pki": str(self._pki),
            "settings": str(self.state / "server.toml"),
            "log": str(self.state / "server.log"),
            "ledger": {
                f"dsn_{role}": postgres.dsn(role)
                for role in ("owner", "exchange", "authority", "integrator")
            },
            "blobs": {
                "endpoint": objects.endpoint,
                "bucket": objects.bucket,
                "access_key": objects.access_key,
                "secret_key": objects.secret_key,
            },
            "units": [
                {
                    "unit_id": unit.unit_id,
                    "name_zh": unit.name_zh,
                    "kind": unit.kind,
                    "profile": unit.unit_id,
                }
                for unit in found.unit
            ],
        }
        _write_private(path, json.dumps(described, ensure_ascii=False, indent=1) + "\n")

    def _root_fingerprint(self) -> str:
        return certificates.fingerprint(
            certificates.load_pem((self._pki / "root.pem").read_bytes())
        )

    def _call(self, command: list[str], **environment: str) -> None:
        done = subprocess.run(
            command,
            env={**_environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            shown = " ".join(command[2:4])
            raise ConfigurationError(f"{shown} failed: {done.stderr.strip()[-1500:]}")


def _environment() -> dict[str, str]:
    """Ours, less what configures another centre or client."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EXCHANGE_SERVER_", "EXCHANGE_PKI_"))
    }


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old or the new text, whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
