"""Keys of the authorities: encrypted at rest, opened by the right passphrase only."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from exchange_pki import keys
from exchange_pki.authority import Authority
from exchange_pki.keys import PASSPHRASE_VARIABLE, KeyRing, Passphrase
from exchange_pki.layout import Layout

from document_exchange.errors import ConfigurationError, KeyUnusable
from tests.authority_for_tests import (
    PASSPHRASE,
    SEAL,
    SYSTEM,
    Clock,
    copy_of_authority,
    new_key,
    new_private_key,
    private_pem,
)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return new_private_key(ec.SECP384R1)


@pytest.fixture(scope="module")
def encrypted(key: ec.EllipticCurvePrivateKey) -> bytes:
    return keys.encrypted_pem(key, PASSPHRASE)


def put(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.fixture
def state(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_authority(tmp_path_factory, tmp_path / "pki")


class TestEncryptedKey:
    def test_round_trip(
        self, tmp_path: Path, key: ec.EllipticCurvePrivateKey, encrypted: bytes
    ) -> None:
        opened = keys.open_encrypted(put(tmp_path / "k", encrypted), PASSPHRASE)
        assert opened.private_numbers() == key.private_numbers()

    def test_nothing_of_the_key_is_in_the_clear(
        self, key: ec.EllipticCurvePrivateKey, encrypted: bytes
    ) -> None:
        scalar = key.private_numbers().private_value.to_bytes(48, "big")
        der = b"".join(encrypted.splitlines()[1:-1])
        assert encrypted.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        assert scalar[:16] not in base64.b64decode(der)
        assert keys.encrypted_pem(key, PASSPHRASE) != encrypted  # another salt each time

    @pytest.mark.parametrize("secret", [b"another passphrase", b"a passphrase for test"])
    def test_a_wrong_passphrase(self, tmp_path: Path, encrypted: bytes, secret: bytes) -> None:
        path = put(tmp_path / "k", encrypted)
        with pytest.raises(KeyUnusable, match="passphrase is wrong") as caught:
            keys.open_encrypted(path, Passphrase(secret))
        assert caught.value.exit_code == 3
        assert caught.value.attributes["path"] == str(path)

    def test_no_passphrase(self, tmp_path: Path, encrypted: bytes) -> None:
        with pytest.raises(KeyUnusable, match="--passphrase-file"):
            keys.open_encrypted(put(tmp_path / "k", encrypted), None)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_a_file_that_others_may_open(self, tmp_path: Path, encrypted: bytes, mode: int) -> None:
        with pytest.raises(KeyUnusable, match="chmod 600"):
            keys.open_encrypted(put(tmp_path / "k", encrypted, mode), PASSPHRASE)

    def test_a_key_that_is_not_encrypted(
        self, tmp_path: Path, key: ec.EllipticCurvePrivateKey
    ) -> None:
        with pytest.raises(KeyUnusable, match="not encrypted"):
            keys.open_encrypted(put(tmp_path / "k", private_pem(key)), PASSPHRASE)

    @pytest.mark.parametrize("data", [b"", b"garbage", b"x" * 70_000])
    def test_no_key_at_all(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(KeyUnusable):
            keys.open_encrypted(put(tmp_path / "k", data), PASSPHRASE)

    def test_an_absent_file(self, tmp_path: Path) -> None:
        with pytest.raises(KeyUnusable, match="No such file"):
            keys.open_encrypted(tmp_path / "k", PASSPHRASE)

    def test_a_damaged_file(self, tmp_path: Path, encrypted: bytes) -> None:
        lines = encrypted.splitlines()
        lines[4] = lines[4][:10] + (b"A" if lines[4][10:11] != b"A" else b"B") + lines[4][11:]
        with pytest.raises(KeyUnusable):
            keys.open_encrypted(put(tmp_path / "k", b"\n".join(lines)), PASSPHRASE)

    def test_a_key_of_another_kind(self, tmp_path: Path) -> None:
        data = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE.secret),
        )
        with pytest.raises(KeyUnusable, match="elliptic curve"):
            keys.open_encrypted(put(tmp_path / "k", data), PASSPHRASE)


class TestKeyRing:
    def test_the_key_of_another_certificate(self, state: Path) -> None:
        authority = Authority.load(state)
        layout = Layout(state)
        layout.key("tls-ca").unlink()
        layout.key("seal-ca").rename(layout.key("tls-ca"))
        with pytest.raises(KeyUnusable, match="not the key of tls-ca"):
            KeyRing(layout, PASSPHRASE).key("tls-ca", authority.certificate("tls-ca"))

    def test_many_certificates_cost_one_decryption(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[Path] = []
        original = keys.open_encrypted

        def counted(path: Path, passphrase: Passphrase | None) -> ec.EllipticCurvePrivateKey:
            opened.append(path)
            return original(path, passphrase)

        monkeypatch.setattr(keys, "open_encrypted", counted)
        authority = Authority.load(state, PASSPHRASE, clock=Clock())
        authority.issue_all([(order, new_key()) for order in (SYSTEM, SEAL) for _ in range(5)])
        authority.issue(SYSTEM, new_key())
        assert [path.name for path in opened] == ["tls-ca.key", "seal-ca.key"]


class TestPassphrase:
    def test_of_a_file(self, tmp_path: Path) -> None:
        for content in (b"12345678", b"12345678\n", b"12345678\r\n", b"12345678\nmore\n"):
            passphrase = keys.passphrase_from(put(tmp_path / "p", content), {})
            assert passphrase == Passphrase(b"12345678")

    def test_of_the_environment(self) -> None:
        assert keys.passphrase_from(None, {PASSPHRASE_VARIABLE: "密码短语"}) == Passphrase(
            "密码短语".encode()
        )
        assert keys.passphrase_from(None, {}) is None

    def test_the_file_comes_first(self, tmp_path: Path) -> None:
        file = put(tmp_path / "p", b"of the file\n")
        environment = {PASSPHRASE_VARIABLE: "of the environment"}
        assert keys.passphrase_from(file, environment) == Passphrase(b"of the file")

    @pytest.mark.parametrize("content", [b"", b"\n", b"1234567\n"])
    def test_too_short(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(ConfigurationError, match="shorter"):
            keys.passphrase_from(put(tmp_path / "p", content), {})

    def test_it_is_not_shown(self) -> None:
        assert "for tests" not in repr(PASSPHRASE)
