"""The layout of a zip as the exchange writes it, so that every program finds the same files in it.

Readers of zips differ: one goes by the directory, one by the entries in front of it, one takes what
an extra field says for the name. So there is one of each thing here, and no room between them.
Source: PKWARE APPNOTE 6.3, sections 4.3 to 4.5.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from document_exchange import evidence
from document_exchange.errors import EvidenceRefused

MOST_FILES = evidence.MAX_FILES + len(evidence.NOT_INDEXED)
_MOST_DIRECTORY_BYTES = MOST_FILES * (46 + 200 + 28)
"""Of a zip: its fixed part, the longest path, and the fields of ZIP64, for each file."""

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64_AT = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_EXTRA = struct.Struct("<2H")
_ZIP64 = 1
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF


class Directory(NamedTuple):
    """Where the central directory is, of how many bytes and entries."""

    files: int
    size: int
    start: int


class _Entry(NamedTuple):
    name: bytes
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    start: int


def find_directory(file: IO[bytes]) -> Directory:
    """The bounded directory, which ends where the records at the very end of the zip begin.

    A record of ZIP64 may be there only if it says the same as the end record, wherever that says
    anything.

    Raises:
        EvidenceRefused: it is no such zip, or has more files than any bundle.
    """
    at = file.seek(0, os.SEEK_END) - _END.size
    if at < 0:
        raise _no_zip()
    signature, disk, first_disk, here, count, size, start, comment = _read(file, at, _END)
    if signature != b"PK\5\6" or comment:
        raise _no_zip()
    said = (disk, first_disk, here, count, size, start)
    ends = at
    found: tuple[int, ...] = said
    at -= _END_64_AT.size
    if at >= 0:
        signature, locator_disk, end_64_at, disks = _read(file, at, _END_64_AT)
        if signature == b"PK\6\7":
            ends = at - _END_64.size
            if (locator_disk, end_64_at, disks) != (0, ends, 1):
                raise _no_zip()
            found = _end_64(file, ends)
    _, _, here, count, size, start = found
    if count > MOST_FILES or size > _MOST_DIRECTORY_BYTES:
        raise EvidenceRefused(f"the zip has {count} files; at most {MOST_FILES} are read")
    fulls = (_FULL_16,) * 4 + (_FULL_32,) * 2
    agree = all(a in (b, full) for a, b, full in zip(said, found, fulls, strict=True))
    if not agree or found[:2] != (0, 0) or here != count or start + size != ends:
        raise _no_zip()
    return Directory(count, size, start)


def check_entries(file: IO[bytes], directory: Directory) -> None:
    """Every entry is in one place, says the same there as in the directory, and nothing is between.

    Raises:
        EvidenceRefused: there is a gap, an overlap, a difference, or an extra field but ZIP64.
    """
    file.seek(directory.start)
    entries = sorted(_entries(file.read(directory.size)), key=lambda entry: entry.start)
    if len(entries) != directory.files:
        raise EvidenceRefused(f"the zip is damaged: it lists {len(entries)} files")
    end = 0
    for entry in entries:
        if entry.start != end:
            raise EvidenceRefused(f"the zip holds something before {_shown(entry.name)}")
        end = _end_of(file, entry)
    if end != directory.start:
        raise EvidenceRefused("the zip holds something before its directory")


def _end_64(file: IO[bytes], at: int) -> tuple[int, ...]:
    if at < 0:
        raise _no_zip()
    signature, size, _, _, *found = _read(file, at, _END_64)
    if signature != b"PK\6\6" or size != _END_64.size - 12:
        raise _no_zip()
    return tuple(found)


def _entries(data: bytes) -> Iterator[_Entry]:
    """The entries of the central directory."""
    at = 0
    while at < len(data):
        if len(data) - at < _CENTRAL.size or data[at : at + 4] != b"PK\1\2":
            raise EvidenceRefused("the zip is damaged: its directory is none")
        (
            *_, flags, method, _, _, crc, compressed, size,
            name_bytes, extra_bytes, comment_bytes, disk, _, _, start,
        ) = _CENTRAL.unpack_from(data, at)  # fmt: skip
        at += _CENTRAL.size
        name, at = data[at : at + name_bytes], at + name_bytes
        extra, at = data[at : at + extra_bytes], at + extra_bytes
        if at > len(data) or comment_bytes or disk:
            raise EvidenceRefused(f"the zip says more about {_shown(name)} than it may")
        values = list(_zip64(extra, name))
        fields = [
            values.pop(0) if value == _FULL_32 and values else value
            for value in (size, compressed, start)
        ]
        if values:
            raise EvidenceRefused(f"the zip has {_shown(name)} in two sizes")
        size, compressed, start = fields
        yield _Entry(name, flags, method, crc, compressed, size, start)


def _end_of(file: IO[bytes], entry: _Entry) -> int:
    """Where the entry ends whose own header says what the directory says."""
    signature, _, flags, method, _, _, crc, compressed, size, name_bytes, extra_bytes = _read(
        file, entry.start, _LOCAL
    )
    name, extra = file.read(name_bytes), file.read(extra_bytes)
    sizes = (entry.size, entry.compressed)
    zip64 = _zip64(extra, name)
    # With ZIP64 some writers fill in the small fields as well.
    said = (size, compressed)
    if zip64:
        agree = zip64 == sizes and all(a in (b, _FULL_32) for a, b in zip(said, sizes, strict=True))
    else:
        agree = said == sizes
    same = (signature, name, flags, method, crc)
    if not agree or same != (b"PK\3\4", entry.name, entry.flags, entry.method, entry.crc):
        raise EvidenceRefused(f"the zip says two things about {_shown(entry.name)}")
    return entry.start + _LOCAL.size + len(name) + len(extra) + entry.compressed


def _zip64(extra: bytes, name: bytes) -> tuple[int, ...]:
    """The numbers in the one extra field that may be there."""
    if not extra:
        return ()
    if len(extra) < _EXTRA.size:
        raise EvidenceRefused(f"the zip is damaged: {_shown(name)} has half an extra field")
    kind, size = _EXTRA.unpack_from(extra)
    if kind != _ZIP64 or size != len(extra) - _EXTRA.size or size not in (8, 16, 24):
        raise EvidenceRefused(
            f"{_shown(name)} has extra fields in the zip: unpack it, and give the folder"
        )
    return struct.unpack_from(f"<{size // 8}Q", extra, _EXTRA.size)


def _read(file: IO[bytes], at: int, form: struct.Struct) -> tuple[Any, ...]:
    file.seek(at)
    data = file.read(form.size)
    if len(data) < form.size:
        raise EvidenceRefused("the zip is damaged: it ends too early")
    return form.unpack(data)


def _shown(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "replace"))


def _no_zip() -> EvidenceRefused:
    return EvidenceRefused("this is no zip of the plain form: unpack it, and give the folder")
