"""One state directory's processes, from start to stop."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from types import FrameType

import click

from exchange_server import registry_file
from exchange_server.dev import centre
from exchange_server.dev.authority import Authority
from exchange_server.dev.commands import PREDECESSOR_TIMEOUT_S, SERVER, Service, call
from exchange_server.dev.joining import Joined, Joining, members
from exchange_server.dev.places import Places, write_private
from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres
from exchange_server.embedded.processes import DirectoryLock
from exchange_server.registry_file import RegistryFile


class DevStack:
    """A centre with its database, object store and authority, ended with this process."""

    def __init__(self, state: Path, registry: Path | None) -> None:
        self._places = Places(state)
        self._registry = registry
        self._authority = Authority(self._places)
        self._stop = threading.Event()
        self._lock = DirectoryLock(self._places.state)

    def run(self) -> int:
        """Start everything, say so, stay until SIGINT or SIGTERM; returns the exit code.

        Raises:
            EmbeddedPartFailed: another one runs on this directory, or a part can't be started.
            ConfigurationError: another step failed.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked_to_stop)
        places = self._places
        places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Before anything is touched that may be another one's.
            self._lock.acquire(PREDECESSOR_TIMEOUT_S)
            stack.callback(self._lock.release)
            places.description.unlink(missing_ok=True)
            found = self._registry_file()
            postgres = stack.enter_context(EmbeddedPostgres(places.state))
            with ThreadPoolExecutor(1) as beside:
                founding = beside.submit(self._authority.found)
                objects = stack.enter_context(EmbeddedObjectStore(places.state))
                self._prepare_ledger(postgres)
                founding.result()
            authority = self._authority.start(postgres.dsn("authority"), stack)
            server = centre.start(places, postgres, objects, stack)
            joined = self._join(postgres, found)
            server.wait_until_ready()
            centre.wait_until_informed(places, postgres.dsn("exchange"))
            self._describe(postgres, objects, found, joined)
            stack.callback(places.description.unlink, missing_ok=True)
            click.echo(
                f"ready: {len(found.unit)} units at {places.address('server')}; profiles in "
                f"{places.clients} (EXCHANGE_CONFIG={places.clients}); Ctrl-C stops"
            )
            sys.stdout.flush()
            return self._stay(server, authority)

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._lock.announce_release()
        self._stop.set()

    def _stay(self, server: Service, authority: Service) -> int:
        told = False
        while not self._stop.wait(0.5):
            if not server.running:
                click.echo(f"the server ended; see {server.log}", err=True)
                return 1
            if not authority.running and not told:
                # Documents travel without it.
                click.echo(
                    f"the authority ended, nothing is issued or renewed; see {authority.log}",
                    err=True,
                )
                told = True
        return 0

    def _registry_file(self) -> RegistryFile:
        """The registry file given now, or that of the last start, or the sample."""
        kept = self._places.registry
        if self._registry is not None:
            kept.write_bytes(self._registry.read_bytes())
        elif not kept.exists():
            sample = resources.files("exchange_server") / "sample_units.toml"
            kept.write_bytes(sample.read_bytes())
        found = registry_file.read_file(kept)
        members(found)  # what is wrong with their names is said before anything starts
        return found

    def _prepare_ledger(self, postgres: EmbeddedPostgres) -> None:
        owner = postgres.dsn("owner")
        call([*SERVER, "migrate"], EXCHANGE_SERVER_OWNER_DSN=owner)
        import_units = [*SERVER, "import-units", str(self._places.registry)]
        call(import_units, EXCHANGE_SERVER_OWNER_DSN=owner)

    def _join(self, postgres: EmbeddedPostgres, found: RegistryFile) -> Joined:
        dsn = postgres.dsn("authority")
        joined = Joining(self._places, self._authority.root_fingerprint, dsn).run(found)
        if joined.units or joined.staff:
            click.echo(
                f"enrolled {joined.units} units and {joined.staff} members of staff, each with a "
                f"token of its own, in {joined.seconds:.1f} s"
            )
        return joined

    def _describe(
        self,
        postgres: EmbeddedPostgres,
        objects: EmbeddedObjectStore,
        found: RegistryFile,
        joined: Joined,
    ) -> None:
        places = self._places
        described = {
            "address": places.address("server"),
            "pid": os.getpid(),
            "root_fingerprint": self._authority.root_fingerprint,
            "clients": str(places.clients),
            "pki": str(places.pki),
            "settings": str(places.server_settings),
            "log": str(places.server_log),
            "metrics": places.address("metrics"),
            "authority": {
                "address": places.address("authority"),
                "enrolment_address": places.address("enrolment"),
                "http_address": places.address("http"),
                "metrics": places.address("authority_metrics"),
                "settings": str(places.authority_settings),
                "log": str(places.authority_log),
            },
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
            "enrolled": dataclasses.asdict(joined),
            "units": [
                {
                    "unit_id": unit.unit_id,
                    "name_zh": unit.name_zh,
                    "kind": unit.kind,
                    "profile": unit.unit_id,
                }
                for unit in found.unit
            ],
            "staff": [
                {
                    "name": person.name,
                    "full_name": person.full_name,
                    "role": person.role,
                    "profile": person.name,
                }
                for person in found.staff
            ],
        }
        text = json.dumps(described, ensure_ascii=False, indent=1) + "\n"
        write_private(places.description, text)
