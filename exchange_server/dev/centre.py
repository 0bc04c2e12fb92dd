"""The exchange centre of a development stack: its settings and its process."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import ExitStack, suppress
from urllib.request import urlopen

import asyncpg

from document_exchange.errors import ConfigurationError
from exchange_server.dev.commands import SERVER, Service
from exchange_server.dev.places import Places, write_private
from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres

_FOLLOWS_WITHIN_S = 30.0
_FOLLOWED = re.compile(rb"^exchange_registry_version ([0-9.e+]+)$", re.MULTILINE)


def start(
    places: Places, postgres: EmbeddedPostgres, objects: EmbeddedObjectStore, stack: ExitStack
) -> Service:
    """Start ``exchange-server run``; it is ready when it listens."""
    write_private(places.server_settings, _settings(places, postgres, objects))
    command = [*SERVER, "run", "--config", str(places.server_settings)]
    return Service(command, "exchange-server", places.server_log, places.centre, stack)


def wait_until_informed(places: Places, dsn: str) -> None:
    """Wait until the server goes by everything that the registry says by now.

    ``dsn``: of the ledger. A profile that was made a moment ago opens the door at once then.

    Raises:
        ConfigurationError: the server does not follow the registry.
    """
    wanted = asyncio.run(_registry_version(dsn))
    give_up_at = time.monotonic() + _FOLLOWS_WITHIN_S
    while time.monotonic() < give_up_at:
        with (
            suppress(OSError),
            urlopen(f"http://{places.address('metrics')}/metrics", timeout=5) as answer,
        ):
            found = _FOLLOWED.search(answer.read())
            if found is not None and float(found[1]) >= wanted:
                return
        time.sleep(0.02)
    raise ConfigurationError(f"the server does not follow the registry; see {places.server_log}")


async def _registry_version(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select version from exchange.registry_version"))
    finally:
        await connection.close()


def _settings(places: Places, postgres: EmbeddedPostgres, objects: EmbeddedObjectStore) -> str:
    quoted = json.dumps
    return f"""\
# Written at each start of `exchange-server dev`.
listen = {quoted(places.address("server"))}

[metrics]
listen = {quoted(places.address("metrics"))}

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

[timestamps]
url = {quoted(f"http://{places.address('http')}/tsa")}
interval_s = 1.0
timeout_s = 2.0

[ledger]
dsn = {quoted(postgres.dsn("exchange"))}

[blobs]
endpoint = {quoted(objects.endpoint)}
access_key = {quoted(objects.access_key)}
secret_key = {quoted(objects.secret_key)}
bucket = {quoted(objects.bucket)}
secure = false
"""
