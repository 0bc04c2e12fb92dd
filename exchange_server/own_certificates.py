"""Own certificates: what was issued to the caller's unit (or to a member of staff), and its events.

So a unit sees every issuance in its name, and can raise the alarm about one that it did not ask
for. A watch compares what it has sent with the registry as it is followed, which is the state of
things and no sequence of them: what comes late or breaks is made good by the next look.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from document_exchange import identity
from document_exchange.errors import InvalidRequest, ShuttingDown
from exchange_runtime.requests import page_limit
from exchange_runtime.values import CertificateRecord, Principal
from exchange_server.registry import Registry, RegistryFollower

_PAGE = 500
_LOOK_EVERY_S = 1.0
_TOKEN = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IssuedCertificate(CertificateRecord):
    """With the events (canonical JSON) that tell of it."""

    issued_event: bytes
    revoked_event: bytes
    """Empty if it was not revoked."""


class CertificateLedger(Protocol):
    """What is asked of the ledger. ``unit`` is "" for those who are of none."""

    async def own_certificates(
        self, unit: str, identity: str, after: bytes, limit: int
    ) -> list[IssuedCertificate]:
        """Those of the unit and the identity, newest first, after one of them (b"": from there)."""
        ...

    async def own_certificates_of(
        self, unit: str, identity: str, fingerprints: Sequence[bytes]
    ) -> list[IssuedCertificate]:
        """Those of them with these fingerprints, oldest first."""
        ...


class OwnCertificates:
    """Lists and watches the certificates of whoever calls."""

    def __init__(self, ledger: CertificateLedger, registry: RegistryFollower) -> None:
        self._ledger = ledger
        self._registry = registry
        self._watches: set[asyncio.Event] = set()
        self._closing = False
        self._index: tuple[int, Mapping[str, Mapping[bytes, bool]]] = (-1, {})
        registry.on_change(self._wake_all)

    async def listed(
        self, principal: Principal, page_size: int, page_token: str
    ) -> tuple[list[IssuedCertificate], str]:
        """One page, newest first, and the token of the next page ("" at the end).

        Raises:
            InvalidRequest: the page size is negative, or the token is not one of ours.
        """
        limit = page_limit(page_size)
        if page_token and _TOKEN.fullmatch(page_token) is None:
            raise InvalidRequest("page_token is not one that this service gave", field="page_token")
        after = bytes.fromhex(page_token)
        found = await self._ledger.own_certificates(*_holder(principal), after, limit + 1)
        page = found[:limit]
        return page, page[-1].fingerprint.hex() if len(found) > limit else ""

    async def held(self, principal: Principal) -> IssuedCertificate:
        """The certificate that the caller came with."""
        found = await self._ledger.own_certificates_of(*_holder(principal), [principal.fingerprint])
        return found[0]  # the guard admits nobody whose certificate is not there

    async def watch(
        self, principal: Principal, still_admitted: Callable[[], None]
    ) -> AsyncGenerator[IssuedCertificate | None, None]:
        """Every certificate, then each that is issued or revoked; None marks the end of the first.

        ``still_admitted`` raises when the caller may no longer call; that ends the watch.

        Raises:
            ShuttingDown: this process ends; another one goes on.
            Unavailable: the ledger can't be read.
        """

        def look() -> None:
            if self._closing:
                raise ShuttingDown
            still_admitted()

        sent: dict[bytes, bool] = {}
        wake = asyncio.Event()
        self._watches.add(wake)
        try:
            async for certificate in self._all(principal):
                look()
                sent[certificate.fingerprint] = certificate.revoked_at is not None
                yield certificate
            look()
            yield None
            while True:
                wake.clear()
                for certificate in await self._lacking(principal, sent):
                    look()
                    sent[certificate.fingerprint] = certificate.revoked_at is not None
                    yield certificate
                # Woken by changes; that time has passed is told by nobody.
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), _LOOK_EVERY_S)
                look()
        finally:
            self._watches.discard(wake)

    def close_watches(self) -> None:
        """End every watch with ShuttingDown; clients go on with another process."""
        self._closing = True
        self._wake_all()

    def _wake_all(self) -> None:
        for wake in self._watches:
            wake.set()

    async def _all(self, principal: Principal) -> AsyncGenerator[IssuedCertificate, None]:
        after = b""
        while True:
            page = await self._ledger.own_certificates(*_holder(principal), after, _PAGE)
            for certificate in page:
                yield certificate
            if len(page) < _PAGE:
                return
            after = page[-1].fingerprint

    async def _lacking(
        self, principal: Principal, sent: Mapping[bytes, bool]
    ) -> list[IssuedCertificate]:
        """What is new or revoked since it was sent."""
        standing = self._by_holder().get(principal.unit or str(principal.identity), {})
        lacking = [
            fingerprint
            for fingerprint, revoked in standing.items()
            if fingerprint not in sent or (revoked and not sent[fingerprint])
        ]
        if not lacking:
            return []
        return await self._ledger.own_certificates_of(*_holder(principal), lacking)

    def _by_holder(self) -> Mapping[str, Mapping[bytes, bool]]:
        """Of each unit, or identity of no unit: whether its certificates are revoked."""
        registry = self._registry.current()
        if self._index[0] != registry.version:
            self._index = (registry.version, _indexed(registry))
        return self._index[1]


def _indexed(registry: Registry) -> Mapping[str, Mapping[bytes, bool]]:
    found: dict[str, dict[bytes, bool]] = {}
    for fingerprint, certificate in registry.certificates.items():
        holder = identity.parse(certificate.identity).unit or certificate.identity
        found.setdefault(holder, {})[fingerprint] = certificate.revoked
    return found


def _holder(principal: Principal) -> tuple[str, str]:
    return principal.unit, str(principal.identity)
