"""Certificates, lists and time-stamps over plain HTTP, as other software expects them.

All of it is public or signed, and what is served is a fixed handful of resources, so this speaks as
little of HTTP/1.1 (RFC 9112) as that needs: one request for each connection, GET and HEAD for what
is published, POST for what answers questions. Whatever else comes is refused without being looked
at further.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange.errors import ConfigurationError, ExchangeError, QuotaExceeded
from exchange_pki.profile import AUTHORITIES
from exchange_pki.service import http_request
from exchange_pki.service.http_request import Request
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime import addresses

log = structlog.get_logger(__name__)

PEM, CRL, TEXT = "application/x-pem-file", "application/pkix-crl", "text/plain; charset=utf-8"

_LONGEST_HEAD = 8 * 1024


@dataclass(frozen=True)
class Resource:
    """One thing to be had: of which media type, for how long copies are good, and its bytes."""

    media_type: str
    max_age_s: int
    read: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class Desk:
    """Something that answers questions: of which media types both are, and how long a question.

    ``admit`` is told the address of each that would be read, as ``addresses`` counts it, and may
    raise QuotaExceeded.
    """

    question_type: str
    answer_type: str
    longest_bytes: int
    admit: Callable[[str], None]
    answer: Callable[[bytes], Awaitable[bytes]]


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
        desks: Mapping[str, Desk],
        *,
        most_connections: int,
        most_of_address: int,
        limit_s: float,
    ) -> None:
        """Bounds of what is open at once, and for how long.

        Args:
            resources: what is served, by path.
            desks: what answers questions, by path.
            most_connections: of all clients together.
            most_of_address: of one network address, as ``addresses`` counts them.
            limit_s: how long a connection may last, reading and writing together.
        """
        self._resources = resources
        self._desks = desks
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
                writer.write(await self._answer(reader, client))
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

    async def _answer(self, reader: asyncio.StreamReader, client: str) -> bytes:
        """Status line, headers and content for the request that comes."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except asyncio.IncompleteReadError:
            return _response(HTTPStatus.BAD_REQUEST)
        request = http_request.read(head)
        if isinstance(request, HTTPStatus):
            not_allowed = request is HTTPStatus.METHOD_NOT_ALLOWED
            return _response(request, allow="GET, HEAD, POST" if not_allowed else "")
        try:
            if request.path in self._desks:
                return await _put(self._desks[request.path], request, reader, client)
            if request.path in self._resources:
                return await _got(self._resources[request.path], request)
        except QuotaExceeded as error:
            return _response(HTTPStatus.TOO_MANY_REQUESTS, retry_after_s=error.retry_after_s)
        except ExchangeError as error:
            log.warning("http_unavailable", path=request.path, error=error.message)
            return _response(HTTPStatus.SERVICE_UNAVAILABLE)
        return _response(HTTPStatus.NOT_FOUND)


async def _got(resource: Resource, request: Request) -> bytes:
    if request.method == "POST":
        return _response(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
    content = await resource.read()
    return _response(
        HTTPStatus.OK,
        content,
        resource.media_type,
        max_age_s=resource.max_age_s,
        head_only=request.method == "HEAD",
    )


async def _put(desk: Desk, request: Request, reader: asyncio.StreamReader, client: str) -> bytes:
    if request.method != "POST":
        return _response(HTTPStatus.METHOD_NOT_ALLOWED, allow="POST")
    if request.media_type != desk.question_type:
        return _response(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if request.length is None:
        return _response(HTTPStatus.LENGTH_REQUIRED)
    if request.length > desk.longest_bytes:
        return _response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    desk.admit(client)
    try:
        question = await reader.readexactly(request.length)
    except asyncio.IncompleteReadError:
        return _response(HTTPStatus.BAD_REQUEST)
    return _response(HTTPStatus.OK, await desk.answer(question), desk.answer_type)


def _response(
    status: HTTPStatus,
    content: bytes | None = None,
    media_type: str = TEXT,
    *,
    max_age_s: int = 0,
    head_only: bool = False,
    allow: str = "",
    retry_after_s: float = 0.0,
) -> bytes:
    body = f"{status.value} {status.phrase}\n".encode() if content is None else content
    headers = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        f"Cache-Control: {f'max-age={max_age_s}' if max_age_s else 'no-store'}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *([f"Allow: {allow}"] if allow else []),
        *([f"Retry-After: {math.ceil(retry_after_s)}"] if retry_after_s else []),
    ]
    return "\r\n".join([*headers, "", ""]).encode() + (b"" if head_only else body)
