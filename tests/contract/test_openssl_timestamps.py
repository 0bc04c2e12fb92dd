"""Time-stamps: openssl, rfc3161-client and asn1crypto read ours alike, and we read openssl's."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from pathlib import Path

import pytest
import rfc3161_client
from asn1crypto import tsp  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
from pyhanko_certvalidator import ValidationContext

from document_exchange import timestamp
from document_exchange.certificates import fingerprint
from document_exchange.errors import TimestampRefused
from tests import pyhanko_for_tests as pyhanko
from tests.pki_for_tests import DAY, NOW, Holder, Pki, make_crl
from tests.timestamps_for_tests import NONCE, answered, make_tsa, stamped, tsa_of_now
from tests.tsa_for_tests import OpensslTsa

PKI = Pki()
TSA = make_tsa(PKI)
DATA = hashlib.sha256(b"a signature").hexdigest().encode() + b"\n"


class Openssl:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "root.pem").write_bytes(PKI.root.pem)
        (directory / "seal-ca.pem").write_bytes(PKI.seal_ca.pem)
        (directory / "data.txt").write_bytes(DATA)

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["openssl", "ts", *words],
            cwd=self.directory,
            capture_output=True,
            check=False,
            timeout=30,
        )

    def query(self, *options: str) -> bytes:
        assert not self.run("-query", "-data", "data.txt", "-out", "q.tsq", *options).returncode
        return (self.directory / "q.tsq").read_bytes()

    def verifies(self, response: bytes, *against: str) -> bool:
        (self.directory / "r.tsr").write_bytes(response)
        done = self.run(
            *("-verify", "-in", "r.tsr", *(against or ("-data", "data.txt"))),
            *("-CAfile", "root.pem", "-untrusted", "seal-ca.pem"),
            *("-attime", str(int(NOW.timestamp()))),
        )
        assert (b"Verification: OK" in done.stdout) is (done.returncode == 0)
        return done.returncode == 0


@pytest.fixture
def openssl(tmp_path: Path) -> Openssl:
    return Openssl(tmp_path)


@pytest.fixture
def openssl_tsa(tmp_path: Path) -> OpensslTsa:
    directory = tmp_path / "tsa"
    directory.mkdir()
    return OpensslTsa(directory, tsa_of_now(PKI))


@pytest.mark.parametrize("digest", ["-sha256", "-sha384", "-sha512"])
@pytest.mark.parametrize("options", [["-cert"], ["-cert", "-no_nonce"]], ids=" ".join)
def test_openssl_accepts_our_answer_to_its_question(
    openssl: Openssl, digest: str, options: list[str]
) -> None:
    query = openssl.query(digest, *options)
    response = answered(query, TSA).der
    assert openssl.verifies(response)
    assert openssl.verifies(response, "-queryfile", "q.tsq")
    assert timestamp.verify(response, DATA, PKI.trust, PKI.crls()).at == NOW


def test_openssl_refuses_our_answer_to_another_question(openssl: Openssl) -> None:
    other = answered(openssl.query("-sha256", "-cert"), TSA).der
    openssl.query("-sha256", "-cert")  # with another nonce
    assert not openssl.verifies(other, "-queryfile", "q.tsq")
    assert not openssl.verifies(stamped(b"other", TSA))


def test_openssl_reads_our_refusal_of_a_weak_digest(openssl: Openssl) -> None:
    refusal = answered(openssl.query("-sha1"), TSA).der
    (openssl.directory / "r.tsr").write_bytes(refusal)
    text = openssl.run("-reply", "-in", "r.tsr", "-text").stdout
    assert b"Rejected" in text
    assert b"unrecognized or unsupported algorithm" in text
    assert not openssl.verifies(refusal)


def test_openssl_reads_our_question(openssl: Openssl) -> None:
    made = timestamp.query(hashlib.sha256(DATA).digest(), NONCE)
    (openssl.directory / "ours.tsq").write_bytes(made)
    text = openssl.run("-query", "-in", "ours.tsq", "-text").stdout
    assert b"Hash Algorithm: sha256" in text
    assert f"Nonce: 0x{NONCE:X}".encode() in text
    assert b"Certificate required: yes" in text


def test_we_accept_what_openssl_makes(openssl_tsa: OpensslTsa) -> None:
    now = dt.datetime.now(dt.UTC)
    response = openssl_tsa.reply(timestamp.query(hashlib.sha256(DATA).digest(), NONCE))
    pki_crls = PKI.crls(this_update=now - DAY, next_update=now + DAY)
    stamp = timestamp.verify(response, DATA, PKI.trust, pki_crls, nonce=NONCE)
    assert abs(stamp.at - now) < dt.timedelta(seconds=30)
    root = fingerprint(PKI.root.certificate)
    chain = [PKI.root.certificate, PKI.seal_ca.certificate]
    external = timestamp.verify_external(response, DATA, chain, root, nonce=NONCE)
    assert external.at == stamp.at
    for check in (
        lambda: timestamp.verify(response, DATA + b"x", PKI.trust, None),
        lambda: timestamp.verify_external(response, DATA + b"x", chain, root),
    ):
        with pytest.raises(TimestampRefused):
            check()  # type: ignore[no-untyped-call]


def test_a_service_that_names_itself_in_its_tokens_is_an_external_one(tmp_path: Path) -> None:
    tsa: Holder = tsa_of_now(PKI)
    response = OpensslTsa(tmp_path, tsa, tsa_name="yes").reply(
        timestamp.query(hashlib.sha256(DATA).digest(), NONCE)
    )
    chain = [PKI.root.certificate, PKI.seal_ca.certificate]
    root = fingerprint(PKI.root.certificate)
    assert timestamp.verify_external(response, DATA, chain, root, nonce=NONCE).tsa
    with pytest.raises(TimestampRefused, match="TSTInfo is malformed"):
        timestamp.verify(response, DATA, PKI.trust, None)


def test_rfc3161_client_accepts_our_answer_to_its_question() -> None:
    request = rfc3161_client.TimestampRequestBuilder(
        data=DATA, hash_algorithm=rfc3161_client.HashAlgorithm.SHA256
    ).build()
    response = rfc3161_client.decode_timestamp_response(answered(request.as_bytes(), TSA).der)
    verifier = (
        rfc3161_client.VerifierBuilder.from_request(request)
        .add_root_certificate(PKI.root.certificate)
        .add_intermediate_certificate(PKI.seal_ca.certificate)
        .build()
    )
    assert verifier.verify_message(response, DATA)
    with pytest.raises(rfc3161_client.VerificationError):
        verifier.verify_message(response, DATA + b"x")


class PyHankoClient(TimeStamper):
    """pyHanko's client, with our answers in place of the network."""

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        return tsp.TimeStampResp.load(answered(req.dump(), TSA).der, strict=True)


async def test_pyhanko_accepts_our_answer_to_its_question() -> None:
    digest = hashlib.sha256(DATA).digest()
    token = await PyHankoClient().async_timestamp(digest, "sha256")  # type: ignore[no-untyped-call]
    context = ValidationContext(
        trust_roots=[pyhanko.certificate_of(PKI.root)],
        other_certs=[pyhanko.certificate_of(PKI.seal_ca)],
        moment=NOW,
        allow_fetching=False,
    )
    found = await validate_tst_signed_data(token["content"], context, lambda _: digest)
    assert found["intact"]
    assert found["valid"]
    assert found["trust_problem_indic"] is None
    assert found["timestamp"] == NOW


def test_lists_in_force_are_understood_alike(openssl: Openssl) -> None:
    """openssl needs the lists beside the root; who was revoked before is refused by both."""
    root_crl = make_crl(PKI.root).public_bytes(Encoding.PEM)
    for revoked in ([], [(TSA.certificate, NOW - DAY)]):
        crl = make_crl(PKI.seal_ca, revoked=revoked).public_bytes(Encoding.PEM)
        (openssl.directory / "lists.pem").write_bytes(PKI.root.pem + root_crl + crl)
        (openssl.directory / "r.tsr").write_bytes(stamped(DATA, TSA))
        done = openssl.run(
            *("-verify", "-in", "r.tsr", "-data", "data.txt", "-CAfile", "lists.pem"),
            *("-untrusted", "seal-ca.pem", "-crl_check_all"),
            *("-attime", str(int(NOW.timestamp()))),
        )
        assert (done.returncode == 0) is not bool(revoked), done.stderr
        try:
            timestamp.verify(stamped(DATA, TSA), DATA, PKI.trust, PKI.crls(revoked=revoked))
            assert not revoked
        except TimestampRefused:
            assert revoked
