"""Profiles: what is checked before a system may speak for its unit, and how they are imported."""

from __future__ import annotations

import datetime as dt
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from exchange_client import locations
from exchange_client.profile import Profile
from exchange_client.profile_import import import_profile

from document_exchange.certificates import fingerprint
from document_exchange.errors import CertificateExpired, ConfigurationError, KeyUnusable
from tests.pki_for_tests import CLIENT, NOW, Holder, Pki, key_usage, make_leaf

UNIT = "qd-caizheng"


def system_of(pki: Pki, unit: str = UNIT) -> Holder:
    return make_leaf(
        f"spiffe://exchange.example/unit/{unit}/system/oa",
        issuer=pki.tls_ca,
        purposes=CLIENT,
        usage=key_usage("digital_signature"),
    )


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


@pytest.fixture
def directory(pki: Pki, tmp_path: Path) -> Path:
    """The directory of all profiles, with one in it."""
    profile = tmp_path / "profiles" / UNIT
    profile.mkdir(parents=True)
    system = system_of(pki)
    for name, holder in (("root", pki.root), ("tls-ca", pki.tls_ca), ("seal-ca", pki.seal_ca)):
        (profile / f"{name}.pem").write_bytes(holder.pem)
    (profile / "system.pem").write_bytes(system.pem + pki.tls_ca.pem)
    write_private(profile / "system.key", system.key_pem)
    (profile / "seal.pem").write_bytes(pki.seal(UNIT).pem)
    write_private(profile / "seal.key", pki.seal(UNIT).key_pem)
    (profile / "profile.toml").write_text(
        f'''address = "127.0.0.1:8443"
root = "root.pem"
root_fingerprint = "{fingerprint(pki.root.certificate)}"
tls_ca = "tls-ca.pem"
seal_ca = "seal-ca.pem"
system_certificate = "system.pem"
system_key = "system.key"
seal_certificate = "seal.pem"
seal_key = "seal.key"
'''
    )
    return profile.parent


def edit(directory: Path, old: str, new: str) -> None:
    path = directory / UNIT / "profile.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class TestLoading:
    def test_unit_and_system_come_from_the_certificate(self, directory: Path) -> None:
        profile = Profile.load(UNIT, directory)
        assert profile.unit == UNIT
        assert profile.system.name == "oa"
        assert profile.require_seal().certificate.subject
        assert "PRIVATE" not in repr(profile)

    def test_without_a_seal_it_is_usable_but_cant_seal(self, directory: Path) -> None:
        edit(directory, 'seal_certificate = "seal.pem"\nseal_key = "seal.key"\n', "")
        with pytest.raises(ConfigurationError, match="no seal"):
            Profile.load(UNIT, directory).require_seal()

    @pytest.mark.parametrize("key", ["system.key", "seal.key"])
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
    def test_a_key_that_others_can_read_is_refused_with_the_remedy(
        self, directory: Path, key: str, mode: int
    ) -> None:
        path = directory / UNIT / key
        path.chmod(mode)
        with pytest.raises(KeyUnusable, match=f"chmod 600 {path}"):
            Profile.load(UNIT, directory)

    def test_an_encrypted_key_needs_its_passphrase(
        self, directory: Path, pki: Pki, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encrypted = pki.seal(UNIT).key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
        write_private(directory / UNIT / "seal.key", encrypted)
        monkeypatch.delenv("EXCHANGE_KEY_PASSPHRASE", raising=False)
        with pytest.raises(KeyUnusable, match="EXCHANGE_KEY_PASSPHRASE"):
            Profile.load(UNIT, directory)
        monkeypatch.setenv("EXCHANGE_KEY_PASSPHRASE", "wrong")
        with pytest.raises(KeyUnusable):
            Profile.load(UNIT, directory)
        monkeypatch.setenv("EXCHANGE_KEY_PASSPHRASE", "open sesame")
        assert Profile.load(UNIT, directory).seal is not None

    def damage(self, change: str, directory: Path, pki: Pki) -> None:
        profile = directory / UNIT
        other = Pki()
        changes: dict[str, Callable[[], object]] = {
            "another root": lambda: (profile / "root.pem").write_bytes(other.root.pem),
            "seal CA of another root": lambda: (profile / "seal-ca.pem").write_bytes(
                other.seal_ca.pem
            ),
            "TLS CA as seal CA": lambda: edit(directory, '"seal-ca.pem"', '"tls-ca.pem"'),
            "seal of another unit": lambda: (profile / "seal.pem").write_bytes(
                pki.seal("qd-jiaoyu").pem
            ),
            "system certificate as seal": lambda: edit(
                directory, 'seal_certificate = "seal.pem"', 'seal_certificate = "system.pem"'
            ),
            "seal as system certificate": lambda: edit(
                directory, 'system_certificate = "system.pem"', 'system_certificate = "seal.pem"'
            ),
            "key of another certificate": lambda: edit(
                directory, 'system_key = "system.key"', 'system_key = "seal.key"'
            ),
            "seal key of another certificate": lambda: edit(
                directory, 'seal_key = "seal.key"', 'seal_key = "system.key"'
            ),
            "path outside": lambda: edit(directory, '"root.pem"', '"../root.pem"'),
            "absolute path": lambda: edit(directory, '"root.pem"', '"/etc/passwd"'),
            "unknown field": lambda: edit(directory, "address =", "unit = 'x'\naddress ="),
            "missing field": lambda: edit(directory, "tls_ca = ", "# tls_ca = "),
            "no TOML": lambda: edit(directory, "address = ", "address "),
            "half a seal": lambda: edit(directory, 'seal_key = "seal.key"\n', ""),
            "missing file": lambda: (profile / "tls-ca.pem").unlink(),
            "no certificate": lambda: (profile / "root.pem").write_bytes(b"nothing"),
            "no key": lambda: (profile / "system.key").write_bytes(b"nothing"),
            "missing key": lambda: (profile / "system.key").unlink(),
            "huge file": lambda: (profile / "tls-ca.pem").write_bytes(bytes(2 * 1024 * 1024)),
        }
        changes[change]()

    @pytest.mark.parametrize(
        "change",
        [
            "another root",
            "seal CA of another root",
            "TLS CA as seal CA",
            "seal of another unit",
            "system certificate as seal",
            "seal as system certificate",
            "key of another certificate",
            "seal key of another certificate",
            "path outside",
            "absolute path",
            "unknown field",
            "missing field",
            "no TOML",
            "half a seal",
            "missing file",
            "no certificate",
            "no key",
            "missing key",
            "huge file",
        ],
    )
    def test_what_is_wrong_is_a_configuration_error(
        self, directory: Path, pki: Pki, change: str
    ) -> None:
        self.damage(change, directory, pki)
        with pytest.raises(ConfigurationError):
            Profile.load(UNIT, directory)

    def test_dates_are_told_before_a_handshake_fails(self, directory: Path) -> None:
        profile = Profile.load(UNIT, directory)
        profile.check_dates(NOW)
        for at in (NOW - dt.timedelta(days=31), NOW + dt.timedelta(days=336)):
            with pytest.raises(CertificateExpired):
                profile.check_dates(at)


class TestChoosing:
    def test_the_only_profile_is_meant(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("EXCHANGE_PROFILE", raising=False)
        monkeypatch.setenv("EXCHANGE_CONFIG", str(directory))
        assert Profile.load().name == UNIT

    def test_of_several_one_must_be_named(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(directory / UNIT, directory / "second")
        (directory / "no-profile").mkdir()
        assert locations.profile_names(directory) == [UNIT, "second"]
        monkeypatch.delenv("EXCHANGE_PROFILE", raising=False)
        with pytest.raises(ConfigurationError, match="2 profiles"):
            locations.choose_profile(directory)
        monkeypatch.setenv("EXCHANGE_PROFILE", "second")
        assert locations.choose_profile(directory) == "second"

    def test_a_missing_one_is_answered_with_those_there_are(self, directory: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"no profile none in .*: there are {UNIT}$"):
            locations.choose_profile(directory, "none")
        for number in range(12):
            shutil.copytree(directory / UNIT, directory / f"other-{number:02}")
        with pytest.raises(ConfigurationError, match=r"other-09 and 3 more$"):
            locations.choose_profile(directory, "none")

    @pytest.mark.parametrize("name", ["none", "../" + UNIT, "/etc", ".", ".hidden", "a/b"])
    def test_a_name_is_a_name(self, directory: Path, name: str) -> None:
        with pytest.raises(ConfigurationError):
            locations.choose_profile(directory, name)


class TestImporting:
    def test_a_directory_with_open_keys_becomes_a_private_profile(
        self, directory: Path, tmp_path: Path
    ) -> None:
        source = directory / UNIT
        for key in ("system.key", "seal.key"):
            (source / key).chmod(0o644)
        (source / "notes.txt").write_text("not named by profile.toml")
        profile = import_profile(source, tmp_path / "mine")
        assert profile.name == UNIT
        imported = tmp_path / "mine" / UNIT
        assert {path.stat().st_mode & 0o777 for path in imported.iterdir()} == {0o600}
        assert not (imported / "notes.txt").exists()
        assert Profile.load(UNIT, tmp_path / "mine").unit == UNIT

    def test_an_existing_profile_is_replaced_only_on_request(
        self, directory: Path, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine"
        import_profile(directory / UNIT / "profile.toml", mine, "finance")
        edit(directory, "8443", "9443")
        with pytest.raises(ConfigurationError, match="already"):
            import_profile(directory / UNIT, mine, "finance")
        assert import_profile(directory / UNIT, mine, "finance", replace=True).address.endswith(
            "9443"
        )
        assert [path.name for path in mine.iterdir()] == ["finance"]

    @pytest.mark.parametrize("arcname", ["", "unit"])
    def test_an_archive_is_unpacked(self, directory: Path, tmp_path: Path, arcname: str) -> None:
        archive = tmp_path / "profile.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(directory / UNIT, arcname=arcname)
        assert import_profile(archive, tmp_path / "mine").unit == UNIT

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
    def test_an_archive_with_anything_but_files_is_refused(
        self, tmp_path: Path, kind: bytes
    ) -> None:
        archive = tmp_path / "profile.tar"
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("profile.toml")
            member.type = kind
            member.linkname = "/etc/passwd"
            tar.addfile(member)
        with pytest.raises(ConfigurationError):
            import_profile(archive, tmp_path / "mine")

    def test_what_is_no_profile_leaves_nothing_behind(
        self, directory: Path, tmp_path: Path
    ) -> None:
        (directory / UNIT / "seal.pem").unlink()
        with pytest.raises(ConfigurationError):
            import_profile(directory / UNIT, tmp_path / "mine")
        with pytest.raises(ConfigurationError):
            import_profile(tmp_path, tmp_path / "mine")
        assert not (tmp_path / "mine").exists()

    def test_a_name_that_leads_elsewhere_is_refused(self, directory: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError):
            import_profile(directory / UNIT, tmp_path / "mine", "../other")
