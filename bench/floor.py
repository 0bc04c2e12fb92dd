"""The floor: the same transport, ledger and store with the fewest calls and no product logic.

For each document one stream up, one stream down and one unary call over the same mutual TLS, one
PUT and one GET of the same object, and two transactions of two inserts each. The server is a
process of its own, as the product's is: ``python -m bench.floor DEV_JSON``. It prints its port
and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import secrets
import sys
import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
import uvloop
from exchange_client.profile import Profile
from exchange_client.testing import LocalCentre
from minio import Minio

_SERVICE = "bench.Floor"
_THREADS = 8
_CONNECTIONS = 10
_LIMIT_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
# As `exchange-server run` has it: TLS 1.3 only.
_TLS_1_3 = {"GRPC_SSL_CIPHER_SUITES": "ECDHE-RSA-AES128-GCM-SHA256"}
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", _LIMIT_BYTES),
    ("grpc.max_receive_message_length", _LIMIT_BYTES),
]
_TABLES = """
CREATE SCHEMA IF NOT EXISTS bench_floor;
CREATE TABLE IF NOT EXISTS bench_floor.document (key text PRIMARY KEY, manifest bytea NOT NULL);
CREATE TABLE IF NOT EXISTS bench_floor.statement
    (key text, step int, content bytea NOT NULL, PRIMARY KEY (key, step));
"""
_RECORD = b"x" * 2000
"""As long as a signed manifest or receipt with its signature, about."""

_T = TypeVar("_T")


class _Floor:
    """The server's three calls; messages are plain bytes."""

    def __init__(self, pool: asyncpg.Pool, store: Minio, bucket: str) -> None:
        self._pool = pool
        self._store = store
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(_THREADS)

    async def up(self, requests: AsyncIterator[bytes], _context: object) -> bytes:
        """The key, then the bytes of the object."""
        key = (await anext(requests)).decode()
        data = b"".join([chunk async for chunk in requests])
        await self._in_thread(
            lambda: self._store.put_object(
                self._bucket, f"floor/{key}", io.BytesIO(data), len(data)
            )
        )
        await self._record(
            ("INSERT INTO bench_floor.document VALUES ($1, $2)", (key, _RECORD)),
            ("INSERT INTO bench_floor.statement VALUES ($1, $2, $3)", (key, 1, _RECORD)),
        )
        return _RECORD

    async def down(self, request: bytes, _context: object) -> AsyncIterator[bytes]:
        """The bytes of the object of a key."""
        data = await self._in_thread(lambda: self._get(request.decode()))
        for start in range(0, len(data), _CHUNK_BYTES):
            yield data[start : start + _CHUNK_BYTES]

    async def sign(self, request: bytes, _context: object) -> bytes:
        """Record two further statements on a key."""
        insert = "INSERT INTO bench_floor.statement VALUES ($1, $2, $3)"
        key = request.decode()
        await self._record((insert, (key, 2, _RECORD)), (insert, (key, 3, _RECORD)))
        return _RECORD

    async def _record(self, *inserts: tuple[str, tuple[object, ...]]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            for statement, values in inserts:
                await connection.execute(statement, *values)

    def _get(self, key: str) -> bytes:
        response = self._store.get_object(self._bucket, f"floor/{key}")
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def handlers(self) -> grpc.GenericRpcHandler:
        """The service, without any serialisation."""
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Up": grpc.stream_unary_rpc_method_handler(self.up),
                "Down": grpc.unary_stream_rpc_method_handler(self.down),
                "Sign": grpc.unary_unary_rpc_method_handler(self.sign),
            },
        )


async def _serve(description: Mapping[str, Any]) -> None:
    blobs = description["blobs"]
    store = Minio(blobs["endpoint"], blobs["access_key"], blobs["secret_key"], secure=False)
    dsn = description["ledger"]["dsn_owner"]
    async with asyncpg.create_pool(dsn, min_size=_CONNECTIONS, max_size=_CONNECTIONS) as pool:
        await pool.execute(_TABLES)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Floor(pool, store, blobs["bucket"]).handlers(),))
        port = server.add_secure_port("127.0.0.1:0", _credentials(Path(description["settings"])))
        await server.start()
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        await server.stop(0)


def _credentials(settings: Path) -> grpc.ServerCredentials:
    """The product's own certificate, and the same demand for the client's."""
    tls = tomllib.loads(settings.read_text(encoding="utf-8"))["tls"]
    certificate, key, client_ca = (
        (settings.parent / tls[name]).read_bytes() for name in ("certificate", "key", "client_ca")
    )
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=client_ca, require_client_auth=True
    )


class Floor:
    """The client's side of the floor."""

    def __init__(self, channel: grpc.aio.Channel, size_bytes: int) -> None:
        self._up: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
            f"/{_SERVICE}/Up"
        )
        self._down: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            f"/{_SERVICE}/Down"
        )
        self._sign: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{_SERVICE}/Sign"
        )
        self._size_bytes = size_bytes
        self._run = secrets.token_hex(8)
        self._numbers = itertools.count()

    async def once(self) -> None:
        """Take one document up and down, and record that it came."""
        key = f"{self._run}-{next(self._numbers)}".encode()
        data = secrets.token_bytes(self._size_bytes)
        chunks = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
        await self._up(iter((key, *chunks)))
        received = b"".join([chunk async for chunk in self._down(key)])
        if received != data:
            raise RuntimeError("the floor returned other bytes than it was given")
        await self._sign(key)


@asynccontextmanager
async def open_floor(centre: LocalCentre, size_bytes: int) -> AsyncGenerator[Floor, None]:
    """Start the floor's server beside the centre's database and store, and connect to it."""
    description = Path(centre.description["settings"]).with_name("dev.json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.floor", str(description)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **_TLS_1_3},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise RuntimeError("the floor's server did not start")
        profile = Profile.load(centre.units[0].profile, centre.config_dir)
        credentials = grpc.ssl_channel_credentials(
            profile.tls_ca, profile.system_key, profile.system_chain
        )
        address = f"127.0.0.1:{port}"
        async with grpc.aio.secure_channel(address, credentials, options=_OPTIONS) as channel:
            yield Floor(channel, size_bytes)
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(Path(sys.argv[1]).read_bytes())))
