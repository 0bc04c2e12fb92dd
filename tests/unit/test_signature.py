"""Making and verifying CAdES-B signatures: what is accepted, and what must be refused."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import pytest
from asn1crypto import cms, core  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from document_exchange import signature
from document_exchange.errors import KeyUnusable, SignatureInvalid
from document_exchange.signature import KeySigner
from tests.cms_for_tests import (
    attribute,
    issuer_serial,
    make_cms,
    make_signer,
    null_parameters,
    replaced,
    signing_certificate_v2,
    usual,
    usual_attributes,
)
from tests.pki_for_tests import NOW, Pki

CONTENT = '{"title":"关于印发防汛预案的通知"}'.encode()
PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
OTHER = PKI.seal("qd-jiaoyu")
SEAL_SHA256 = hashlib.sha256(SEAL.der).digest()
USUAL = usual_attributes(CONTENT, SEAL)


def sign(at: dt.datetime = NOW) -> bytes:
    return signature.sign(CONTENT, SEAL.signer, at=at)


def parsed(der: bytes) -> cms.SignedData:
    return cms.ContentInfo.load(der, strict=True)["content"]


def signed_attributes(der: bytes) -> dict[str, cms.CMSAttribute]:
    attributes = parsed(der)["signer_infos"][0]["signed_attrs"]
    return {each["type"].native: each["values"] for each in attributes}


class TestSign:
    def test_what_is_signed_verifies_and_names_the_signer(self) -> None:
        assert signature.verify(CONTENT, sign()) == SEAL.certificate

    def test_it_is_a_detached_signature_of_one_signer_with_its_certificate(self) -> None:
        signed_data = parsed(sign())
        assert signed_data["version"].native == "v1"
        assert [each["algorithm"].native for each in signed_data["digest_algorithms"]] == ["sha256"]
        assert signed_data["encap_content_info"]["content_type"].native == "data"
        assert signed_data["encap_content_info"]["content"].native is None
        assert [each.dump() for each in signed_data["certificates"]] == [SEAL.der]
        assert len(signed_data["signer_infos"]) == 1
        signer = signed_data["signer_infos"][0]
        assert signer["version"].native == "v1"
        assert signer["sid"].chosen["serial_number"].native == SEAL.certificate.serial_number
        assert signer["signature_algorithm"]["algorithm"].native == "sha256_ecdsa"

    def test_it_has_the_attributes_of_cades_b(self) -> None:
        values = signed_attributes(sign())
        assert values["content_type"].native == ["data"]
        assert values["message_digest"].native == [hashlib.sha256(CONTENT).digest()]
        ess = values["signing_certificate_v2"][0]["certs"][0]
        assert ess["cert_hash"].native == SEAL_SHA256
        assert set(values) == {
            "content_type",
            "message_digest",
            "signing_time",
            "signing_certificate_v2",
        }

    @pytest.mark.parametrize(
        ("at", "kind"),
        [
            (dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC), "utc_time"),
            (dt.datetime(2049, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), "utc_time"),
            (dt.datetime(2050, 1, 1, tzinfo=dt.UTC), "generalized_time"),
            (dt.datetime(1949, 12, 31, tzinfo=dt.UTC), "generalized_time"),
        ],
    )
    def test_signing_time_changes_its_form_in_2050(self, at: dt.datetime, kind: str) -> None:
        der = sign(at)
        time = signed_attributes(der)["signing_time"][0]
        assert time.name == kind
        assert time.native == at.replace(microsecond=0)
        assert signature.verify(CONTENT, der) == SEAL.certificate

    def test_signing_time_is_written_in_utc(self) -> None:
        beijing = dt.timezone(dt.timedelta(hours=8))
        time = signed_attributes(sign(NOW.astimezone(beijing)))["signing_time"][0]
        assert time.native == NOW

    def test_signing_time_needs_a_time_zone(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            sign(dt.datetime(2026, 11, 20))

    def test_the_key_may_live_anywhere(self) -> None:
        class Token:
            """A signer that is no KeySigner, as one for PKCS#11 would be."""

            certificate = SEAL.certificate
            asked: list[bytes]

            def sign(self, data: bytes) -> bytes:
                self.asked = [data]
                return SEAL.signer.sign(data)

        token = Token()
        assert signature.verify(CONTENT, signature.sign(CONTENT, token, at=NOW)) == SEAL.certificate
        assert token.asked[0][:1] == b"\x31"  # SET OF, not [0]


class TestKeySigner:
    @pytest.mark.parametrize(
        "key",
        [
            ec.generate_private_key(ec.SECP384R1()),
            rsa.generate_private_key(65537, 2048),
            ed25519.Ed25519PrivateKey.generate(),
            OTHER.key,
        ],
        ids=["P-384", "RSA", "Ed25519", "key of another certificate"],
    )
    def test_a_key_that_does_not_fit_is_refused(self, key: PrivateKeyTypes) -> None:
        with pytest.raises(KeyUnusable):
            KeySigner(SEAL.certificate, key)


def test_a_signature_is_of_its_content_only() -> None:
    with pytest.raises(SignatureInvalid, match="other bytes"):
        signature.verify(CONTENT + b" ", sign())


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "as usual": lambda: usual(CONTENT, SEAL),
    "digest parameters NULL": lambda: make_cms(
        [make_signer(CONTENT, SEAL, digest_algorithm=null_parameters("sha256"))],
        [SEAL],
        digest_algorithms=[null_parameters("sha256")],
    ),
    "signer named by key identifier": lambda: make_cms(
        [
            make_signer(
                CONTENT,
                SEAL,
                version="v3",
                sid=cms.SignerIdentifier(
                    "subject_key_identifier",
                    asn1_x509.Certificate.load(SEAL.der).key_identifier,
                ),
            )
        ],
        [SEAL],
        version="v3",
    ),
    "further certificates": lambda: make_cms(
        [make_signer(CONTENT, SEAL)], [PKI.seal_ca, SEAL, OTHER, PKI.root]
    ),
    "CRLs": lambda: make_cms(
        [make_signer(CONTENT, SEAL)],
        [SEAL],
        crls=[
            cms.RevocationInfoChoice.load(
                PKI.crls().seal_crl.public_bytes(serialization.Encoding.DER)
            )
        ],
    ),
    "unsigned attributes": lambda: usual(
        CONTENT,
        SEAL,
        unsigned_attrs=cms.CMSAttributes(
            [attribute("1.2.3.4", core.Integer(1)), attribute("1.2.3.4", core.Integer(2))]
        ),
    ),
    "unknown signed attribute": lambda: usual(
        CONTENT, SEAL, attributes=[*USUAL, attribute("1.2.3.4", core.Integer(1), core.Integer(2))]
    ),
    "issuer and serial in signing-certificate-v2": lambda: usual(
        CONTENT,
        SEAL,
        attributes=replaced(
            USUAL, signing_certificate_v2(SEAL_SHA256, issuer_serial=issuer_serial(SEAL))
        ),
    ),
    "the whole chain and a policy in signing-certificate-v2": lambda: usual(
        CONTENT,
        SEAL,
        attributes=replaced(
            USUAL,
            signing_certificate_v2(
                SEAL_SHA256, hashlib.sha256(PKI.seal_ca.der).digest(), policies=["1.2.3.4"]
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_others_make_is_accepted(name: str) -> None:
    assert signature.verify(CONTENT, ACCEPTED[name]()) == SEAL.certificate
