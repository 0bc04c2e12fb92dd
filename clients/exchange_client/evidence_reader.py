"""Reading a bundle of evidence from a zip or a folder that an enemy may have made; offline.

Nothing is unpacked. A zip must be plain: no comment, nothing encrypted, no name twice, and laid out
so that all programs find the same in it (``evidence_layout``). The exchange writes entries as they
are; who packs a bundle anew may compress them, within bounds, so that no small file becomes a very
large one. Links are not followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from document_exchange import evidence, evidence_check
from document_exchange.errors import EvidenceRefused
from document_exchange.evidence import Step
from document_exchange.evidence_files import Bundle
from document_exchange.evidence_report import Finding, Report, Verdict
from document_exchange.manifest import MAX_RECIPIENTS
from exchange_client.evidence_layout import MOST_FILES, check_entries, find_directory

_READ_BYTES = 1024 * 1024
_MOST_INFLATED_BYTES = 1024 * 1024 * 1024
"""Of all compressed entries together; larger ones are read from a folder."""
_MOST_FOLDERS = MAX_RECIPIENTS + 100

_FLAGS = 0x2 | 0x4 | 0x800
"""How much was tried to deflate, and that names are UTF-8. No sizes that follow the data."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, struct.error)


def verify_evidence(
    path: str | os.PathLike[str], root_fingerprint: str, *, tsa_root_fingerprint: str | None = None
) -> Report:
    """Verify a bundle of evidence, step by step, without network, profile or clock.

    Args:
        path: a zip, or the folder that it was unpacked into.
        root_fingerprint: SHA-256 of the exchange's root, from somebody else than who brings the
            bundle; colons and capitals are allowed.
        tsa_root_fingerprint: of another time-stamping service's root, if it has stamps of one.

    Returns:
        Every finding; the evidence proves what it says if ``ok`` is true, and only then.

    Raises:
        InvalidRequest: a fingerprint is none.
        OSError: there is no such file or folder, or it can't be read.
    """
    try:
        with open_bundle(Path(path)) as bundle:
            return evidence_check.verify(
                bundle, root_fingerprint, tsa_root_fingerprint=tsa_root_fingerprint
            )
    except EvidenceRefused as error:
        found = Finding(Step.BUNDLE, ".", Verdict.FAILED, error.message, error.code)
        return Report((found,))


@contextlib.contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """The bundle at a path: a zip or a folder.

    Raises:
        EvidenceRefused: it is neither, or not in the plain form.
        OSError: it is not there.
    """
    if path.is_dir():
        yield FolderBundle(path)
        return
    with path.open("rb") as file:
        yield ZipBundle(file)


class ZipBundle:
    """A zip in the plain form."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read its directory; ``file`` must stay open.

        Raises:
            EvidenceRefused: it is no zip, or has what no bundle has.
        """
        size = file.seek(0, os.SEEK_END)
        directory = find_directory(file)
        with _damage("the zip"):
            self._zip = zipfile.ZipFile(file)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            _check_entry(entry)
            if not 0 <= entry.header_offset < size:
                raise EvidenceRefused(f"the zip is damaged: {entry.filename} lies outside of it")
            if entry.filename in self._entries:
                raise EvidenceRefused(f"the zip has {entry.filename!r} twice")
            self._entries[entry.filename] = entry
        if sum(entry.compress_size for entry in self._entries.values()) > size:
            raise EvidenceRefused("the zip claims to hold more bytes than it has")
        inflated = sum(
            entry.file_size
            for entry in self._entries.values()
            if entry.compress_type != zipfile.ZIP_STORED
        )
        if inflated > _MOST_INFLATED_BYTES:
            raise EvidenceRefused(
                f"the zip holds {inflated} bytes compressed: unpack it, and give the folder"
            )
        check_entries(file, directory)

    def names(self) -> Sequence[str]:
        return list(self._entries)

    def size(self, path: str) -> int:
        return self._entries[path].file_size

    def read(self, path: str) -> bytes:
        # Never more than was said: read() alone would inflate all that there is.
        with _damage(path), self._zip.open(self._entries[path]) as file:
            return file.read(self._entries[path].file_size + 1)

    def sha256(self, path: str) -> str:
        with _damage(path), self._zip.open(self._entries[path]) as file:
            return _sha256(file)


class FolderBundle:
    """The folder that a bundle was unpacked into."""

    def __init__(self, root: Path) -> None:
        """List it.

        Raises:
            EvidenceRefused: it holds links or other special files, or more than any bundle.
        """
        self._root = root
        self._sizes: dict[str, int] = {}
        waiting, seen = [""], 0
        while waiting:
            prefix = waiting.pop()
            seen += 1
            if seen > _MOST_FOLDERS:
                raise EvidenceRefused(f"the folder has more than {_MOST_FOLDERS} folders in it")
            with os.scandir(root / prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/")
                    elif entry.is_file(follow_symlinks=False):
                        self._add(path, entry.stat(follow_symlinks=False).st_size)
                    else:
                        raise EvidenceRefused(f"{path!r} is a link or no regular file")

    def _add(self, path: str, size: int) -> None:
        if len(self._sizes) >= MOST_FILES:
            raise EvidenceRefused(f"the folder has more than {MOST_FILES} files")
        self._sizes[path] = size

    def names(self) -> Sequence[str]:
        return list(self._sizes)

    def size(self, path: str) -> int:
        return self._sizes[path]

    def read(self, path: str) -> bytes:
        with self._open(path) as file:
            return file.read(self._sizes[path] + 1)

    def sha256(self, path: str) -> str:
        with self._open(path) as file:
            return _sha256(file)

    def _open(self, path: str) -> IO[bytes]:
        # It may have been exchanged since it was listed.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(self._root / path, flags), "rb")
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size != self._sizes[path]:
            file.close()
            raise EvidenceRefused(f"{path} was changed while it was read", file=path)
        return file


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Only a plain file under a plain name, as it is or deflated."""
    mode = entry.external_attr >> 16
    if entry.orig_filename != entry.filename or not evidence.is_known(entry.filename):
        raise EvidenceRefused(f"no bundle has a file named {entry.orig_filename[:200]!r}")
    if entry.flag_bits & 0x1:
        raise EvidenceRefused(f"{entry.filename} is encrypted", file=entry.filename)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise EvidenceRefused(f"{entry.filename} is no regular file", file=entry.filename)
    stored = entry.compress_type == zipfile.ZIP_STORED
    if (not stored and entry.compress_type != zipfile.ZIP_DEFLATED) or (
        stored and entry.file_size != entry.compress_size
    ):
        raise EvidenceRefused(
            f"{entry.filename} is compressed in an unusual way: unpack it, and give the folder",
            file=entry.filename,
        )
    if entry.flag_bits & ~_FLAGS:
        raise EvidenceRefused(
            f"{entry.filename} was written in an unusual way: unpack it, and give the folder",
            file=entry.filename,
        )


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise EvidenceRefused(f"{what} is damaged: {error}") from error


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest()
