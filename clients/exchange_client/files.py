"""Writing what others sent into a directory, so that no name and no link can do harm.

The names that documents carry are for display only (OWASP ASVS, chapter on files): what is
written gets a name of our own choice, made from the display name by ``safe_name``. A file is
written under a temporary name in the same directory, brought to disk, and only then given its
name, in a way that never replaces what is there. All steps go through directory handles that
do not follow symbolic links, so nothing lands outside, whatever the directory already contains.

POSIX only: it relies on ``openat`` and ``linkat``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from document_exchange.errors import ConfigurationError

MAX_NAME_BYTES = 200
_MAX_EXTENSION_BYTES = 32
_READ_BYTES = 1024 * 1024
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_UNSAFE = re.compile(r'(?:[\x00/\\:*?"<>|]|\.{2,})+')
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])", re.IGNORECASE)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def safe_name(display: str) -> str:
    """A file name made from a display name: harmless on POSIX and Windows, never empty.

    Control characters, bidi controls, path separators, ``..``, drive letters and other
    characters with a meaning become ``_``; no leading dot or dash; no name that Windows
    reserves; at most 200 bytes of UTF-8, cut before the extension.
    """
    text = unicodedata.normalize("NFC", display)
    text = "".join("\0" if unicodedata.category(c) in _UNSAFE_CATEGORIES else c for c in text)
    name = _UNSAFE.sub("_", text).strip(". ")
    if name.startswith("-"):
        name = "_" + name[1:]
    if _RESERVED.fullmatch(name.partition(".")[0].rstrip(" ")):
        name = "_" + name
    return _shortened(name) or "part"


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension


def numbered(name: str) -> Iterator[str]:
    """``name``, then ``name (2)``, ``name (3)``, ... with the extension kept at the end."""
    yield name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    for number in range(2, 10_000):
        yield f"{stem} ({number}){dot}{extension}"


def _open_made(path: Path) -> int:
    """A handle of a directory, made with all that is missing above it.

    Each name is on disk before anything is made below it, so of what an earlier call left behind
    when it was cut off, only the lowest can still lack that. It is brought to disk here.
    """
    try:
        handle = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        above = _open_made(path.parent)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path.name, dir_fd=above)
            os.fsync(above)
            return os.open(path.name, _DIRECTORY, dir_fd=above)
        finally:
            os.close(above)
    try:
        _sync_above(handle)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sync_above(handle: int) -> None:
    """Bring the name of an open directory to disk."""
    try:
        above = os.open("..", _DIRECTORY, dir_fd=handle)
        try:
            os.fsync(above)
        finally:
            os.close(above)
    except OSError as error:
        # We may not list it, or its file system (an automounter's) can't sync a single directory.
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise
        os.sync()


class NameTaken(ConfigurationError):
    """Something that is no directory, or may not be opened, has the name of one document's."""

    code = ConfigurationError.code


class Folder:
    """An open directory. What is in it is reached through the handle alone. A context manager."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self.path = path
        self._taken: set[str] = set()

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open a directory of the caller's choice (which may be a link), made if it is missing.

        When this returns, the directory and all that had to be made above it are durable.
        """
        return cls(_open_made(path), path)

    @classmethod
    def existing(cls, path: Path) -> Folder:
        """Open a directory of the caller's choice (which may be a link) that is there already."""
        return cls(os.open(path, _DIRECTORY), path)

    def folder(self, name: str) -> Folder:
        """Open the directory ``name`` in this one, made if it is missing; its name is durable then.

        Raises:
            NameTaken: by a symbolic link, by something else, or by what may not be opened.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._handle)
        # Also if it was there: whoever made it may have been cut off before this.
        os.fsync(self._handle)
        return self.inner(name)

    def inner(self, name: str) -> Folder:
        """Open the directory ``name`` in this one, which is there already.

        Raises:
            FileNotFoundError: it is not.
            NameTaken: by a symbolic link, by something else, or by what may not be opened.
        """
        try:
            handle = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._handle)
            return Folder(handle, self.path / name)
        except OSError as error:
            path = str(self.path / name)
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise NameTaken(
                    f"{path} is no directory (a link is not followed): move it away", path=path
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise NameTaken(f"{path} may not be opened: {error.strerror}", path=path) from error
            raise

    def names(self) -> list[str]:
        """The names in it, sorted, without the hidden ones."""
        listed = os.listdir(self._handle)  # noqa: PTH208 - by handle
        return sorted(name for name in listed if not name.startswith("."))

    def read(self, name: str, max_bytes: int) -> bytes:
        """The bytes of the small regular file ``name``.

        Raises:
            FileNotFoundError: it is not there.
            ConfigurationError: it is a symbolic link, no regular file, or larger.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        path = str(self.path / name)
        try:
            handle = os.open(name, flags, dir_fd=self._handle)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise ConfigurationError(f"{path} is no regular file", path=path) from error
            raise
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ConfigurationError(f"{path} is no regular file", path=path)
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ConfigurationError(f"{path} has more than {max_bytes} bytes", path=path)
        return content

    def holds(self, name: str, size_bytes: int, sha256: str) -> bool | None:
        """Whether the regular file ``name`` has this size and digest; None if it is not there."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(name, flags, dir_fd=self._handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES):
                return False
            raise
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
                return False
            digest = hashlib.sha256()
            while block := os.read(handle, _READ_BYTES):
                digest.update(block)
            return digest.hexdigest() == sha256
        finally:
            os.close(handle)

    def find(self, name: str, size_bytes: int, sha256: str) -> str | None:
        """The name under which these bytes are already here, or None.

        Looks where ``store`` would have put them: at ``name`` and its numbered forms, up to the
        first that is free. A name is given out once only by a Folder, since two parts of one
        document may be equal.
        """
        for candidate in numbered(name):
            if candidate.casefold() in self._taken:
                continue
            found = self.holds(candidate, size_bytes, sha256)
            if found:
                self._taken.add(candidate.casefold())
                return candidate
            if found is None:
                return None
        return None

    def create(self) -> Incoming:
        """Begin a file that gets its name later."""
        return Incoming(self._handle, self.path)

    def store(self, name: str, content: bytes) -> str:
        """Write a small file unless it is there already; returns the name that it has."""
        found = self.find(name, len(content), hashlib.sha256(content).hexdigest())
        if found is not None:
            return found
        with self.create() as incoming:
            incoming.write(content)
            return self.name(incoming, name)

    def name(self, incoming: Incoming, name: str) -> str:
        """Give a finished file its name, or the first numbered form of it that is free."""
        free = (form for form in numbered(name) if form.casefold() not in self._taken)
        given = incoming.finish(free)
        self._taken.add(given.casefold())
        return given

    def remove(self, name: str) -> None:
        """Remove the file (or link) ``name``, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._handle)

    def sync(self) -> None:
        """Bring the names in this directory to disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Give the handle back."""
        os.close(self._handle)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Incoming:
    """A file under a temporary name. A context manager: what was not finished is removed."""

    def __init__(self, folder: int, path: Path) -> None:
        self._folder = folder
        self._here = {"src_dir_fd": folder, "dst_dir_fd": folder}
        self._path = path
        self._name = f".incoming-{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(self._name, flags, 0o600, dir_fd=folder)

    def write(self, content: bytes) -> None:
        """Append bytes."""
        left = memoryview(content)
        while left:
            left = left[os.write(self._handle, left) :]

    def open(self) -> IO[bytes]:
        """Its bytes from the first, to be read and written; MUST be closed before it is named."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        return os.fdopen(self._handle, "r+b", closefd=False)

    def replace(self, name: str) -> None:
        """Bring the bytes to disk, then take ``name``, from whatever file has it.

        The caller must sync the folder afterwards for the name to be durable.

        Raises:
            IsADirectoryError: a directory has it.
        """
        os.fsync(self._handle)
        os.rename(self._name, name, **self._here)  # noqa: PTH104 - by handle

    def finish(self, names: Iterable[str]) -> str:
        """Bring the bytes to disk, then take the first of ``names`` that is free.

        The caller must sync the folder afterwards for the name to be durable.

        Raises:
            FileExistsError: none of them is free.
        """
        os.fsync(self._handle)
        for name in names:
            with contextlib.suppress(FileExistsError):
                self._link(name)
                return name
        raise FileExistsError(errno.EEXIST, "no free name", str(self._path))

    def _link(self, name: str) -> None:
        try:
            os.link(self._name, name, follow_symlinks=False, **self._here)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # File systems without hard links: reserve the name, then replace what we reserved.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o600, dir_fd=self._folder))
            os.rename(self._name, name, **self._here)  # noqa: PTH104 - by handle

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)
