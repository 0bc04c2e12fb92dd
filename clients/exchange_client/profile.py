"""A profile: how one unit's system reaches the centre, and whose word it trusts.

A profile is a directory with ``profile.toml`` and, beside it, the files that it names::

    address = "exchange.example:8443"
    root = "root.pem"                  # the root certificate ...
    root_fingerprint = "9f86d0..."     # ... which counts only with this SHA-256
    tls_ca = "tls-ca.pem"              # whom the centre's TLS certificate comes from
    seal_ca = "seal-ca.pem"            # whom the seals come from
    system_certificate = "system.pem"  # leaf, then its issuing CA
    system_key = "system.key"
    seal_certificate = "seal.pem"      # optional: without them nothing can be sealed
    seal_key = "seal.key"
    server_name = ""                   # optional: name in the centre's certificate
    authority = "ca.example:7451"      # optional: where certificates are renewed

Unit and system are never in the file: they are what the system certificate says. The system
certificate may also be that of a member of staff, who administers the centre and has no unit.

``exchange enrol`` writes profiles (``profile_store``). A renewal puts new files beside the old
ones and then replaces profile.toml at once, so that a crash leaves the old or the new.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from document_exchange import certificates, identity
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    CertificateExpired,
    ConfigurationError,
    ExchangeError,
    KeyUnusable,
)
from document_exchange.identity import Identity, Kind
from document_exchange.signature import KeySigner, Signer
from exchange_client import keys, locations

PROFILE_FILE = "profile.toml"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in profile.toml."""

    address: str
    root: str
    root_fingerprint: str
    tls_ca: str
    seal_ca: str
    system_certificate: str
    system_key: str
    seal_certificate: str = ""
    seal_key: str = ""
    server_name: str = ""
    authority: str = ""

    def file_names(self) -> tuple[str, ...]:
        """The files beside profile.toml that it names."""
        names = (
            self.root,
            self.tls_ca,
            self.seal_ca,
            self.system_certificate,
            self.system_key,
            self.seal_certificate,
            self.seal_key,
        )
        return tuple(name for name in names if name)

    def key_names(self) -> tuple[str, ...]:
        """Those of them that hold private keys."""
        return tuple(name for name in (self.system_key, self.seal_key) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything needed to speak for one unit, checked and in memory."""

    name: str
    address: str
    """``host:port`` of the centre."""
    server_name: str
    """The name that the centre's certificate carries; empty: the host in ``address``."""
    tls_ca: bytes
    """PEM of the CA that the centre's TLS certificate chains to."""
    root_fingerprint: str
    trust: SealTrust
    """The root and the CA of the seals."""
    system_chain: bytes
    """PEM, leaf first."""
    system_key: bytes = field(repr=False)
    """PKCS#8 PEM, not encrypted: gRPC wants it so."""
    system_certificate: x509.Certificate
    system: Identity
    """Unit and system, or the member of staff, from the certificate."""
    seal: Signer | None
    """The unit's seal; None where this system may not seal."""
    authority: str = ""
    """``host:port`` of the authority's service over mutual TLS; empty: not known."""
    directory: Path | None = None
    """Where it was read from; None for one that exists in memory alone."""
    passphrase: str | None = field(default=None, repr=False)
    """What opens its key files, for renewals; None: none was given and none is set."""

    @property
    def unit(self) -> str:
        """The unit that this profile speaks for.

        Raises:
            ConfigurationError: it speaks for a member of staff.
        """
        if self.system.unit is None:
            raise ConfigurationError(f"{self.system} is not a unit's system")
        return self.system.unit

    @classmethod
    def load(
        cls,
        name: str | None = None,
        config_dir: str | Path | None = None,
        passphrase: str | None = None,
    ) -> Profile:
        """Read and check a profile.

        Args:
            name: default: EXCHANGE_PROFILE, or the only profile that there is.
            config_dir: default: EXCHANGE_CONFIG, or ~/.config/document-exchange.
            passphrase: of its keys, if they are encrypted; default: EXCHANGE_KEY_PASSPHRASE.

        Raises:
            ConfigurationError: there is no such profile, or something in it is wrong.
            KeyUnusable: a private key can't be read, or others may read it.
        """
        directory = locations.config_dir(config_dir)
        chosen = locations.choose_profile(directory, name)
        return cls.read(directory / chosen, chosen, passphrase=passphrase)

    @classmethod
    def read(
        cls,
        directory: Path,
        name: str,
        *,
        private: bool = True,
        passphrase: str | None = None,
        file: str = PROFILE_FILE,
    ) -> Profile:
        """Read and check the profile in ``directory``.

        Args:
            directory: where it is.
            name: what to call it.
            private: insist that only the owner may read its keys.
            passphrase: of its keys, if they are encrypted; default: EXCHANGE_KEY_PASSPHRASE.
            file: what is read as its profile.toml.

        Raises:
            ConfigurationError: something in it is wrong.
            KeyUnusable: a private key can't be read, or others may read it.
        """
        settings = read_settings(directory / file)
        if private:
            for key_name in settings.key_names():
                keys.check_private(directory / key_name)
        root = _certificate(directory / settings.root)
        found = certificates.fingerprint(root)
        if found != settings.root_fingerprint.lower():
            raise ConfigurationError(
                f"{directory / settings.root} is not the root that the profile names:"
                f" its fingerprint is {found}, root_fingerprint says {settings.root_fingerprint}",
                field="root_fingerprint",
            )
        chain = keys.read_small(directory / settings.system_certificate)
        certificate = _certificate(directory / settings.system_certificate)
        key = keys.load(directory / settings.system_key, passphrase)
        if key.public_key() != certificate.public_key():
            raise KeyUnusable(
                f"{directory / settings.system_key} is not the key of"
                f" {settings.system_certificate}: both must come from the same enrolment"
            )
        path = directory / settings.system_certificate
        system = _identity(certificate, (Kind.SYSTEM, Kind.STAFF), path)
        return cls(
            name=name,
            address=settings.address,
            server_name=settings.server_name,
            tls_ca=keys.read_small(directory / settings.tls_ca),
            root_fingerprint=found,
            trust=_trust(root, directory / settings.seal_ca),
            system_chain=chain,
            system_key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            system_certificate=certificate,
            system=system,
            seal=_seal(directory, settings, system, passphrase),
            authority=settings.authority,
            directory=directory,
            passphrase=passphrase or keys.passphrase_of_environment(),
        )

    def check_dates(self, at: datetime) -> None:
        """Refuse to start with a system certificate that no server would admit at ``at``.

        Raises:
            CertificateExpired: with both dates; the TLS handshake would only fail without a word.
        """
        certificate = self.system_certificate
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise CertificateExpired(
                f"the system certificate of profile {self.name} is valid from"
                f" {certificate.not_valid_before_utc.isoformat()} to"
                f" {certificate.not_valid_after_utc.isoformat()}, and now is {at.isoformat()}:"
                " renew it, or set this machine's clock right",
                profile=self.name,
            )

    def require_seal(self) -> Signer:
        """The unit's seal.

        Raises:
            ConfigurationError: the profile has none.
        """
        if self.seal is None:
            raise ConfigurationError(
                f"profile {self.name} has no seal: add seal_certificate and seal_key to its"
                f" {PROFILE_FILE}",
                profile=self.name,
            )
        return self.seal


def read_settings(path: Path) -> Settings:
    """The settings in a profile.toml.

    Raises:
        ConfigurationError: not readable, not TOML, an unknown or missing field, or a file name
            that leaves the profile's directory.
    """
    try:
        content = tomllib.loads(keys.read_small(path).decode())
        settings = msgspec.convert(content, Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}", file=str(path)) from error
    for name in settings.file_names():
        if not locations.is_plain_name(name):
            raise ConfigurationError(
                f"{path}: {name!r} must be the plain name of a file beside it", file=str(path)
            )
    if bool(settings.seal_certificate) != bool(settings.seal_key):
        raise ConfigurationError(
            f"{path}: give both seal_certificate and seal_key, or neither", file=str(path)
        )
    return settings


def _certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file."""
    try:
        return certificates.load_chain_pem(keys.read_small(path))[0]
    except (ExchangeError, ValueError, IndexError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} holds no certificate: {error}", file=str(path)) from error


def _identity(certificate: x509.Certificate, kinds: tuple[Kind, ...], path: Path) -> Identity:
    try:
        found = identity.of_certificate(certificate)
    except ExchangeError as error:
        raise ConfigurationError(f"{path}: {error}", file=str(path)) from error
    if found.kind not in kinds:
        raise ConfigurationError(
            f"{path} is a certificate of kind {found.kind.value} ({found}):"
            f" one of kind {' or '.join(kind.value for kind in kinds)} is needed",
            file=str(path),
        )
    return found


def _trust(root: x509.Certificate, path: Path) -> SealTrust:
    try:
        return SealTrust(root, _certificate(path))
    except ExchangeError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path}: {error}", file=str(path)) from error


def _seal(
    directory: Path, settings: Settings, system: Identity, passphrase: str | None
) -> Signer | None:
    if not settings.seal_certificate:
        return None
    path = directory / settings.seal_certificate
    certificate = _certificate(path)
    holder = _identity(certificate, (Kind.SEAL,), path)
    if holder.unit != system.unit:
        raise ConfigurationError(
            f"{path} is the seal of {holder.unit}, the system certificate is of {system.unit}",
            file=str(path),
        )
    try:
        return KeySigner(certificate, keys.load(directory / settings.seal_key, passphrase))
    except KeyUnusable as error:
        raise KeyUnusable(
            f"{directory / settings.seal_key}: {error}", file=settings.seal_key
        ) from error
