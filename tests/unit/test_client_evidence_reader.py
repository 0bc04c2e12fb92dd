"""Reading a bundle that an enemy made: zips and folders that are not what they seem."""

from __future__ import annotations

import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from exchange_client import verify_evidence
from exchange_client.evidence_reader import open_bundle

from document_exchange import evidence
from document_exchange.errors import EvidenceRefused
from document_exchange.evidence import Step

ROOT = "0" * 64
FILES = {"VERIFY.md": b"text", "manifest.json": b"{}", "parts/001.pdf": b"%PDF" * 1000}


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.external_attr = mode << 16
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A zip in the plain form."""
    made = tmp_path / "evidence.zip"
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(entry(name), data)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    for name, data in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
    return made


def refused(path: Path) -> str:
    """Why it is refused: as an error, and as the first step of a verification alike."""
    with pytest.raises(EvidenceRefused) as error, open_bundle(path):
        pass
    (found,) = verify_evidence(path, ROOT).findings
    assert (found.step, found.detail, found.ok) == (Step.BUNDLE, error.value.message, False)
    return error.value.message


def test_zip_and_folder_read_alike(path: Path, folder: Path) -> None:
    for each in (path, folder):
        with open_bundle(each) as bundle:
            assert sorted(bundle.names()) == sorted(FILES)
            for name, data in FILES.items():
                assert (bundle.size(name), bundle.read(name)) == (len(data), data)
            assert bundle.sha256("VERIFY.md") == bundle.sha256("VERIFY.md")
            assert bundle.sha256("VERIFY.md") != bundle.sha256("manifest.json")


@pytest.mark.parametrize(
    "name",
    [
        "../manifest.json",
        "/etc/passwd",
        "parts\\001.pdf",
        "C:manifest.json",
        "parts/",
        "parts/../manifest.json",
        "manifest.json\x00.txt",
        "清单.json",
        ".hidden",
    ],
)
def test_a_zip_with_a_name_that_no_bundle_has_is_refused(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        odd = entry("VERIFY.md")
        odd.filename = odd.orig_filename = name
        archive.writestr(odd, b"")
    assert "no bundle has a file named" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_name_twice_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry("manifest.json"), b"another")
    assert "twice" in refused(path)


def test_a_link_in_a_zip_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry("verify.sh", stat.S_IFLNK | 0o777), b"/bin/sh")
    assert "no regular file" in refused(path)


def add(path: Path, name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        made = entry(name)
        made.compress_type = compression
        archive.writestr(made, data)


def test_compressed_files_are_read(path: Path) -> None:
    add(path, "verify.sh", b"#!/bin/sh" * 100)
    with open_bundle(path) as bundle:
        assert bundle.read("verify.sh") == b"#!/bin/sh" * 100


def test_a_bomb_that_says_how_large_it_is_is_refused(path: Path) -> None:
    add(path, "parts/002.pdf", bytes(10_000))
    changed(path, in_both(b"parts/002.pdf", struct.pack("<L", 2**30)))
    with open_bundle(path) as bundle:
        assert bundle.size("parts/002.pdf") == 2**30
    changed(path, in_directory(b"parts/002.pdf", 24, struct.pack("<L", 2**30 + 1)))
    assert "compressed: unpack it" in refused(path)


def test_a_bomb_that_says_it_is_small_inflates_to_nothing_larger(path: Path) -> None:
    add(path, "accepted.json", bytes(100_000_000))
    changed(path, in_both(b"accepted.json", struct.pack("<L", 10)))
    with open_bundle(path) as bundle:
        tracemalloc.start()
        try:
            with pytest.raises(EvidenceRefused, match="damaged"):
                bundle.read("accepted.json")
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


def test_other_ways_of_compression_are_refused(path: Path) -> None:
    add(path, "verify.sh", b"#!/bin/sh" * 100, zipfile.ZIP_LZMA)
    assert "unusual way" in refused(path)


def changed(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def in_directory(name: bytes, offset: int, value: bytes) -> Callable[[bytearray], None]:
    """Overwrites a field of the central directory's entry."""

    def change(data: bytearray) -> None:
        at = data.rindex(name) - 46 + offset
        assert data[at - offset :].startswith(b"PK\1\2")
        data[at : at + len(value)] = value

    return change


def in_both(name: bytes, size: bytes) -> Callable[[bytearray], None]:
    """Overwrites the size of an entry in its header and in the directory."""

    def change(data: bytearray) -> None:
        at = data.index(name) - 30 + 22
        assert data[at - 22 :].startswith(b"PK\3\4")
        data[at : at + len(size)] = size
        in_directory(name, 24, size)(data)

    return change


def test_an_encrypted_file_is_refused(path: Path) -> None:
    changed(path, in_directory(b"manifest.json", 8, b"\1\0"))
    assert "encrypted" in refused(path)


def test_a_file_that_says_it_is_larger_than_the_zip_is_refused(path: Path) -> None:
    size = struct.pack("<2L", 2**31, 2**31)
    changed(path, in_directory(b"parts/001.pdf", 20, size))
    assert "more bytes than it has" in refused(path)


def test_two_files_in_the_same_place_do_not_make_more_of_it(path: Path) -> None:
    """The bomb whose entries overlap: what it claims to hold is more than it has."""
    many = path.with_name("many.zip")
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(20):
            archive.writestr(entry(f"parts/{number:03d}"), b"" if number else bytes(100_000))
        for each in archive.infolist():
            each.header_offset, each.CRC = 0, archive.infolist()[0].CRC
            each.file_size = each.compress_size = 100_000
    assert "more bytes than it has" in refused(many)


@pytest.mark.parametrize("mode", [0, 0o644, stat.S_IFREG | 0o644])
def test_a_mode_without_a_type_is_that_of_a_file(path: Path, mode: int) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry("verify.sh", mode), b"#!/bin/sh")
    with open_bundle(path) as bundle:
        assert bundle.read("verify.sh") == b"#!/bin/sh"


def test_an_extra_field_that_could_rename_an_entry_is_refused(path: Path) -> None:
    """Some programs take the name in field 0x7075 for that of the file."""
    name = b"parts/9.pdf"  # as long as two numbers of ZIP64, with what precedes it
    field = struct.pack("<BL", 1, zlib.crc32(b"verify.sh")) + name
    with zipfile.ZipFile(path, "a") as archive:
        odd = entry("verify.sh")
        odd.extra = struct.pack("<2H", 0x7075, len(field)) + field
        archive.writestr(odd, b"#!/bin/sh")
    assert "extra fields" in refused(path)


def test_an_extra_field_in_front_of_the_data_only_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        odd = entry("verify.sh")
        odd.extra = struct.pack("<2HL", 0x7075, 4, 0)
        archive.writestr(odd, b"#!/bin/sh")
        odd.extra = b""
    assert "extra fields" in refused(path)


def parts_of(path: Path) -> tuple[bytes, bytes, int]:
    """Entries, directory, and the number of files."""
    data = path.read_bytes()
    count, size, start = struct.unpack("<H2L", data[-12:-2])
    return data[:start], data[start : start + size], count


def moved(directory: bytes, by: int) -> bytes:
    """The directory with all entries so much farther behind."""
    made, at = bytearray(directory), 0
    while at < len(made):
        name, extra, comment = struct.unpack_from("<3H", made, at + 28)
        (start,) = struct.unpack_from("<L", made, at + 42)
        struct.pack_into("<L", made, at + 42, start + by)
        at += 46 + name + extra + comment
    return bytes(made)


def end(count: int, size: int, start: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, 0)


def end_64(count: int, size: int, start: int) -> bytes:
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)


def test_entries_in_front_of_those_of_the_directory_are_refused(path: Path) -> None:
    """Who reads from the front finds other files than who reads the directory."""
    local, central, count = parts_of(path)
    shifted = moved(central, len(local))
    path.write_bytes(local + local + shifted + end(count, len(central), 2 * len(local)))
    assert "something before" in refused(path)


def test_bytes_between_entries_and_directory_are_refused(path: Path) -> None:
    local, central, count = parts_of(path)
    path.write_bytes(local + b"\0" + central + end(count, len(central), len(local) + 1))
    assert "before its directory" in refused(path)


def test_a_second_zip_in_front_is_refused(path: Path) -> None:
    """Whether the directory is where the end record says, or right before it, is ambiguous."""
    local, central, count = parts_of(path)
    path.write_bytes(local + central + local + central + end(count, len(central), len(local)))
    assert "plain form" in refused(path)


def test_records_of_zip64_that_contradict_the_end_record_are_refused(path: Path) -> None:
    local, central, count = parts_of(path)
    both = local + local + central
    shifted = moved(central, len(local))
    more = end_64(count, len(shifted), len(both))
    path.write_bytes(both + shifted + more + end(count, len(central), 2 * len(local)))
    assert "plain form" in refused(path)


@pytest.mark.parametrize("full", [False, True])
def test_records_of_zip64_that_say_the_same_are_read(path: Path, full: bool) -> None:
    local, central, count = parts_of(path)
    said = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if full else (count, len(central), len(local))
    path.write_bytes(local + central + end_64(count, len(central), len(local)) + end(*said))
    with open_bundle(path) as bundle:
        assert bundle.read("manifest.json") == FILES["manifest.json"]


def test_an_entry_written_for_zip64_is_read(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        made = entry("parts/002.pdf")
        made.file_size = 4
        with archive.open(made, "w", force_zip64=True) as file:
            file.write(b"%PDF")
    with open_bundle(path) as bundle:
        assert bundle.read("parts/002.pdf") == b"%PDF"


@pytest.mark.parametrize(
    ("offset", "value"), [(14, b"\1"), (18, b"\1"), (22, b"\1"), (30, b"Q"), (8, b"\x08")]
)
def test_a_header_that_contradicts_the_directory_is_refused(
    path: Path, offset: int, value: bytes
) -> None:
    def change(data: bytearray) -> None:
        data[offset : offset + 1] = value

    changed(path, change)
    assert "two things about" in refused(path)


def test_sizes_that_follow_the_data_are_refused(tmp_path: Path) -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    written = Unseekable()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(entry("manifest.json"), b"{}")
    (tmp_path / "made.zip").write_bytes(written.getvalue())
    assert "unusual way" in refused(tmp_path / "made.zip")


@pytest.mark.parametrize("at", range(1, 60))
def test_a_zip_that_is_cut_off_is_refused_or_named_damaged(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:-at])
    assert refused(path)


def test_a_zip_with_something_behind_it_is_refused(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")
    assert "plain form" in refused(path)


def test_a_zip_with_a_huge_directory_is_not_read(path: Path) -> None:
    def claim(data: bytearray) -> None:
        data[-14:-10] = struct.pack("<2H", 60_000, 60_000)

    changed(path, claim)
    assert "60000 files" in refused(path)


def test_a_damaged_entry_is_named_when_it_is_read(path: Path) -> None:
    def flip(data: bytearray) -> None:
        data[data.index(b"%PDF")] ^= 1

    changed(path, flip)
    with open_bundle(path) as bundle, pytest.raises(EvidenceRefused, match=r"parts/001\.pdf"):
        bundle.sha256("parts/001.pdf")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whatever_byte_is_changed_nothing_else_is_raised(path: Path, compression: int) -> None:
    add(path, "verify.sh", b"#!/bin/sh\n" * 100, compression)
    good = path.read_bytes()
    for at in [*range(60), *range(len(good) - 500, len(good))]:
        for bit in (0x01, 0x80):
            path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
            assert not verify_evidence(path, ROOT).ok


def test_neither_text_nor_nothing_is_a_bundle(tmp_path: Path) -> None:
    for content in (b"", b"PK", b"no zip at all, but long enough to hold an end record"):
        (tmp_path / "file").write_bytes(content)
        assert "plain form" in refused(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        verify_evidence(tmp_path / "nowhere", ROOT)


@pytest.mark.parametrize("to", ["manifest.json", "/etc/passwd", "nowhere", "."])
def test_a_link_in_a_folder_is_refused(folder: Path, to: str) -> None:
    (folder / "verify.sh").symlink_to(to)
    assert "is a link" in refused(folder)


def test_a_pipe_in_a_folder_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "verify.sh")
    assert "no regular file" in refused(folder)


def test_a_file_that_grows_while_it_is_read_is_refused(folder: Path) -> None:
    with open_bundle(folder) as bundle:
        (folder / "manifest.json").write_bytes(b"{ }")
        with pytest.raises(EvidenceRefused, match="was changed"):
            bundle.read("manifest.json")
        (folder / "VERIFY.md").unlink()
        (folder / "VERIFY.md").symlink_to("manifest.json")
        with pytest.raises(OSError, match="symbolic"):
            bundle.read("VERIFY.md")


def test_a_folder_of_folders_is_refused(folder: Path) -> None:
    for number in range(700):
        (folder / f"{number}").mkdir()
    assert "folders in it" in refused(folder)


def test_unknown_files_in_a_folder_are_refused_by_name(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"")
    report = verify_evidence(folder, ROOT)
    assert report.first_failure is not None
    assert report.first_failure.step is Step.BUNDLE
    assert ".DS_Store" in report.first_failure.detail
    assert not evidence.is_known(".DS_Store")
