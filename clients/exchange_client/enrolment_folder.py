"""What an enrolment keeps on disk, so that repeating it goes on with the same keys.

A token belongs to the first pair of keys that comes with it. So the keys, and the signing requests
that carry their public halves, are durable before the token is first used: in a hidden directory
beside the profiles, named after the token's SHA-256, which becomes the profile when the
certificates are there. A profile remembers the token that it came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import ConfigurationError, KeyUnusable
from exchange_client import keys, locations
from exchange_client.profile import PROFILE_FILE
from exchange_client.profile_store import CertificateKind, locked

RECORD_FILE = "enrolment.toml"
_LOCK_FILE = ".enrolling"
_HIDDEN_PREFIX = ".enrolling-"
_REPLACED_PREFIX = ".replaced-"
_NAME_DIGITS = 32


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which token a directory belongs to, and where its seal stands: "" before the first answer."""

    token_sha256: str
    authority: str
    root_fingerprint: str
    seal: str = ""


@dataclass(frozen=True, slots=True)
class EnrolmentFolder:
    """The directory of one token's keys: hidden, or a profile already."""

    directory: Path

    @property
    def is_profile(self) -> bool:
        """Whether it has its final name."""
        return not self.directory.name.startswith(_HIDDEN_PREFIX)

    @property
    def has_profile(self) -> bool:
        """Whether the certificate of the system is there."""
        return (self.directory / PROFILE_FILE).is_file()

    @property
    def record(self) -> Record:
        """What it belongs to.

        Raises:
            ConfigurationError: it is damaged.
        """
        path = self.directory / RECORD_FILE
        try:
            return msgspec.convert(tomllib.loads(keys.read_small(path).decode()), Record)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"{path}: {error}", file=str(path)) from error

    def write_record(self, record: Record) -> None:
        """Replace what it belongs to; durable on return."""
        text = tomli_w.dumps(msgspec.structs.asdict(record))
        keys.write_private(self.directory / RECORD_FILE, text.encode())

    def key_and_request(
        self, kind: CertificateKind, passphrase: str | None
    ) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """The key of ``kind`` and its signing request (PKCS#10, DER): made if they are missing.

        MUST only return when both are durable, since the token will belong to them.

        Raises:
            KeyUnusable: the key is there and can't be read, or its passphrase is missing.
        """
        path, request_path = self.directory / f"{kind}.key", self.directory / f"{kind}.p10"
        if path.exists():
            keys.check_private(path)
            key = keys.load(path, passphrase)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise KeyUnusable(f"{path} is not a key on an elliptic curve", file=str(path))
        elif request_path.exists():
            raise KeyUnusable(
                f"{path} is gone, and the token belongs to it: ask the operator for a new token",
                file=str(path),
            )
        else:
            key = keys.new_key()
            keys.write_private(path, keys.private_pem(key, passphrase))
        if not request_path.exists():
            keys.write_private(request_path, keys.request(key))
        return key, keys.read_small(request_path)

    def request(self, kind: CertificateKind) -> bytes:
        """The signing request that was made for ``kind`` (PKCS#10, DER).

        Raises:
            ConfigurationError: it is gone.
        """
        return keys.read_small(self.directory / f"{kind}.p10")

    def renamed(self, name: str, *, replace: bool) -> EnrolmentFolder:
        """The same directory as the profile ``name``; durable on return.

        What it takes the place of is hidden beside it until ``remove_replaced``.

        Raises:
            ConfigurationError: it can't be the name of a profile, or there is another profile of
                this name and ``replace`` is false.
        """
        if self.is_profile:
            return self
        parent = self.directory.parent
        require_usable(parent, name, replace=replace)
        target = parent / name
        if os.path.lexists(target):
            target.rename(parent / f"{_REPLACED_PREFIX}{name}-{secrets.token_hex(4)}")
        self.directory.rename(target)
        keys.sync_directory(parent)
        return EnrolmentFolder(target)

    def remove_replaced(self) -> None:
        """Remove the profiles whose place this one took.

        Only when this one is complete: until then, the one seal that there is may be theirs.
        """
        name = re.escape(self.directory.name)
        replaced = re.compile(rf"{re.escape(_REPLACED_PREFIX)}{name}-[0-9a-f]{{8}}")
        for path in self.directory.parent.iterdir():
            if replaced.fullmatch(path.name) is None:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextlib.contextmanager
def opened(config_dir: Path, token: str, root_fingerprint: str) -> Iterator[EnrolmentFolder]:
    """The folder of a token, made if there is none; nobody else works in it meanwhile.

    Raises:
        ConfigurationError: another process is at work with this token, or the folder belongs to
            another authority.
    """
    token_sha256 = _sha256_of(token)
    folder = _found(config_dir, token_sha256)
    if folder is None:
        config_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = EnrolmentFolder(config_dir / f"{_HIDDEN_PREFIX}{token_sha256[:_NAME_DIGITS]}")
        folder.directory.mkdir(mode=0o700, exist_ok=True)
        keys.sync_directory(config_dir)
    with locked(folder.directory, _LOCK_FILE, wait=False):
        if (folder.directory / RECORD_FILE).exists():
            record = folder.record
            if record.root_fingerprint != root_fingerprint:
                raise ConfigurationError(
                    f"this token was begun with an authority whose root has the fingerprint"
                    f" {record.root_fingerprint}: give that one",
                    field="fingerprint",
                )
        yield folder


def remember(folder: EnrolmentFolder, token: str, authority: str, root_fingerprint: str) -> None:
    """Write down whose token the folder belongs to, unless that is known; durable on return.

    MUST be called only when the authority's root has this fingerprint: from then on the token
    takes no other, and a mistyped one would make it useless on this machine.
    """
    if not (folder.directory / RECORD_FILE).exists():
        folder.write_record(
            Record(
                token_sha256=_sha256_of(token),
                authority=authority,
                root_fingerprint=root_fingerprint,
            )
        )


def require_usable(config_dir: Path, name: str, *, replace: bool) -> None:
    """Refuse what can't be the name of a new profile.

    Args:
        config_dir: the directory of all profiles.
        name: any text.
        replace: whether it may take the place of another profile.

    Raises:
        ConfigurationError: it leads out of ``config_dir``, or belongs to another profile.
    """
    if not locations.is_plain_name(name):
        raise ConfigurationError(f"{name!r} can't be the name of a profile", profile=name)
    if not replace and (config_dir / name).exists():
        raise ConfigurationError(
            f"there is a profile {name} in {config_dir} already: give another name with --profile,"
            " or --replace",
            profile=name,
        )


def _sha256_of(token: str) -> str:
    # As the authority reads it: in capitals, or with a blank, it is the same token.
    return hashlib.sha256(token.strip().lower().encode()).hexdigest()


def _found(config_dir: Path, token_sha256: str) -> EnrolmentFolder | None:
    """The folder that this token has already."""
    hidden = EnrolmentFolder(config_dir / f"{_HIDDEN_PREFIX}{token_sha256[:_NAME_DIGITS]}")
    if hidden.directory.is_dir():
        return hidden
    for name in locations.profile_names(config_dir):
        folder = EnrolmentFolder(config_dir / name)
        with contextlib.suppress(ConfigurationError):  # another profile's trouble is not ours
            # There may be a hundred: only what can be it is worth reading closely.
            content = keys.read_small(folder.directory / RECORD_FILE)
            if token_sha256.encode() in content and folder.record.token_sha256 == token_sha256:
                return folder
    return None
