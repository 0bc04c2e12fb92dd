"""Requests that are no message of the contract get a typed refusal.

gRPC itself answers what its deserializer can't read with UNKNOWN and names of Python's classes. So
the deserializer never fails here, and what it could not read is refused like any other request.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from document_exchange.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for bytes that are not the message that the method takes."""

    size_bytes: int

    def ByteSize(self) -> int:
        return self.size_bytes


def lenient(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """``deserializer``, but with ``Unreadable`` for what it can't read."""

    def deserialize(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            return Unreadable(len(data))

    return deserialize


def readable(request: Any) -> Any:
    """The request itself.

    Raises:
        InvalidRequest: it could not be read.
    """
    if isinstance(request, Unreadable):
        raise InvalidRequest("the request is not a message that this method takes", field="$")
    return request


class ReadableRequests:
    """A stream of requests, each ``readable``."""

    def __init__(self, requests: AsyncIterable[Any]) -> None:
        self._requests = aiter(requests)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return readable(await anext(self._requests))
