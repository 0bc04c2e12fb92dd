"""Writing profiles so that a crash leaves the old one or the new one, never half of each.

Files come first, each whole and durable; profile.toml, which names them, is replaced last. What it
names is never written over: a renewed certificate and its key get names made from the key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import certificates
from document_exchange.errors import ConfigurationError, ExchangeError, KeyUnusable
from exchange_client import keys
from exchange_client.known_certificates import KnownCertificates
from exchange_client.profile import PROFILE_FILE, Profile, Settings, read_settings

CertificateKind = Literal["system", "seal"]

_LOCK_FILE = ".lock"


@contextlib.contextmanager
def locked(directory: Path, name: str = _LOCK_FILE, *, wait: bool = True) -> Iterator[None]:
    """Keep others out who change this profile; released at the latest when the process dies.

    Args:
        directory: of the profile.
        name: which of its locks.
        wait: until it is free; otherwise refuse.

    Raises:
        ConfigurationError: another process has it, and ``wait`` is false.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(directory / name, flags, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another process is at work in {directory}: wait until it has ended"
            ) from error
        yield
    finally:
        os.close(handle)


def write_profile(directory: Path, settings: Settings, files: Mapping[str, bytes]) -> None:
    """Write ``files`` by their names into ``directory``, then the profile.toml that names them.

    Durable on return. ``directory`` must exist; keys that are there already need not be given.
    """
    for name, content in files.items():
        keys.place_private(directory / name, content)
    keys.sync_directory(directory)
    remember_own(directory, settings)
    keys.write_private(directory / PROFILE_FILE, rendered(settings))


def rendered(settings: Settings) -> bytes:
    """The text of a profile.toml, without what is empty."""
    given = {name: value for name, value in msgspec.structs.asdict(settings).items() if value}
    return tomli_w.dumps(given).encode()


def replace_certificate(
    directory: Path,
    kind: CertificateKind,
    key: ec.EllipticCurvePrivateKey,
    chain: bytes,
    passphrase: str | None = None,
) -> Profile:
    """Put a certificate and its key in the place of the profile's, or beside its others.

    MUST only return when it is durable. The profile is read again as a whole first: what does
    not fit into it (another unit's, another key's) changes nothing.

    Args:
        directory: of the profile.
        kind: which certificate.
        key: its private key.
        chain: PEM, leaf first.
        passphrase: encrypts the key file; default: EXCHANGE_KEY_PASSPHRASE where the key in use
            is encrypted.

    Raises:
        KeyUnusable: the key is not that of the certificate.
        ConfigurationError: the profile can't be read, or the certificate does not fit into it.
    """
    leaf = certificates.load_pem(chain)
    if key.public_key() != leaf.public_key():
        raise KeyUnusable(f"the {kind} certificate is not for this key")
    stem = f"{kind}-{keys.key_sha256(key)[:8]}"
    with locked(directory):
        before = read_settings(directory / PROFILE_FILE)
        passphrase = passphrase or passphrase_in_use(directory, before)
        keys.write_private(directory / f"{stem}.key", keys.private_pem(key, passphrase))
        keys.write_private(directory / f"{stem}.pem", chain)
        after = _naming(before, kind, stem)
        fresh = f".{stem}.toml"
        keys.write_private(directory / fresh, rendered(after))
        try:
            profile = Profile.read(directory, directory.name, passphrase=passphrase, file=fresh)
            remember_own(directory, before, after)
            (directory / fresh).replace(directory / PROFILE_FILE)
        except BaseException:
            (directory / fresh).unlink(missing_ok=True)
            raise
        keys.sync_directory(directory)
        _remove_old(directory, kind, before, after)
    return profile


def remember_own(directory: Path, *of: Settings) -> None:
    """Note the certificates that these settings name as known, or they would seem somebody else's.

    Of those that are replaced, too: the centre lists them for as long as it lists anything.
    """
    names = {each.system_certificate for each in of} | {each.seal_certificate for each in of}
    leaves = [certificates.load_pem(keys.read_small(directory / name)) for name in names if name]
    KnownCertificates(directory).add(*map(certificates.fingerprint, leaves))


def _naming(settings: Settings, kind: CertificateKind, stem: str) -> Settings:
    if kind == "system":
        return msgspec.structs.replace(
            settings, system_certificate=f"{stem}.pem", system_key=f"{stem}.key"
        )
    return msgspec.structs.replace(settings, seal_certificate=f"{stem}.pem", seal_key=f"{stem}.key")


def passphrase_in_use(directory: Path, settings: Settings, given: str | None = None) -> str | None:
    """``given`` or that of the environment where a key of this profile is encrypted; else none.

    Raises:
        KeyUnusable: one is encrypted, and there is no passphrase.
    """
    found = [keys.read_small(directory / name) for name in settings.key_names()]
    if not any(b"ENCRYPTED" in content for content in found):
        return None
    passphrase = given or keys.passphrase_of_environment()
    if passphrase is None:
        raise KeyUnusable(
            f"the keys in {directory} are encrypted, and a new one must be, too: set"
            f" {keys.PASSPHRASE_VARIABLE} to their passphrase"
        )
    return passphrase


def _remove_old(directory: Path, kind: CertificateKind, before: Settings, after: Settings) -> None:
    """Remove what neither this profile.toml nor the one before it names, and is over if a seal.

    Should its successors turn out to be of no use, an old seal is the one way to another without
    anybody's approval.
    """
    kept = {*before.file_names(), *after.file_names()}
    ours = re.compile(rf"({kind}(?:-[0-9a-f]{{8}})?)\.(?:pem|key)")
    found = {match[1] for path in directory.iterdir() if (match := ours.fullmatch(path.name))}
    for stem in found:
        certificate, key = directory / f"{stem}.pem", directory / f"{stem}.key"
        if kept & {certificate.name, key.name} or (kind == "seal" and _is_valid(certificate)):
            continue
        with contextlib.suppress(OSError):
            # In this order: a key without its certificate is found by the next renewal.
            certificate.unlink(missing_ok=True)
            key.unlink(missing_ok=True)


def _is_valid(path: Path) -> bool:
    """Whether the certificate in a file has not ended yet."""
    try:
        return datetime.now(UTC) <= certificates.load_pem(keys.read_small(path)).not_valid_after_utc
    except ExchangeError:
        return False
