"""Received files: names of our own choice, nothing overwritten, nothing outside the directory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import stat
from pathlib import Path

import pytest
from exchange_client.files import MAX_NAME_BYTES, Folder, NameTaken, numbered, safe_name
from hypothesis import given
from hypothesis import strategies as st


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestSafeNames:
    @pytest.mark.parametrize(
        ("display", "safe"),
        [
            ("关于编制部门预算的通知.pdf", "关于编制部门预算的通知.pdf"),
            ("../../etc/passwd", "_etc_passwd"),
            ("..\\..\\boot.ini", "_boot.ini"),
            ("/etc/shadow", "_etc_shadow"),
            ("C:\\autoexec.bat", "C_autoexec.bat"),
            ("a\x00b.pdf", "a_b.pdf"),
            ("line\nbreak\x1b[2J.txt", "line_break_[2J.txt"),
            ("invoice\u202efdp.exe", "invoice_fdp.exe"),
            (".bashrc", "bashrc"),
            ("...", "_"),
            ("", "part"),
            ("  . ", "part"),
            ("-rf", "_rf"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("Com1.tar.gz", "_Com1.tar.gz"),
            ("LPT² .txt", "_LPT² .txt"),
            ("CONSOLE.txt", "CONSOLE.txt"),
            ("trailing. . ", "trailing"),
            ('what?*"<>|.csv', "what_.csv"),
            ("é", "é"),
        ],
    )
    def test_examples(self, display: str, safe: str) -> None:
        assert safe_name(display) == safe

    def test_long_names_keep_their_ending(self) -> None:
        name = safe_name("通" * 400 + ".pdf")
        assert name.endswith("通.pdf")
        assert MAX_NAME_BYTES - 3 < len(name.encode()) <= MAX_NAME_BYTES

    def test_an_ending_that_is_too_long_is_none(self) -> None:
        assert len(safe_name("a." + "b" * 400).encode()) == MAX_NAME_BYTES

    @given(st.text(max_size=1024))
    def test_no_name_can_do_harm(self, display: str) -> None:
        name = safe_name(display)
        assert 1 <= len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set('/\\:\x00*?"<>|')
        assert name.isprintable() or " " in name or any(ord(c) > 127 for c in name)
        assert ".." not in name
        assert not name.startswith((".", " ", "-"))
        assert not name.endswith((".", " "))
        assert safe_name(name) == name

    def test_numbers_stand_before_the_ending(self) -> None:
        assert list(itertools.islice(numbered("通知.pdf"), 3)) == [
            "通知.pdf",
            "通知 (2).pdf",
            "通知 (3).pdf",
        ]
        assert list(itertools.islice(numbered("README"), 2)) == ["README", "README (2)"]


class Killed(Exception):
    """From here on nothing happens."""


class Disk:
    """Which names are durable: those that were there when their directory was last synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sync = os.fsync
        self._durable: set[int] = set()
        self.syncs_left: int | None = None
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, handle: int) -> None:
        if self.syncs_left == 0:
            raise Killed
        if self.syncs_left is not None:
            self.syncs_left -= 1
        self._sync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            with os.scandir(handle) as entries:
                self._durable.update(entry.inode() for entry in entries)

    def holds(self, path: Path) -> bool:
        return path.stat().st_ino in self._durable


class TestDurability:
    @pytest.mark.parametrize("syncs", [None, *range(6)])
    def test_a_repeat_makes_up_for_what_a_kill_left_undone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syncs: int | None
    ) -> None:
        """Killed before the given sync; None: there was no earlier call."""
        disk = Disk(monkeypatch)

        def receive() -> None:
            with Folder.open(tmp_path / "a" / "b") as base, base.folder("document"):
                pass

        if syncs is not None:
            disk.syncs_left = syncs
            with contextlib.suppress(Killed):
                receive()
            disk.syncs_left = None
        receive()
        document = tmp_path / "a" / "b" / "document"
        for made in (document, document.parent, document.parent.parent):
            assert disk.holds(made), made

    def test_nothing_is_made_below_what_is_not_durable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = Disk(monkeypatch)
        make = os.mkdir

        def mkdir(name: str, mode: int = 0o777, *, dir_fd: int) -> None:
            above = Path(f"/proc/self/fd/{dir_fd}").resolve()
            assert above == tmp_path or disk.holds(above)
            make(name, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "mkdir", mkdir)
        with Folder.open(tmp_path / "a" / "b" / "c") as base, base.folder("document"):
            pass
        assert (tmp_path / "a" / "b" / "c" / "document").is_dir()

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL])
    def test_where_one_directory_cannot_be_synced_all_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """As below a directory that others may only pass through, or an automounter's."""
        synced = []

        def refuse(handle: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        monkeypatch.setattr(os, "sync", lambda: synced.append("all"))
        with Folder.open(tmp_path):
            assert synced == ["all"]

    def test_a_link_that_leads_nowhere_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError):
            Folder.open(tmp_path / "link" / "a")
        assert not (tmp_path / "nowhere").exists()


class TestFolders:
    def test_equal_names_are_numbered_whatever_their_capitals(self, tmp_path: Path) -> None:
        with Folder.open(tmp_path) as folder:
            names = [folder.store(name, name.encode()) for name in ("a.txt", "A.TXT", "a.txt")]
        assert names == ["a.txt", "A (2).TXT", "a (3).txt"]

    def test_equal_parts_of_one_document_are_two_files(self, tmp_path: Path) -> None:
        with Folder.open(tmp_path) as folder:
            assert folder.store("a", b"same") == "a"
            assert folder.store("a", b"same") == "a (2)"

    def test_what_is_there_is_found_and_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"mine")
        with Folder.open(tmp_path) as folder:
            assert folder.find("a.txt", 6, digest(b"theirs")) is None
            assert folder.store("a.txt", b"theirs") == "a (2).txt"
        with Folder.open(tmp_path) as folder:
            assert folder.find("a.txt", 6, digest(b"theirs")) == "a (2).txt"
        assert (tmp_path / "a.txt").read_bytes() == b"mine"

    @pytest.mark.parametrize("kind", ["link to a file", "dangling link", "directory", "pipe"])
    def test_what_is_no_file_is_neither_followed_nor_replaced(
        self, tmp_path: Path, kind: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.write_bytes(b"secret")
        inside = tmp_path / "inside"
        inside.mkdir()
        place = inside / "a"
        if kind == "link to a file":
            place.symlink_to(outside)
        elif kind == "dangling link":
            place.symlink_to(tmp_path / "nowhere")
        elif kind == "directory":
            place.mkdir()
        else:
            os.mkfifo(place)
        with Folder.open(inside) as folder:
            assert folder.holds("a", 6, digest(b"secret")) is False
            assert folder.store("a", b"secret") == "a (2)"
        assert outside.read_bytes() == b"secret"
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize("to", ["elsewhere", "a file"])
    def test_a_link_in_place_of_a_directory_is_not_followed(self, tmp_path: Path, to: str) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        base = tmp_path / "base"
        base.mkdir()
        if to == "a file":
            (base / "parts").write_bytes(b"")
        else:
            (base / "parts").symlink_to(elsewhere)
        with Folder.open(base) as folder, pytest.raises(NameTaken):
            folder.folder("parts")
        assert list(elsewhere.iterdir()) == []

    def test_a_directory_that_is_swapped_while_in_use_does_not_lead_outside(
        self, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with Folder.open(tmp_path / "base") as base, base.folder("parts") as parts:
            (tmp_path / "base" / "parts").rename(tmp_path / "base" / "moved")
            (tmp_path / "base" / "parts").symlink_to(elsewhere)
            parts.store("a", b"content")
        assert list(elsewhere.iterdir()) == []
        assert (tmp_path / "base" / "moved" / "a").read_bytes() == b"content"

    def test_what_was_not_finished_leaves_nothing(self, tmp_path: Path) -> None:
        def interrupted(folder: Folder) -> None:
            with folder.create() as incoming:
                incoming.write(b"half")
                raise InterruptedError

        with Folder.open(tmp_path) as folder, pytest.raises(InterruptedError):
            interrupted(folder)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_takes_the_name_of_another_whole(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"before")
        with Folder.existing(tmp_path) as folder, folder.create() as incoming:
            with incoming.open() as file:
                file.write(b"......")
                file.seek(0)
                file.write(b"after.")
            assert (tmp_path / "a").read_bytes() == b"before"
            with incoming.open() as file:
                assert file.read() == b"after."
            incoming.replace("a")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"after."}

    def test_a_directory_is_not_replaced_and_nothing_is_left(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()

        def replaced(folder: Folder) -> None:
            with folder.create() as incoming:
                incoming.replace("a")

        with Folder.existing(tmp_path) as folder, pytest.raises(IsADirectoryError):
            replaced(folder)
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
    def test_a_directory_that_may_not_be_opened_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        opened = os.open

        def open_(path: str | Path, *arguments: int, **keywords: int) -> int:
            if path == "document":
                raise OSError(number, os.strerror(number), path)
            return opened(path, *arguments, **keywords)

        with Folder.open(tmp_path) as base:
            monkeypatch.setattr(os, "open", open_)
            with pytest.raises(NameTaken, match=str(tmp_path / "document")):
                base.folder("document")

    def test_files_are_for_the_owner_alone(self, tmp_path: Path) -> None:
        with Folder.open(tmp_path) as folder, folder.folder("inner") as inner:
            inner.store("a", b"")
        assert (tmp_path / "inner" / "a").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "inner").stat().st_mode & 0o777 == 0o700

    def test_without_hard_links_nothing_is_overwritten_either(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*arguments: object, **keywords: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
        (tmp_path / "a").write_bytes(b"mine")
        with Folder.open(tmp_path) as folder:
            assert folder.store("a", b"theirs") == "a (2)"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
            "a": b"mine",
            "a (2)": b"theirs",
        }
