"""What each kind of certificate looks like: the files ``profiles/*.toml``, read and checked."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from document_exchange.certificates import DOCUMENT_SIGNING, EMAIL_PROTECTION
from document_exchange.errors import ConfigurationError, InvalidRequest
from document_exchange.identity import Kind

ROOT = "root"
TLS_CA = "tls-ca"
SEAL_CA = "seal-ca"
AUTHORITIES = (ROOT, TLS_CA, SEAL_CA)
"""Every certificate authority, the root first."""

KeyType = Literal["P-256", "P-384"]
KeyUsageName = Literal["digitalSignature", "nonRepudiation", "keyCertSign", "cRLSign"]
PurposeName = Literal[
    "serverAuth", "clientAuth", "documentSigning", "emailProtection", "timeStamping"
]

PURPOSES: Mapping[str, x509.ObjectIdentifier] = MappingProxyType(
    {
        "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
        "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
        "documentSigning": DOCUMENT_SIGNING,
        "emailProtection": EMAIL_PROTECTION,
        "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING,
    }
)
"""Extended key usages (RFC 5280, section 4.2.1.12) by the names that profiles use."""

CURVES: Mapping[KeyType, type[ec.EllipticCurve]] = MappingProxyType(
    {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
)


class BasicConstraints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the holder may issue certificates, and how long a chain below it may be."""

    ca: bool
    path_length: int | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One profile. ``name`` is the file's; ``issuer`` is the authority that must issue it.

    A leaf has ``identity`` (the template of its only URI) and ``identity_kind``; an authority has
    ``common_name`` instead. ``hosts`` says whether DNS names and IP addresses stand beside the
    URI. ``roles``: one of them must be named for each certificate; it stays out of the
    certificate.
    """

    name: str
    issuer: Literal["root", "tls-ca", "seal-ca"]
    basic_constraints: BasicConstraints
    key_type: KeyType
    lifetime_days: int
    backdate_minutes: int
    key_usage: tuple[KeyUsageName, ...]
    extended_key_usage: tuple[PurposeName, ...]
    extended_key_usage_critical: bool = False
    hosts: Literal["refused", "required"]
    identity: str | None = None
    identity_kind: Kind | None = None
    common_name: str | None = None
    roles: tuple[str, ...] = ()

    @property
    def is_authority(self) -> bool:
        """Whether the holder may issue certificates."""
        return self.basic_constraints.ca

    @property
    def needs_unit(self) -> bool:
        """Whether the identity is one of a unit."""
        return "{unit}" in (self.identity or "")

    @property
    def lifetime(self) -> timedelta:
        """The longest validity that a certificate of this profile may have."""
        return timedelta(days=self.lifetime_days)

    @property
    def backdate(self) -> timedelta:
        """How far before its issue a certificate begins, for holders whose clocks are late."""
        return timedelta(minutes=self.backdate_minutes)

    @property
    def curve(self) -> type[ec.EllipticCurve]:
        """The curve that the subject's key must be on."""
        return CURVES[self.key_type]

    @property
    def purposes(self) -> tuple[x509.ObjectIdentifier, ...]:
        """The extended key usages, in the order of the file."""
        return tuple(PURPOSES[name] for name in self.extended_key_usage)


def parse(name: str, text: str) -> Profile:
    """The profile in the text of one TOML file.

    Raises:
        ConfigurationError: not TOML, a field is missing, unknown or of a wrong type, or the
            fields contradict each other.
    """
    try:
        profile = msgspec.convert({"name": name, **tomllib.loads(text)}, Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"profile {name}: {error}", profile=name) from error
    authority_fields = (profile.identity, profile.identity_kind) == (None, None)
    leaf_fields = profile.common_name is None and None not in (
        profile.identity,
        profile.identity_kind,
    )
    if not (authority_fields and profile.common_name if profile.is_authority else leaf_fields):
        raise ConfigurationError(
            f"profile {name}: an authority has common_name, a leaf identity and identity_kind",
            profile=name,
        )
    if profile.lifetime_days <= 0 or profile.backdate_minutes < 0:
        raise ConfigurationError(f"profile {name}: the lifetime must be positive", profile=name)
    return profile


@functools.cache
def all_profiles() -> Mapping[str, Profile]:
    """Every profile that the package carries, by name.

    Raises:
        ConfigurationError: one of the files is unusable.
    """
    folder = importlib.resources.files("exchange_pki") / "profiles"
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".toml")),
        key=lambda entry: entry.name,
    )
    names = [entry.name.removesuffix(".toml") for entry in files]
    return MappingProxyType(
        {
            name: parse(name, entry.read_text(encoding="utf-8"))
            for name, entry in zip(names, files, strict=True)
        }
    )


def get(name: str) -> Profile:
    """The profile of this name.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        return all_profiles()[name]
    except KeyError:
        known = ", ".join(sorted(all_profiles()))
        raise InvalidRequest(
            f"there is no profile {name!r}; the profiles are {known}", field="profile", value=name
        ) from None


def key_usage(names: tuple[KeyUsageName, ...]) -> x509.KeyUsage:
    """The key usage extension with exactly these bits (RFC 5280, section 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature="digitalSignature" in names,
        content_commitment="nonRepudiation" in names,
        key_cert_sign="keyCertSign" in names,
        crl_sign="cRLSign" in names,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
