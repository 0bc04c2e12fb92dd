"""A small certificate authority in memory, so that tests of the pure package need no other part.

It issues what the real authority would, and on request what it never would: certificates that
are expired, of a wrong purpose, from a wrong issuer, with other extensions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from document_exchange.certificates import DOCUMENT_SIGNING, EMAIL_PROTECTION, CrlPair, SealTrust
from document_exchange.signature import KeySigner

TRUST_DOMAIN = "exchange.example"
NOW = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
"""The moment at which everything here is valid, unless a test asks for something else."""

DAY = dt.timedelta(days=1)
SEAL_PURPOSES = (DOCUMENT_SIGNING, EMAIL_PROTECTION)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
TIME_STAMPING = (ExtendedKeyUsageOID.TIME_STAMPING,)
SEAL_CA_PURPOSES = (*SEAL_PURPOSES, *TIME_STAMPING)


@dataclass(frozen=True)
class Holder:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def signer(self) -> KeySigner:
        return KeySigner(self.certificate, self.key)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Exchange"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def key_usage(*allowed: str) -> x509.KeyUsage:
    """The key usage extension with the named bits set: ``key_usage("digital_signature")``."""
    bits = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    if unknown := set(allowed) - set(bits):
        raise ValueError(f"no such key usage: {unknown}")
    return x509.KeyUsage(**(bits | dict.fromkeys(allowed, True)))


def unit_seal_id(unit: str, seal: str = "seal-1", domain: str = TRUST_DOMAIN) -> str:
    return f"spiffe://{domain}/unit/{unit}/seal/{seal}"


CENTRE_SEAL_ID = f"spiffe://{TRUST_DOMAIN}/centre/seal/centre-1"


def make_certificate(
    subject: str,
    *,
    issuer: Holder | None,
    key: ec.EllipticCurvePrivateKey | None = None,
    public_key: CertificatePublicKeyTypes | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    not_before: dt.datetime = NOW - 30 * DAY,
    not_after: dt.datetime = NOW + 335 * DAY,
    serial: int | None = None,
) -> Holder:
    """One certificate with exactly these extensions (value, critical), besides key identifiers.

    ``issuer`` None makes it self-signed; ``public_key`` stands in it instead of the key's own.
    """
    own_key = key or ec.generate_private_key(ec.SECP256R1())
    issuing_key = own_key if issuer is None else issuer.key
    certified = public_key or own_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(subject) if issuer is None else issuer.certificate.subject)
        .public_key(certified)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(certified), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing_key.public_key()), False
        )
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    digest = hashes.SHA384() if isinstance(issuing_key.curve, ec.SECP384R1) else hashes.SHA256()
    # Deterministic (RFC 6979), so that fixed keys and serials give fixed files.
    return Holder(builder.sign(issuing_key, digest, ecdsa_deterministic=True), own_key)


def make_authority(
    subject: str,
    *,
    issuer: Holder | None,
    path_length: int | None,
    purposes: Sequence[x509.ObjectIdentifier] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
    usage: x509.KeyUsage | None = None,
    not_before: dt.datetime = NOW - 365 * DAY,
    not_after: dt.datetime = NOW + 3650 * DAY,
    serial: int | None = None,
) -> Holder:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (usage or key_usage("key_cert_sign", "crl_sign"), True),
    ]
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    return make_certificate(
        subject,
        issuer=issuer,
        key=key or ec.generate_private_key(ec.SECP384R1()),
        extensions=extensions,
        not_before=not_before,
        not_after=not_after,
        serial=serial,
    )


def make_leaf(
    identity: str,
    *,
    issuer: Holder | None,
    purposes: Sequence[x509.ObjectIdentifier] = SEAL_PURPOSES,
    usage: x509.KeyUsage | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    public_key: CertificatePublicKeyTypes | None = None,
    further_names: Sequence[x509.GeneralName] = (),
    further_extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    not_before: dt.datetime = NOW - 30 * DAY,
    not_after: dt.datetime = NOW + 335 * DAY,
    serial: int | None = None,
    purposes_critical: bool = False,
) -> Holder:
    """An end entity's certificate as the profiles have it; ``identity`` becomes its only URI."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage or key_usage("digital_signature", "content_commitment"), True),
        (
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity), *further_names]),
            False,
        ),
    ]
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), purposes_critical))
    return make_certificate(
        identity.rsplit("/", 3)[-3],
        issuer=issuer,
        key=key,
        public_key=public_key,
        extensions=[*extensions, *further_extensions],
        not_before=not_before,
        not_after=not_after,
        serial=serial,
    )


def make_system(identity: str, issuer: Holder, **validity: Any) -> Holder:
    """A system's certificate that is in nobody's books, whoever issues it."""
    usage = key_usage("digital_signature")
    return make_leaf(identity, issuer=issuer, purposes=CLIENT, usage=usage, **validity)


def make_crl(
    issuer: Holder,
    *,
    revoked: Iterable[tuple[x509.Certificate, dt.datetime]] = (),
    this_update: dt.datetime = NOW - dt.timedelta(hours=1),
    next_update: dt.datetime = NOW + 7 * DAY,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entry_extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    signing_key: ec.EllipticCurvePrivateKey | None = None,
    number: int = 1,
) -> x509.CertificateRevocationList:
    """A full CRL of ``issuer``; ``signing_key`` of another makes a forged one."""
    key = signing_key or issuer.key
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(number), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False
        )
    )
    for certificate, since in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(since)
        )
        for value, critical in entry_extensions:
            entry = entry.add_extension(value, critical)
        builder = builder.add_revoked_certificate(entry.build())
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


@dataclass
class Pki:
    """Root, TLS CA and seal CA, with a seal for each unit that is asked for."""

    root: Holder = field(default_factory=lambda: make_authority("Root", issuer=None, path_length=1))
    tls_ca: Holder = field(init=False)
    seal_ca: Holder = field(init=False)
    trust: SealTrust = field(init=False)
    _seals: dict[str, Holder] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.tls_ca = make_authority(
            "TLS CA", issuer=self.root, path_length=0, purposes=(*SERVER, *CLIENT)
        )
        self.seal_ca = make_authority(
            "Seal CA", issuer=self.root, path_length=0, purposes=SEAL_CA_PURPOSES
        )
        self.trust = SealTrust(self.root.certificate, self.seal_ca.certificate)

    def seal(self, unit: str) -> Holder:
        """The seal of ``unit``; the same one each time."""
        if unit not in self._seals:
            self._seals[unit] = make_leaf(unit_seal_id(unit), issuer=self.seal_ca)
        return self._seals[unit]

    @property
    def centre_seal(self) -> Holder:
        """The seal of the centre; the same one each time."""
        if "" not in self._seals:
            self._seals[""] = make_leaf(CENTRE_SEAL_ID, issuer=self.seal_ca)
        return self._seals[""]

    def crls(
        self,
        *,
        revoked: Iterable[tuple[x509.Certificate, dt.datetime]] = (),
        this_update: dt.datetime = NOW - dt.timedelta(hours=1),
        next_update: dt.datetime = NOW + 7 * DAY,
    ) -> CrlPair:
        """Both CRLs in force around NOW; ``revoked`` are leaves of the seal CA."""
        return CrlPair(
            make_crl(self.root, this_update=this_update, next_update=next_update),
            make_crl(
                self.seal_ca, revoked=revoked, this_update=this_update, next_update=next_update
            ),
        )
