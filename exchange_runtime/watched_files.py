"""Files that belong together and are replaced while a process runs, such as a certificate and key.

Looking costs one ``stat`` for each file. As ``git`` does with its index, a file that was changed
a moment ago is read again at the next look even though it seems the same: within one tick of the
file system's clock it may have been written twice.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""Coarser than the time stamps of any file system in use."""

_Stamp = tuple[int, int, int, int]


class WatchedFiles:
    """Gives the contents of some files whenever they have become others. Not for several threads.

    Time stamps alone would miss a file moved into place with an old one, hence the inode; and one
    copied with its old time, hence the change of the inode, which nobody can set.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self._seen: tuple[_Stamp, ...] = ()
        self._digest = b""

    def changed(self) -> tuple[bytes, ...] | None:
        """The contents, in the order of the paths; None if they are those given last.

        None as well while one of them is being written: the next look finds it.

        Raises:
            OSError: one of them can't be read.
        """
        before = self._stamps()
        if before == self._seen:
            return None
        contents = tuple(path.read_bytes() for path in self.paths)
        if self._stamps() != before:
            return None
        newest = max((max(stamp[0], stamp[1]) for stamp in before), default=0)
        if abs(time.time_ns() - newest) > _SETTLED_NS:
            self._seen = before
        digest = hashlib.sha256(
            b"".join(hashlib.sha256(content).digest() for content in contents)
        ).digest()
        if digest == self._digest:
            return None
        # Not the contents: there are private keys among them.
        self._digest = digest
        return contents

    def forget(self) -> None:
        """Give the contents again at the next look: what was given could not be used yet."""
        self._seen, self._digest = (), b""

    def _stamps(self) -> tuple[_Stamp, ...]:
        found = [path.stat() for path in self.paths]
        return tuple((s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_size) for s in found)
