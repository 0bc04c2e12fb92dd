"""Asks a time-stamping service over HTTP (RFC 3161, section 3.4): bounded, and where told alone."""

from __future__ import annotations

import asyncio
import time

import urllib3

from document_exchange.errors import Unavailable
from document_exchange.timestamp import MAX_RESPONSE_BYTES

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_READ_BYTES = 16 * 1024


class TimeStampingClient:
    """One service, asked on a thread; redirections are answers like any other wrong one."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """``url``: http or https, the latter with a certificate that this host trusts."""
        self._url = url
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(1, maxsize=2, retries=False)

    async def ask(self, query: bytes) -> bytes:
        """Its answer to a TimeStampReq.

        Raises:
            Unavailable: it can't be reached, is too slow, or answers something else.
        """
        return await asyncio.to_thread(self._asked, query)

    def close(self) -> None:
        """Give up the connections."""
        self._pool.clear()

    def _asked(self, query: bytes) -> bytes:
        give_up_at = time.monotonic() + self._timeout_s
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=query,
                headers={"Content-Type": _QUERY, "Accept": _REPLY},
                timeout=urllib3.Timeout(total=self._timeout_s),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                return self._read(response, give_up_at)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"{self._url} can't be reached: {error}") from error

    def _read(self, response: urllib3.BaseHTTPResponse, give_up_at: float) -> bytes:
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.status != 200 or media_type != _REPLY:
            raise Unavailable(
                f"{self._url} answers {response.status} {media_type or 'without a type'}, "
                "and no time-stamp"
            )
        found = bytearray()
        while piece := response.read1(_READ_BYTES):
            found += piece
            if len(found) > MAX_RESPONSE_BYTES:
                raise Unavailable(f"{self._url} answers more than {MAX_RESPONSE_BYTES} bytes")
            if time.monotonic() > give_up_at:
                raise Unavailable(f"{self._url} takes longer than {self._timeout_s} s to answer")
        return bytes(found)
