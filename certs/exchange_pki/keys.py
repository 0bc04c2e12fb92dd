"""Private keys: made, encrypted at rest, opened again.

An authority's key rests as PKCS#8 under PBES2 with scrypt and AES-256-CBC (RFC 5958, RFC 8018,
RFC 7914), which OpenSSL opens too. The structure is written out here because the serializer of
``cryptography`` knows PBKDF2 with 2048 rounds only, which is too cheap to guess against.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from document_exchange.errors import ConfigurationError, KeyUnusable
from exchange_pki import files
from exchange_pki.layout import Layout

PASSPHRASE_VARIABLE = "EXCHANGE_PKI_PASSPHRASE"
SHORTEST_PASSPHRASE = 8

_KEY_FILE_LIMIT_BYTES = 64 * 1024
_PASSPHRASE_LIMIT_BYTES = 4096

# 16 MiB five times over: OWASP's scrypt setting that stays below OpenSSL's limit of 32 MiB.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 5
_SALT_BYTES = 16
_AES_KEY_BYTES = 32
_AES_BLOCK_BYTES = 16

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30


@dataclass(frozen=True)
class Passphrase:
    """The secret that opens the authorities' keys; it never shows up in a log or a traceback."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST_PASSPHRASE:
            raise ConfigurationError(
                f"the passphrase is shorter than {SHORTEST_PASSPHRASE} bytes: take a longer one"
            )


def passphrase_from(file: Path | None, environment: Mapping[str, str]) -> Passphrase | None:
    """The passphrase in a file (its first line) or else in EXCHANGE_PKI_PASSPHRASE, if any.

    Raises:
        ConfigurationError: the file can't be read, or the passphrase is too short.
    """
    if file is not None:
        content = files.read(file, limit=_PASSPHRASE_LIMIT_BYTES)
        return Passphrase(content.split(b"\n", 1)[0].removesuffix(b"\r"))
    if secret := environment.get(PASSPHRASE_VARIABLE):
        return Passphrase(os.fsencode(secret))
    return None


def generate(curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    """A fresh key from the operating system's randomness."""
    return ec.generate_private_key(curve())


def plain_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A leaf's key as PKCS#8 in PEM, unencrypted: a server must start without a person."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def encrypted_pem(key: ec.EllipticCurvePrivateKey, passphrase: Passphrase) -> bytes:
    """An authority's key as EncryptedPrivateKeyInfo in PEM (``ENCRYPTED PRIVATE KEY``)."""
    salt = secrets.token_bytes(_SALT_BYTES)
    vector = secrets.token_bytes(_AES_BLOCK_BYTES)
    secret = Scrypt(salt=salt, length=_AES_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(
        passphrase.secret
    )
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    padder = padding.PKCS7(8 * _AES_BLOCK_BYTES).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(vector)).encryptor()
    encrypted = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = _sequence(
        _SCRYPT,
        _sequence(_tagged(_OCTET_STRING, salt), *map(_integer, (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P))),
    )
    scheme = _sequence(_AES_256_CBC, _tagged(_OCTET_STRING, vector))
    der = _sequence(
        _sequence(_PBES2, _sequence(derivation, scheme)), _tagged(_OCTET_STRING, encrypted)
    )
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return (
        f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n"
    ).encode()


def open_encrypted(path: Path, passphrase: Passphrase | None) -> ec.EllipticCurvePrivateKey:
    """The authority's key in a file that ``encrypted_pem`` made.

    Raises:
        KeyUnusable: no passphrase or a wrong one, others may open the file, or it holds
            something else than an encrypted key on an elliptic curve.
    """
    if passphrase is None:
        raise KeyUnusable(
            f"{path} needs its passphrase: give --passphrase-file or {PASSPHRASE_VARIABLE}",
            path=str(path),
        )
    try:
        data = files.read(path, limit=_KEY_FILE_LIMIT_BYTES)
        loose = files.others_may_open(path)
    except ConfigurationError as error:
        raise KeyUnusable(error.message, path=str(path)) from error
    if loose:
        raise KeyUnusable(
            f"others than its owner may open {path}: consider the key as lost, or chmod 600",
            path=str(path),
        )
    try:
        key = serialization.load_pem_private_key(data, passphrase.secret)
    except TypeError as error:
        raise KeyUnusable(f"{path} is not encrypted", path=str(path)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(
            f"{path} can't be opened: the passphrase is wrong or the file damaged", path=str(path)
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnusable(f"{path} holds no key on an elliptic curve", path=str(path))
    return key


def signature_hash(curve: type[ec.EllipticCurve]) -> hashes.SHA256 | hashes.SHA384:
    """The hash that goes with a signing key's curve (RFC 5758, section 3.2)."""
    return hashes.SHA384() if curve is ec.SECP384R1 else hashes.SHA256()


def key_sha256(key: ec.EllipticCurvePublicKey) -> str:
    """The SHA-256 of a SubjectPublicKeyInfo in hex: which key it is, whoever holds it."""
    info = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(info).hexdigest()


class KeyRing:
    """The authorities' private keys, each decrypted when it is first needed and then kept."""

    def __init__(self, layout: Layout, passphrase: Passphrase | None) -> None:
        self._layout = layout
        self._passphrase = passphrase
        self._open: dict[str, ec.EllipticCurvePrivateKey] = {}

    @property
    def has_passphrase(self) -> bool:
        """Whether there is a passphrase, right or wrong."""
        return self._passphrase is not None

    def moved_to(self, layout: Layout) -> KeyRing:
        """The same keys, whose files are elsewhere now."""
        moved = KeyRing(layout, self._passphrase)
        moved._open = self._open
        return moved

    def add(self, authority: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Keep a key that was just made."""
        self._open[authority] = key

    def encrypted(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """A key in PEM under the passphrase of these.

        Raises:
            KeyUnusable: there is none.
        """
        if self._passphrase is None:
            raise KeyUnusable(f"no passphrase: give --passphrase-file or {PASSPHRASE_VARIABLE}")
        return encrypted_pem(key, self._passphrase)

    def opened(self, path: Path) -> ec.EllipticCurvePrivateKey:
        """The key in a file that holds what ``encrypted`` gave; see ``open_encrypted``."""
        return open_encrypted(path, self._passphrase)

    def key(self, authority: str, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
        """The private key that belongs to an authority's certificate.

        Raises:
            KeyUnusable: it can't be opened, or belongs to another certificate.
        """
        if authority not in self._open:
            path = self._layout.key(authority)
            key = open_encrypted(path, self._passphrase)
            if key.public_key() != certificate.public_key():
                raise KeyUnusable(f"{path} is not the key of {authority}", path=str(path))
            self._open[authority] = key
        return self._open[authority]


def _tagged(tag: int, content: bytes) -> bytes:
    """One DER value (X.690, sections 8.1.2 and 10.1)."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _sequence(*values: bytes) -> bytes:
    return _tagged(_SEQUENCE, b"".join(values))


def _integer(value: int) -> bytes:
    return _tagged(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
