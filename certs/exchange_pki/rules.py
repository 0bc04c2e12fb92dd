"""Every rule that a certificate must obey; each looks at the certificate, never at its builder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from document_exchange import identity
from document_exchange.errors import Unauthenticated
from exchange_pki import prepare
from exchange_pki import profile as profiles
from exchange_pki.keys import key_sha256
from exchange_pki.prepare import Draft
from exchange_pki.profile import PURPOSES, Profile

_TLS = frozenset({PURPOSES["serverAuth"], PURPOSES["clientAuth"]})
_SECOND = timedelta(seconds=1)
_LARGEST_BYTES = 4096

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Known(Protocol):
    """What was certified before, as far as the rules ask for it."""

    def has_serial(self, serial: int) -> bool:
        """Whether a certificate with this serial was ever begun."""

    def key_conflict(self, key_sha256: str, profile: str, identity: str) -> str | None:
        """Why this key (SHA-256 of its SubjectPublicKeyInfo) can't be certified for this."""


@dataclass(frozen=True)
class Case:
    """One certificate under lint, and all that it is measured by."""

    certificate: x509.Certificate
    draft: Draft
    trust_domain: str
    now: datetime
    known: Known

    @property
    def profile(self) -> Profile:
        return self.draft.profile

    @property
    def issuer(self) -> x509.Certificate:
        """The issuing certificate; the specimen itself where it is the root."""
        return self.draft.issuer or self.certificate

    def extension(self, kind: type[_Extension]) -> x509.Extension[_Extension] | None:
        return _extension(self.certificate, kind)


def form(case: Case) -> Iterator[str]:
    """Version 3, of bounded size, with exactly the extensions of the profile."""
    if case.certificate.version is not x509.Version.v3:
        yield "the version is not 3"
    size = len(case.certificate.public_bytes(serialization.Encoding.DER))
    if size > _LARGEST_BYTES:
        yield f"it has {size} bytes, more than {_LARGEST_BYTES}"
    expected = {
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
    }
    if case.profile.purposes:
        expected.add(x509.ExtendedKeyUsage.oid)
    if not case.profile.is_authority:
        expected.add(x509.SubjectAlternativeName.oid)
    found = {extension.oid for extension in case.certificate.extensions}
    for oid in sorted(found ^ expected, key=lambda oid: oid.dotted_string):
        yield f"the extension {oid.dotted_string} is {'surplus' if oid in found else 'missing'}"


def serial(case: Case) -> Iterator[str]:
    """20 octets, positive and never used before."""
    number = case.certificate.serial_number
    if number.bit_length() != prepare.SERIAL_BITS:
        yield f"the serial number has {number.bit_length()} bits, not {prepare.SERIAL_BITS}"
    if case.known.has_serial(number):
        yield f"the serial number {prepare.serial_text(number)} was used before"


def signature(case: Case) -> Iterator[str]:
    """ECDSA with the hash that belongs to the issuing key."""
    expected = (
        SignatureAlgorithmOID.ECDSA_WITH_SHA384
        if profiles.get(case.profile.issuer).key_type == "P-384"
        else SignatureAlgorithmOID.ECDSA_WITH_SHA256
    )
    if case.certificate.signature_algorithm_oid != expected:
        yield f"the algorithm is {case.certificate.signature_algorithm_oid.dotted_string}"


def issuer(case: Case) -> Iterator[str]:
    """The profile's own authority, which may issue and is valid now."""
    if case.certificate.issuer != case.issuer.subject:
        yield "the issuer's name is not the subject of the issuing certificate"
    expected = prepare.authority_name(profiles.get(case.profile.issuer), case.trust_domain)
    if case.issuer.subject != expected:
        yield f"the issuer is not {expected.rfc4514_string()}"
    found = case.extension(x509.AuthorityKeyIdentifier)
    wanted = _extension(case.issuer, x509.SubjectKeyIdentifier)
    if found is None or wanted is None or found.value.key_identifier != wanted.value.digest:
        yield "the authority key identifier is not the issuer's"
    usage = _extension(case.issuer, x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        yield "the issuer may not sign certificates"
    if not case.issuer.not_valid_before_utc <= case.now <= case.issuer.not_valid_after_utc:
        yield "the issuer is not valid now"


def key(case: Case) -> Iterator[str]:
    """On the profile's curve, and never certified for someone or something else."""
    public_key = case.certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        yield "the key is not on an elliptic curve"
        return
    if not isinstance(public_key.curve, case.profile.curve):
        yield f"the key is on {public_key.curve.name}, not on {case.profile.key_type}"
    if public_key != case.draft.public_key:
        yield "the key is not the subject's"
    conflict = case.known.key_conflict(
        key_sha256(public_key), case.profile.name, case.draft.identity
    )
    if conflict is not None:
        yield conflict
    found = case.extension(x509.SubjectKeyIdentifier)
    if found is None or found.value != x509.SubjectKeyIdentifier.from_public_key(public_key):
        yield "the subject key identifier is not the key's"


def validity(case: Case) -> Iterator[str]:
    """Not longer than the profile, not earlier than it allows, within the issuer's validity."""
    begins, ends = case.certificate.not_valid_before_utc, case.certificate.not_valid_after_utc
    now = case.now.replace(microsecond=0)
    if ends - begins + _SECOND > case.profile.lifetime:
        yield f"it is valid for more than {case.profile.lifetime_days} days"
    if begins < now - case.profile.backdate:
        yield f"it begins more than {case.profile.backdate_minutes} minutes ago"
    if ends > now + case.profile.lifetime:
        yield f"it ends more than {case.profile.lifetime_days} days from now"
    if ends < now:
        yield "it has expired already"
    if begins < case.issuer.not_valid_before_utc or ends > case.issuer.not_valid_after_utc:
        yield "it is valid when its issuer is not"


def constraints(case: Case) -> Iterator[str]:
    """Basic constraints as the profile has them; only the root has authorities below it."""
    found = case.extension(x509.BasicConstraints)
    wanted = case.profile.basic_constraints
    if found is None or not found.critical:
        yield "basic constraints are missing or not critical"
    elif (found.value.ca, found.value.path_length) != (wanted.ca, wanted.path_length):
        yield f"basic constraints are {found.value}"
    elif found.value.ca != (case.profile.name in profiles.AUTHORITIES):
        yield "only root, TLS CA and seal CA may issue certificates"
    elif found.value.ca and case.draft.issuer is not None and found.value.path_length != 0:
        yield "an authority below the root must have path length 0"


def usage(case: Case) -> Iterator[str]:
    """Key usage as the profile has it; a leaf signs no certificates and no CRLs."""
    found = case.extension(x509.KeyUsage)
    if found is None or not found.critical:
        yield "key usage is missing or not critical"
    elif found.value != profiles.key_usage(case.profile.key_usage):
        yield f"key usage is {found.value}"
    elif not case.profile.is_authority and (found.value.key_cert_sign or found.value.crl_sign):
        yield "a leaf may not sign certificates or CRLs"


def purposes(case: Case) -> Iterator[str]:
    """Extended key usage as the profile has it, within the issuer's; TLS or seal, never both."""
    extension = case.extension(x509.ExtendedKeyUsage)
    found = tuple(extension.value) if extension is not None else ()
    if found != case.profile.purposes:
        yield f"extended key usage is {[oid.dotted_string for oid in found]}"
    critical = extension is not None and extension.critical
    if critical != case.profile.extended_key_usage_critical:
        yield f"extended key usage is {'' if critical else 'not '}critical"
    if not found and case.draft.issuer is not None:
        yield "extended key usage is missing"
    above = _extension(case.issuer, x509.ExtendedKeyUsage)
    if above is not None and not set(found) <= set(above.value):
        yield "extended key usage is wider than the issuer's"
    if set(found) & _TLS and set(found) - _TLS:
        yield "no certificate may serve both TLS and seals"
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in found:
        yield "anyExtendedKeyUsage is allowed nowhere"


def subject(case: Case) -> Iterator[str]:
    """A leaf has none, so that no CN can be trusted; an authority has its fixed name."""
    expected = (
        prepare.authority_name(case.profile, case.trust_domain)
        if case.profile.is_authority
        else x509.Name([])
    )
    if case.certificate.subject != expected:
        yield (
            f"the subject is {case.certificate.subject.rfc4514_string()!r}, "
            f"not {expected.rfc4514_string()!r}"
        )


def names(case: Case) -> Iterator[str]:
    """Exactly one URI, of the right kind and trust domain; hosts only where the profile says."""
    extension = case.extension(x509.SubjectAlternativeName)
    if case.profile.is_authority or extension is None:
        return  # the rule ``form`` says whether it has to be there
    if not extension.critical:
        yield "the subjectAltName of a certificate without subject must be critical"
    uris = [name for name in extension.value if isinstance(name, x509.UniformResourceIdentifier)]
    hosts = [name for name in extension.value if isinstance(name, x509.DNSName | x509.IPAddress)]
    if len(uris) + len(hosts) != len(extension.value):
        yield "only a URI, DNS names and IP addresses may stand in the subjectAltName"
    if len(set(hosts)) != len(hosts):
        yield "a DNS name or IP address stands there twice"
    if bool(hosts) != (case.profile.hosts == "required"):
        yield f"DNS names and IP addresses are {case.profile.hosts}"
    for host in hosts:
        if isinstance(host, x509.DNSName):
            valid = prepare.is_dns_name(host.value)
        else:
            valid = prepare.is_host_address(str(host.value))
        if not valid:
            yield f"{host.value} is no DNS name or IP address of a host"
    try:
        found = identity.of_certificate(case.certificate)
    except Unauthenticated as error:
        yield error.message
        return
    if found.kind is not case.profile.identity_kind or found.trust_domain != case.trust_domain:
        yield f"{found} is no identity for the profile {case.profile.name} here"
    if str(found) != case.draft.identity:
        yield f"{found} is not the ordered identity {case.draft.identity}"


RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    form,
    serial,
    signature,
    issuer,
    key,
    validity,
    constraints,
    usage,
    purposes,
    subject,
    names,
)
"""Each yields a sentence for each fault; the name of the function is the rule's."""


def _extension(
    certificate: x509.Certificate, kind: type[_Extension]
) -> x509.Extension[_Extension] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
