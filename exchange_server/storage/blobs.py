"""Blobs in an S3 store: the blocks of parts, each one object under a key that the ledger names."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast
from urllib.parse import SplitResult, quote

import structlog
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.deleteobjects import DeleteObject
from minio.error import MinioException
from minio.signer import sign_v4_s3

from document_exchange.errors import ConfigurationError, InternalError, Unavailable

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_NOTHING_SHA256 = hashlib.sha256(b"").digest()
_LISTED_AT_ONCE = 1000
_RETRIES = urllib3.Retry(
    total=2,
    backoff_factor=0.2,
    status_forcelist=(500, 502, 503, 504),
    # Every call here may be repeated: a key is written by one call only, with the same bytes.
    allowed_methods=None,
    raise_on_status=False,
    redirect=0,
)


class BlobMissing(InternalError):
    """The blob store does not have an object that the ledger names."""


@dataclass(frozen=True, slots=True)
class Blob:
    """An object as the store lists it."""

    key: str
    size_bytes: int
    last_modified: datetime


class MinioBlobStore:
    """Objects in one bucket, through blocking calls on a bounded number of threads.

    The minio client lists and deletes; its signer signs. PUT and GET themselves go to the
    connection pool directly, because the client's own would hash every block a second time and
    take nothing but ``bytes``.

    A call that is cancelled while a thread works on it leaves the thread at work: whether the
    object is stored is then unknown, and the sweep's concern.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        region: str = "us-east-1",
        secure: bool = True,
        threads: int = 8,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
    ) -> None:
        """``endpoint`` is HOST:PORT; ``secure`` means TLS, verified with the system's roots."""
        self._bucket = bucket
        self._region = region
        self._credentials = Credentials(access_key, secret_key)
        self._scheme, self._host = "https" if secure else "http", endpoint
        self._pool = urllib3.PoolManager(
            maxsize=threads,
            timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
            retries=_RETRIES,
        )
        self._connections = self._pool.connection_from_url(f"{self._scheme}://{self._host}")
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=secure,
            # Named, so that the client does not ask for the bucket's region first.
            region=region,
            http_client=self._pool,
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")

    async def put(
        self, key: str, data: bytes | bytearray | memoryview, sha256: bytes | None = None
    ) -> None:
        """Store one object. When this returns, the store MUST have acknowledged it.

        The digest goes with the signed request, and the store refuses bytes that differ from it.
        Give ``sha256`` if it is known already; ``data`` must not change meanwhile.

        Raises:
            Unavailable: the store does not answer or refuses; whether the object is there is
                unknown.
        """
        await self._in_thread(lambda: self._put(key, data, sha256))

    async def get(self, key: str) -> bytes:
        """The whole object. Its digest is the caller's to check.

        Raises:
            BlobMissing: there is no such object.
            Unavailable: the store does not answer, or stopped before the end.
        """
        return await self._in_thread(lambda: self._get(key))

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there count as removed.

        Raises:
            Unavailable: the store does not answer or refuses; some may be removed.
        """
        await self._in_thread(lambda: self._delete(keys))

    async def list(self, prefix: str = "") -> AsyncIterator[Blob]:
        """Every object whose key begins with ``prefix``, in the order of keys.

        Raises:
            Unavailable: the store does not answer or refuses.
        """
        found = self._listed(prefix)
        while batch := await self._in_thread(
            lambda: tuple(itertools.islice(found, _LISTED_AT_ONCE))
        ):
            for blob in batch:
                yield blob

    async def probe(self) -> None:
        """Try out everything that is relied on, with an object of its own.

        Raises:
            ConfigurationError: the store does not behave, or does not let us.
            Unavailable: the store does not answer.
        """
        key = f"probe/{secrets.token_hex(16)}"
        try:
            for content in (b"first" * 1000, b"second" * 1000):
                await self.put(key, content)
                _expect(await self.get(key) == content, "does not return what was just stored")
            listed = [(blob.key, blob.size_bytes) async for blob in self.list(key)]
            _expect(listed == [(key, 6000)], "does not list what was just stored")
            _expect(
                await self._refuses_other_bytes(key), "takes bytes that differ from their digest"
            )
        finally:
            await self.delete([key])
        try:
            await self.get(key)
        except BlobMissing:
            return
        raise ConfigurationError("the blob store still returns what was deleted")

    def close(self) -> None:
        """Wait for calls that threads are at, and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._pool.clear()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """Run a blocking call; what goes wrong with the store becomes Unavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            log.error("blob_store_failed", error=str(error))
            raise Unavailable("the blob store does not answer as it should; try again") from error

    async def _refuses_other_bytes(self, key: str) -> bool:
        def status() -> int:
            return self._request("PUT", key, _NOTHING_SHA256, b"other bytes").status

        return await self._in_thread(status) >= 400

    def _put(self, key: str, data: bytes | bytearray | memoryview, sha256: bytes | None) -> None:
        response = self._request("PUT", key, sha256 or hashlib.sha256(data).digest(), data)
        if response.status != 200:
            raise _refusal("PUT", response)

    def _get(self, key: str) -> bytes:
        response = self._request("GET", key)
        if response.status == 404 and _code(response) == "NoSuchKey":
            raise BlobMissing(f"object {key} is missing in the blob store; call an operator")
        if response.status != 200:
            raise _refusal("GET", response)
        return response.data

    def _delete(self, keys: Sequence[str]) -> None:
        refused = self._client.remove_objects(self._bucket, (DeleteObject(key) for key in keys))
        for error in refused:
            log.error("blob_not_deleted", key=error.name, code=error.code)
            raise Unavailable("the blob store does not delete; try again")

    def _listed(self, prefix: str) -> Iterator[Blob]:
        for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
            if found.object_name and found.size is not None and found.last_modified:
                yield Blob(found.object_name, found.size, found.last_modified)

    def _request(
        self,
        method: str,
        key: str,
        sha256: bytes = _NOTHING_SHA256,
        body: bytes | bytearray | memoryview | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """One signed request (AWS Signature Version 4), with the digest of its body."""
        path = quote(f"/{self._bucket}/{key}", safe="/-_.~")
        url = SplitResult(self._scheme, self._host, path, "", "")
        now = datetime.now(UTC)
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Host": self._host,
            "x-amz-content-sha256": sha256.hex(),
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        if body is not None:
            # The digest above is part of the signature, and not every store looks at it again.
            headers["x-amz-checksum-sha256"] = base64.b64encode(sha256).decode()
        sign_v4_s3(
            method=method,
            url=url,
            region=self._region,
            headers=headers,
            credentials=self._credentials,
            content_sha256=sha256.hex(),
            date=now,
        )
        return self._connections.urlopen(
            method,
            path,
            redirect=False,
            # It sends any buffer as it stands, without a copy; its annotation does not say so.
            body=cast("bytes | None", body),
            headers=cast(Mapping[str, str], headers),
        )


def _code(response: urllib3.BaseHTTPResponse) -> str:
    """The S3 error code in the body of an answer."""
    found = re.search(rb"<Code>([A-Za-z0-9]+)</Code>", response.data)
    return found[1].decode() if found else ""


def _refusal(method: str, response: urllib3.BaseHTTPResponse) -> Unavailable:
    log.error("blob_store_refused", method=method, status=response.status, code=_code(response))
    return Unavailable("the blob store refused a request; try again")


def _expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise ConfigurationError(f"the blob store {complaint}")
