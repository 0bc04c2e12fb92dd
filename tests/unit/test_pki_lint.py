"""Nothing unlinted can be signed, and lint refuses every broken variant of a certificate."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from exchange_pki import prepare, rules
from exchange_pki import profile as profiles
from exchange_pki.authority import Authority
from exchange_pki.lint import LintedCertificate, LintRefused, lint
from exchange_pki.prepare import Draft, Order
from exchange_pki.rules import RULES, Case

from document_exchange.errors import InternalError, InvalidRequest
from tests.authority_for_tests import (
    FOUNDED_AT,
    ORDERS,
    PASSPHRASE,
    SEAL,
    SERVER,
    SYSTEM,
    TRUST_DOMAIN,
    Clock,
    copy_of_authority,
    new_key,
    new_private_key,
)

NOW = FOUNDED_AT
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    state = copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("lint") / "pki")
    return Authority.load(state, PASSPHRASE, clock=Clock())


def draft_of(authority: Authority, order: Order) -> Draft:
    issuer = authority.certificate(profiles.get(order.profile).issuer)
    return prepare.leaf(order, new_key(), issuer, TRUST_DOMAIN, NOW)


def linted(authority: Authority, draft: Draft, now: datetime = NOW) -> LintedCertificate:
    return lint(draft, trust_domain=TRUST_DOMAIN, now=now, known=authority.register)


@dataclasses.dataclass
class Parts:
    """What a certificate is built of, to be changed one by one."""

    subject: x509.Name
    issuer: x509.Name
    serial: int
    begins: datetime
    ends: datetime
    key: object
    extensions: dict[str, tuple[x509.ExtensionType, bool]]

    @classmethod
    def of(cls, draft: Draft) -> Parts:
        specimen = draft.builder.sign(new_private_key(), hashes.SHA256())
        return cls(
            specimen.subject,
            specimen.issuer,
            specimen.serial_number,
            specimen.not_valid_before_utc,
            specimen.not_valid_after_utc,
            specimen.public_key(),
            {type(e.value).__name__: (e.value, e.critical) for e in specimen.extensions},
        )

    def put(self, value: x509.ExtensionType, *, critical: bool) -> None:
        self.extensions[type(value).__name__] = (value, critical)

    def loosen(self, name: str) -> None:
        value, critical = self.extensions[name]
        self.extensions[name] = (value, not critical)

    def builder(self) -> x509.CertificateBuilder:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.issuer)
            .serial_number(self.serial)
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .public_key(self.key)  # type: ignore[arg-type]
        )
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical)
        return builder


def names(*more: x509.GeneralName, uri: str | None = None) -> x509.SubjectAlternativeName:
    own = f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa" if uri is None else uri
    first = [x509.UniformResourceIdentifier(own)] if own else []
    return x509.SubjectAlternativeName([*first, *more])


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def name(*values: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in values])


Change = Callable[[Parts], object]


def san(value: x509.SubjectAlternativeName, *, critical: bool = True) -> Change:
    return lambda parts: parts.put(value, critical=critical)


def eku(*purposes: x509.ObjectIdentifier, critical: bool = False) -> Change:
    return lambda parts: parts.put(x509.ExtendedKeyUsage(purposes), critical=critical)


def without(extension: str) -> Change:
    return lambda parts: parts.extensions.pop(extension)


def loosened(extension: str) -> Change:
    return lambda parts: parts.loosen(extension)


def with_field(field: str, value: object) -> Change:
    return lambda parts: setattr(parts, field, value)


def with_extension(value: x509.ExtensionType, *, critical: bool = False) -> Change:
    return lambda parts: parts.put(value, critical=critical)


CLIENT, SERVER_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DOMAIN = f"spiffe://{TRUST_DOMAIN}"

BROKEN: Sequence[tuple[str, str, Change]] = (
    # The form
    ("form", "surplus extension", with_extension(x509.OCSPNoCheck())),
    ("form", "name constraints", with_extension(x509.NameConstraints([uri("a.example")], None))),
    ("form", "no subject key identifier", without("SubjectKeyIdentifier")),
    ("form", "no SAN", without("SubjectAlternativeName")),
    ("form", "no EKU", without("ExtendedKeyUsage")),
    (
        "form",
        "far too many names",
        san(names(*[x509.DNSName(f"h{n}.example") for n in range(400)])),
    ),
    # The serial number
    ("serial", "a counter", with_field("serial", 1)),
    ("serial", "64 bits", with_field("serial", 1 << 63)),
    ("serial", "a bit too few", with_field("serial", 1 << 157)),
    # The issuer
    ("issuer", "another name", with_field("issuer", name((NameOID.COMMON_NAME, "Some CA")))),
    ("issuer", "no key identifier", without("AuthorityKeyIdentifier")),
    (
        "issuer",
        "the key identifier of another",
        with_extension(x509.AuthorityKeyIdentifier(b"\0" * 20, None, None)),
    ),
    # The key
    ("key", "P-384", with_field("key", new_key(ec.SECP384R1))),
    ("key", "another curve of 256 bits", with_field("key", new_key(ec.SECP256K1))),
    ("key", "RSA", with_field("key", rsa.generate_private_key(65537, 2048).public_key())),
    ("key", "Ed25519", with_field("key", ed25519.Ed25519PrivateKey.generate().public_key())),
    ("key", "not the subject's", with_field("key", new_key())),
    (
        "key",
        "a wrong key identifier",
        with_extension(x509.SubjectKeyIdentifier(b"\0" * 20)),
    ),
    # The validity
    ("validity", "a second too long", lambda parts: setattr(parts, "ends", parts.ends + SECOND)),
    ("validity", "too early", with_field("begins", NOW.replace(microsecond=0) - DAY)),
    ("validity", "too late", with_field("ends", NOW.replace(microsecond=0) + 31 * DAY)),
    (
        "validity",
        "expired",
        with_field("ends", NOW.replace(microsecond=0) - SECOND),
    ),
    (
        "validity",
        "longer than the issuer",
        with_field("ends", NOW.replace(microsecond=0) + 9000 * DAY),
    ),
    # Basic constraints
    ("constraints", "a CA", with_extension(x509.BasicConstraints(True, None), critical=True)),
    (
        "constraints",
        "a CA of length 0",
        with_extension(x509.BasicConstraints(True, 0), critical=True),
    ),
    ("constraints", "not critical", loosened("BasicConstraints")),
    ("constraints", "absent", without("BasicConstraints")),
    # Key usage
    ("usage", "not critical", loosened("KeyUsage")),
    ("usage", "absent", without("KeyUsage")),
    (
        "usage",
        "signs certificates",
        with_extension(
            profiles.key_usage(("digitalSignature", "keyCertSign", "cRLSign")), critical=True
        ),
    ),
    (
        "usage",
        "non-repudiation",
        with_extension(profiles.key_usage(("digitalSignature", "nonRepudiation")), critical=True),
    ),
    # Extended key usage
    ("purposes", "server", eku(SERVER_AUTH)),
    ("purposes", "client and server", eku(CLIENT, SERVER_AUTH)),
    ("purposes", "TLS and seal", eku(CLIENT, profiles.PURPOSES["documentSigning"])),
    ("purposes", "a seal", eku(*profiles.get("seal").purposes)),
    ("purposes", "any", eku(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    ("purposes", "code signing", eku(CLIENT, ExtendedKeyUsageOID.CODE_SIGNING)),
    ("purposes", "critical", eku(CLIENT, critical=True)),
    # The subject
    ("subject", "a CN", with_field("subject", name((NameOID.COMMON_NAME, "qd-caizheng")))),
    ("subject", "an O", with_field("subject", name((NameOID.ORGANIZATION_NAME, "财政局")))),
    # The names
    ("names", "not critical", san(names(), critical=False)),
    ("names", "no URI", san(names(x509.DNSName("a.example"), uri=""))),
    ("names", "two URIs", san(names(uri(f"{DOMAIN}/unit/qd-jiaoyu/system/oa")))),
    ("names", "the same URI twice", san(names(uri(f"{DOMAIN}/unit/qd-caizheng/system/oa")))),
    ("names", "another unit", san(names(uri=f"{DOMAIN}/unit/qd-jiaoyu/system/oa"))),
    ("names", "another name", san(names(uri=f"{DOMAIN}/unit/qd-caizheng/system/ob"))),
    ("names", "another kind", san(names(uri=f"{DOMAIN}/unit/qd-caizheng/seal/oa"))),
    ("names", "staff", san(names(uri=f"{DOMAIN}/staff/oa"))),
    ("names", "the centre", san(names(uri=f"{DOMAIN}/centre/server/oa"))),
    (
        "names",
        "another domain",
        san(names(uri="spiffe://other.example/unit/qd-caizheng/system/oa")),
    ),
    ("names", "no SPIFFE ID", san(names(uri="https://exchange.example/"))),
    ("names", "a query", san(names(uri=f"{DOMAIN}/unit/qd-caizheng/system/oa?x=1"))),
    ("names", "a capital", san(names(uri=f"{DOMAIN}/unit/QD-caizheng/system/oa"))),
    ("names", "a host", san(names(x509.DNSName("oa.example")))),
    ("names", "an address", san(names(x509.IPAddress(ipaddress.ip_address("10.0.0.1"))))),
    ("names", "an e-mail address", san(names(x509.RFC822Name("oa@caizheng.example")))),
    ("names", "a directory name", san(names(x509.DirectoryName(name((NameOID.COMMON_NAME, "a")))))),
)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.profile)
def test_every_profile_passes(authority: Authority, order: Order) -> None:
    draft = draft_of(authority, order)
    result = linted(authority, draft)
    assert result.draft is draft
    assert result.tbs == result.specimen.tbs_certificate_bytes


@pytest.mark.parametrize(
    ("rule", "change"),
    [pytest.param(rule, change, id=f"{rule}: {what}") for rule, what, change in BROKEN],
)
def test_each_broken_variant_is_refused(authority: Authority, rule: str, change: Change) -> None:
    draft = draft_of(authority, SYSTEM)
    parts = Parts.of(draft)
    linted(authority, dataclasses.replace(draft, builder=parts.builder()))  # whole before
    change(parts)
    with pytest.raises(LintRefused) as caught:
        linted(authority, dataclasses.replace(draft, builder=parts.builder()))
    assert f"{rule}: " in caught.value.message
    assert isinstance(caught.value, InvalidRequest)
    assert caught.value.exit_code == 2


def test_every_rule_has_a_broken_variant() -> None:
    elsewhere = {"signature"}
    assert {rule for rule, _, _ in BROKEN} | elsewhere == {rule.__name__ for rule in RULES}


def test_the_signature_must_have_the_algorithm_of_the_issuing_key(authority: Authority) -> None:
    draft = draft_of(authority, SYSTEM)
    wrong = draft.builder.sign(new_private_key(ec.SECP384R1), hashes.SHA256())
    case = Case(wrong, draft, TRUST_DOMAIN, NOW, authority.register)
    assert list(rules.signature(case))
    right = draft.builder.sign(new_private_key(ec.SECP384R1), hashes.SHA384())
    assert not list(rules.signature(dataclasses.replace(case, certificate=right)))


def test_a_serial_number_is_used_once(authority: Authority) -> None:
    draft = draft_of(authority, SYSTEM)
    parts = Parts.of(draft)
    parts.serial = authority.certificate("root").serial_number
    with pytest.raises(LintRefused, match="used before"):
        linted(authority, dataclasses.replace(draft, builder=parts.builder()))


def test_serial_numbers_are_random_and_of_one_length() -> None:
    serials = {prepare.new_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert {len(prepare.serial_text(serial)) for serial in serials} == {40}
    assert {serial.bit_length() for serial in serials} == {159}


def test_the_other_authority_can_not_issue(authority: Authority) -> None:
    seal_ca = authority.certificate("seal-ca")
    draft = prepare.leaf(SYSTEM, new_key(), seal_ca, TRUST_DOMAIN, NOW)
    with pytest.raises(LintRefused, match=r"issuer: .*purposes: "):
        linted(authority, draft)


@pytest.mark.parametrize("days", [-2, 3653])
def test_an_issuer_out_of_its_time_can_not_issue(authority: Authority, days: int) -> None:
    now = NOW + days * DAY
    issuer = authority.certificate("tls-ca")
    draft = prepare.leaf(SYSTEM, new_key(), issuer, TRUST_DOMAIN, max(now, NOW))
    with pytest.raises(LintRefused, match="issuer is not valid now"):
        linted(authority, draft, now)


def test_a_host_twice_is_refused(authority: Authority) -> None:
    order = dataclasses.replace(SERVER, dns_names=("a.example", "a.example"))
    with pytest.raises(LintRefused, match="twice"):
        linted(authority, draft_of(authority, order))


def test_a_wildcard_is_refused_even_in_a_draft(authority: Authority) -> None:
    draft = draft_of(authority, SERVER)
    parts = Parts.of(draft)
    own = names(x509.DNSName("*.example"), uri=f"{DOMAIN}/centre/server/s1")
    parts.put(own, critical=True)
    with pytest.raises(LintRefused, match=r"\*\.example"):
        linted(authority, dataclasses.replace(draft, builder=parts.builder()))


@pytest.mark.parametrize("constraints", [(True, None), (True, 1), (False, None)])
def test_an_issuing_authority_has_no_authority_below(
    authority: Authority, constraints: tuple[bool, int | None]
) -> None:
    root = authority.certificate("root")
    draft = prepare.authority("seal-ca", new_key(ec.SECP384R1), root, TRUST_DOMAIN, NOW)
    linted(authority, draft)
    parts = Parts.of(draft)
    parts.put(x509.BasicConstraints(*constraints), critical=True)
    with pytest.raises(LintRefused, match="constraints: "):
        linted(authority, dataclasses.replace(draft, builder=parts.builder()))


@pytest.mark.parametrize("change", [eku(SERVER_AUTH, CLIENT), without("ExtendedKeyUsage")])
def test_an_issuing_authority_has_its_own_purposes(authority: Authority, change: Change) -> None:
    root = authority.certificate("root")
    draft = prepare.authority("seal-ca", new_key(ec.SECP384R1), root, TRUST_DOMAIN, NOW)
    parts = Parts.of(draft)
    change(parts)
    with pytest.raises(LintRefused, match="purposes: "):
        linted(authority, dataclasses.replace(draft, builder=parts.builder()))


def test_only_lint_makes_a_linted_certificate(authority: Authority) -> None:
    draft = draft_of(authority, SYSTEM)
    specimen = draft.builder.sign(new_private_key(), hashes.SHA256())
    with pytest.raises(TypeError):
        LintedCertificate(draft, specimen, object())


def test_what_is_signed_is_what_was_linted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = copy_of_authority(tmp_path_factory, tmp_path / "pki")
    authority = Authority.load(state, PASSPHRASE, clock=Clock())
    result = linted(authority, draft_of(authority, SEAL))
    other = draft_of(authority, dataclasses.replace(SEAL, unit="qd-jiaoyu"))
    object.__setattr__(result, "_draft", other)  # as no code of ours does
    with authority._acts.exclusive(), pytest.raises(InternalError, match="not what was linted"):
        authority._acts.sign_certificates([result])
    again = Authority.load(state)
    assert len(again.register.certified) == 3
    assert again.register.unfinished() == []
    assert b'"FAILED"' in again.layout.journal.read_bytes().splitlines()[-1]
