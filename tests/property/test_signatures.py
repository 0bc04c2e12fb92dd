"""Properties of signatures: no byte can change unnoticed, and no bytes do harm."""

from __future__ import annotations

import datetime as dt
import hashlib
import warnings
from collections.abc import Callable

import pytest
from asn1crypto import cms  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from document_exchange import signature
from document_exchange.certificates import CrlPair
from document_exchange.errors import (
    SealExpired,
    SealNotTrusted,
    SealOfAnotherUnit,
    SealRevoked,
    SignatureInvalid,
    SignatureRefused,
)
from document_exchange.signature import verify
from document_exchange.verification import verify_seals
from tests.cms_for_tests import (
    attribute,
    make_cms,
    make_signer,
    replaced,
    signing_certificate_v2,
    usual_attributes,
)
from tests.pki_for_tests import (
    CLIENT,
    DAY,
    NOW,
    SERVER,
    TIME_STAMPING,
    TRUST_DOMAIN,
    Holder,
    Pki,
    make_crl,
    make_leaf,
    unit_seal_id,
)
from tests.statements_for_tests import a_manifest

PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
CONTENT = '{"title":"关于印发防汛预案的通知"}'.encode()
OURS = signature.sign(CONTENT, SEAL.signer, at=NOW)


def flipped(data: bytes, bit: int) -> bytes:
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def unnoticed(content: bytes, der: bytes) -> list[int]:
    """The bits of ``der`` whose change nobody notices; the signer stays the same in each."""
    found = []
    for bit in range(8 * len(der)):
        try:
            signer = verify(content, flipped(der, bit))
        except SignatureInvalid:
            continue
        assert signer == SEAL.certificate
        found.append(bit)
    return found


@given(content=st.binary(max_size=4096), at=st.datetimes(timezones=st.just(dt.UTC)))
def test_whatever_is_signed_verifies(content: bytes, at: dt.datetime) -> None:
    assert verify(content, signature.sign(content, SEAL.signer, at=at)) == SEAL.certificate


@given(content=st.binary(max_size=512), other=st.binary(max_size=512))
def test_a_signature_is_good_for_its_content_only(content: bytes, other: bytes) -> None:
    der = signature.sign(content, SEAL.signer, at=NOW)
    if content != other:
        with pytest.raises(SignatureInvalid):
            verify(other, der)


def test_every_bit_of_the_content_counts() -> None:
    for bit in range(8 * len(CONTENT)):
        with pytest.raises(SignatureInvalid):
            verify(flipped(CONTENT, bit), OURS)


def test_every_bit_of_a_signature_of_ours_counts() -> None:
    """openssl overlooks some, in versions and parameters of algorithms."""
    assert unnoticed(CONTENT, OURS) == []


def test_in_a_signature_of_others_only_what_is_ignored_can_change() -> None:
    """Further certificates and unsigned attributes; all else is as in ours."""
    unsigned = cms.CMSAttributes([attribute("1.2.3.4", cms.OctetString(b"a time stamp, say"))])
    signer = make_signer(CONTENT, SEAL, unsigned_attrs=unsigned)
    der = make_cms([signer], [SEAL, PKI.seal_ca])
    ignored = [PKI.seal_ca.der, unsigned.retag({"implicit": 1}).dump()]
    spans = [(der.index(part), der.index(part) + len(part)) for part in ignored]
    for bit in unnoticed(CONTENT, der):
        assert any(start <= bit // 8 < end for start, end in spans)


@given(data=st.binary(max_size=2048))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(CONTENT, data)


def test_every_truncation_is_refused() -> None:
    for length in range(len(OURS)):
        with pytest.raises(SignatureInvalid):
            verify(CONTENT, OURS[:length])


SOURCES = [
    OURS,
    signature.sign(CONTENT, PKI.seal("qd-jiaoyu").signer, at=NOW),
    make_cms([make_signer(CONTENT, SEAL)], [SEAL, PKI.seal_ca]),
    SEAL.der,
    bytes(64),
    b"\x30\x80\x30\x84\xff\xff\xff\xff\xa0\x82\xff\xff",
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A signature with a few places cut out, doubled, overwritten, or taken from elsewhere."""
    data = draw(st.sampled_from(SOURCES[:3]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 64)))
        source = draw(st.sampled_from(SOURCES))
        at = draw(st.integers(0, len(source)))
        new = draw(
            st.one_of(
                st.binary(max_size=8),
                st.just(source[at : at + end - start]),
                st.just(data[start:end] * 2),
            )
        )
        data = data[:start] + new + data[end:]
    return data


@given(data=mutations())
@settings(max_examples=2000)
def test_mutations_are_refused_or_change_nothing_that_counts(data: bytes) -> None:
    try:
        signer = verify(CONTENT, data)
    except SignatureInvalid:
        return
    assert signer in (SEAL.certificate, PKI.seal("qd-jiaoyu").certificate)


@st.composite
def mutated_certificates(draw: st.DrawFn) -> bytes:
    der = bytearray(SEAL.der)
    for _ in range(draw(st.integers(1, 3))):
        der[draw(st.integers(4, len(der) - 1))] = draw(st.integers(0, 255))
    return bytes(der)


@given(certificate=mutated_certificates())
@settings(max_examples=300, deadline=None)
def test_a_malformed_certificate_that_is_named_rightly_does_no_harm(certificate: bytes) -> None:
    """What an enemy signs with a certificate of his own making gets as far as its contents."""
    ess = signing_certificate_v2(hashlib.sha256(certificate).digest())
    signer = make_signer(CONTENT, SEAL, attributes=replaced(usual_attributes(CONTENT, SEAL), ess))
    der = make_cms([signer], [SEAL]).replace(SEAL.der, certificate)
    with warnings.catch_warnings():
        # Of what cryptography will refuse one day. It parses it today, so it must do no harm.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = verify(CONTENT, der)
        except SignatureInvalid:
            return
        if found.tbs_certificate_bytes != SEAL.certificate.tbs_certificate_bytes:
            with pytest.raises(SignatureRefused):
                PKI.trust.check(found, at=NOW, crls=None)


UNIT, OTHER_UNIT = "qd-zhengfuban", "qd-weisheng"
SYSTEM_ID = f"spiffe://{TRUST_DOMAIN}/unit/{UNIT}/system/oa"
WRONG_SEALS: dict[str, tuple[Callable[[], Holder], type[SignatureRefused]]] = {
    "foreign": (lambda: Pki().seal(UNIT), SealNotTrusted),
    "self-signed": (lambda: make_leaf(unit_seal_id(UNIT), issuer=None), SealNotTrusted),
    "expired": (
        lambda: make_leaf(unit_seal_id(UNIT), issuer=PKI.seal_ca, not_after=NOW - DAY),
        SealExpired,
    ),
    "not yet valid": (
        lambda: make_leaf(unit_seal_id(UNIT), issuer=PKI.seal_ca, not_before=NOW + DAY),
        SealExpired,
    ),
    "a TLS client": (
        lambda: make_leaf(SYSTEM_ID, issuer=PKI.tls_ca, purposes=CLIENT),
        SealNotTrusted,
    ),
    "a TLS server": (
        lambda: make_leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/server/a", issuer=PKI.tls_ca, purposes=SERVER
        ),
        SealNotTrusted,
    ),
    "a seal's profile by the TLS CA": (
        lambda: make_leaf(unit_seal_id(UNIT), issuer=PKI.tls_ca),
        SealNotTrusted,
    ),
    "a time stamp": (
        lambda: make_leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/tsa/a", issuer=PKI.seal_ca, purposes=TIME_STAMPING
        ),
        SealNotTrusted,
    ),
    "another unit": (lambda: PKI.seal(OTHER_UNIT), SealOfAnotherUnit),
    "the centre": (lambda: PKI.centre_seal, SealOfAnotherUnit),
    "revoked": (lambda: PKI.seal(UNIT), SealRevoked),
}


@pytest.mark.parametrize("name", WRONG_SEALS)
@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_wrong_seal_is_accepted_in_any_place(name: str, data: st.DataObject) -> None:
    """Wherever it stands among the right ones, the refusal names the reason and the place."""
    make, error = WRONG_SEALS[name]
    manifest = a_manifest()
    holders = [PKI.seal(unit) for unit in manifest.document.issuers if unit != UNIT]
    place = data.draw(st.integers(0, len(holders)))
    wrong = make()
    holders.insert(place, wrong)
    if error is SealOfAnotherUnit:
        holders.append(PKI.seal(UNIT))
    revoked: list[tuple[x509.Certificate, dt.datetime]] = []
    if error is SealRevoked:
        revoked.append((wrong.certificate, NOW - DAY))
    crls = CrlPair(make_crl(PKI.root), make_crl(PKI.seal_ca, revoked=revoked))
    signatures = [signature.sign(CONTENT, each.signer, at=NOW) for each in holders]
    with pytest.raises(error) as caught:
        verify_seals(manifest, CONTENT, signatures, PKI.trust, at=NOW, crls=crls)
    assert type(caught.value) is error
    assert caught.value.attributes["signature"] == str(place)
