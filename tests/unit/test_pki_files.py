"""Files of the authority: whole or absent, and private ones never open to others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from exchange_pki import files
from exchange_pki.authority import Authority
from exchange_pki.handout import Errand, run

from document_exchange.errors import ConfigurationError
from tests.authority_for_tests import PASSPHRASE, SEAL, TRUST_DOMAIN


@pytest.fixture
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


class Watch:
    """Looks at each file at the moment at which it comes into being."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.born: dict[str, int] = {}
        self._open = os.open
        monkeypatch.setattr(os, "open", self._watched)

    def _watched(self, path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        new = flags & os.O_CREAT and not os.path.lexists(path)
        descriptor = self._open(path, flags, mode)
        if new:
            self.born[Path(path).name] = stat.S_IMODE(os.fstat(descriptor).st_mode)
        return descriptor


@pytest.mark.usefixtures("generous_umask")
class TestPrivateFiles:
    def test_no_private_file_is_ever_open_to_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch = Watch(monkeypatch)
        authority = Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
        run(authority, [Errand(SEAL, tmp_path / "out")])
        private = {
            name: mode for name, mode in watch.born.items() if ".key." in name or "journal" in name
        }
        assert len(private) == 5  # three authorities' keys, the seal's key, the journal
        assert set(private.values()) == {0o600}

    def test_modes_at_the_end(self, tmp_path: Path) -> None:
        authority = Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
        run(authority, [Errand(SEAL, tmp_path / "new" / "out")])
        found = {
            str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
            for path in tmp_path.rglob("*")
        }
        for name, mode in found.items():
            if (tmp_path / name).is_dir():
                assert mode == 0o700, name
            elif name.endswith((".key", "journal.jsonl")):
                assert mode == 0o600, name
            else:
                assert mode == 0o644, name

    def test_set_aside_ends_are_private(self, tmp_path: Path) -> None:
        authority = Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
        with authority.layout.journal.open("ab") as journal:
            journal.write(b'{"n":')
        authority.issue_crls()
        torn = authority.layout.torn_journal
        assert torn.read_bytes() == b'{"n":\n'
        assert stat.S_IMODE(torn.stat().st_mode) == 0o600


class TestWrite:
    def test_it_overwrites_nothing_unless_told(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        files.write(path, b"first", mode=files.PUBLIC)
        with pytest.raises(ConfigurationError) as caught:
            files.write(path, b"second", mode=files.PUBLIC)
        assert caught.value.attributes["path"] == str(path)
        assert path.read_bytes() == b"first"
        files.write(path, b"third", mode=files.PRIVATE, replace=True)
        assert path.read_bytes() == b"third"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "victim").write_bytes(b"untouched")
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "victim")
        with pytest.raises(ConfigurationError):
            files.write(link, b"x", mode=files.PUBLIC)
        files.write(link, b"x", mode=files.PUBLIC, replace=True)
        assert not link.is_symlink()
        assert (tmp_path / "victim").read_bytes() == b"untouched"

    def test_a_failing_disk_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match="No space left"):
            files.write(tmp_path / "file", b"x", mode=files.PUBLIC)
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_directory_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError):
            files.write(tmp_path / "nowhere" / "file", b"x", mode=files.PUBLIC)


class TestRead:
    def test_at_most_so_much(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"12345")
        assert files.read(path, limit=5) == b"12345"
        with pytest.raises(ConfigurationError, match="larger than 4"):
            files.read(path, limit=4)

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="No such file"):
            files.read(tmp_path / "file", limit=5)
