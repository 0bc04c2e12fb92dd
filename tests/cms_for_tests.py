"""CMS signatures that nobody should make, and unusual ones that many do, built with asn1crypto.

asn1crypto knows nothing of the code under test, so both can't share a misunderstanding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from asn1crypto import algos, cms, core, tsp  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.pki_for_tests import NOW, Holder

Attributes = list[dict[str, Any]]
Values = dict[str, Any]


def attribute(kind: str, *values: Any) -> dict[str, Any]:
    return {"type": kind, "values": list(values)}


def signing_certificate_v2(
    *certificate_hashes: bytes,
    hash_algorithm: str | None = None,
    issuer_serial: Values | None = None,
    policies: Sequence[str] = (),
) -> dict[str, Any]:
    """The attribute, with one ESSCertIDv2 for each hash; None leaves an optional field out."""
    identifiers = []
    for certificate_hash in certificate_hashes:
        identifier: Values = {"cert_hash": certificate_hash}
        if hash_algorithm is not None:
            identifier["hash_algorithm"] = {"algorithm": hash_algorithm}
        if issuer_serial is not None:
            identifier["issuer_serial"] = issuer_serial
        identifiers.append(identifier)
    value: Values = {"certs": identifiers}
    if policies:
        value["policies"] = [{"policy_identifier": policy} for policy in policies]
    return attribute("signing_certificate_v2", tsp.SigningCertificateV2(value))


def issuer_serial(holder: Holder) -> Values:
    """ESS IssuerSerial of the holder's certificate."""
    certificate = asn1_x509.Certificate.load(holder.der)
    return {
        "issuer": [asn1_x509.GeneralName("directory_name", certificate.issuer)],
        "serial_number": certificate.serial_number,
    }


def usual_attributes(content: bytes, holder: Holder) -> Attributes:
    """What a CAdES-B signature over ``content`` has."""
    return [
        attribute("content_type", "data"),
        attribute("message_digest", hashlib.sha256(content).digest()),
        attribute("signing_time", cms.Time({"utc_time": NOW})),
        signing_certificate_v2(hashlib.sha256(holder.der).digest()),
    ]


def without(attributes: Attributes, kind: str) -> Attributes:
    return [each for each in attributes if each["type"] != kind]


def replaced(attributes: Attributes, new: dict[str, Any]) -> Attributes:
    return [*without(attributes, new["type"]), new]


def make_signer(
    content: bytes,
    holder: Holder,
    *,
    attributes: Attributes | cms.CMSAttributes | None = None,
    signed_bytes: Callable[[cms.CMSAttributes], bytes] = lambda attributes: attributes.dump(),
    **fields: Any,
) -> Values:
    """A SignerInfo; ``fields`` replace its fields, None removes one; the signature is genuine.

    ``signed_bytes`` turns the attributes into what is signed.
    """
    certificate = asn1_x509.Certificate.load(holder.der)
    signed = usual_attributes(content, holder) if attributes is None else attributes
    if isinstance(signed, list):
        signed = cms.CMSAttributes(signed)
    signer: Values = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            "issuer_and_serial_number",
            {"issuer": certificate.issuer, "serial_number": certificate.serial_number},
        ),
        "digest_algorithm": {"algorithm": "sha256"},
        "signed_attrs": signed,
        "signature_algorithm": {"algorithm": "sha256_ecdsa"},
        "signature": holder.key.sign(signed_bytes(signed), ec.ECDSA(hashes.SHA256())),
    }
    signer |= fields
    return {name: value for name, value in signer.items() if value is not None}


def make_cms(
    signers: Sequence[Values],
    certificates: Sequence[Holder] | None,
    *,
    content_type: str = "signed_data",
    **fields: Any,
) -> bytes:
    """SignedData around the signers; ``fields`` replace its fields, None removes one."""
    signed_data: Values = {
        "version": "v1",
        "digest_algorithms": [{"algorithm": "sha256"}],
        "encap_content_info": {"content_type": "data"},
        "certificates": None
        if certificates is None
        else [asn1_x509.Certificate.load(each.der) for each in certificates],
        "signer_infos": list(signers),
    }
    signed_data |= fields
    present = {name: value for name, value in signed_data.items() if value is not None}
    info = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(present)})
    der: bytes = info.dump()
    if content_type != "signed_data":
        other = cms.ContentType(content_type).dump()
        der = der.replace(cms.ContentType("signed_data").dump(), other, 1)
    return der


def usual(content: bytes, holder: Holder, **signer_fields: Any) -> bytes:
    """A whole signature, as usual but for some fields of its SignerInfo."""
    return make_cms([make_signer(content, holder, **signer_fields)], [holder])


def null_parameters(algorithm: str) -> algos.DigestAlgorithm:
    return algos.DigestAlgorithm({"algorithm": algorithm, "parameters": core.Null()})
