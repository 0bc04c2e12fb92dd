"""Private keys of a unit: made, asked to be certified, kept in files that only its owner reads.

A key file is PKCS#8 PEM with mode 0600, encrypted where there is a passphrase. Files are written
whole or not at all, and are durable when the function returns.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from document_exchange.errors import ConfigurationError, KeyUnusable

PASSPHRASE_VARIABLE = "EXCHANGE_KEY_PASSPHRASE"
_LARGEST_FILE_BYTES = 1024 * 1024


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def request(key: ec.EllipticCurvePrivateKey, identity: str | None = None) -> bytes:
    """A signing request (PKCS#10, RFC 2986) for ``key``, in DER.

    Its subject is empty: who the holder is, the registry says. ``identity`` (a SPIFFE ID) only
    lets the authority refuse what was meant for somebody else.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if identity is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def key_sha256(key: PrivateKeyTypes) -> str:
    """SHA-256 of the public half (SubjectPublicKeyInfo, DER), 64 hex digits: its name to people."""
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: str | None = None) -> bytes:
    """PKCS#8 PEM, encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def passphrase_of_environment() -> str | None:
    """EXCHANGE_KEY_PASSPHRASE, or None where it is not set or empty."""
    return os.environ.get(PASSPHRASE_VARIABLE) or None


def load(path: Path, passphrase: str | None = None) -> PrivateKeyTypes:
    """The private key in a file.

    Args:
        path: PKCS#8 PEM.
        passphrase: default: EXCHANGE_KEY_PASSPHRASE; not looked at where the key is not encrypted.

    Raises:
        ConfigurationError: the file can't be read.
        KeyUnusable: it holds no key, or the passphrase is missing or wrong.
    """
    content = read_small(path)
    password = None
    if b"ENCRYPTED" in content:
        password = passphrase or passphrase_of_environment()
    try:
        return serialization.load_pem_private_key(content, password.encode() if password else None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} holds no usable private key: {error}", file=str(path)) from error
    except TypeError as error:
        raise KeyUnusable(
            f"{path} is encrypted: set {PASSPHRASE_VARIABLE} to its passphrase", file=str(path)
        ) from error


def check_private(path: Path) -> None:
    """Refuse a private key that others than its owner can read.

    Raises:
        KeyUnusable: it is missing, or its mode is too wide; the message has the chmod command.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise KeyUnusable(f"{path}: {error.strerror}", file=str(path)) from error
    if mode & 0o077:
        raise KeyUnusable(
            f"{path} can be read by others (mode {mode:04o}): run  chmod 600 {path}",
            file=str(path),
        )


def read_small(path: Path) -> bytes:
    """The bytes of a file of at most 1 MiB.

    Raises:
        ConfigurationError: it can't be read or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", file=str(path)) from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than 1 MiB", file=str(path))
    return content


def write_private(path: Path, content: bytes) -> None:
    """Put a file (0600) in place at once, instead of what had the name; durable on return."""
    place_private(path, content)
    sync_directory(path.parent)


def place_private(path: Path, content: bytes) -> None:
    """The same, but its name is durable only after ``sync_directory``: for several files."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
