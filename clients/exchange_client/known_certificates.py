"""Which certificates of its unit a profile knows: what it asked for, and what it was told of.

One line for each in a file beside profile.toml, only ever added to, so that several processes may
share it. Losing it costs alerts, nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

FILE = "known-certificates"

_BEGUN = "begun"
_REVOKED = "revoked:"


class KnownCertificates:
    """The fingerprints that a profile knows. ``directory`` None: for as long as the object lives.

    Every question reads the file again, since another process may have added to it.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / FILE if directory is not None else None
        self._lines: set[str] = set()

    def add(self, *fingerprints: str) -> None:
        """These were issued, as this profile knows."""
        self._write(fingerprints)

    def add_revoked(self, *fingerprints: str) -> None:
        """These were revoked, as this profile knows."""
        self._write(_REVOKED + each for each in fingerprints)

    def begin(self) -> None:
        """What there was before anybody looked is known now."""
        self._write([_BEGUN])

    def has_begun(self) -> bool:
        """Whether what there was at the beginning is known."""
        return _BEGUN in self._read()

    def knows(self, fingerprint: str) -> bool:
        """Whether this profile knows that it was issued."""
        return fingerprint in self._read()

    def knows_revoked(self, fingerprint: str) -> bool:
        """Whether this profile knows that it was revoked."""
        return _REVOKED + fingerprint in self._read()

    def _write(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        self._lines.update(text.split())
        if self._path is None:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags, 0o600), "wb") as file:
            file.write(text.encode())

    def _read(self) -> set[str]:
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._lines.update(self._path.read_text(encoding="ascii").split())
        return self._lines
