"""openssl accepts what we sign, we accept what openssl signs, and both refuse alike."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from document_exchange import signature
from document_exchange.certificates import CrlPair, load_pem
from document_exchange.errors import SealRevoked, SignatureInvalid
from tests.pki_for_tests import DAY, NOW, Holder, Pki, make_crl

PKI = Pki()
SEAL = PKI.seal("qd-caizheng")
OTHER = PKI.seal("qd-jiaoyu")
CONTENT = '{"title":"关于编制部门预算的通知"}'.encode() + bytes(range(256)) + b"\r\n\n"
AT = ["-attime", str(int(NOW.timestamp()))]


class OpenSSL:
    """The ``openssl`` command in a directory of its own that holds the certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("content", CONTENT)
        self.write("chain.pem", PKI.root.pem + PKI.seal_ca.pem)
        self.write("seal-ca.pem", PKI.seal_ca.pem)
        for name, holder in (("seal", SEAL), ("other", OTHER)):
            self.write(f"{name}.pem", holder.pem)
            self.write(f"{name}.key", holder.key_pem)

    def write(self, name: str, data: bytes) -> None:
        (self.directory / name).write_bytes(data)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["openssl", *arguments],
            cwd=self.directory,
            capture_output=True,
            check=False,
            timeout=30,
        )

    def verifies(
        self, der: bytes, content: bytes = CONTENT, trusted: str = "chain.pem", *options: str
    ) -> bool:
        """Whether openssl accepts the signature; its signer goes to the file ``signer.pem``."""
        self.write("signature.p7s", der)
        self.write("signed", content)
        done = self.run(
            *("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "signature.p7s"),
            *("-content", "signed", "-CAfile", trusted, "-no-CApath", *AT, *options),
            *("-out", "verified", "-signer", "signer.pem"),
        )
        return done.returncode == 0

    def signs(self, *options: str, signer: str = "seal") -> bytes:
        done = self.run(
            *("cms", "-sign", "-binary", "-in", "content", "-outform", "DER"),
            *("-signer", f"{signer}.pem", "-inkey", f"{signer}.key", *options),
            *("-out", "made.p7s"),
        )
        assert done.returncode == 0, done.stderr
        return (self.directory / "made.p7s").read_bytes()


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    return OpenSSL(tmp_path)


def ours(content: bytes = CONTENT, holder: Holder = SEAL, at: dt.datetime = NOW) -> bytes:
    return signature.sign(content, holder.signer, at=at)


class TestOursInOpenSSL:
    @pytest.mark.parametrize("content", [CONTENT, b"", b"\n", b"\r\n", bytes(1_000_000)])
    def test_it_is_accepted(self, openssl: OpenSSL, content: bytes) -> None:
        assert openssl.verifies(ours(content), content)
        assert (openssl.directory / "verified").read_bytes() == content

    @pytest.mark.parametrize("year", [2026, 2049, 2050])
    def test_either_form_of_signing_time_is_accepted(self, openssl: OpenSSL, year: int) -> None:
        assert openssl.verifies(ours(at=dt.datetime(year, 11, 20, tzinfo=dt.UTC)))

    def test_it_names_the_same_signer(self, openssl: OpenSSL) -> None:
        assert openssl.verifies(ours())
        signer = load_pem((openssl.directory / "signer.pem").read_bytes())
        assert signer == signature.verify(CONTENT, ours()) == SEAL.certificate

    def test_other_content_is_refused(self, openssl: OpenSSL) -> None:
        assert not openssl.verifies(ours(), CONTENT + b"\n")

    def test_another_root_is_refused(self, openssl: OpenSSL) -> None:
        foreign = Pki()
        openssl.write("foreign.pem", foreign.root.pem + foreign.seal_ca.pem)
        assert not openssl.verifies(ours(), CONTENT, "foreign.pem")

    def test_lists_of_revoked_certificates_are_understood_alike(self, openssl: OpenSSL) -> None:
        root_crl = make_crl(PKI.root)
        for revoked in ([], [(SEAL.certificate, NOW - DAY)]):
            crls = CrlPair(root_crl, make_crl(PKI.seal_ca, revoked=revoked))
            openssl.write(
                "chain-and-crls.pem",
                PKI.root.pem + PKI.seal_ca.pem + pem(crls.root_crl) + pem(crls.seal_crl),
            )
            theirs = openssl.verifies(ours(), CONTENT, "chain-and-crls.pem", "-crl_check_all")
            try:
                PKI.trust.check(SEAL.certificate, at=NOW, crls=crls)
                assert theirs
            except SealRevoked:
                assert not theirs
            assert theirs is not bool(revoked)

    def test_openssl_overlooks_an_altered_version_and_we_do_not(self, openssl: OpenSSL) -> None:
        """The reason why the digest of each signature is stored elsewhere."""
        version = ours().index(b"\x02\x01\x01")
        der = ours()
        altered = der[: version + 2] + b"\x00" + der[version + 3 :]
        assert openssl.verifies(altered)
        with pytest.raises(SignatureInvalid, match="version"):
            signature.verify(CONTENT, altered)


class TestOpenSSLsInOurs:
    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["-nosmimecap"],
            ["-keyid"],
            ["-keyid", "-nosmimecap"],
            ["-md", "sha256"],
            ["-certfile", "seal-ca.pem"],
            ["-certfile", "chain.pem", "-keyid"],
        ],
        ids=" ".join,
    )
    def test_it_is_accepted(self, openssl: OpenSSL, options: Sequence[str]) -> None:
        der = openssl.signs("-cades", *options)
        assert signature.verify(CONTENT, der) == SEAL.certificate
        with pytest.raises(SignatureInvalid):
            signature.verify(CONTENT + b"\n", der)

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ([], "1.2.840.113549.1.9.16.2.47"),
            (["-cades", "-nodetach"], "detached"),
            (["-noattr"], "no signed attributes"),
            (["-cades", "-md", "sha384"], "digest algorithms"),
            (["-cades", "-md", "sha512"], "digest algorithms"),
            (["-cades", "-md", "sha1"], "digest algorithms"),
            (["-cades", "-nocerts"], "not inside"),
            (["-cades", "-econtent_type", "1.2.840.113549.1.9.16.1.4"], "content type"),
            (["-cades", "-stream"], "DER"),
            (["-cades", "-outform", "PEM"], "DER"),
            (["-cades", "-outform", "SMIME"], "DER"),
            (["-cades", "-signer", "other.pem", "-inkey", "other.key"], "2 signers"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_what_is_no_detached_cades_b_is_refused(
        self, openssl: OpenSSL, options: Sequence[str], why: str
    ) -> None:
        with pytest.raises(SignatureInvalid, match=why):
            signature.verify(CONTENT, openssl.signs(*options))

    def test_text_mode_signs_other_bytes(self, openssl: OpenSSL) -> None:
        """Without -binary openssl changes ends of lines before it signs."""
        openssl.write("content", b"one\ntwo\n")
        done = openssl.run(
            *("cms", "-sign", "-cades", "-in", "content", "-outform", "DER"),
            *("-signer", "seal.pem", "-inkey", "seal.key", "-out", "made.p7s"),
        )
        assert done.returncode == 0, done.stderr
        der = (openssl.directory / "made.p7s").read_bytes()
        with pytest.raises(SignatureInvalid, match="other bytes"):
            signature.verify(b"one\ntwo\n", der)
        assert signature.verify(b"one\r\ntwo\r\n", der) == SEAL.certificate


def pem(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(serialization.Encoding.PEM)
