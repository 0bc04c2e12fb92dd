"""An order for a certificate becomes a draft: everything that will be signed, not yet linted."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from document_exchange import identity
from document_exchange.errors import InvalidRequest, Unauthenticated
from document_exchange.identity import Identity, Kind
from exchange_pki import profile as profiles
from exchange_pki.profile import Profile

SERIAL_BITS = 159
"""Serials have 20 octets and never a leading zero, so that everybody writes them alike in hex."""

LONGEST_TRUST_DOMAIN = 64
"""It is the organizationName of the authorities, whose upper bound is 64 (RFC 5280, A.1)."""

_MOST_HOSTS = 20
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_UNIT = re.compile(identity.UNIT_ID, re.ASCII)
_NAME = re.compile(identity.NAME, re.ASCII)
_SECOND = timedelta(seconds=1)
_BACKDATED_PART = 10


@dataclass(frozen=True)
class Order:
    """What somebody wants certified. Only ``profile`` and ``name`` are always needed.

    ``unit`` belongs to systems and seals, ``role`` to staff, DNS names and IP addresses to
    servers. ``not_before`` and ``not_after`` may shorten the validity of the profile only, and so
    may ``lifetime``, which shortens the backdating with it.
    """

    profile: str
    name: str
    unit: str | None = None
    role: str | None = None
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class Draft:
    """A certificate to be signed, and what it was meant to be.

    ``identity`` is the SPIFFE ID; that of an authority stands in journal and events only.
    ``issuer`` is None for the root, which signs itself.
    """

    profile: Profile
    identity: str
    role: str | None
    public_key: ec.EllipticCurvePublicKey
    issuer: x509.Certificate | None
    builder: x509.CertificateBuilder

    @property
    def signing_curve(self) -> type[ec.EllipticCurve]:
        """The curve of the key that will sign it."""
        return profiles.get(self.profile.issuer).curve


def leaf(
    order: Order,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    trust_domain: str,
    now: datetime,
) -> Draft:
    """The draft of a leaf certificate.

    Raises:
        InvalidRequest: a field of the order is missing, malformed or not of this profile; the
            attribute ``field`` says which.
    """
    profile = profiles.get(order.profile)
    spiffe_id = identity_of(order, trust_domain)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
    names.extend(x509.DNSName(name) for name in order.dns_names)
    names.extend(x509.IPAddress(ipaddress.ip_address(text)) for text in order.ip_addresses)
    builder = (
        _common(profile, public_key, issuer, _validity(profile, issuer, now, order))
        # No subject: there is no CN that anything could trust, and the SAN is critical instead
        # (RFC 5280, section 4.2.1.6).
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
    )
    return Draft(profile, spiffe_id, order.role, public_key, issuer, builder)


def identity_of(order: Order, trust_domain: str) -> str:
    """The SPIFFE ID that the holder of the certificate will have.

    Raises:
        InvalidRequest: a field of the order is missing, malformed or not of this profile.
    """
    profile = profiles.get(order.profile)
    if profile.identity is None:
        raise InvalidRequest(
            f"{profile.name} is an authority: only `init` makes one", field="profile"
        )
    _check_fields(order, profile)
    spiffe_id = profile.identity.format(trust_domain=trust_domain, unit=order.unit, name=order.name)
    try:
        identity.parse(spiffe_id)
    except Unauthenticated as error:
        raise InvalidRequest(error.message, field="identity", value=spiffe_id) from error
    return spiffe_id


def authority(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    trust_domain: str,
    now: datetime,
) -> Draft:
    """The draft of an authority's own certificate; the root's has no ``issuer`` but itself."""
    profile = profiles.get(name)
    subject = authority_name(profile, trust_domain)
    builder = (
        _common(profile, public_key, issuer, _validity(profile, issuer, now, None))
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
    )
    return Draft(profile, authority_id(trust_domain, name), None, public_key, issuer, builder)


def authority_name(profile: Profile, trust_domain: str) -> x509.Name:
    """The distinguished name of an authority."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain),
            x509.NameAttribute(NameOID.COMMON_NAME, profile.common_name or profile.name),
        ]
    )


def authority_id(trust_domain: str, name: str) -> str:
    """The SPIFFE ID under which an authority acts in events."""
    return str(Identity(trust_domain, Kind.CENTRE_AUTHORITY, name))


def new_serial() -> int:
    """A random serial number with 158 random bits (RFC 5280, section 4.1.2.2)."""
    return 1 << (SERIAL_BITS - 1) | secrets.randbits(SERIAL_BITS - 1)


def serial_text(serial: int) -> str:
    """A serial number as everybody writes it: lower-case hex."""
    return f"{serial:x}"


def _common(
    profile: Profile,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    begins, ends = validity
    own_identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    issuing_identifier = own_identifier if issuer is None else key_identifier(issuer)
    constraints = profile.basic_constraints
    builder = (
        x509.CertificateBuilder()
        .serial_number(new_serial())
        .public_key(public_key)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(own_identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuing_identifier),
            critical=False,
        )
        .add_extension(
            x509.BasicConstraints(ca=constraints.ca, path_length=constraints.path_length),
            critical=True,
        )
        .add_extension(profiles.key_usage(profile.key_usage), critical=True)
    )
    if profile.purposes:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage(profile.purposes), critical=profile.extended_key_usage_critical
        )
    return builder


def key_identifier(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The subject key identifier of an authority of ours, which always has one."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def _validity(
    profile: Profile, issuer: x509.Certificate | None, now: datetime, order: Order | None
) -> tuple[datetime, datetime]:
    """Both ends are part of the validity (RFC 5280, section 4.1.2.5), hence a second less."""
    now = now.replace(microsecond=0)
    not_before, not_after = (order.not_before, order.not_after) if order else (None, None)
    lifetime, backdate = profile.lifetime, profile.backdate
    if order is not None and order.lifetime is not None:
        lifetime = min(lifetime, order.lifetime)
        # What lives for seconds must not have begun minutes ago: renewal goes by the fraction.
        backdate = min(backdate, lifetime // _BACKDATED_PART // _SECOND * _SECOND)
    begins = not_before or now - backdate
    if issuer is not None and not_before is None:
        begins = max(begins, issuer.not_valid_before_utc)
    ends = not_after or begins + lifetime - _SECOND
    if begins >= ends:
        raise InvalidRequest(
            f"not_after {ends.isoformat()} is not later than not_before {begins.isoformat()}",
            field="not_after",
        )
    return begins, ends


def _check_fields(order: Order, profile: Profile) -> None:
    if _NAME.fullmatch(order.name) is None:
        raise InvalidRequest(
            f"{order.name!r} is no name: at most 63 of a-z, 0-9, dot, _ and -",
            field="name",
            value=order.name,
        )
    if profile.needs_unit != (order.unit is not None):
        needs = "needs" if profile.needs_unit else "has no"
        raise InvalidRequest(f"the profile {profile.name} {needs} unit", field="unit")
    if order.unit is not None and _UNIT.fullmatch(order.unit) is None:
        raise InvalidRequest(
            f"{order.unit!r} is no unit id: 2 to 40 of a-z, 0-9 and -",
            field="unit",
            value=order.unit,
        )
    if profile.roles and order.role not in profile.roles:
        raise InvalidRequest(
            f"the profile {profile.name} needs a role: {', '.join(profile.roles)}", field="role"
        )
    if not profile.roles and order.role is not None:
        raise InvalidRequest(f"the profile {profile.name} has no role", field="role")
    if order.lifetime is not None and (order.lifetime <= _SECOND or order.lifetime.microseconds):
        raise InvalidRequest("lifetime must be some whole seconds", field="lifetime")
    for field, moment in (("not_before", order.not_before), ("not_after", order.not_after)):
        if moment is not None and (moment.tzinfo is None or moment.microsecond):
            raise InvalidRequest(f"{field} must be in whole seconds with a time zone", field=field)
    _check_hosts(order, profile)


def _check_hosts(order: Order, profile: Profile) -> None:
    count = len(order.dns_names) + len(order.ip_addresses)
    if profile.hosts == "refused" and count:
        raise InvalidRequest(
            f"the profile {profile.name} has no DNS names and IP addresses", field="dns"
        )
    if profile.hosts == "required" and not 1 <= count <= _MOST_HOSTS:
        raise InvalidRequest(
            f"the profile {profile.name} needs 1 to {_MOST_HOSTS} DNS names and IP addresses",
            field="dns",
        )
    for name in order.dns_names:
        if not is_dns_name(name):
            raise InvalidRequest(
                f"{name!r} is no DNS name in lower case without wildcard", field="dns", value=name
            )
    for text in order.ip_addresses:
        if not is_host_address(text):
            raise InvalidRequest(f"{text!r} is no IP address of a host", field="ip", value=text)


def is_dns_name(text: str) -> bool:
    """Whether this is a host's DNS name as certificates have it: lower case, no wildcard."""
    last_label = text.rpartition(".")[2]
    return len(text) <= 253 and bool(_DNS_NAME.fullmatch(text)) and not last_label.isdigit()


def is_host_address(text: str) -> bool:
    """Whether this is the IPv4 or IPv6 address of one host, without a scope."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and not (address.is_unspecified or address.is_multicast)
