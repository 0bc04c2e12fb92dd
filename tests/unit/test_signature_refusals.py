"""Signatures that must be refused, each for its own reason, whoever made them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
from asn1crypto import cms, core  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from document_exchange import signature
from document_exchange.errors import SignatureInvalid
from document_exchange.signature import MAX_SIGNATURE_BYTES
from tests.cms_for_tests import (
    attribute,
    issuer_serial,
    make_cms,
    make_signer,
    replaced,
    signing_certificate_v2,
    usual,
    usual_attributes,
    without,
)
from tests.pki_for_tests import NOW, Holder, Pki, make_leaf, unit_seal_id

CONTENT = '{"title":"关于印发防汛预案的通知"}'.encode()
PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
OTHER = PKI.seal("qd-jiaoyu")
SEAL_SHA256 = hashlib.sha256(SEAL.der).digest()
USUAL = usual_attributes(CONTENT, SEAL)


def sign() -> bytes:
    return signature.sign(CONTENT, SEAL.signer, at=NOW)


def _for_key(public_key: CertificatePublicKeyTypes) -> bytes:
    """A signature whose certificate holds another kind of key."""
    leaf = make_leaf(unit_seal_id("qd-caizheng"), issuer=PKI.seal_ca, public_key=public_key)
    return usual(CONTENT, leaf)


def _value(kind: str, *values: object) -> bytes:
    """A signature in which the values of one signed attribute are replaced."""
    return usual(CONTENT, SEAL, attributes=replaced(USUAL, attribute(kind, *values)))


def _ess(new: dict[str, object], *, certificates: tuple[Holder, ...] = (SEAL,)) -> bytes:
    return make_cms([make_signer(CONTENT, SEAL, attributes=replaced(USUAL, new))], certificates)


def _directory_name(authority: Holder) -> asn1_x509.GeneralName:
    name = asn1_x509.Certificate.load(authority.der).subject
    return asn1_x509.GeneralName("directory_name", name)


def _ess_issuer(*issuer: asn1_x509.GeneralName) -> bytes:
    """A signature whose signing-certificate-v2 has the right serial, of these issuers."""
    serial_number = SEAL.certificate.serial_number
    named = {"issuer": list(issuer), "serial_number": serial_number}
    return _ess(signing_certificate_v2(SEAL_SHA256, issuer_serial=named))


def _signer_of_another_issuer() -> cms.SignerIdentifier:
    issuer = asn1_x509.Certificate.load(PKI.root.der).subject
    serial_number = SEAL.certificate.serial_number
    return cms.SignerIdentifier(
        "issuer_and_serial_number", {"issuer": issuer, "serial_number": serial_number}
    )


def _with_text_as_signing_time() -> cms.CMSAttributes:
    der: bytes = cms.CMSAttributes(USUAL).dump()
    utc_time = cms.Time({"utc_time": NOW}).dump()
    assert utc_time in der
    return cms.CMSAttributes.load(der.replace(utc_time, b"\x16" + utc_time[1:]))


def _context_tagged(attributes: cms.CMSAttributes) -> bytes:
    der: bytes = attributes.retag({"implicit": 0}).dump()
    return der


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    # The form.
    "nothing": (lambda: b"", "DER"),
    "text": (lambda: b"signed, the bureau", "DER"),
    "PEM": (
        lambda: b"-----BEGIN CMS-----\n" + base64.encodebytes(sign()) + b"-----END CMS-----\n",
        "DER",
    ),
    "only zeros": (lambda: bytes(2000), "DER"),
    "bytes after it": (lambda: sign() + b"\0", "DER"),
    "cut short": (lambda: sign()[:-1], "DER"),
    "too large": (
        lambda: usual(
            CONTENT,
            SEAL,
            unsigned_attrs=cms.CMSAttributes(
                [attribute("1.2.3.4", core.OctetString(bytes(MAX_SIGNATURE_BYTES)))]
            ),
        ),
        "bytes, and 16384 are allowed",
    ),
    "indefinite length": (lambda: b"\x30\x80" + sign()[4:] + b"\0\0", "DER"),
    "length in more bytes than needed": (lambda: b"\x30\x83\0" + sign()[2:], "DER"),
    "set out of order": (
        lambda: usual_with_two_certificates(swapped=True),
        "DER",
    ),
    "of another content type": (
        lambda: make_cms([make_signer(CONTENT, SEAL)], [SEAL], content_type="enveloped_data"),
        "not SignedData",
    ),
    # SignedData.
    "content inside": (
        lambda: make_cms(
            [make_signer(CONTENT, SEAL)],
            [SEAL],
            encap_content_info={"content_type": "data", "content": CONTENT},
        ),
        "detached",
    ),
    "empty content inside": (
        lambda: make_cms(
            [make_signer(CONTENT, SEAL)],
            [SEAL],
            encap_content_info={"content_type": "data", "content": b""},
        ),
        "detached",
    ),
    "over other than plain data": (
        lambda: make_cms(
            [make_signer(CONTENT, SEAL)], [SEAL], encap_content_info={"content_type": "tst_info"}
        ),
        "content type",
    ),
    "no digest algorithm": (
        lambda: make_cms([make_signer(CONTENT, SEAL)], [SEAL], digest_algorithms=[]),
        "digest algorithms",
    ),
    "another digest algorithm besides": (
        lambda: make_cms(
            [make_signer(CONTENT, SEAL)],
            [SEAL],
            digest_algorithms=[{"algorithm": "sha256"}, {"algorithm": "sha512"}],
        ),
        "digest algorithms",
    ),
    "version 3 without a reason": (
        lambda: make_cms([make_signer(CONTENT, SEAL)], [SEAL], version="v3"),
        "version",
    ),
    # Signers.
    "no signer": (lambda: make_cms([], [SEAL]), "0 signers"),
    "two signers": (
        lambda: make_cms([make_signer(CONTENT, SEAL), make_signer(CONTENT, OTHER)], [SEAL, OTHER]),
        "2 signers",
    ),
    "the same signer twice": (
        lambda: make_cms([make_signer(CONTENT, SEAL)] * 2, [SEAL]),
        "2 signers",
    ),
    "version 3 of the SignerInfo alone": (
        lambda: make_cms([make_signer(CONTENT, SEAL, version="v3")], [SEAL]),
        "version",
    ),
    "version 3 with issuer and serial": (
        lambda: make_cms([make_signer(CONTENT, SEAL, version="v3")], [SEAL], version="v3"),
        "version",
    ),
    "digest SHA-512": (
        lambda: make_cms(
            [
                make_signer(
                    CONTENT,
                    SEAL,
                    digest_algorithm={"algorithm": "sha512"},
                    attributes=replaced(
                        USUAL, attribute("message_digest", hashlib.sha512(CONTENT).digest())
                    ),
                )
            ],
            [SEAL],
            digest_algorithms=[{"algorithm": "sha512"}],
        ),
        "digest algorithms",
    ),
    "digest of the signer only SHA-512": (
        lambda: usual(CONTENT, SEAL, digest_algorithm={"algorithm": "sha512"}),
        "digest algorithm",
    ),
    "signature algorithm ecdsa-with-SHA384": (
        lambda: usual(CONTENT, SEAL, signature_algorithm={"algorithm": "sha384_ecdsa"}),
        "signature algorithm",
    ),
    "signature algorithm RSA": (
        lambda: usual(CONTENT, SEAL, signature_algorithm={"algorithm": "sha256_rsa"}),
        "signature algorithm",
    ),
    "signature algorithm with parameters": (
        lambda: usual(
            CONTENT,
            SEAL,
            signature_algorithm={"algorithm": "sha256_ecdsa", "parameters": core.Null()},
        ),
        "signature algorithm",
    ),
    # Signed attributes.
    "no signed attributes": (
        lambda: usual(CONTENT, SEAL, signed_attrs=None, signed_bytes=lambda _: CONTENT),
        "no signed attributes",
    ),
    "empty signed attributes": (lambda: usual(CONTENT, SEAL, attributes=[]), "attribute"),
    "no contentType": (
        lambda: usual(CONTENT, SEAL, attributes=without(USUAL, "content_type")),
        "1.2.840.113549.1.9.3",
    ),
    "no messageDigest": (
        lambda: usual(CONTENT, SEAL, attributes=without(USUAL, "message_digest")),
        "1.2.840.113549.1.9.4",
    ),
    "no signingTime": (
        lambda: usual(CONTENT, SEAL, attributes=without(USUAL, "signing_time")),
        "1.2.840.113549.1.9.5",
    ),
    "no signing-certificate-v2": (
        lambda: usual(CONTENT, SEAL, attributes=without(USUAL, "signing_certificate_v2")),
        "1.2.840.113549.1.9.16.2.47",
    ),
    "signing-certificate of version 1 only": (
        lambda: usual(
            CONTENT,
            SEAL,
            attributes=[
                *without(USUAL, "signing_certificate_v2"),
                attribute(
                    "signing_certificate",
                    {"certs": [{"cert_hash": hashlib.sha1(SEAL.der).digest()}]},
                ),
            ],
        ),
        "1.2.840.113549.1.9.16.2.47",
    ),
    "an attribute twice, the same": (
        lambda: usual(CONTENT, SEAL, attributes=[*USUAL, USUAL[1]]),
        "twice",
    ),
    "an attribute twice, the second for other bytes": (
        lambda: usual(
            CONTENT,
            SEAL,
            attributes=[*USUAL, attribute("message_digest", hashlib.sha256(b"").digest())],
        ),
        "twice",
    ),
    "an unknown attribute twice": (
        lambda: usual(
            CONTENT, SEAL, attributes=[*USUAL, *[attribute("1.2.3.4", core.Integer(1))] * 2]
        ),
        "twice",
    ),
    "two message digests": (
        lambda: _value("message_digest", hashlib.sha256(CONTENT).digest(), bytes(32)),
        "one value",
    ),
    "no message digest": (lambda: _value("message_digest"), "one value"),
    "message digest of other bytes": (
        lambda: _value("message_digest", hashlib.sha256(b"").digest()),
        "other bytes",
    ),
    "message digest cut short": (
        lambda: _value("message_digest", hashlib.sha256(CONTENT).digest()[:31]),
        "other bytes",
    ),
    "contentType not data": (lambda: _value("content_type", "tst_info"), "content type"),
    "signingTime that is no time": (
        lambda: usual(CONTENT, SEAL, attributes=_with_text_as_signing_time()),
        "malformed",
    ),
    # The certificate.
    "no certificate": (
        lambda: make_cms([make_signer(CONTENT, SEAL)], None),
        "not inside",
    ),
    "another certificate": (lambda: make_cms([make_signer(CONTENT, SEAL)], [OTHER]), "not inside"),
    "digest of another certificate, which is inside": (
        lambda: _ess(
            signing_certificate_v2(hashlib.sha256(OTHER.der).digest()), certificates=(SEAL, OTHER)
        ),
        "not the one",
    ),
    "digest of another certificate, which is not inside": (
        lambda: _ess(signing_certificate_v2(hashlib.sha256(OTHER.der).digest())),
        "not inside",
    ),
    "digest with SHA-512": (
        lambda: _ess(
            signing_certificate_v2(hashlib.sha512(SEAL.der).digest(), hash_algorithm="sha512")
        ),
        "does not use SHA-256",
    ),
    "digest first of the CA": (
        lambda: _ess(
            signing_certificate_v2(hashlib.sha256(PKI.seal_ca.der).digest(), SEAL_SHA256),
            certificates=(SEAL, PKI.seal_ca),
        ),
        "not the one",
    ),
    "empty signing-certificate-v2": (lambda: _ess(signing_certificate_v2()), "empty"),
    "issuer and serial of another certificate": (
        lambda: _ess(signing_certificate_v2(SEAL_SHA256, issuer_serial=issuer_serial(OTHER))),
        "not the one",
    ),
    "the right serial of another issuer": (
        lambda: usual(CONTENT, SEAL, sid=_signer_of_another_issuer()),
        "not the one",
    ),
    "the right serial of another issuer in signing-certificate-v2": (
        lambda: _ess_issuer(_directory_name(PKI.root)),
        "not the one",
    ),
    "two issuers in signing-certificate-v2": (
        lambda: _ess_issuer(_directory_name(PKI.seal_ca), _directory_name(PKI.seal_ca)),
        "not the one",
    ),
    "an issuer of another kind in signing-certificate-v2": (
        lambda: _ess_issuer(asn1_x509.GeneralName("dns_name", "exchange.example")),
        "not the one",
    ),
    "no issuer in signing-certificate-v2": (lambda: _ess_issuer(), "not the one"),
    "signer named by another key identifier": (
        lambda: make_cms(
            [
                make_signer(
                    CONTENT,
                    SEAL,
                    version="v3",
                    sid=cms.SignerIdentifier("subject_key_identifier", bytes(20)),
                )
            ],
            [SEAL],
            version="v3",
        ),
        "not the one",
    ),
    # The key and the signature.
    "key on P-384": (
        lambda: _for_key(ec.generate_private_key(ec.SECP384R1()).public_key()),
        "does not fit",
    ),
    "key on secp256k1": (
        lambda: _for_key(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "does not fit",
    ),
    "RSA key": (
        lambda: _for_key(rsa.generate_private_key(65537, 2048).public_key()),
        "does not fit",
    ),
    "Ed25519 key": (
        lambda: _for_key(ed25519.Ed25519PrivateKey.generate().public_key()),
        "does not fit",
    ),
    "made with another key": (
        lambda: usual(CONTENT, Holder(SEAL.certificate, OTHER.key)),
        "not made with the key",
    ),
    "made over the attributes as they are stored": (
        lambda: usual(CONTENT, SEAL, signed_bytes=_context_tagged),
        "not made with the key",
    ),
    "made over the content itself": (
        lambda: usual(CONTENT, SEAL, signed_bytes=lambda _: CONTENT),
        "not made with the key",
    ),
    "signature of no bytes": (lambda: usual(CONTENT, SEAL, signature=b""), "not made with the key"),
    "signature of zeros": (
        lambda: usual(CONTENT, SEAL, signature=bytes.fromhex("3006020100020100")),
        "not made with the key",
    ),
    "signature with r and s bare": (
        lambda: usual(CONTENT, SEAL, signature=bytes(range(64))),
        "not made with the key",
    ),
}


def usual_with_two_certificates(*, swapped: bool) -> bytes:
    der = make_cms([make_signer(CONTENT, SEAL)], [SEAL, OTHER])
    first, second = sorted([SEAL.der, OTHER.der])
    assert first + second in der
    return der.replace(first + second, second + first) if swapped else der


def test_two_certificates_in_order_are_accepted() -> None:
    der = usual_with_two_certificates(swapped=False)
    assert signature.verify(CONTENT, der) == SEAL.certificate


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, why = REFUSED[name]
    with pytest.raises(SignatureInvalid, match=why):
        signature.verify(CONTENT, make())
