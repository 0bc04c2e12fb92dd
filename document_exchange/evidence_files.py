"""The files of a bundle as a verifier reads them: each bounded, and none believed to be there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from document_exchange import evidence
from document_exchange.errors import EvidenceRefused


class Bundle(Protocol):
    """A bundle of any origin: a zip, a folder, a message. Names are safe and different."""

    def names(self) -> Sequence[str]:
        """The path of every file."""
        ...

    def size(self, path: str) -> int:
        """Its size in bytes.

        Raises:
            EvidenceRefused: it can't be read.
        """
        ...

    def read(self, path: str) -> bytes:
        """All of a small file.

        Raises:
            EvidenceRefused: it can't be read.
        """
        ...

    def sha256(self, path: str) -> str:
        """The SHA-256 of a file of any size, in hex.

        Raises:
            EvidenceRefused: it can't be read.
        """
        ...


class BundleFiles:
    """Reads small files whole, and parts by their digest only, once each."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.names = frozenset(bundle.names())
        self._digests: dict[str, str] = {}

    def matching(self, wanted: str) -> list[str]:
        """The paths that begin with ``wanted``, sorted."""
        return sorted(path for path in self.names if path.startswith(wanted))

    def size(self, path: str) -> int:
        """Its size in bytes.

        Raises:
            EvidenceRefused: it is missing.
        """
        if path not in self.names:
            raise EvidenceRefused(f"{path} is missing", file=path)
        return self._bundle.size(path)

    def read(self, path: str) -> bytes:
        """All of a file that is not a part.

        Raises:
            EvidenceRefused: it is missing, or larger than such a file may be.
        """
        self.check_size(path)
        data = self._bundle.read(path)
        self._digests.setdefault(path, hashlib.sha256(data).hexdigest())
        return data

    def check_size(self, path: str) -> None:
        """Refuse a file that is missing or larger than such a file may be.

        Raises:
            EvidenceRefused
        """
        size, most = self.size(path), evidence.most_bytes(path)
        if most is not None and size > most:
            raise EvidenceRefused(f"{path} has {size} bytes; at most {most} are read", file=path)

    def sha256(self, path: str) -> str:
        """The SHA-256 of a file, in hex.

        Raises:
            EvidenceRefused: it is missing, or larger than such a file may be.
        """
        if path not in self._digests:
            self.check_size(path)
            self._digests[path] = self._bundle.sha256(path)
        return self._digests[path]
