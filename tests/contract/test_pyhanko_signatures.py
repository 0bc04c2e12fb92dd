"""pyHanko accepts what we sign, and we accept what pyHanko signs."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from asn1crypto import cms, keys  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyhanko.sign import signers, timestamps
from pyhanko.sign.validation import async_validate_detached_cms
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import StandardCMSSignatureStatus
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from document_exchange import signature
from document_exchange.errors import SignatureInvalid
from tests.pki_for_tests import NOW, TIME_STAMPING, TRUST_DOMAIN, Holder, Pki, make_leaf

PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
CONTENT = '{"title":"关于编制部门预算的通知"}'.encode()


def certificate_of(holder: Holder) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(holder.der)


def as_asn1(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> keys.PrivateKeyInfo:
    return keys.PrivateKeyInfo.load(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def made_by_pyhanko(
    *, use_cades: bool = True, detached: bool = True, digest: str = "sha256", stamped: bool = False
) -> bytes:
    chain = [certificate_of(PKI.seal_ca), certificate_of(PKI.root)]
    store = SimpleCertificateStore.from_certs(chain)  # type: ignore[no-untyped-call]
    signer = signers.SimpleSigner(certificate_of(SEAL), as_asn1(SEAL.key), store)
    stamper = None
    if stamped:
        key = rsa.generate_private_key(65537, 2048)  # the only kind that this stamper knows
        tsa = make_leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/tsa/a",
            issuer=PKI.seal_ca,
            purposes=TIME_STAMPING,
            public_key=key.public_key(),
        )
        stamper = timestamps.DummyTimeStamper(
            certificate_of(tsa), as_asn1(key), certs_to_embed=store, fixed_dt=NOW
        )
    info = asyncio.run(
        signer.async_sign_general_data(
            CONTENT, digest, detached=detached, use_cades=use_cades, timestamper=stamper
        )
    )
    der: bytes = info.dump()
    return der


def validated_by_pyhanko(der: bytes, content: bytes, pki: Pki = PKI) -> StandardCMSSignatureStatus:
    context = ValidationContext(
        trust_roots=[certificate_of(pki.root)],
        other_certs=[certificate_of(pki.seal_ca)],
        moment=NOW,
        allow_fetching=False,
    )
    return asyncio.run(
        async_validate_detached_cms(
            content,
            cms.ContentInfo.load(der)["content"],
            signer_validation_context=context,
            key_usage_settings=KeyUsageConstraints(
                key_usage={"non_repudiation"}, extd_key_usage={"email_protection"}
            ),
        )
    )


class TestOursInPyHanko:
    def test_it_is_valid_and_trusted(self) -> None:
        der = signature.sign(CONTENT, SEAL.signer, at=NOW)
        status = validated_by_pyhanko(der, CONTENT)
        assert status.intact
        assert status.valid
        assert status.trusted
        assert status.signing_cert.dump() == SEAL.der
        assert status.signer_reported_dt == NOW

    def test_other_content_is_not(self) -> None:
        der = signature.sign(CONTENT, SEAL.signer, at=NOW)
        assert not validated_by_pyhanko(der, CONTENT + b" ").intact

    def test_another_root_does_not_trust_it(self) -> None:
        der = signature.sign(CONTENT, SEAL.signer, at=NOW)
        assert not validated_by_pyhanko(der, CONTENT, Pki()).trusted


class TestPyHankosInOurs:
    @pytest.mark.parametrize("stamped", [False, True], ids=["plain", "with a time stamp"])
    def test_it_is_accepted(self, stamped: bool) -> None:
        der = made_by_pyhanko(stamped=stamped)
        signed_data = cms.ContentInfo.load(der)["content"]
        assert len(signed_data["certificates"]) == 3
        unsigned = signed_data["signer_infos"][0]["unsigned_attrs"]
        assert bool(unsigned.native) is stamped
        assert signature.verify(CONTENT, der) == SEAL.certificate

    def test_content_inside_is_refused(self) -> None:
        with pytest.raises(SignatureInvalid, match="detached"):
            signature.verify(CONTENT, made_by_pyhanko(detached=False))

    def test_what_is_not_cades_lacks_its_time_and_is_refused(self) -> None:
        with pytest.raises(SignatureInvalid, match=r"1\.2\.840\.113549\.1\.9\.5"):
            signature.verify(CONTENT, made_by_pyhanko(use_cades=False))

    @pytest.mark.parametrize("digest", ["sha384", "sha512"])
    def test_another_digest_is_refused(self, digest: str) -> None:
        assert hashlib.new(digest).digest_size > 32
        with pytest.raises(SignatureInvalid, match="digest algorithms"):
            signature.verify(CONTENT, made_by_pyhanko(digest=digest))
