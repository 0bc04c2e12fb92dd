"""Bringing the evidence about an envelope to disk: one zip, verified before it gets its name.

The same evidence gives the same bytes: paths sorted, one date, nothing compressed.
"""

from __future__ import annotations

import contextlib
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from document_exchange import evidence, evidence_check
from document_exchange import manifest as manifests
from document_exchange.errors import ExchangeError, LimitExceeded, VerificationFailed
from document_exchange.evidence import Content
from document_exchange.evidence_report import Report
from document_exchange.manifest import Manifest, Part
from document_exchange.v1 import evidence_pb2
from exchange_client import receive
from exchange_client.evidence_reader import ZipBundle
from exchange_client.files import Folder, Incoming
from exchange_client.retry import with_retries
from exchange_client.session import Session
from exchange_client.threads import in_thread

_OLDEST = (1980, 1, 1, 0, 0, 0)
_FIRST_64 = 2**31
"""Entries of this size on are written in ZIP64; fixed, so that no version of Python decides it."""
_LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes in all files but the parts; it decides about the deadline only."""


@dataclass(frozen=True, slots=True)
class SavedEvidence:
    """Evidence on disk, and what verifying it found."""

    path: Path
    report: Report


async def save(
    session: Session, envelope_id: str, recipients: Sequence[str], content: Content, to: Path
) -> SavedEvidence:
    """Get the evidence about an envelope and write it to ``to``, replacing what is there.

    1. The files come from the centre, which are bounded, known and in order; then the parts.
    2. They go into a zip under a temporary name beside ``to``.
    3. The zip is verified as any verifier does it, under the profile's root, and is about what was
       asked for.
    4. It MUST be durable before it gets its name; whatever fails before leaves nothing behind.

    Raises:
        NotFound: there is no such envelope that the own unit may see, or no such recipient.
        LimitExceeded: too many files for one bundle, or too many recipients named: ask for fewer at
            a time; or too many different bundles about this envelope today.
        StateConflict: the document was withdrawn from the own unit: ask without content.
        Unavailable: no answer within the budget.
        VerificationFailed: what the centre sent does not prove what it says.
        OSError: it can't be written.
    """
    if len(recipients) > evidence.MAX_CHOSEN_RECIPIENTS:
        raise LimitExceeded(
            f"{len(recipients)} recipients are named, and evidence is about all of them or about "
            f"{evidence.MAX_CHOSEN_RECIPIENTS} at most: name fewer, or none for all",
            field="recipients",
            limit=str(evidence.MAX_CHOSEN_RECIPIENTS),
        )
    with tempfile.TemporaryFile() as spool_file, _beside(to) as (folder, incoming):
        request = evidence_pb2.GetEvidenceRequest(
            envelope_id=envelope_id,
            recipients=recipients,
            without_content=content is Content.DIGESTS,
        )
        # 1. What the centre has to say.
        spool = await with_retries(
            lambda: _spooled(session, request, spool_file), session.timing.retry_budget_s
        )
        # 2. With the parts into one file.
        with incoming.open() as file:
            await _write(session, spool, envelope_id, content, file)
        # 3. As any verifier does it.
        with incoming.open() as file:
            report = await in_thread(_verified, file, session.profile.root_fingerprint)
        _check_asked(report, envelope_id, recipients, content)
        # 4. Durable, then named.
        await in_thread(_name, folder, incoming, to)
    return SavedEvidence(to, report)


@dataclass(slots=True)
class _Spool:
    """The small files, one after the other in a file without a name."""

    file: IO[bytes]
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Offset and size by path."""
    total: int = 0

    def append(self, path: str, data: bytes) -> None:
        """The next bytes of a file; files come in the order of their paths."""
        if path not in self.places:
            if self.places and path <= next(reversed(self.places)):
                raise _misleading(f"{path!r} came out of order")
            if not evidence.is_known(path) or evidence.is_part(path):
                raise _misleading(f"{path!r} is no file of evidence")
            if len(self.places) >= evidence.MAX_FILES + len(evidence.NOT_INDEXED):
                raise _misleading("there are more files than a bundle has")
            self.places[path] = (self.total, 0)
        elif path != next(reversed(self.places)):
            raise _misleading(f"{path!r} came out of order")
        start, size = self.places[path]
        most = evidence.most_bytes(path) or 0
        if size + len(data) > most:
            raise _misleading(f"{path} has more than {most} bytes")
        self.file.write(data)
        self.places[path] = (start, size + len(data))
        self.total += len(data)

    def read(self, path: str) -> bytes:
        """All of a file."""
        if path not in self.places:
            raise _misleading(f"{path} is missing")
        start, size = self.places[path]
        self.file.seek(start)
        return self.file.read(size)


async def _spooled(
    session: Session, request: evidence_pb2.GetEvidenceRequest, file: IO[bytes]
) -> _Spool:
    file.seek(0)
    file.truncate()
    spool = _Spool(file)
    messages = session.connection.stream(
        session.connection.evidence.GetEvidence,
        request,
        deadline_s=session.timing.transfer_deadline_s(_LARGEST_ANSWER),
    )
    async with aclosing(messages):
        async for message in messages:
            await in_thread(spool.append, message.path, message.data)
    return spool


async def _write(
    session: Session, spool: _Spool, envelope_id: str, content: Content, file: IO[bytes]
) -> None:
    """One zip of all files, in the order of their paths."""
    parts = _parts(spool) if content is Content.PARTS else {}
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for path in sorted([*spool.places, *parts]):
            if path in parts:
                await _write_part(session, archive, envelope_id, path, parts[path])
            else:
                await in_thread(_write_small, archive, path, spool)


def _parts(spool: _Spool) -> dict[str, Part]:
    try:
        manifest: Manifest = manifests.decode(spool.read(evidence.MANIFEST))
    except ExchangeError as error:
        raise VerificationFailed(error.message, step="manifest", code=error.code) from error
    return {evidence.part_path(number, part): part for number, part in enumerate(manifest.parts, 1)}


def _entry(path: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _OLDEST)
    entry.create_system = 3  # Unix, whatever this is written on
    mode = 0o755 if path == evidence.VERIFY_SCRIPT else 0o644
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.file_size = size
    return entry


def _opened(archive: zipfile.ZipFile, path: str, size: int) -> IO[bytes]:
    return archive.open(_entry(path, size), "w", force_zip64=size >= _FIRST_64)


def _write_small(archive: zipfile.ZipFile, path: str, spool: _Spool) -> None:
    data = spool.read(path)
    with _opened(archive, path, len(data)) as file:
        file.write(data)


async def _write_part(
    session: Session, archive: zipfile.ZipFile, envelope_id: str, path: str, part: Part
) -> None:
    """Straight into the zip; that size and digest are right is verified with all the rest."""
    with _opened(archive, path, part.size) as file:
        written: Callable[[bytes], int] = file.write

        async def take(data: bytes) -> None:
            await in_thread(written, data)

        await receive.receive_part(session, envelope_id, part, take)


def _verified(file: IO[bytes], root_fingerprint: str) -> Report:
    return evidence_check.verify(ZipBundle(file), root_fingerprint)


def _check_asked(
    report: Report, envelope_id: str, recipients: Sequence[str], content: Content
) -> None:
    failed = report.first_failure
    if failed is not None or not report.ok or report.index is None:
        found = failed or report.findings[-1]
        raise VerificationFailed(
            f"the evidence that the centre sent does not verify: {found.subject}: {found.detail}",
            step=found.step.value,
            code=found.code,
            subject=found.subject,
        )
    index = report.index
    about = (index.envelope_id, index.content)
    if about != (envelope_id, content) or (
        recipients and index.recipients != tuple(sorted(set(recipients)))
    ):
        raise _misleading("the evidence is about something else than was asked for")


def _misleading(why: str) -> VerificationFailed:
    return VerificationFailed(f"the evidence that the centre sent: {why}", step="bundle")


@contextlib.contextmanager
def _beside(to: Path) -> Iterator[tuple[Folder, Incoming]]:
    """The folder of ``to``, and a new file in it that has no name yet."""
    with contextlib.ExitStack() as stack:
        with _naming(to):
            folder = stack.enter_context(Folder.existing(to.parent))
            incoming = stack.enter_context(folder.create())
        yield folder, incoming


def _name(folder: Folder, incoming: Incoming, to: Path) -> None:
    with _naming(to):
        incoming.replace(to.name)
        folder.sync()


@contextlib.contextmanager
def _naming(to: Path) -> Iterator[None]:
    """Say of an error what could not be written, rather than how it is called meanwhile."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(to)) from error
