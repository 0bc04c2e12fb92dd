"""Getting an envelope and its parts from the centre, verified before anybody sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from document_exchange.errors import (
    ExchangeError,
    LimitExceeded,
    PartDigestMismatch,
    PartSizeMismatch,
    Unavailable,
    VerificationFailed,
)
from document_exchange.manifest import Manifest, Part, PartRole, sha256_hex
from document_exchange.v1 import exchange_pb2
from exchange_client.evidence import Envelope, Statement
from exchange_client.retry import with_retries
from exchange_client.session import Session

MAX_READ_BYTES = 64 * 1024 * 1024
"""The most that ``read`` takes into memory."""

MAX_ENCLOSED_BYTES = 256 * 1024
"""The most that may come together with an envelope."""

AtHand = dict[str, bytes]
"""Parts by part_id that came with their envelope, not verified yet."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A document in memory, verified."""

    envelope: Envelope
    parts: dict[str, bytes]
    """By part_id."""
    delivered: Statement | None
    """The centre's DELIVERED receipt, verified; None if the delivery no longer takes one."""

    @property
    def manifest(self) -> Manifest:
        """What the document says of itself."""
        return self.envelope.manifest

    @property
    def body(self) -> bytes:
        """The one part of role BODY."""
        return self.parts[
            next(part.part_id for part in self.manifest.parts if part.role is PartRole.BODY)
        ]


async def request(
    session: Session, envelope_id: str, *, enclosed: bool = False
) -> exchange_pb2.GetEnvelopeResponse:
    """Get an envelope as it comes; nothing in it may be believed before ``verified``.

    Args:
        enclosed: ask for such small parts besides as the centre has at hand.

    Raises:
        NotFound: there is none that the own unit may see.
    """
    return await session.connection.call(
        session.connection.exchange.GetEnvelope,
        exchange_pb2.GetEnvelopeRequest(
            envelope_id=envelope_id,
            max_enclosed_bytes=MAX_ENCLOSED_BYTES if enclosed else 0,
        ),
    )


def verified(
    session: Session,
    response: exchange_pb2.GetEnvelopeResponse,
    envelope_id: str,
    *,
    recipient: str | None,
) -> Envelope:
    """Verify an envelope as of its acceptance.

    Args:
        recipient: the own unit when it receives, None when it sent.

    Raises:
        VerificationFailed: it does not verify; ``manifest_sha256`` is that of the bytes received,
            for a receipt that refuses them.
    """
    try:
        return session.verifier.envelope(
            response.envelope, recipient=recipient, envelope_id=envelope_id
        )
    except VerificationFailed as error:
        received = sha256_hex(response.envelope.manifest)
        raise VerificationFailed(
            error.message, **{**error.attributes, "manifest_sha256": received}
        ) from error


async def receive_part(
    session: Session,
    envelope_id: str,
    part: Part,
    take: Callable[[bytes], Awaitable[None]],
) -> None:
    """Hand the bytes of a part to ``take`` in order, resuming where a stream broke.

    The retry budget begins anew whenever bytes arrived. The size is exact on return; the digest
    is the caller's to compare, before it gives the bytes to anybody.

    Raises:
        VerificationFailed: more bytes than the manifest says.
    """
    received = 0

    async def stream() -> None:
        nonlocal received
        request = exchange_pb2.DownloadPartRequest(
            envelope_id=envelope_id, part_id=part.part_id, offset=received
        )
        deadline_s = session.timing.transfer_deadline_s(part.size - received)
        messages = session.connection.stream(
            session.connection.exchange.DownloadPart, request, deadline_s=deadline_s
        )
        async with aclosing(messages):
            async for message in messages:
                received += len(message.data)
                if received > part.size:
                    raise _mismatch(PartSizeMismatch.code, part, "has more bytes")
                await take(message.data)
        if received < part.size:
            raise Unavailable(
                f"the download of {part.part_id} ended after {received} of {part.size} bytes"
            )

    while received < part.size:
        before = received
        try:
            await with_retries(stream, session.timing.retry_budget_s)
        except ExchangeError as error:
            if not error.retryable or received == before:
                raise


def check_digest(part: Part, sha256: str) -> None:
    """Compare a received part's digest with the manifest's.

    Raises:
        VerificationFailed: they differ; ``code`` is PART_DIGEST_MISMATCH.
    """
    if sha256 != part.sha256:
        raise _mismatch(PartDigestMismatch.code, part, f"has the digest {sha256}")


async def read_part(session: Session, envelope_id: str, part: Part, at_hand: AtHand) -> bytes:
    """The bytes of a part, verified, in memory: those at hand, or else downloaded."""
    enclosed = at_hand.pop(part.part_id, None)
    if enclosed is not None:
        check_digest(part, hashlib.sha256(enclosed).hexdigest())
        return enclosed
    pieces: list[bytes] = []

    async def take(data: bytes) -> None:
        pieces.append(data)

    await receive_part(session, envelope_id, part, take)
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    check_digest(part, hashlib.sha256(content).hexdigest())
    return content


async def read_parts(session: Session, envelope: Envelope, at_hand: AtHand) -> dict[str, bytes]:
    """All parts of a small document, verified, in memory.

    Raises:
        LimitExceeded: more than 64 MiB in all: download it into a directory instead.
    """
    parts = envelope.manifest.parts
    size = sum(part.size for part in parts)
    if size > MAX_READ_BYTES:
        raise LimitExceeded(
            f"the document has {size} bytes, read() takes at most {MAX_READ_BYTES} into memory:"
            " use download()",
            size=str(size),
        )
    return {
        part.part_id: await read_part(session, envelope.envelope_id, part, at_hand)
        for part in parts
    }


def _mismatch(code: str, part: Part, what: str) -> VerificationFailed:
    return VerificationFailed(
        f"part {part.part_id} {what} than the manifest says ({part.size} bytes, {part.sha256})",
        step="part",
        code=code,
        part=part.part_id,
    )
