"""The mutual-TLS channel to the centre and the one way in which unary calls are made over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    ConfigurationError,
    Unavailable,
)
from document_exchange.v1 import (
    admin_pb2_grpc,
    correspondence_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    evidence_pb2_grpc,
    exchange_pb2_grpc,
)
from exchange_client.channel import open_channel
from exchange_client.profile import Profile
from exchange_client.replaceable_channel import ReplaceableChannel
from exchange_client.retry import from_rpc_error, with_retries
from exchange_client.timing import Timing

Request = TypeVar("Request")
Response = TypeVar("Response")


_YOUNG_S = 30.0
"""For so long a server process may not have heard of a new certificate that others admit."""


@dataclass(eq=False, slots=True)
class _EndlessStream:
    call: grpc.aio.Call
    moved: bool = False


class Connection:
    """One channel and its stubs; must be opened inside the event loop that uses it.

    A renewed certificate needs another channel: ``open_beside`` makes it ready, ``move_to`` takes
    it into use without any caller noticing.
    """

    def __init__(self, profile: Profile, timing: Timing) -> None:
        self.timing = timing
        self._address = profile.address
        self._channel = ReplaceableChannel(_open(profile))
        self.moves_soon = False
        """Whether ``move_to`` will be called soon: what is refused now may then be granted."""
        self._moved_at_s = float("-inf")
        self._endless: set[_EndlessStream] = set()
        self._exchange: exchange_pb2_grpc.ExchangeServiceAsyncStub = (
            exchange_pb2_grpc.ExchangeServiceStub(self._channel)
        )
        self._directory: directory_pb2_grpc.DirectoryServiceAsyncStub = (
            directory_pb2_grpc.DirectoryServiceStub(self._channel)
        )
        self._admin: admin_pb2_grpc.AdminServiceAsyncStub = admin_pb2_grpc.AdminServiceStub(
            self._channel
        )
        self._correspondence: correspondence_pb2_grpc.CorrespondenceServiceAsyncStub = (
            correspondence_pb2_grpc.CorrespondenceServiceStub(self._channel)
        )
        self._evidence: evidence_pb2_grpc.EvidenceServiceAsyncStub = (
            evidence_pb2_grpc.EvidenceServiceStub(self._channel)
        )
        self._closed = False

    @property
    def exchange(self) -> exchange_pb2_grpc.ExchangeServiceAsyncStub:
        """The calls about documents.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._exchange

    @property
    def directory(self) -> directory_pb2_grpc.DirectoryServiceAsyncStub:
        """The calls about units.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._directory

    @property
    def admin(self) -> admin_pb2_grpc.AdminServiceAsyncStub:
        """The calls of staff about the registry.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._admin

    @property
    def correspondence(self) -> correspondence_pb2_grpc.CorrespondenceServiceAsyncStub:
        """The calls about how documents hang together.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._correspondence

    @property
    def evidence(self) -> evidence_pb2_grpc.EvidenceServiceAsyncStub:
        """The call for evidence.

        Raises:
            ConfigurationError: the connection is closed.
        """
        self._require_open()
        return self._evidence

    def _require_open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the client is closed: use it, and the deliveries it gave, inside its with block"
            )

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Around one call: gRPC's errors become the project's own.

        That a certificate is not admitted may pass while another is taken into use: a call that
        began on the old one, or that met a server process that has not heard of the new one.
        """
        began = self._channel.generation
        try:
            yield
        except grpc.aio.AioRpcError as error:
            found = from_rpc_error(error, self._address)
            young = time.monotonic() - self._moved_at_s < _YOUNG_S
            moved = began != self._channel.generation
            if (
                (isinstance(found, CertificateRevoked) and moved)
                or (isinstance(found, CertificateExpired) and (moved or self.moves_soon))
                or (isinstance(found, CertificateNotAdmitted) and young)
            ):
                found = Unavailable(f"while a new certificate is taken into use: {found}")
            raise found from None

    async def open_beside(self, profile: Profile) -> grpc.aio.Channel:
        """Another channel, with a renewed certificate, on which the centre has answered.

        Raises:
            CertificateNotAdmitted: the server process that it reached does not know it, or not yet.
            Unavailable: the centre did not answer.
        """
        channel = _open(profile)
        stub: directory_pb2_grpc.DirectoryServiceAsyncStub
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        try:
            asked = directory_pb2.ListUnitsRequest(page_size=1)
            await stub.ListUnits(asked, timeout=self.timing.call_deadline_s)
        except grpc.aio.AioRpcError as error:
            await channel.close(None)
            raise from_rpc_error(error, self._address) from None
        except BaseException:
            await channel.close(None)
            raise
        return channel

    def move_to(self, channel: grpc.aio.Channel) -> None:
        """Begin every further call on ``channel``.

        Calls under way end where they began. Streams without a deadline end here, in good order,
        for whoever reads them to open them again: the certificate of the old channel will expire,
        and then the centre would end them with an error.
        """
        self._channel.replace(channel)
        self._moved_at_s = time.monotonic()
        for stream in self._endless:
            stream.moved = True
            stream.call.cancel()

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
    ) -> Response:
        """One unary call with a deadline, tried again within the budget.

        Raises:
            ExchangeError: the error that the centre gave, as its own type.
        """
        deadline_s = self.timing.call_deadline_s

        async def once() -> Response:
            self._require_open()  # it may have been closed during the pause before this try
            with self.typed_errors():
                return await method(request, timeout=deadline_s)

        return await with_retries(once, self.timing.retry_budget_s)

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        deadline_s: float | None,
    ) -> AsyncGenerator[Response, None]:
        """One server stream, not repeated; closing the iterator ends the call.

        One without a deadline also ends when the connection moves to another channel.

        Raises:
            ExchangeError: the error that ended it, as its own type.
        """
        call: Any = method(request, timeout=deadline_s)
        stream = _EndlessStream(call)
        if deadline_s is None:
            self._endless.add(stream)
        try:
            with self.typed_errors():
                async for response in call:
                    yield response
        except asyncio.CancelledError:
            if not stream.moved or _is_being_cancelled():
                raise
        finally:
            self._endless.discard(stream)
            call.cancel()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._closed = True
        await self._channel.close(None)


def _open(profile: Profile) -> grpc.aio.Channel:
    return open_channel(
        profile.address,
        profile.tls_ca,
        server_name=profile.server_name,
        key=profile.system_key,
        chain=profile.system_chain,
    )


def _is_being_cancelled() -> bool:
    """Whether the running task itself is to end, and not only a call that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
