"""Signatures made and validated by pyHanko, which knows nothing of the code under test."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

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

from tests.pki_for_tests import Holder


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


def certificates_of(chain: Sequence[Holder]) -> SimpleCertificateStore:
    return SimpleCertificateStore.from_certs(  # type: ignore[no-untyped-call,no-any-return]
        [certificate_of(each) for each in chain]
    )


def sign(
    content: bytes,
    holder: Holder,
    chain: Sequence[Holder],
    *,
    use_cades: bool = True,
    detached: bool = True,
    digest: str = "sha256",
    stamper: timestamps.TimeStamper | None = None,
) -> bytes:
    """CMS with the chain inside, CAdES-B unless something else is asked for."""
    signer = signers.SimpleSigner(
        certificate_of(holder), as_asn1(holder.key), certificates_of(chain)
    )
    info = asyncio.run(
        signer.async_sign_general_data(
            content, digest, detached=detached, use_cades=use_cades, timestamper=stamper
        )
    )
    der: bytes = info.dump()
    return der


def validate(
    der: bytes, content: bytes, root: Holder, between: Sequence[Holder], moment: dt.datetime
) -> StandardCMSSignatureStatus:
    """What pyHanko says of a detached signature, as of ``moment``."""
    context = ValidationContext(
        trust_roots=[certificate_of(root)],
        other_certs=[certificate_of(each) for each in between],
        moment=moment,
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
