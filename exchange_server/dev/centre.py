"""The exchange centre of a development stack: its settings and its process."""

from __future__ import annotations

import json
from contextlib import ExitStack

from exchange_server.dev.commands import SERVER, Service
from exchange_server.dev.places import Places, write_private
from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres


def start(
    places: Places, postgres: EmbeddedPostgres, objects: EmbeddedObjectStore, stack: ExitStack
) -> Service:
    """Start ``exchange-server run``; it is ready when it listens."""
    write_private(places.server_settings, _settings(places, postgres, objects))
    command = [*SERVER, "run", "--config", str(places.server_settings)]
    return Service(command, "exchange-server", places.server_log, places.centre, stack)


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

[ledger]
dsn = {quoted(postgres.dsn("exchange"))}

[blobs]
endpoint = {quoted(objects.endpoint)}
access_key = {quoted(objects.access_key)}
secret_key = {quoted(objects.secret_key)}
bucket = {quoted(objects.bucket)}
secure = false
"""
