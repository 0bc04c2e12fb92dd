"""Reaching authorities to enrol: each is asked who it is once, and gets one connection."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from exchange_client.authority import EnrolmentClient
from exchange_client.timing import Timing
from exchange_client.trust_bundle import TrustBundle
from exchange_client.trust_fetch import trusted_bundle


@dataclass(frozen=True, slots=True)
class Contact:
    """An authority that is the one of the fingerprint."""

    bundle: TrustBundle
    client: EnrolmentClient


class Authorities:
    """Those that enrolments of one process go to. An asynchronous context manager."""

    def __init__(self, timing: Timing) -> None:
        """``timing``: deadlines and the retry budget of the calls."""
        self._timing = timing
        self._reached: dict[tuple[str, str, str], asyncio.Task[Contact]] = {}
        self._closing = AsyncExitStack()

    async def reach(self, address: str, http: str, root_fingerprint: str) -> Contact:
        """The authority at ``address`` (HOST:PORT), whose root has this SHA-256 (hex).

        ``http`` is where its certificates are served; empty: it is asked itself.

        Raises:
            VerificationFailed: it is another one.
            Unavailable: nobody answers there.
        """
        key = address, http, root_fingerprint
        if key not in self._reached:
            self._reached[key] = asyncio.create_task(self._contact(*key))
        return await asyncio.shield(self._reached[key])

    async def _contact(self, address: str, http: str, root_fingerprint: str) -> Contact:
        bundle = await trusted_bundle(address, http, root_fingerprint, self._timing)
        client = EnrolmentClient(address, bundle.tls_ca_pem, self._timing)
        await self._closing.enter_async_context(client)
        return Contact(bundle, client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._reached.values():
            task.cancel()
        await asyncio.gather(*self._reached.values(), return_exceptions=True)
        await self._closing.aclose()
