"""The certificates that were issued to the own unit (or member of staff), as the centre knows them.

Whoever got hold of a token or a key could have one issued in the unit's name. It would show here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from document_exchange.v1 import directory_pb2
from exchange_client import watch
from exchange_client.authority_model import CertificateRecord
from exchange_client.session import Session

_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate, and the events (canonical JSON) that say that it was issued and revoked."""

    certificate: CertificateRecord
    issued_event: bytes
    revoked_event: bytes
    """Empty if it was not revoked."""

    @classmethod
    def of(cls, message: directory_pb2.OwnCertificate) -> OwnCertificate:
        """From the message on the wire."""
        return cls(
            CertificateRecord.of(message.certificate), message.issued_event, message.revoked_event
        )


async def list_own(session: Session) -> AsyncGenerator[OwnCertificate, None]:
    """Every certificate of the caller's unit, newest first."""
    connection = session.connection
    request = directory_pb2.ListOwnCertificatesRequest(page_size=_PAGE_SIZE)
    while True:
        page = await connection.call(connection.directory.ListOwnCertificates, request)
        for message in page.certificates:
            yield OwnCertificate.of(message)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def watch_own(
    session: Session, *, follow: bool = True
) -> AsyncGenerator[OwnCertificate, None]:
    """Every certificate of the caller's unit, then each one as it is issued or revoked.

    Broken streams are opened again; what was shown is not shown again unless it changed.

    Args:
        session: an open one.
        follow: False ends the watch when all that was there has been shown.

    Raises:
        ExchangeError: what trying again can't mend (the own certificate is revoked, for example).
    """

    def open_stream() -> AsyncGenerator[directory_pb2.WatchOwnCertificatesResponse, None]:
        return session.connection.stream(
            session.connection.directory.WatchOwnCertificates,
            directory_pb2.WatchOwnCertificatesRequest(),
            deadline_s=None,
        )

    def read(
        message: directory_pb2.WatchOwnCertificatesResponse,
    ) -> watch.Change[OwnCertificate] | None:
        if not message.HasField("certificate"):
            return None
        found = OwnCertificate.of(message.certificate)
        seq = 1 if found.certificate.revoked_at is None else 2
        return watch.Change((found.certificate.fingerprint, ""), seq, found)

    pause_max_s = session.timing.watch_pause_max_s
    changes = watch.unbroken(open_stream, read, follow=follow, pause_max_s=pause_max_s)
    async with aclosing(changes):
        async for found in changes:
            yield found
