"""pyHanko accepts what we sign, and we accept what pyHanko signs."""

from __future__ import annotations

import hashlib

import pytest
from asn1crypto import cms  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import rsa
from pyhanko.sign import timestamps
from pyhanko.sign.validation.status import StandardCMSSignatureStatus

from document_exchange import signature
from document_exchange.errors import SignatureInvalid
from tests import pyhanko_for_tests as pyhanko
from tests.pki_for_tests import NOW, TIME_STAMPING, TRUST_DOMAIN, Pki, make_leaf

PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
CHAIN = (PKI.seal_ca, PKI.root)
CONTENT = '{"title":"关于编制部门预算的通知"}'.encode()


def made_by_pyhanko(
    *, use_cades: bool = True, detached: bool = True, digest: str = "sha256", stamped: bool = False
) -> bytes:
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
            pyhanko.certificate_of(tsa),
            pyhanko.as_asn1(key),
            certs_to_embed=pyhanko.certificates_of(CHAIN),
            fixed_dt=NOW,
        )
    return pyhanko.sign(
        CONTENT, SEAL, CHAIN,
        use_cades=use_cades, detached=detached, digest=digest, stamper=stamper,
    )  # fmt: skip


def validated_by_pyhanko(der: bytes, content: bytes, pki: Pki = PKI) -> StandardCMSSignatureStatus:
    return pyhanko.validate(der, content, pki.root, [pki.seal_ca], NOW)


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
