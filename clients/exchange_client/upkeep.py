"""Keeps the certificates of an open client fresh, in the background, without a call noticing."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import grpc
from cryptography import x509

from document_exchange.errors import ExchangeError, InternalError
from exchange_client.alerts import Alert, AlertHook, AlertKind, sound
from exchange_client.profile import Profile
from exchange_client.profile_store import CertificateKind
from exchange_client.renewal import certificate_of, due_at, renew
from exchange_client.session import Session

_LOG = logging.getLogger("exchange_client.renewal")

LONGEST_SLEEP_S = 3600.0
"""Then the clock is looked at again: it may have been set, and machines sleep."""
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 3600.0
_SHORTEST_PAUSE_S = 0.25


def pause_s(failures: int, left_s: float) -> float:
    """How long to wait after so many failures in a row: doubling, half of it random.

    A part of what is left of the certificate in use at most, so that there are always some tries.
    """
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 30))
    if left_s > 0:
        longest = max(min(longest, left_s / 8), _SHORTEST_PAUSE_S)
    return longest * (0.5 + random.random() / 2)


class Upkeep:
    """Renews what an open client uses; does nothing for a profile that says no authority."""

    def __init__(self, session: Session, hook: AlertHook | None) -> None:
        self._session = session
        self._hook = hook
        self._tasks: list[asyncio.Task[NoReturn]] = []
        self._ready: tuple[x509.Certificate, grpc.aio.Channel] | None = None
        """A channel on which the centre has admitted this certificate."""

    def start(self) -> None:
        """Begin; in the event loop of the session."""
        profile = self._session.profile
        if profile.authority and profile.directory is not None:
            kinds: tuple[CertificateKind, ...] = ("system", "seal")
            self._tasks = [
                asyncio.create_task(self._keep(kind), name=f"renewal-{kind}")
                for kind in kinds
                if certificate_of(profile, kind) is not None
            ]

    async def stop(self) -> None:
        """End. A renewal that is broken off goes on with the next client of this profile."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop_ready()

    async def _keep(self, kind: CertificateKind) -> NoReturn:
        obtained_at: datetime | None = None
        failures = 0
        while True:
            await self._until_due(kind, obtained_at)
            try:
                await self._renew(kind)
                obtained_at, failures = datetime.now(UTC), 0
            except Exception as error:
                failures += 1
                self._tell(kind, error)
                left = self._in_use(kind).not_valid_after_utc - datetime.now(UTC)
                await asyncio.sleep(pause_s(failures, left.total_seconds()))

    def _in_use(self, kind: CertificateKind) -> x509.Certificate:
        found = certificate_of(self._session.profile, kind)
        assert found is not None, "only kinds that the profile has are kept fresh"
        return found

    async def _until_due(self, kind: CertificateKind, obtained_at: datetime | None) -> None:
        in_use = self._in_use(kind)
        due = due_at(in_use, obtained_at)
        # Systems that enrolled together need not come back together.
        due += (in_use.not_valid_after_utc - due) * (random.random() / 10)
        while True:
            left_s = (due - datetime.now(UTC)).total_seconds()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, LONGEST_SLEEP_S))

    async def _renew(self, kind: CertificateKind) -> None:
        session = self._session
        if kind == "system":
            session.connection.moves_soon = True
        try:
            # What fails is told before it is tried again, so not within the call.
            once = replace(session.timing, retry_budget_s=0)
            renewed = await renew(session.profile, kind, once, self._admitted)
            await self._take(kind, renewed)
        finally:
            if kind == "system":
                session.connection.moves_soon = False
        _LOG.info("renewed the %s certificate of profile %s", kind, session.profile.name)

    async def _take(self, kind: CertificateKind, renewed: Profile) -> None:
        session = self._session
        if kind == "seal":
            session.profile = replace(session.profile, seal=renewed.seal)
        else:
            if self._ready is None or self._ready[0] != renewed.system_certificate:
                await self._admitted(renewed)
            session.connection.move_to(self._take_ready())
            session.profile = replace(
                session.profile,
                system_certificate=renewed.system_certificate,
                system_chain=renewed.system_chain,
                system_key=renewed.system_key,
            )

    async def _admitted(self, profile: Profile) -> None:
        """Ask by the very channel that will be moved to."""
        await self._drop_ready()
        channel = await self._session.connection.open_beside(profile)
        self._ready = (profile.system_certificate, channel)

    def _take_ready(self) -> grpc.aio.Channel:
        assert self._ready is not None, "only called when it was admitted"
        (_, channel), self._ready = self._ready, None
        return channel

    async def _drop_ready(self) -> None:
        if self._ready is not None:
            await self._take_ready().close(None)

    def _tell(self, kind: CertificateKind, error: Exception) -> None:
        ends = self._in_use(kind).not_valid_after_utc
        name = self._session.profile.name
        if not isinstance(error, (ExchangeError, OSError)):
            _LOG.error("renewal failed unexpectedly", exc_info=error)
        sound(
            self._hook,
            Alert(
                AlertKind.RENEWAL_FAILED,
                f"the {kind} certificate of profile {name} could not be renewed and ends"
                f" {ends:%Y-%m-%d %H:%M:%S} UTC; it is tried again: {error}",
                error=error if isinstance(error, ExchangeError) else InternalError(str(error)),
            ),
        )
