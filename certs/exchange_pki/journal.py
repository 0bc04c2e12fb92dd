"""The authority's journal: intent, act, outcome of everything it does, one JSON line each.

An intent is on the disk before a key is used, and an outcome before anyone sees what was made. So
a power cut leaves an intent without outcome, never a certificate without a trace. A line counts
only when it is whole: what a power cut tore is set aside in a file of its own and never lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from document_exchange.errors import ConfigurationError
from exchange_pki import files

SCHEMA: Literal["document-exchange/authority-journal/1"] = "document-exchange/authority-journal/1"


class _Entry(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="entry",
):
    """What every line has: ``at`` is the authority's clock, ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""

    at: str


class Founded(_Entry, frozen=True, kw_only=True, tag="FOUNDED"):
    """The authority came to be; always the first line."""

    schema: Literal["document-exchange/authority-journal/1"]
    trust_domain: str


class IssueIntent(_Entry, frozen=True, kw_only=True, tag="ISSUE_INTENT"):
    """A linted certificate is about to be signed."""

    operation: str
    issuer: str
    profile: str
    identity: str
    role: str | None = None
    serial: str
    key_sha256: str
    tbs_sha256: str


class EventRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event of an outcome, made once: publishing it again gives the same bytes and leaf."""

    event_id: str
    salt: bytes
    event: bytes


class Issued(_Entry, frozen=True, kw_only=True, tag="ISSUED"):
    """The certificate that an intent announced was signed. Authorities' own have no event."""

    operation: str
    certificate: bytes
    event: EventRecord | None = None


class RevokeIntent(_Entry, frozen=True, kw_only=True, tag="REVOKE_INTENT"):
    """A certificate is about to be revoked."""

    operation: str
    serial: str
    reason: str


class Revoked(_Entry, frozen=True, kw_only=True, tag="REVOKED"):
    """It was revoked as of ``at``. No event if the ledger never hears of the certificate."""

    operation: str
    event: EventRecord | None = None


class CrlIntent(_Entry, frozen=True, kw_only=True, tag="CRL_INTENT"):
    """A list of revoked certificates is about to be signed."""

    operation: str
    issuer: str
    number: int
    revoked: int


class CrlIssued(_Entry, frozen=True, kw_only=True, tag="CRL_ISSUED"):
    """It was signed and lies in ``crl/<issuer>-<number>.crl``."""

    operation: str
    sha256: str


class Failed(_Entry, frozen=True, kw_only=True, tag="FAILED"):
    """An announced act ended with an error; nothing that it made left the process."""

    operation: str
    error: str


Entry = Founded | IssueIntent | Issued | RevokeIntent | Revoked | CrlIntent | CrlIssued | Failed


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line: ``n`` counts from 1, so that a line taken out of the middle is missed."""

    n: int
    record: Entry


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Line)


class Journal:
    """One journal file, read from where the last reading stopped, appended under a lock.

    Several processes may have it open. Not for several threads at once.
    """

    def __init__(self, path: Path, torn_path: Path) -> None:
        self._path = path
        self._torn_path = torn_path
        self._offset = 0
        self._lines = 0
        self._locked: int | None = None

    @classmethod
    def create(cls, path: Path, torn_path: Path, first: Founded) -> Journal:
        """A new journal with its first entry, durable; only its owner may read it.

        Raises:
            ConfigurationError: there is one already, or it can't be written.
        """
        files.write(path, _encoded([first], after=0), mode=files.PRIVATE)
        return cls(path, torn_path)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[Sequence[Entry]]:
        """Hold the journal alone; gives the entries that are new since it was last read.

        A torn last line, which no act can have followed, is set aside.

        Raises:
            ConfigurationError: it can't be opened, is damaged other than at its end, or its torn
                end can't be set aside; the new entries come again with the next reading.
        """
        with self._lock(os.O_RDWR | os.O_APPEND, fcntl.LOCK_EX) as descriptor:
            before = self._offset, self._lines
            entries, torn = self._read(descriptor)
            if torn:
                try:
                    self._set_aside(descriptor, torn)
                except OSError as error:
                    self._offset, self._lines = before
                    raise ConfigurationError(
                        f"can't set aside the torn end of the journal in {self._torn_path}: "
                        f"{error.strerror}",
                        path=str(self._torn_path),
                    ) from error
            self._locked = descriptor
            try:
                yield entries
            finally:
                self._locked = None

    def read(self) -> tuple[Sequence[Entry], bytes]:
        """The entries that are new since it was last read, and the torn end (or b"").

        Waits for a process that is writing, so what is unfinished then was never finished.

        Raises:
            ConfigurationError: it can't be opened, or is damaged other than at its end.
        """
        with self._lock(os.O_RDONLY, fcntl.LOCK_SH) as descriptor:
            return self._read(descriptor)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries, within ``exclusive``. When this returns they MUST be durable.

        Raises:
            ConfigurationError: the disk is full or failing; nothing may be done then.
        """
        if self._locked is None:
            raise RuntimeError("Journal.append is allowed within Journal.exclusive only")
        data = _encoded(entries, after=self._lines)
        try:
            _write_all(self._locked, data)
            os.fsync(self._locked)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._locked, self._offset)
            raise ConfigurationError(
                f"can't write the journal {self._path}: {error.strerror}", path=str(self._path)
            ) from error
        self._offset += len(data)
        self._lines += len(entries)

    @contextlib.contextmanager
    def _lock(self, flags: int, kind: int) -> Iterator[int]:
        try:
            descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise ConfigurationError(
                f"there is no authority here, {self._path} can't be opened: {error.strerror}",
                path=str(self._path),
            ) from error
        try:
            fcntl.flock(descriptor, kind)
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> tuple[Sequence[Entry], bytes]:
        """Whole new lines, and what follows the last of them. All count as read, or none."""
        data = _read_from(descriptor, self._offset)
        lines = data.split(b"\n")
        torn = lines.pop()
        entries: list[Entry] = []
        for number, line in enumerate(lines, self._lines + 1):
            try:
                decoded = _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeError) as error:
                if number == self._lines + len(lines) and not torn:
                    torn = line + b"\n"  # its end was written, its middle was not
                    break
                raise self._damaged(number, str(error)) from error
            if decoded.n != number:
                raise self._damaged(number, f"it is numbered {decoded.n}")
            entries.append(decoded.record)
        self._offset += len(data) - len(torn)
        self._lines += len(entries)
        return entries, torn

    def _damaged(self, number: int, why: str) -> ConfigurationError:
        line = str(number)
        return ConfigurationError(
            f"the journal {self._path} is damaged at line {line}: {why}; restore it from a copy",
            path=str(self._path),
            line=line,
        )

    def _set_aside(self, descriptor: int, torn: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        aside = os.open(self._torn_path, flags, files.PRIVATE)
        try:
            _write_all(aside, torn + b"\n")
            os.fsync(aside)
        finally:
            os.close(aside)
        files.sync_directory(self._path.parent)
        os.ftruncate(descriptor, self._offset)
        os.fsync(descriptor)


def _encoded(entries: Sequence[Entry], *, after: int) -> bytes:
    return b"".join(
        _ENCODER.encode(_Line(n=number, record=entry)) + b"\n"
        for number, entry in enumerate(entries, after + 1)
    )


def _write_all(descriptor: int, data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _read_from(descriptor: int, offset: int) -> bytes:
    size = os.fstat(descriptor).st_size
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(offset)
        return file.read(max(0, size - offset))
