"""Which certificates are seals, when, and until when: chain, purpose, period, revocation."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import pytest
from asn1crypto import x509 as asn1_x509  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from document_exchange.certificates import (
    DOCUMENT_SIGNING,
    EMAIL_PROTECTION,
    CrlPair,
    SealTrust,
    fingerprint,
    load_chain_pem,
    load_pem,
)
from document_exchange.errors import (
    ConfigurationError,
    RevocationListNotInForce,
    SealExpired,
    SealNotTrusted,
    SealRevoked,
)
from document_exchange.identity import Identity, Kind
from document_exchange.revocations import read_crl
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    CLIENT,
    DAY,
    NOW,
    SEAL_CA_PURPOSES,
    SEAL_PURPOSES,
    SERVER,
    TIME_STAMPING,
    TRUST_DOMAIN,
    Holder,
    Pki,
    key_usage,
    make_authority,
    make_certificate,
    make_crl,
    make_leaf,
    unit_seal_id,
)

SECOND = dt.timedelta(seconds=1)
P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
SEAL_ID = unit_seal_id("qd-caizheng")


def check(
    holder: Holder, *, at: dt.datetime = NOW, crls: CrlPair | None = None, pki: Pki = PKI
) -> Identity:
    return pki.trust.check(holder.certificate, at=at, crls=crls)


def seal_without_names() -> Holder:
    return make_certificate(
        "nobody",
        issuer=PKI.seal_ca,
        extensions=[
            (key_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage(SEAL_PURPOSES), False),
        ],
    )


class TestSeals:
    def test_a_unit_s_seal_says_whose_it_is(self) -> None:
        assert check(SEAL) == Identity(TRUST_DOMAIN, Kind.SEAL, "seal-1", "qd-caizheng")

    def test_the_centre_s_seal_is_told_apart(self) -> None:
        assert check(PKI.centre_seal) == Identity(TRUST_DOMAIN, Kind.CENTRE_SEAL, "centre-1")

    def test_non_repudiation_alone_is_enough(self) -> None:
        usage = key_usage("content_commitment")
        assert str(check(make_leaf(SEAL_ID, issuer=PKI.seal_ca, usage=usage))) == SEAL_ID

    def test_an_unknown_extension_that_is_not_critical_does_no_harm(self) -> None:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        leaf = make_leaf(SEAL_ID, issuer=PKI.seal_ca, further_extensions=[(extension, False)])
        assert str(check(leaf)) == SEAL_ID


def _under_a_further_ca() -> Holder:
    return make_leaf(
        SEAL_ID,
        issuer=make_authority(
            "Further CA", issuer=PKI.seal_ca, path_length=None, purposes=SEAL_CA_PURPOSES
        ),
    )


def _of_an_impostor() -> Holder:
    """By a CA with the name of the seal CA and another key."""
    return make_leaf(
        SEAL_ID,
        issuer=make_authority("Seal CA", issuer=PKI.root, path_length=0, purposes=SEAL_CA_PURPOSES),
    )


def _unknown_critical() -> Holder:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return make_leaf(SEAL_ID, issuer=PKI.seal_ca, further_extensions=[(extension, True)])


def _with_purposes(*purposes: x509.ObjectIdentifier) -> Holder:
    return make_leaf(SEAL_ID, issuer=PKI.seal_ca, purposes=purposes)


def _with_usage(*usage: str) -> Holder:
    return make_leaf(SEAL_ID, issuer=PKI.seal_ca, usage=key_usage(*usage))


def _named(identity: str, *further: str) -> Holder:
    names = [x509.UniformResourceIdentifier(each) for each in further]
    return make_leaf(identity, issuer=PKI.seal_ca, further_names=names)


NOT_SEALS: dict[str, Callable[[], Holder]] = {
    # Chain.
    "of another exchange": lambda: Pki().seal("qd-caizheng"),
    "of a CA with the same name": _of_an_impostor,
    "issued by the TLS CA": lambda: make_leaf(SEAL_ID, issuer=PKI.tls_ca),
    "issued by the root": lambda: make_leaf(SEAL_ID, issuer=PKI.root),
    "issued by a CA below": _under_a_further_ca,
    "issued by a seal": lambda: make_leaf(unit_seal_id("qd-jiaoyu"), issuer=SEAL),
    "issued by itself": lambda: make_leaf(SEAL_ID, issuer=None),
    "the seal CA itself": lambda: PKI.seal_ca,
    "the root itself": lambda: PKI.root,
    # Names.
    "a host besides": lambda: make_leaf(
        SEAL_ID, issuer=PKI.seal_ca, further_names=[x509.DNSName("exchange.example")]
    ),
    # Purpose.
    "a system's certificate of the TLS CA": lambda: make_leaf(
        f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa",
        issuer=PKI.tls_ca,
        purposes=CLIENT,
    ),
    "a client's purpose": lambda: _with_purposes(*CLIENT),
    "a server's purpose": lambda: _with_purposes(*SERVER),
    "a client's purpose besides": lambda: _with_purposes(*SEAL_PURPOSES, *CLIENT),
    "a time stamp's purpose": lambda: _with_purposes(*TIME_STAMPING),
    "a time stamp's purpose besides": lambda: _with_purposes(*SEAL_PURPOSES, *TIME_STAMPING),
    "any purpose": lambda: _with_purposes(x509.ObjectIdentifier("2.5.29.37.0")),
    "no purpose": lambda: _with_purposes(),
    "document signing alone": lambda: _with_purposes(DOCUMENT_SIGNING),
    "mail alone": lambda: _with_purposes(EMAIL_PROTECTION),
    "a key for nothing": lambda: _with_usage(),
    "a key for key agreement": lambda: _with_usage("key_agreement"),
    "a key for encryption besides": lambda: _with_usage("digital_signature", "key_encipherment"),
    "a key for CRLs besides": lambda: _with_usage("digital_signature", "crl_sign"),
    "a key for certificates besides": lambda: _with_usage("digital_signature", "key_cert_sign"),
    "no key usage": lambda: make_certificate(
        "no usage",
        issuer=PKI.seal_ca,
        extensions=[
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SEAL_ID)]), False),
            (x509.ExtendedKeyUsage(SEAL_PURPOSES), False),
        ],
    ),
    "a CA": lambda: make_certificate(
        "CA as seal",
        issuer=PKI.seal_ca,
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (key_usage("digital_signature"), True),
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SEAL_ID)]), False),
            (x509.ExtendedKeyUsage(SEAL_PURPOSES), False),
        ],
    ),
    "an unknown critical extension": _unknown_critical,
    # Identity.
    "no name": seal_without_names,
    "two names": lambda: _named(SEAL_ID, unit_seal_id("qd-jiaoyu")),
    "the same name twice": lambda: _named(SEAL_ID, SEAL_ID),
    "a name of another shape": lambda: _named("https://exchange.example/unit/qd-caizheng"),
    "a system's name": lambda: _named(f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa"),
    "a person's name": lambda: _named(f"spiffe://{TRUST_DOMAIN}/x/../staff/wang"),
    "the time stamp's name": lambda: _named(f"spiffe://{TRUST_DOMAIN}/centre/tsa/tsa-1"),
    "the server's name": lambda: _named(f"spiffe://{TRUST_DOMAIN}/centre/server/server-1"),
}


@pytest.mark.parametrize("name", NOT_SEALS)
def test_what_is_not_a_seal(name: str) -> None:
    with pytest.raises(SealNotTrusted):
        check(NOT_SEALS[name]())


class TestTrust:
    def test_the_tls_ca_is_no_ca_for_seals(self) -> None:
        with pytest.raises(SealNotTrusted, match="purposes"):
            SealTrust(PKI.root.certificate, PKI.tls_ca.certificate)

    @pytest.mark.parametrize(
        ("path_length", "purposes", "usage"),
        [
            (1, SEAL_CA_PURPOSES, None),
            (None, SEAL_CA_PURPOSES, None),
            (0, (), None),
            (0, (*SEAL_CA_PURPOSES, *CLIENT), None),
            (0, (DOCUMENT_SIGNING,), None),
            (0, SEAL_CA_PURPOSES, key_usage("key_cert_sign")),
            (0, SEAL_CA_PURPOSES, key_usage("digital_signature")),
        ],
    )
    def test_a_ca_of_another_profile_is_not_trusted(
        self,
        path_length: int | None,
        purposes: tuple[x509.ObjectIdentifier, ...],
        usage: x509.KeyUsage | None,
    ) -> None:
        ca = make_authority(
            "CA", issuer=PKI.root, path_length=path_length, purposes=purposes, usage=usage
        )
        with pytest.raises(SealNotTrusted):
            SealTrust(PKI.root.certificate, ca.certificate)

    def test_a_ca_of_another_root_is_not_trusted(self) -> None:
        with pytest.raises(SealNotTrusted):
            SealTrust(PKI.root.certificate, Pki().seal_ca.certificate)

    def test_a_leaf_is_no_root_and_no_ca(self) -> None:
        with pytest.raises(SealNotTrusted):
            SealTrust(SEAL.certificate, PKI.seal_ca.certificate)
        with pytest.raises(SealNotTrusted):
            SealTrust(PKI.root.certificate, SEAL.certificate)
        with pytest.raises(SealNotTrusted):
            SealTrust(PKI.root.certificate, PKI.root.certificate)

    def test_root_and_ca_are_found_in_a_bundle_by_the_root_s_fingerprint(self) -> None:
        bundle = [each.certificate for each in (SEAL, PKI.tls_ca, PKI.seal_ca, PKI.root)]
        digits = fingerprint(PKI.root.certificate)
        as_openssl_prints_it = ":".join(
            digits[at : at + 2].upper() for at in range(0, len(digits), 2)
        )
        for written in (digits, as_openssl_prints_it):
            trust = SealTrust.from_chain(written, bundle)
            assert trust.seal_ca == PKI.seal_ca.certificate
            assert str(trust.check(SEAL.certificate, at=NOW, crls=None)) == SEAL_ID

    def test_the_same_certificate_twice_in_a_bundle_does_no_harm(self) -> None:
        bundle = [PKI.root.certificate, PKI.seal_ca.certificate] * 2
        SealTrust.from_chain(fingerprint(PKI.root.certificate), bundle)

    def test_a_bundle_can_not_bring_its_own_root(self) -> None:
        foreign = Pki()
        bundle = [foreign.root.certificate, foreign.seal_ca.certificate]
        with pytest.raises(SealNotTrusted, match="fingerprint"):
            SealTrust.from_chain(fingerprint(PKI.root.certificate), bundle)

    def test_a_bundle_without_a_ca_for_seals_is_refused(self) -> None:
        bundle = [PKI.root.certificate, PKI.tls_ca.certificate, Pki().seal_ca.certificate]
        with pytest.raises(SealNotTrusted, match="0 CAs"):
            SealTrust.from_chain(fingerprint(PKI.root.certificate), bundle)

    def test_a_bundle_with_two_cas_for_seals_is_refused(self) -> None:
        second = make_authority(
            "Seal CA 2", issuer=PKI.root, path_length=0, purposes=SEAL_CA_PURPOSES
        )
        bundle = [each.certificate for each in (PKI.root, PKI.seal_ca, second)]
        with pytest.raises(SealNotTrusted, match="2 CAs"):
            SealTrust.from_chain(fingerprint(PKI.root.certificate), bundle)


class TestPeriod:
    leaf = make_leaf(SEAL_ID, issuer=PKI.seal_ca, not_before=NOW, not_after=NOW + DAY)

    @pytest.mark.parametrize("at", [NOW, NOW + DAY / 2, NOW + DAY])
    def test_within(self, at: dt.datetime) -> None:
        assert str(check(self.leaf, at=at)) == SEAL_ID

    @pytest.mark.parametrize("at", [NOW - SECOND, NOW + DAY + SECOND, NOW + 100 * DAY])
    def test_without(self, at: dt.datetime) -> None:
        with pytest.raises(SealExpired):
            check(self.leaf, at=at)

    def test_it_is_compared_each_time_although_the_chain_is_remembered(self) -> None:
        assert str(check(self.leaf, at=NOW)) == SEAL_ID
        with pytest.raises(SealExpired):
            check(self.leaf, at=NOW + 2 * DAY)
        assert str(check(self.leaf, at=NOW)) == SEAL_ID

    def test_the_ca_s_period_counts_too(self) -> None:
        root = make_authority("Root", issuer=None, path_length=1)
        ca = make_authority(
            "Seal CA",
            issuer=root,
            path_length=0,
            purposes=SEAL_CA_PURPOSES,
            not_after=NOW + DAY,
        )
        trust = SealTrust(root.certificate, ca.certificate)
        leaf = make_leaf(SEAL_ID, issuer=ca)
        trust.check(leaf.certificate, at=NOW + DAY, crls=None)
        with pytest.raises(SealExpired, match="CA of the seals"):
            trust.check(leaf.certificate, at=NOW + DAY + SECOND, crls=None)

    def test_the_root_s_period_counts_too(self) -> None:
        root = make_authority("Root", issuer=None, path_length=1, not_after=NOW + DAY)
        ca = make_authority("Seal CA", issuer=root, path_length=0, purposes=SEAL_CA_PURPOSES)
        trust = SealTrust(root.certificate, ca.certificate)
        leaf = make_leaf(SEAL_ID, issuer=ca)
        with pytest.raises(SealExpired, match="the root"):
            trust.check(leaf.certificate, at=NOW + 2 * DAY, crls=None)

    def test_a_leaf_that_is_never_valid_together_with_its_ca_is_no_seal(self) -> None:
        ended = make_leaf(
            SEAL_ID,
            issuer=PKI.seal_ca,
            not_before=NOW - 800 * DAY,
            not_after=NOW - 700 * DAY,
        )
        with pytest.raises(SealNotTrusted):
            check(ended, at=NOW - 750 * DAY)


class TestRevocation:
    def test_a_seal_that_is_on_no_list_is_good(self) -> None:
        revoked = [(PKI.seal("qd-jiaoyu").certificate, NOW - DAY)]
        assert str(check(SEAL, crls=PKI.crls(revoked=revoked))) == SEAL_ID

    @pytest.mark.parametrize("since", [NOW - 30 * DAY, NOW - SECOND, NOW])
    def test_a_seal_revoked_by_then_is_refused(self, since: dt.datetime) -> None:
        crls = PKI.crls(revoked=[(SEAL.certificate, since)])
        with pytest.raises(SealRevoked):
            check(SEAL, crls=crls)

    def test_a_revocation_later_than_the_moment_does_not_reach_back(self) -> None:
        crls = PKI.crls(revoked=[(SEAL.certificate, NOW + SECOND)])
        assert str(check(SEAL, crls=crls)) == SEAL_ID

    def test_of_two_entries_the_earlier_counts(self) -> None:
        crls = PKI.crls(revoked=[(SEAL.certificate, NOW - DAY), (SEAL.certificate, NOW + DAY)])
        with pytest.raises(SealRevoked):
            check(SEAL, crls=crls)

    def test_the_root_revokes_the_seal_ca(self) -> None:
        revoked = [(PKI.seal_ca.certificate, NOW - DAY)]
        crls = CrlPair(make_crl(PKI.root, revoked=revoked), make_crl(PKI.seal_ca))
        with pytest.raises(SealRevoked, match="CA of the seals"):
            check(SEAL, crls=crls)

    def test_a_serial_on_the_other_ca_s_list_means_nothing(self) -> None:
        crls = CrlPair(
            make_crl(PKI.root, revoked=[(SEAL.certificate, NOW - DAY)]),
            make_crl(PKI.seal_ca, revoked=[(PKI.seal_ca.certificate, NOW - DAY)]),
        )
        assert str(check(SEAL, crls=crls)) == SEAL_ID

    def test_a_list_is_read_again_when_it_is_another(self) -> None:
        check(SEAL, crls=PKI.crls())
        with pytest.raises(SealRevoked):
            check(SEAL, crls=PKI.crls(revoked=[(SEAL.certificate, NOW)]))
        check(SEAL, crls=PKI.crls())

    @pytest.mark.parametrize(
        ("this_update", "next_update"),
        [
            (NOW + SECOND, NOW + DAY),
            (NOW - 8 * DAY, NOW - DAY),
            (NOW - 7 * DAY, NOW),
        ],
        ids=["not yet", "expired", "expiring now"],
    )
    def test_a_list_that_is_not_in_force_answers_nothing(
        self, this_update: dt.datetime, next_update: dt.datetime
    ) -> None:
        in_force = PKI.crls()
        other = PKI.crls(this_update=this_update, next_update=next_update)
        for crls in (
            CrlPair(other.root_crl, in_force.seal_crl),
            CrlPair(in_force.root_crl, other.seal_crl),
        ):
            with pytest.raises(RevocationListNotInForce, match="in force"):
                check(SEAL, crls=crls)

    def test_a_list_counts_from_its_first_second(self) -> None:
        check(SEAL, crls=PKI.crls(this_update=NOW, next_update=NOW + SECOND))

    def test_lists_of_other_authorities_are_refused(self) -> None:
        good = PKI.crls()
        foreign = Pki().crls()
        forged = make_crl(PKI.seal_ca, signing_key=PKI.tls_ca.key)
        by_a_seal = make_crl(SEAL)
        of_another_name = make_crl(Holder(PKI.tls_ca.certificate, PKI.seal_ca.key))
        for crls in (
            CrlPair(good.seal_crl, good.root_crl),
            CrlPair(foreign.root_crl, good.seal_crl),
            CrlPair(good.root_crl, foreign.seal_crl),
            CrlPair(good.root_crl, forged),
            CrlPair(good.root_crl, by_a_seal),
            CrlPair(good.root_crl, of_another_name),
            CrlPair(good.root_crl, make_crl(PKI.tls_ca)),
        ):
            with pytest.raises(SealNotTrusted):
                check(SEAL, crls=crls)

    @pytest.mark.parametrize(
        ("extension", "critical"),
        [
            (x509.DeltaCRLIndicator(1), True),
            (x509.DeltaCRLIndicator(1), False),
            (
                x509.IssuingDistributionPoint(
                    full_name=None,
                    relative_name=None,
                    only_contains_user_certs=True,
                    only_contains_ca_certs=False,
                    only_some_reasons=None,
                    indirect_crl=False,
                    only_contains_attribute_certs=False,
                ),
                True,
            ),
            (
                x509.IssuingDistributionPoint(
                    full_name=None,
                    relative_name=None,
                    only_contains_user_certs=False,
                    only_contains_ca_certs=False,
                    only_some_reasons=None,
                    indirect_crl=True,
                    only_contains_attribute_certs=False,
                ),
                False,
            ),
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
        ],
        ids=["delta", "delta, not critical", "partial", "indirect", "unknown"],
    )
    def test_lists_of_other_kinds_are_refused(
        self, extension: x509.ExtensionType, critical: bool
    ) -> None:
        special = make_crl(PKI.seal_ca, extensions=[(extension, critical)])
        with pytest.raises(SealNotTrusted, match="plain, complete"):
            check(SEAL, crls=CrlPair(PKI.crls().root_crl, special))

    def test_an_entry_of_another_issuer_makes_the_list_indirect(self) -> None:
        issuer = x509.CertificateIssuer([x509.DirectoryName(PKI.tls_ca.certificate.subject)])
        indirect = make_crl(
            PKI.seal_ca,
            revoked=[(PKI.seal("qd-jiaoyu").certificate, NOW - DAY)],
            entry_extensions=[(issuer, False)],
        )
        with pytest.raises(SealNotTrusted, match="plain, complete"):
            check(SEAL, crls=CrlPair(PKI.crls().root_crl, indirect))

    def test_a_reason_on_an_entry_is_fine(self) -> None:
        crl = make_crl(
            PKI.seal_ca,
            revoked=[(SEAL.certificate, NOW - DAY)],
            entry_extensions=[(x509.CRLReason(x509.ReasonFlags.key_compromise), False)],
        )
        with pytest.raises(SealRevoked):
            check(SEAL, crls=CrlPair(PKI.crls().root_crl, crl))

    def test_lists_are_read_from_der(self) -> None:
        good = PKI.crls()
        root, seal = (
            crl.public_bytes(serialization.Encoding.DER) for crl in (good.root_crl, good.seal_crl)
        )
        assert str(check(SEAL, crls=CrlPair.from_der(root, seal))) == SEAL_ID
        for damaged in (b"", b"no list", seal[:-1], seal + b"\0"):
            with pytest.raises(SealNotTrusted):
                CrlPair.from_der(root, damaged)

    def test_an_altered_list_is_refused_or_says_the_same(self) -> None:
        """The same only where a bit of the signature is declared unused that was 0 anyway."""
        crl = make_crl(PKI.seal_ca, revoked=[(SEAL.certificate, NOW - DAY)])
        der = crl.public_bytes(serialization.Encoding.DER)
        says = read_crl(der, PKI.seal_ca.certificate)
        unnoticed = []
        for at in range(len(der)):
            altered = der[:at] + bytes([der[at] ^ 0x01]) + der[at + 1 :]
            try:
                assert read_crl(altered, PKI.seal_ca.certificate) == says
            except SealNotTrusted:
                continue
            unnoticed.append(at)
        assert len(unnoticed) <= 1
        assert says.since == {SEAL.certificate.serial_number: NOW - DAY}


def twin(holder: Holder) -> x509.Certificate:
    """The same certificate in other bytes: of an ECDSA signature (r, s), (r, -s) is good too."""
    r, s = decode_dss_signature(holder.certificate.signature)
    certificate = asn1_x509.Certificate.load(holder.der)
    certificate["signature_value"] = encode_dss_signature(r, P384_ORDER - s)
    return x509.load_der_x509_certificate(certificate.dump())


class TestTwins:
    """Anybody can make a twin of a certificate, so a fingerprint is no name to revoke by."""

    twin = twin(SEAL)

    def test_a_twin_is_the_same_seal_with_another_fingerprint(self) -> None:
        assert fingerprint(self.twin) != fingerprint(SEAL.certificate)
        assert str(PKI.trust.check(self.twin, at=NOW, crls=None)) == SEAL_ID

    def test_what_revokes_a_seal_revokes_its_twin(self) -> None:
        with pytest.raises(SealRevoked):
            PKI.trust.check(
                self.twin, at=NOW, crls=PKI.crls(revoked=[(SEAL.certificate, NOW - DAY)])
            )


class TestPem:
    def test_certificates_come_in_their_order(self) -> None:
        text = SEAL.pem + PKI.seal_ca.pem
        assert load_pem(text) == SEAL.certificate
        assert load_chain_pem(text) == (SEAL.certificate, PKI.seal_ca.certificate)

    @pytest.mark.parametrize(
        "text",
        [b"", b"no certificate", SEAL.der, SEAL.key_pem, SEAL.pem[:200], SEAL.pem[:-30]],
        ids=["empty", "text", "DER", "a key", "cut", "without its end"],
    )
    def test_what_holds_no_certificate_is_refused(self, text: bytes) -> None:
        with pytest.raises(ConfigurationError):
            load_chain_pem(text)
        with pytest.raises(ConfigurationError):
            load_pem(text)

    def test_the_fingerprint_is_the_digest_of_the_der(self) -> None:
        assert fingerprint(SEAL.certificate) == hashlib.sha256(SEAL.der).hexdigest()


def test_any_curve_that_the_authority_chose_is_fine_for_the_cas() -> None:
    root = make_authority(
        "Root", issuer=None, path_length=1, key=ec.generate_private_key(ec.SECP256R1())
    )
    ca = make_authority(
        "Seal CA",
        issuer=root,
        path_length=0,
        purposes=SEAL_CA_PURPOSES,
        key=ec.generate_private_key(ec.SECP256R1()),
    )
    trust = SealTrust(root.certificate, ca.certificate)
    centre = make_leaf(CENTRE_SEAL_ID, issuer=ca)
    crls = CrlPair(make_crl(root), make_crl(ca))
    assert str(trust.check(centre.certificate, at=NOW, crls=crls)) == CENTRE_SEAL_ID
