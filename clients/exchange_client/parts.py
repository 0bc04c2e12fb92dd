"""The parts that go out: where their bytes come from, what they are called, their digests.

Nothing is loaded whole: a part above ``INLINE_BYTES`` is read twice, once for its digest and once
while it is sent. Smaller ones are read once and kept, without a thread: that would cost more than
the reading.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from document_exchange.errors import InvalidRequest, PartRefused
from document_exchange.manifest import Part, PartRole
from exchange_client.choices import chosen, one_or_more
from exchange_client.threads import in_thread
from exchange_client.timing import CHUNK_BYTES

INLINE_BYTES = 1024 * 1024
_BLOCK_BYTES = 4 * CHUNK_BYTES
"""What one visit to a thread reads of a large file."""
_MAX_DISPLAY_NAME = 1024

_MEDIA_TYPES = mimetypes.MimeTypes()
_MEDIA_TYPES.add_type("application/ofd", ".ofd")  # GB/T 33190; not in Python's own table
_DEFAULT_MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class PartSource:
    """One file to send, with what is to be said about it.

    ``content`` is a path or the bytes themselves. ``role`` defaults to BODY for the first file of
    a document and ATTACHMENT for the others; ``filename`` to the path's own name; ``media_type``
    to what the file name's ending says.
    """

    content: str | os.PathLike[str] | bytes
    role: PartRole | str | None = None
    filename: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class OutgoingPart:
    """A part as the manifest describes it, and its bytes or the file that has them."""

    part: Part
    content: bytes | Path
    version: tuple[int, int, int] | None = None
    """Inode, size and time of change of the file when its digest was taken."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in chunks for the wire.

        Raises:
            PartRefused: the file changed after its digest was taken.
        """
        if isinstance(self.content, bytes):
            for chunk in _cut(self.content):
                yield chunk
            return
        file = await in_thread(_open, self.content)
        try:
            if _version(file) != self.version:
                raise PartRefused(
                    f"{self.content} changed while it was being sent: send it again",
                    part=self.part.part_id,
                )
            while block := await in_thread(file.read, _BLOCK_BYTES):
                for chunk in _cut(block):
                    yield chunk
        finally:
            file.close()


Source = str | os.PathLike[str] | PartSource


async def prepare(
    sources: Source | Iterable[Source],
) -> tuple[OutgoingPart, ...]:
    """Describe each source, or the one: part ids ``part-1``, ``part-2``, ... in the given order.

    Raises:
        InvalidRequest: a file is missing, unreadable or no regular file, or a role is unknown.
    """
    several: tuple[Source, ...] = one_or_more(sources, (str, os.PathLike, PartSource), "files")
    given = [each if isinstance(each, PartSource) else PartSource(each) for each in several]
    roles = _roles(given)
    return tuple(
        [
            await _prepared(f"part-{place}", source, role)
            for place, (source, role) in enumerate(zip(given, roles, strict=True), start=1)
        ]
    )


def match(described: Sequence[Part], outgoing: Sequence[OutgoingPart]) -> tuple[OutgoingPart, ...]:
    """The given bytes under the descriptions of an existing manifest, in its order.

    Raises:
        InvalidRequest: they are not the bytes that it describes.
    """
    if len(described) != len(outgoing):
        raise InvalidRequest(
            f"the manifest lists {len(described)} parts, {len(outgoing)} were given", field="files"
        )
    for part, given in zip(described, outgoing, strict=True):
        if (part.size, part.sha256) != (given.part.size, given.part.sha256):
            raise InvalidRequest(
                f"the file given for {part.part_id} is not the one that the manifest describes",
                field="files",
                part=part.part_id,
            )
    return tuple(replace(given, part=part) for part, given in zip(described, outgoing, strict=True))


def _roles(sources: Sequence[PartSource]) -> list[PartRole]:
    """The first without a role is the BODY, unless another one says that it is."""
    given = [
        None if source.role is None else chosen(PartRole, source.role, "role") for source in sources
    ]
    if PartRole.BODY not in given and None in given:
        given[given.index(None)] = PartRole.BODY
    return [PartRole.ATTACHMENT if role is None else role for role in given]


async def _prepared(part_id: str, source: PartSource, role: PartRole) -> OutgoingPart:
    version = None
    content: bytes | Path
    if isinstance(source.content, bytes):
        content, size = source.content, len(source.content)
        filename = source.filename or part_id
        sha256 = await _digest(content)
    else:
        path = Path(source.content)
        filename = source.filename or _display_name(path)
        with _open(path) as file:
            version = _version(file)
            size = version[1]
            if size <= INLINE_BYTES:
                content = file.read()
                size, version = len(content), None
                sha256 = hashlib.sha256(content).hexdigest()
            else:
                content = path
                sha256 = await in_thread(_digest_of_file, file, size, path)
    part = Part(
        part_id=part_id,
        role=role,
        filename=filename,
        media_type=source.media_type or media_type_of(filename),
        size=size,
        sha256=sha256,
    )
    return OutgoingPart(part, content, version)


def media_type_of(filename: str) -> str:
    """The media type that the ending of a file name stands for."""
    ending = os.path.splitext(filename)[1]  # noqa: PTH122 - a display name is no path
    return _MEDIA_TYPES.guess_type("x" + ending)[0] or _DEFAULT_MEDIA_TYPE


def _display_name(path: Path) -> str:
    """The name of a file as text, even if the file system holds bytes that are none."""
    return path.name.encode(errors="replace").decode()[:_MAX_DISPLAY_NAME]


def _open(path: Path) -> BufferedReader:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise InvalidRequest(f"{path} is not a regular file", field="files", value=str(path))
        return os.fdopen(handle, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRequest(f"{path}: {reason}", field="files", value=str(path)) from error


def _version(file: BufferedReader) -> tuple[int, int, int]:
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


async def _digest(content: bytes) -> str:
    if len(content) <= INLINE_BYTES:
        return hashlib.sha256(content).hexdigest()
    digest = await in_thread(hashlib.sha256, content)
    return digest.hexdigest()


def _digest_of_file(file: BufferedReader, size: int, path: Path) -> str:
    digest = hashlib.file_digest(file, "sha256")
    if file.tell() != size:
        raise PartRefused(f"{path} changed while it was being read: send it again")
    return digest.hexdigest()


def _cut(content: bytes) -> Iterator[bytes]:
    if len(content) <= CHUNK_BYTES:
        if content:
            yield content
        return
    view = memoryview(content)
    for start in range(0, len(content), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])
