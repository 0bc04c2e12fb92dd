"""Requests are decoded once their call is admitted, and what is no message gets a typed refusal.

gRPC itself decodes before anybody has asked who is calling, so that whoever is refused would cost
that, too; and it answers what it can't decode with UNKNOWN and names of Python's classes. So the
deserializer here does nothing yet, and what can't be read is refused like any other request.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError

from document_exchange.errors import InvalidRequest


class Undecoded:
    """The bytes of a request, to be decoded once."""

    __slots__ = ("_data", "_deserializer", "_size_bytes")

    def __init__(self, data: bytes, deserializer: Callable[[bytes], Any]) -> None:
        self._data = data
        self._size_bytes = len(data)
        self._deserializer = deserializer

    def ByteSize(self) -> int:
        return self._size_bytes

    def decoded(self) -> Any:
        """The message; the bytes are not kept beside it.

        Raises:
            InvalidRequest: they are not the message that the method takes.
        """
        data, self._data = self._data, b""
        try:
            return self._deserializer(data)
        except DecodeError:
            raise InvalidRequest(
                "the request is not a message that this method takes", field="$"
            ) from None


def lenient(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """``deserializer`` put off until ``readable`` asks for the message; it never fails itself."""

    def deserialize(data: bytes) -> Any:
        return Undecoded(data, deserializer)

    return deserialize


def readable(request: Any) -> Any:
    """The request as a message.

    Raises:
        InvalidRequest: it could not be read.
    """
    return request.decoded() if isinstance(request, Undecoded) else request


class ReadableRequests:
    """A stream of requests, each ``readable``."""

    def __init__(self, requests: AsyncIterable[Any]) -> None:
        self._requests = aiter(requests)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return readable(await anext(self._requests))
