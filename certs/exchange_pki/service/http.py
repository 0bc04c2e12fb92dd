"""Certificates and lists of the authorities over plain HTTP, as other software expects them.

All of it is public, and what is served is a fixed handful of resources, so this speaks as little of
HTTP/1.1 (RFC 9112) as that needs: GET and HEAD, one request for each connection. Whatever else
comes is refused without being looked at further.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange.errors import ConfigurationError, ExchangeError
from exchange_pki.profile import AUTHORITIES
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime import addresses

log = structlog.get_logger(__name__)

PEM, CRL, TEXT = "application/x-pem-file", "application/pkix-crl", "text/plain; charset=utf-8"

_LONGEST_HEAD = 8 * 1024
_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[A-Za-z0-9._/-]{0,100})(?:\?[!-~]*)? HTTP/1\.[01]\r\n")
_SOME_REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")


@dataclass(frozen=True)
class Resource:
    """One thing to be had: of which media type, for how long copies are good, and its bytes."""

    media_type: str
    max_age_s: int
    read: Callable[[], Awaitable[bytes]]


def resources(worker: AuthorityWorker) -> Mapping[str, Resource]:
    """What the authority publishes, by path."""

    def constant(content: bytes) -> Callable[[], Awaitable[bytes]]:
        async def read() -> bytes:
            return content

        return read

    def crl(issuer: str) -> Callable[[], Awaitable[bytes]]:
        async def read() -> bytes:
            return await worker.crl(issuer)

        return read

    trust = worker.trust
    certificates = zip(AUTHORITIES, (trust.root, trust.tls_ca, trust.seal_ca), strict=True)
    found = {"/healthz": Resource(TEXT, 0, constant(b"ok\n"))}
    for name, certificate in certificates:
        pem = certificate.public_bytes(Encoding.PEM)
        found[f"/{name}.pem"] = Resource(PEM, 3600, constant(pem))
        found[f"/crl/{name}.crl"] = Resource(CRL, 60, crl(name))
    return found


class HttpPort:
    """Serves resources until it is closed."""

    def __init__(
        self,
        resources: Mapping[str, Resource],
        *,
        most_connections: int,
        most_of_address: int,
        limit_s: float,
    ) -> None:
        """Bounds of what is open at once, and for how long.

        Args:
            resources: what is served, by path.
            most_connections: of all clients together.
            most_of_address: of one network address, as ``addresses`` counts them.
            limit_s: how long a connection may last, reading and writing together.
        """
        self._resources = resources
        self._most_connections = most_connections
        self._most_of_address = most_of_address
        self._limit_s = limit_s
        self._open: set[asyncio.Task[None]] = set()
        self._open_of: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> int:
        """Listen on HOST:PORT; returns the port.

        Raises:
            ConfigurationError: it can't.
        """
        host, _, port = listen.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._connected, host.strip("[]"), int(port), limit=_LONGEST_HEAD
            )
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"can't listen on {listen}: {error}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; cut off what is open."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = writer.get_extra_info("peername")
        # One that is gone already has no name any more.
        client = addresses.counted_as(str(peer[0])) if peer else ""
        if (
            len(self._open) >= self._most_connections
            or self._open_of[client] >= self._most_of_address
        ):
            writer.transport.abort()
            return
        self._open.add(task)
        self._open_of[client] += 1
        try:
            async with asyncio.timeout(self._limit_s):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            pass  # too slow, or gone
        except Exception:
            log.exception("http_failed")
        finally:
            self._open.discard(task)
            self._open_of[client] -= 1
            if not self._open_of[client]:
                del self._open_of[client]
            with suppress(RuntimeError):  # the loop is closing
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """Status line, headers and content for the request that comes."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except asyncio.IncompleteReadError:
            return _response(HTTPStatus.BAD_REQUEST)
        asked = _REQUEST_LINE.match(head)
        if asked is None:
            known = _SOME_REQUEST_LINE.match(head) is not None
            method = head.partition(b" ")[0]
            if known and method not in (b"GET", b"HEAD"):
                return _response(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
            return _response(HTTPStatus.NOT_FOUND if known else HTTPStatus.BAD_REQUEST)
        method, path = asked.groups()
        resource = self._resources.get(path.decode())
        if resource is None:
            return _response(HTTPStatus.NOT_FOUND)
        try:
            content = await resource.read()
        except ExchangeError as error:
            log.warning("http_unavailable", path=path.decode(), error=error.message)
            return _response(HTTPStatus.SERVICE_UNAVAILABLE)
        return _response(HTTPStatus.OK, resource, content, head_only=method == b"HEAD")


def _response(
    status: HTTPStatus,
    resource: Resource | None = None,
    content: bytes | None = None,
    *,
    head_only: bool = False,
    allow: str = "",
) -> bytes:
    body = f"{status.value} {status.phrase}\n".encode() if content is None else content
    cached = f"max-age={resource.max_age_s}" if resource and resource.max_age_s else "no-store"
    headers = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {resource.media_type if resource else TEXT}",
        f"Content-Length: {len(body)}",
        f"Cache-Control: {cached}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *([f"Allow: {allow}"] if allow else []),
    ]
    return "\r\n".join([*headers, "", ""]).encode() + (b"" if head_only else body)
