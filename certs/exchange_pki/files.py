"""Files that appear whole or not at all, and private ones that nobody else can ever open."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from document_exchange.errors import ConfigurationError

PRIVATE = 0o600
PUBLIC = 0o644
PRIVATE_DIRECTORY = 0o700

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: Path, data: bytes, *, mode: int, replace: bool = False) -> None:
    """Make ``path`` hold ``data``, durably. Afterwards it is there whole, or not at all.

    The bytes go into a new file beside it, which never has a wider mode than ``mode``: a umask can
    take bits away, it adds none. Then it gets its name.

    Raises:
        ConfigurationError: something of that name is there and ``replace`` is false, or the
            directory can't be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        try:
            _write_new(temporary, data, mode)
            if replace:
                temporary.replace(path)
            else:
                path.hardlink_to(temporary)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} is there already; nothing is overwritten", path=str(path)
        ) from error
    except OSError as error:
        raise ConfigurationError(f"can't write {path}: {error.strerror}", path=str(path)) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, _CREATE, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def make_directory(path: Path) -> None:
    """Make ``path`` and what is missing above it, open to the owner only (0700).

    A directory that exists is left as it is.

    Raises:
        ConfigurationError: it can't be made.
    """
    if path.is_dir():
        return
    try:
        if not path.parent.exists():
            make_directory(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(PRIVATE_DIRECTORY)
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"can't make the directory {path}: {error.strerror}", path=str(path)
        ) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: new files, renames, removals."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, *, limit: int) -> bytes:
    """The bytes of a file, at most ``limit`` of them.

    Raises:
        ConfigurationError: it can't be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"can't read {path}: {error.strerror}", path=str(path)) from error
    if len(data) > limit:
        raise ConfigurationError(
            f"{path} is larger than {limit} bytes: it is not the right file", path=str(path)
        )
    return data


def others_may_open(path: Path) -> bool:
    """Whether anyone but the owner has any right on the file."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
