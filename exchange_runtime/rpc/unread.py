"""Reads out what a client still sends when its answer is ready, so that the answer arrives.

A server may answer before it has read the request, and then resets the stream (RFC 9113, 8.1).
What a client makes of that while it is sending differs: grpc.aio for Python puts INTERNAL in the
place of the answer about every second time, some proxies drop the answer. A client that could
finish sending gets every answer. So a call ends when its client has finished, but waits for that
within bounds only: nobody can hold a call by sending on, or by sending nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

MOST_BYTES = 8 * 1024 * 1024
"""Of one request, so that nobody makes the server read on without end."""
LONGEST_S = 3.0
_BYTES_OF_EMPTY_MESSAGE = 1024
"""Each message counts for this much besides, since an empty one is work, too."""


class Request(Protocol):
    """A protobuf message."""

    def ByteSize(self) -> int: ...


async def read_out(
    requests: AsyncIterator[Request],
    *,
    most_bytes: int = MOST_BYTES,
    longest_s: float = LONGEST_S,
) -> bool:
    """Read and drop requests; whether the client finished sending within the bounds.

    Holds one message at a time. Never fails: the answer must go out anyway.
    """
    left = most_bytes
    try:
        async with asyncio.timeout(longest_s):
            async for request in requests:
                left -= request.ByteSize() + _BYTES_OF_EMPTY_MESSAGE
                del request  # not held while waiting for the next one
                if left < 0:
                    return False
    except Exception:
        # Out of time, or no message at all: what comes after the answer is ready decides nothing.
        return False
    return True
