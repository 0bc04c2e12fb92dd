"""Bringing a document to disk, part by part, and confirming it only when all of it is there."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

from document_exchange.manifest import Part
from exchange_client import receive
from exchange_client.evidence import Envelope
from exchange_client.files import Incoming
from exchange_client.parts import INLINE_BYTES
from exchange_client.receive import AtHand
from exchange_client.session import Session
from exchange_client.store import DocumentFolder, ReceivedPart
from exchange_client.threads import in_thread

_BATCH_BYTES = 1024 * 1024
"""What one visit to a thread hashes and writes of a large part."""


async def store_document(
    session: Session, envelope: Envelope, directory: Path, at_hand: AtHand
) -> tuple[Path, tuple[ReceivedPart, ...]]:
    """Write a verified envelope and its parts below ``directory``, durably on return.

    Parts that are there already with the right bytes are not fetched again, nor are those at hand.

    Raises:
        VerificationFailed: a part's bytes are not those of the manifest; it gets no name.
        OSError: the disk is full, for example; nothing of the unfinished part remains.
    """
    with ExitStack() as stack:
        folder = await in_thread(
            stack.enter_context, DocumentFolder.open(directory, envelope.envelope_id)
        )
        names = await in_thread(_names_there, folder, envelope)
        for part in envelope.manifest.parts:
            if part.part_id not in names:
                names[part.part_id] = await _store_part(session, envelope, folder, part, at_hand)
        await in_thread(folder.store_envelope, envelope)
        parts = tuple(
            ReceivedPart(part, folder.part_path(names[part.part_id]))
            for part in envelope.manifest.parts
        )
        return folder.path, parts


def _names_there(folder: DocumentFolder, envelope: Envelope) -> dict[str, str]:
    found = ((part.part_id, folder.find_part(part)) for part in envelope.manifest.parts)
    return {part_id: name for part_id, name in found if name is not None}


async def _store_part(
    session: Session, envelope: Envelope, folder: DocumentFolder, part: Part, at_hand: AtHand
) -> str:
    if part.size <= INLINE_BYTES:
        content = await receive.read_part(session, envelope.envelope_id, part, at_hand)
        return await in_thread(folder.store_part, part, content)
    with folder.begin_part() as incoming:
        writer = PartWriter(incoming)
        await receive.receive_part(session, envelope.envelope_id, part, writer.take)
        receive.check_digest(part, await writer.finish())
        return await in_thread(folder.name_part, part, incoming)


class PartWriter:
    """Hashes and writes a large part in batches, off the event loop."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._digest = hashlib.sha256()
        self._batch: list[bytes] = []
        self._batch_bytes = 0

    async def take(self, data: bytes) -> None:
        """The next bytes."""
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= _BATCH_BYTES:
            await self._flush()

    async def finish(self) -> str:
        """The digest of all bytes, which are now in the file."""
        await self._flush()
        return self._digest.hexdigest()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        await in_thread(self._write, batch)

    def _write(self, batch: list[bytes]) -> None:
        for data in batch:
            self._digest.update(data)
            self._incoming.write(data)
