"""The blob store's driver against a real S3 store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from document_exchange.errors import ConfigurationError, Unavailable
from exchange_server.embedded import EmbeddedObjectStore
from exchange_server.storage.blobs import BlobMissing, MinioBlobStore

MIB = 1024 * 1024

MakeStore = Callable[..., MinioBlobStore]


@pytest.fixture(scope="module")
def make_store(object_store: EmbeddedObjectStore) -> Iterator[MakeStore]:
    """Makes drivers for the session's store; arguments replace the right ones."""
    made: list[MinioBlobStore] = []

    def make(**arguments: object) -> MinioBlobStore:
        right = {
            "endpoint": object_store.endpoint,
            "access_key": object_store.access_key,
            "secret_key": object_store.secret_key,
            "bucket": object_store.bucket,
            "secure": False,
        }
        store = MinioBlobStore(**(right | arguments))  # type: ignore[arg-type]
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture(scope="module")
def blobs(make_store: MakeStore) -> MinioBlobStore:
    return make_store()


@pytest.fixture
async def key(blobs: MinioBlobStore) -> AsyncIterator[str]:
    name = f"2026-11-23/{secrets.token_hex(8)}"
    yield name
    await blobs.delete([name])


@pytest.mark.parametrize("size", [0, 1, 100_000, 8 * MIB])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_what_was_put_is_what_is_got(
    blobs: MinioBlobStore, key: str, size: int, kind: type[bytes | bytearray | memoryview]
) -> None:
    content = os.urandom(size)
    await blobs.put(key, kind(content))
    assert await blobs.get(key) == content


async def test_a_known_digest_is_not_computed_again(blobs: MinioBlobStore, key: str) -> None:
    content = b"content" * 1000
    await blobs.put(key, content, hashlib.sha256(content).digest())
    assert await blobs.get(key) == content


async def test_bytes_that_differ_from_their_digest_are_not_stored(
    blobs: MinioBlobStore, key: str
) -> None:
    with pytest.raises(Unavailable):
        await blobs.put(key, b"these bytes", hashlib.sha256(b"other bytes").digest())
    with pytest.raises(BlobMissing):
        await blobs.get(key)


async def test_a_second_put_is_visible_at_once(blobs: MinioBlobStore, key: str) -> None:
    for content in (b"one", b"two!", b"3"):
        await blobs.put(key, content)
        assert await blobs.get(key) == content


async def test_what_was_deleted_is_missing(blobs: MinioBlobStore, key: str) -> None:
    await blobs.put(key, b"content")
    await blobs.delete([key, f"{key}-never-there"])
    with pytest.raises(BlobMissing, match=key):
        await blobs.get(key)
    await blobs.delete([])


async def test_list_gives_key_size_and_time_of_what_has_the_prefix(blobs: MinioBlobStore) -> None:
    day = f"list-{secrets.token_hex(4)}"
    sizes = {f"{day}/{envelope}/{n}": n + 1 for envelope in ("a", "b") for n in range(3)}
    await asyncio.gather(*(blobs.put(key, b"x" * size) for key, size in sizes.items()))
    await blobs.put(f"other-{day}", b"x")
    found = [blob async for blob in blobs.list(f"{day}/")]
    assert [(blob.key, blob.size_bytes) for blob in found] == sorted(sizes.items())
    assert all(abs(blob.last_modified - datetime.now(UTC)) < timedelta(minutes=1) for blob in found)
    everything = {blob.key async for blob in blobs.list()}
    assert everything >= {*sizes, f"other-{day}"}
    await blobs.delete([*sizes, f"other-{day}"])
    assert [blob async for blob in blobs.list(f"{day}/")] == []


async def test_list_goes_on_after_a_page(blobs: MinioBlobStore) -> None:
    day = f"many-{secrets.token_hex(4)}"
    keys = [f"{day}/{number:04}" for number in range(1005)]
    await asyncio.gather(*(blobs.put(key, b"") for key in keys))
    assert [blob.key async for blob in blobs.list(f"{day}/")] == keys
    await blobs.delete(keys)
    assert [blob async for blob in blobs.list(f"{day}/")] == []


async def test_many_at_once_share_the_threads(make_store: MakeStore) -> None:
    blobs = make_store(threads=3)
    keys = [f"2026-11-23/{secrets.token_hex(8)}" for _ in range(40)]
    await asyncio.gather(*(blobs.put(key, key.encode() * 100) for key in keys))
    assert await asyncio.gather(*map(blobs.get, keys)) == [key.encode() * 100 for key in keys]
    assert sum(t.name.startswith("blobs") for t in threading.enumerate()) <= 3 + 8
    await blobs.delete(keys)


async def test_probe_accepts_the_embedded_store_and_leaves_nothing(blobs: MinioBlobStore) -> None:
    await blobs.probe()
    assert [blob async for blob in blobs.list("probe/")] == []


@pytest.mark.parametrize(
    "wrong", [{"secret_key": "wrong"}, {"access_key": "wrong"}, {"bucket": "no-such-bucket"}]
)
async def test_wrong_settings_are_refused(make_store: MakeStore, wrong: dict[str, str]) -> None:
    blobs = make_store(**wrong)
    with pytest.raises((Unavailable, ConfigurationError)):
        await blobs.probe()
    with pytest.raises(Unavailable):
        await blobs.get("2026-11-23/anything")


async def test_a_store_that_is_away_is_unavailable(make_store: MakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    blobs = make_store(endpoint=f"127.0.0.1:{port}", connect_timeout_s=0.5)
    for call in (blobs.put("a/b", b"x"), blobs.get("a/b"), blobs.delete(["a/b"]), blobs.probe()):
        with pytest.raises(Unavailable):
            await call
    with pytest.raises(Unavailable):
        [blob async for blob in blobs.list()]


async def test_a_store_that_says_nothing_is_unavailable_in_time(make_store: MakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        blobs = make_store(
            endpoint=f"127.0.0.1:{silent.getsockname()[1]}", read_timeout_s=0.2, threads=1
        )
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await blobs.get("a/b")


async def test_an_answer_that_stops_short_is_unavailable(make_store: MakeStore) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable):
            await make_store(endpoint=f"127.0.0.1:{port}").get("a/b")


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_a_block_is_not_copied_on_its_way(
    blobs: MinioBlobStore, key: str, kind: type[bytes | bytearray]
) -> None:
    """Blocks in flight are what bounds the server's memory, so each must be there once."""
    block = kind(8 * MIB)
    digest = hashlib.sha256(block).digest()
    tracemalloc.start()
    try:
        await blobs.put(key, block, digest)
        assert tracemalloc.get_traced_memory()[1] < MIB
        tracemalloc.reset_peak()
        found = await blobs.get(key)
        assert tracemalloc.get_traced_memory()[1] < 9 * MIB
    finally:
        tracemalloc.stop()
    assert len(found) == 8 * MIB
