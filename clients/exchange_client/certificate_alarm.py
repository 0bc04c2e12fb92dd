"""An alarm about certificates of the own unit that this profile did not ask for."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from document_exchange.errors import ExchangeError
from exchange_client.alerts import Alert, AlertHook, AlertKind, sound
from exchange_client.authority_model import CertificateRecord
from exchange_client.known_certificates import KnownCertificates
from exchange_client.own_certificates import OwnCertificate, watch_own
from exchange_client.session import Session
from exchange_client.threads import in_thread

GRACE_S = 5.0
"""The news of a certificate may come before the answer to whoever asked for it."""


class CertificateAlarm:
    """Sounds an alert for each certificate that this profile did not ask for, and each revocation.

    What there was when a profile first looked is taken as known. What happened while no client
    was open is told by the next one. Each is told once.
    """

    def __init__(self, session: Session, hook: AlertHook) -> None:
        self._session = session
        self._hook = hook
        self._known = KnownCertificates(session.profile.directory)
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; in the event loop of the session."""
        self._task = asyncio.create_task(self._run(), name="certificate-alarm")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as judging:
                if not await in_thread(self._known.has_begun):
                    await self._learn()
                async with aclosing(watch_own(self._session)) as changes:
                    async for own in changes:
                        judging.create_task(self._judge(own.certificate))
        except* (ExchangeError, OSError) as group:
            self._tell_end(group)

    def _tell_end(self, group: BaseExceptionGroup[ExchangeError | OSError]) -> None:
        error = group.exceptions[0]
        whose = self._session.profile.system
        message = f"the certificates of {whose} are no longer watched: {error}"
        known = error if isinstance(error, ExchangeError) else None
        sound(self._hook, Alert(AlertKind.WATCH_ENDED, message, error=known))

    async def _learn(self) -> None:
        """What is there before the first look was asked for by whoever set the unit up."""
        async with aclosing(watch_own(self._session, follow=False)) as found:
            there: list[OwnCertificate] = [own async for own in found]
        records = [own.certificate for own in there]
        await in_thread(self._known.add, *(record.fingerprint for record in records))
        revoked = [record.fingerprint for record in records if record.revoked_at is not None]
        await in_thread(self._known.add_revoked, *revoked)
        await in_thread(self._known.begin)

    async def _judge(self, record: CertificateRecord) -> None:
        if not await in_thread(self._known.knows, record.fingerprint):
            await asyncio.sleep(GRACE_S)
        async with self._one_at_a_time:
            await self._judge_issuance(record)
            if record.revoked_at is not None:
                await self._judge_revocation(record)

    async def _judge_issuance(self, record: CertificateRecord) -> None:
        if await in_thread(self._known.knows, record.fingerprint):
            return
        await in_thread(self._known.add, record.fingerprint)
        self._sound(
            AlertKind.CERTIFICATE_UNKNOWN,
            f"a {record.profile} certificate was issued to {record.identity} that this profile did"
            f" not ask for: {record.fingerprint}, serial {record.serial}",
            record,
        )

    async def _judge_revocation(self, record: CertificateRecord) -> None:
        if await in_thread(self._known.knows_revoked, record.fingerprint):
            return
        await in_thread(self._known.add_revoked, record.fingerprint)
        self._sound(
            AlertKind.CERTIFICATE_REVOKED,
            f"the {record.profile} certificate {record.fingerprint} of {record.identity} was"
            f" revoked: {record.revocation_reason}",
            record,
        )

    def _sound(self, kind: AlertKind, message: str, record: CertificateRecord) -> None:
        sound(self._hook, Alert(kind, message, record))
