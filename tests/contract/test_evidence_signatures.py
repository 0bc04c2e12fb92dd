"""Bundles with signatures made by other programs, and other programs about ours."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import cms  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization

from document_exchange import evidence, signature
from document_exchange.certificates import fingerprint
from tests import evidence_stories as stories
from tests import pyhanko_for_tests as pyhanko
from tests.cms_for_tests import make_cms, make_signer, usual, usual_attributes, without
from tests.evidence_cases import CITY, FOREIGN
from tests.evidence_for_tests import THEN, Files, Forgery, make_bundle
from tests.evidence_stories import OTHER, RECIPIENT, SENDER
from tests.evidence_verifiers import in_python, in_shell
from tests.pki_for_tests import DAY, TIME_STAMPING, Holder, make_crl

RECEIPT = f"deliveries/{RECIPIENT}/0002-SIGNED_FOR.p7s"
HOLDERS = {
    "signatures/01.p7s": CITY.seal(SENDER),
    "accepted.p7s": CITY.centre,
    RECEIPT: CITY.seal(RECIPIENT),
    f"deliveries/{RECIPIENT}/0002-SIGNED_FOR.admission.p7s": CITY.centre,
}
CHAIN = (CITY.seal_ca, CITY.root)


def by_pyhanko(holder: Holder, _: Path) -> Callable[[bytes], bytes]:
    return lambda content: pyhanko.sign(content, holder, CHAIN)


def by_asn1crypto(holder: Holder, _: Path) -> Callable[[bytes], bytes]:
    return lambda content: usual(content, holder)


def by_openssl(holder: Holder, folder: Path) -> Callable[[bytes], bytes]:
    def sign(content: bytes) -> bytes:
        (folder / "seal.pem").write_bytes(holder.pem + holder.key_pem)
        done = subprocess.run(
            [
                *("openssl", "cms", "-sign", "-cades", "-binary", "-nosmimecap"),
                *("-outform", "DER", "-signer", "seal.pem"),
            ],
            cwd=folder, input=content, capture_output=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout

    return sign


@pytest.mark.parametrize("made_by", [by_pyhanko, by_asn1crypto, by_openssl])
def test_what_others_signed_verifies_in_a_bundle(
    made_by: Callable[[Holder, Path], Callable[[bytes], bytes]], tmp_path: Path
) -> None:
    made = {path: made_by(holder, tmp_path) for path, holder in HOLDERS.items()}
    files = make_bundle(CITY, stories.simple(), Forgery(made=made))
    for path, holder in HOLDERS.items():
        content = files[_content_of(path)]
        assert signature.verify(content, files[path]) == holder.certificate
    python, shell = in_python(files, CITY.fingerprint), in_shell(files, CITY.fingerprint)
    assert (python.step, shell.step) == ("", ""), (python.said, shell.said)


def test_pyhanko_accepts_every_signature_of_a_bundle() -> None:
    files = make_bundle(CITY, stories.life())
    paths = [path for path in files if path.endswith(".p7s")]
    assert len(paths) > 40
    for path in paths:
        content = files[_content_of(path)]
        status = pyhanko.validate(files[path], content, CITY.root, [CITY.seal_ca], THEN)
        assert status.intact, path
        assert status.valid, path
        assert status.trusted, path
        assert not pyhanko.validate(
            files[path], content, FOREIGN.root, [FOREIGN.seal_ca], THEN
        ).trusted
        signed = cms.ContentInfo.load(files[path])["content"]
        assert len(signed["signer_infos"]) == len(signed["certificates"]) == 1


def _two_signers(content: bytes) -> bytes:
    both = CITY.seal(RECIPIENT), CITY.seal(OTHER)
    return make_cms([make_signer(content, each) for each in both], both)


def _twice_the_same(content: bytes) -> bytes:
    holder = CITY.seal(RECIPIENT)
    late = make_signer(content, holder), make_signer(content, holder)
    return make_cms(late, [holder])


def _another_certificate_first(content: bytes) -> bytes:
    """The one that the reader is to take for the signer's; the signature is by another."""
    signer = make_signer(content, CITY.seal(OTHER))
    return make_cms([signer], [CITY.seal(RECIPIENT), CITY.seal(OTHER)])


def _authority_inside(content: bytes) -> bytes:
    """By a TLS certificate, with the CA that issued it in the signature."""
    signer = make_signer(content, CITY.system(RECIPIENT))
    return make_cms([signer], [CITY.system(RECIPIENT), CITY.tls_ca, CITY.root])


def _foreign_chain_inside(content: bytes) -> bytes:
    signer = make_signer(content, FOREIGN.seal(RECIPIENT))
    return make_cms([signer], [FOREIGN.seal(RECIPIENT), FOREIGN.seal_ca, FOREIGN.root])


def _no_signer(_: bytes) -> bytes:
    return make_cms([], [CITY.seal(RECIPIENT)])


@pytest.mark.parametrize(
    "made",
    [
        _two_signers, _twice_the_same, _another_certificate_first, _authority_inside,
        _foreign_chain_inside, _no_signer,
    ],
)  # fmt: skip
def test_signatures_that_nobody_should_make_are_refused_by_both(
    made: Callable[[bytes], bytes],
) -> None:
    files = make_bundle(CITY, stories.simple(), Forgery(made={RECEIPT: made}))
    python, shell = in_python(files, CITY.fingerprint), in_shell(files, CITY.fingerprint)
    assert (python.step, shell.step) == ("receipt", "receipt"), (python.said, shell.said)


def test_an_old_revocation_list_inside_a_signature_does_not_count() -> None:
    """Still in force, from before the seal was stolen and revoked; openssl would prefer it."""
    thief = CITY.seal(RECIPIENT)
    old = make_crl(CITY.seal_ca, this_update=THEN - DAY, next_update=THEN + 6 * DAY)
    before = cms.CertificateList.load(old.public_bytes(serialization.Encoding.DER))

    def sign(content: bytes) -> bytes:
        return make_cms([make_signer(content, thief)], [thief], crls=[before])

    true = make_bundle(CITY, stories.simple(), Forgery(made={RECEIPT: sign}))
    assert (in_python(true, CITY.fingerprint).step, in_shell(true, CITY.fingerprint).step) == (
        "",
        "",
    )
    told = dataclasses.replace(stories.simple(), revoked={0: (thief,)})
    stolen = make_bundle(CITY, told, Forgery(made={RECEIPT: sign}))
    python, shell = in_python(stolen, CITY.fingerprint), in_shell(stolen, CITY.fingerprint)
    assert (python.step, shell.step) == ("receipt", "receipt"), (python.said, shell.said)


STAMP = "timestamps/00000001.tsr"


def _with_chain_of_another_service(files: Files) -> None:
    files[evidence.tsa_path(1)] = FOREIGN.root.der
    files[evidence.tsa_path(2)] = FOREIGN.seal_ca.der


@pytest.mark.parametrize(
    ("tsa", "step", "said"),
    [
        (None, "", "not checked"),
        (FOREIGN.fingerprint, "", "signatures existed at"),
        (CITY.fingerprint, "timestamp", ""),
    ],
    ids=["root not given", "its root", "another root"],
)
def test_stamps_of_a_service_outside_of_the_exchange(tsa: str | None, step: str, said: str) -> None:
    forgery = Forgery(signers={STAMP: FOREIGN.tsa}, before_index=_with_chain_of_another_service)
    files = make_bundle(CITY, stories.stamped(), forgery)
    for found in (in_python(files, CITY.fingerprint, tsa), in_shell(files, CITY.fingerprint, tsa)):
        assert found.step == step, found.said
        assert said in found.said


def test_a_service_may_stand_directly_under_its_root() -> None:
    root = CITY.authority("Root of a service", issuer=None, path_length=1)
    service = CITY.leaf(
        "spiffe://exchange.example/centre/tsa/main", "of the service", issuer=root,
        purposes=TIME_STAMPING, purposes_critical=True,
    )  # fmt: skip

    def with_root(files: Files) -> None:
        files[evidence.tsa_path(1)] = root.der

    forgery = Forgery(signers={STAMP: service}, before_index=with_root)
    files = make_bundle(CITY, stories.stamped(), forgery)
    tsa = fingerprint(root.certificate)
    for found in (in_python(files, CITY.fingerprint, tsa), in_shell(files, CITY.fingerprint, tsa)):
        assert found.step == "", found.said
        assert "signatures existed at" in found.said


def _attached(content: bytes) -> bytes:
    """The content is inside too: openssl takes the one that it is given."""
    signer = make_signer(content, CITY.seal(RECIPIENT))
    inside = {"content_type": "data", "content": content}
    return make_cms([signer], [CITY.seal(RECIPIENT)], encap_content_info=inside)


def _another_digest(content: bytes) -> bytes:
    """SHA-512 is among the digest algorithms, though nobody used it."""
    signer = make_signer(content, CITY.seal(RECIPIENT))
    both = [{"algorithm": "sha256"}, {"algorithm": "sha512"}]
    return make_cms([signer], [CITY.seal(RECIPIENT)], digest_algorithms=both)


def _no_signing_time(content: bytes) -> bytes:
    holder = CITY.seal(RECIPIENT)
    attributes = without(usual_attributes(content, holder), "signing_time")
    return usual(content, holder, attributes=attributes)


def _something_behind(content: bytes) -> bytes:
    return usual(content, CITY.seal(RECIPIENT)) + b"\x05\x00"


@pytest.mark.parametrize("made", [_attached, _another_digest, _no_signing_time, _something_behind])
def test_what_openssl_verifies_and_is_no_cades_is_refused_by_both(
    made: Callable[[bytes], bytes],
) -> None:
    files = make_bundle(CITY, stories.simple(), Forgery(made={RECEIPT: made}))
    python, shell = in_python(files, CITY.fingerprint), in_shell(files, CITY.fingerprint)
    assert (python.step, shell.step) == ("receipt", "receipt"), (python.said, shell.said)
    assert "CAdES" in shell.said or "behind it" in shell.said


def _content_of(path: str) -> str:
    if evidence.is_signature(path):
        return evidence.MANIFEST
    if path == evidence.INDEX_SIGNATURE:
        return evidence.INDEX
    return path.removesuffix(".p7s") + ".json"
