"""OpenSSL, which knows nothing of us, on what the authority issues: the oracle of the profiles."""

from __future__ import annotations

import dataclasses
import re
import ssl
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from exchange_pki.authority import Authority, utc_now
from exchange_pki.handout import Errand, run
from exchange_pki.prepare import Order
from exchange_pki.profile import AUTHORITIES

from document_exchange import identity
from tests.authority_for_tests import (
    CENTRE_SEAL,
    FOUNDED_AT,
    ORDERS,
    PASSPHRASE,
    SEAL,
    SERVER,
    STAFF,
    SYSTEM,
    TSA,
    Clock,
    copy_of_authority,
)

PEM = serialization.Encoding.PEM
PURPOSES = {
    "system": "sslclient",
    "staff": "sslclient",
    "server": "sslserver",
    "seal": "smimesign",
    "centre-seal": "smimesign",
    "tsa": "timestampsign",
}
ALL_PURPOSES = (
    "sslclient",
    "sslserver",
    "smimesign",
    "smimeencrypt",
    "crlsign",
    "timestampsign",
)


def openssl(*arguments: str | Path, ok: bool = True, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False
    )
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert (done.returncode == 0) is ok, text
    return text


class Desk:
    """An authority with one certificate of each profile, and its lists as openssl wants them."""

    def __init__(self, state: Path, *, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.authority = Authority.load(state, PASSPHRASE, clock=self.clock)
        self.directory = state.parent
        self.root = self.authority.layout.certificate("root")

    def issue(self, orders: Sequence[Order], into: str = "out") -> None:
        run(self.authority, [Errand(order, self.directory / into) for order in orders])

    def leaf(self, profile: str, into: str = "out") -> Path:
        return self.directory / into / f"{profile}.pem"

    def crls(self) -> Path:
        """The current lists of all three, in one PEM file."""
        file = self.directory / "crls.pem"
        text = ""
        for name in AUTHORITIES:
            text += openssl("crl", "-inform", "DER", "-in", self.authority.layout.crl(name))
        file.write_text(text)
        return file

    def verify(
        self,
        leaf: Path,
        purpose: str,
        *,
        issuer: str | None = None,
        ok: bool = True,
        later: timedelta = timedelta(),
    ) -> str:
        """``openssl verify`` in its strictest form, as of the authority's clock."""
        untrusted = leaf if issuer is None else self.authority.layout.certificate(issuer)
        return openssl(
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-crl_check_all",
            *("-attime", str(int((self.clock.now + later).timestamp()))),
            *("-CRLfile", self.crls()),
            *("-purpose", purpose),
            *("-CAfile", self.root),
            *("-untrusted", untrusted),
            leaf,
            ok=ok,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("openssl") / "pki"))
    desk.issue(ORDERS)
    return desk


@pytest.fixture
def fresh_desk(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Desk:
    """One whose certificates a test may revoke."""
    return Desk(copy_of_authority(tmp_path_factory, tmp_path / "pki"))


def extensions_of(text: str) -> dict[str, str]:
    """The X.509v3 extensions in the output of ``openssl x509 -text``, by name."""
    found = re.findall(r"^ {12}(X509v3 [^:]+): ?(critical)?\n {16}(.*)$", text, re.MULTILINE)
    return {
        name.strip(): (f"critical {value}" if critical else value).strip()
        for name, critical, value in found
    }


TLS = {
    "X509v3 Basic Constraints": "critical CA:FALSE",
    "X509v3 Key Usage": "critical Digital Signature",
}
SEALING = {
    "X509v3 Basic Constraints": "critical CA:FALSE",
    "X509v3 Key Usage": "critical Digital Signature, Non Repudiation",
}
DOMAIN = "URI:spiffe://exchange.example"
# OpenSSL 3.0 has no name for documentSigning, later ones call it "Document Signing".
SEAL_EKU = "1.3.6.1.5.5.7.3.36, E-mail Protection"


@pytest.mark.parametrize(
    ("profile", "expected", "eku", "san", "days"),
    [
        (
            "system",
            TLS,
            "TLS Web Client Authentication",
            f"{DOMAIN}/unit/qd-caizheng/system/oa",
            30,
        ),
        ("staff", TLS, "TLS Web Client Authentication", f"{DOMAIN}/staff/li.na", 30),
        (
            "server",
            TLS,
            "TLS Web Server Authentication",
            f"{DOMAIN}/centre/server/s1, DNS:centre.example, DNS:localhost, "
            "IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
            90,
        ),
        ("seal", SEALING, SEAL_EKU, f"{DOMAIN}/unit/qd-caizheng/seal/2026", 365),
        ("centre-seal", SEALING, SEAL_EKU, f"{DOMAIN}/centre/seal/2026", 365),
        ("tsa", SEALING, "critical Time Stamping", f"{DOMAIN}/centre/tsa/tsa-1", 365),
    ],
)
def test_leaf_profiles(
    desk: Desk, profile: str, expected: dict[str, str], eku: str, san: str, days: int
) -> None:
    text = openssl("x509", "-in", desk.leaf(profile), "-noout", "-text")
    extensions = extensions_of(text.replace("Document Signing", "1.3.6.1.5.5.7.3.36"))
    identifiers = {"X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier"}
    assert {name: extensions[name] for name in extensions.keys() - identifiers} == {
        **expected,
        "X509v3 Extended Key Usage": eku,
        "X509v3 Subject Alternative Name": f"critical {san}",
    }
    assert identifiers <= extensions.keys()
    assert "Version: 3 (0x2)" in text
    assert re.search(r"Subject: *\n", text)
    assert "NIST CURVE: P-256" in text
    assert "Signature Algorithm: ecdsa-with-SHA384" in text
    issuer = "TLS" if profile in ("system", "staff", "server") else "Seal"
    assert f"Issuer: O = exchange.example, CN = Document Exchange {issuer} CA 1" in text
    for moment, ok in ((days * 86_400 - 700, True), (days * 86_400 - 500, False)):
        # It began ten minutes before the authority's clock.
        text = desk.verify(
            desk.leaf(profile), PURPOSES[profile], ok=False, later=timedelta(seconds=moment)
        )
        assert ("certificate has expired" not in text) is ok


@pytest.mark.parametrize(
    ("name", "constraints", "eku"),
    [
        ("root", "critical CA:TRUE, pathlen:1", None),
        (
            "tls-ca",
            "critical CA:TRUE, pathlen:0",
            "TLS Web Server Authentication, TLS Web Client Authentication",
        ),
        ("seal-ca", "critical CA:TRUE, pathlen:0", f"{SEAL_EKU}, Time Stamping"),
    ],
)
def test_authority_profiles(desk: Desk, name: str, constraints: str, eku: str | None) -> None:
    path = desk.authority.layout.certificate(name)
    text = openssl("x509", "-in", path, "-noout", "-text")
    extensions = extensions_of(text.replace("Document Signing", "1.3.6.1.5.5.7.3.36"))
    assert extensions["X509v3 Basic Constraints"] == constraints
    assert extensions["X509v3 Key Usage"] == "critical Certificate Sign, CRL Sign"
    assert extensions.get("X509v3 Extended Key Usage") == eku
    assert "X509v3 Subject Alternative Name" not in extensions
    assert "NIST CURVE: P-384" in text


@pytest.mark.parametrize("profile", PURPOSES)
@pytest.mark.parametrize("purpose", ALL_PURPOSES)
def test_each_serves_its_purpose_and_no_other(desk: Desk, profile: str, purpose: str) -> None:
    fits = PURPOSES[profile] == purpose
    text = desk.verify(desk.leaf(profile), purpose, ok=fits)
    assert fits or "unsuitable certificate purpose" in text


@pytest.mark.parametrize("profile", PURPOSES)
def test_each_chains_through_its_own_authority_only(desk: Desk, profile: str) -> None:
    own, other = ("tls-ca", "seal-ca")
    if profile in ("seal", "centre-seal", "tsa"):
        own, other = other, own
    desk.verify(desk.leaf(profile), PURPOSES[profile], issuer=own)
    text = desk.verify(desk.leaf(profile), PURPOSES[profile], issuer=other, ok=False)
    assert "unable to get local issuer certificate" in text


@pytest.mark.parametrize("order", [SYSTEM, SEAL, TSA], ids=lambda order: order.profile)
def test_a_revoked_certificate_is_refused(fresh_desk: Desk, order: Order) -> None:
    desk = fresh_desk
    other = dataclasses.replace(order, name="other")
    desk.issue([order])
    desk.issue([other], "other")
    purpose = PURPOSES[order.profile]
    desk.verify(desk.leaf(order.profile), purpose)
    serials = {
        certified.identity.rpartition("/")[2]: certified.serial
        for certified in desk.authority.register.certified.values()
    }
    desk.authority.revoke(serials[order.name], "keyCompromise")
    desk.clock.advance(seconds=1)
    desk.authority.issue_crls()
    text = desk.verify(desk.leaf(order.profile), purpose, ok=False)
    assert "certificate revoked" in text
    desk.verify(desk.leaf(order.profile, "other"), purpose)


def test_a_revoked_authority_takes_its_leaves_along(fresh_desk: Desk) -> None:
    desk = fresh_desk
    desk.issue([SYSTEM, SEAL])
    desk.authority.revoke(desk.authority.register.authority("seal-ca").serial, "cACompromise")
    desk.authority.issue_crls(["root"])
    desk.clock.advance(seconds=1)
    assert "certificate revoked" in desk.verify(desk.leaf("seal"), "smimesign", ok=False)
    desk.verify(desk.leaf("system"), "sslclient")


@pytest.mark.parametrize(
    ("later", "complaint"),
    [
        (timedelta(days=7, seconds=-2), None),
        (timedelta(days=7, seconds=1), "CRL has expired"),
        (timedelta(seconds=-1), "CRL is not yet valid"),
    ],
)
def test_lists_last_seven_days(desk: Desk, later: timedelta, complaint: str | None) -> None:
    text = desk.verify(desk.leaf("seal"), "smimesign", ok=complaint is None, later=later)
    assert complaint is None or complaint in text


@pytest.mark.parametrize("name", AUTHORITIES)
def test_a_list_is_signed_by_its_authority(desk: Desk, name: str) -> None:
    path, layout = desk.authority.layout.crl(name), desk.authority.layout
    text = openssl(
        *("crl", "-inform", "DER", "-in", path, "-noout", "-text"),
        *("-CAfile", layout.certificate(name)),
    )
    assert "verify OK" in text
    assert "X509v3 CRL Number" in text
    assert "X509v3 Authority Key Identifier" in text


@pytest.mark.parametrize("name", AUTHORITIES)
def test_openssl_opens_the_keys_with_the_passphrase_only(desk: Desk, name: str) -> None:
    path = desk.authority.layout.key(name)
    public = openssl(
        "pkey", "-in", path, "-passin", f"pass:{PASSPHRASE.secret.decode()}", "-pubout"
    )
    certified = desk.authority.certificate(name).public_key()
    assert (
        public
        == certified.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )
    openssl("pkey", "-in", path, "-passin", "pass:another passphrase", "-noout", ok=False)
    assert "scrypt" in openssl("asn1parse", "-in", path)


@pytest.mark.parametrize("order", [SEAL, CENTRE_SEAL], ids=lambda order: order.profile)
def test_openssl_signs_and_verifies_with_a_seal(desk: Desk, tmp_path: Path, order: Order) -> None:
    content, signature = tmp_path / "content", tmp_path / "content.p7s"
    content.write_bytes(b"{}")
    leaf = desk.leaf(order.profile)
    openssl(
        *("cms", "-sign", "-cades", "-binary", "-in", content, "-out", signature),
        *("-outform", "DER", "-signer", leaf, "-inkey", leaf.with_suffix(".key"), "-md", "sha256"),
    )
    # The signature does not hold the chain, and `cms -verify` takes it from this file only.
    chain = tmp_path / "chain.pem"
    chain.write_bytes(
        desk.root.read_bytes() + desk.authority.layout.certificate("seal-ca").read_bytes()
    )
    text = openssl(
        *("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", signature),
        *("-content", content, "-CAfile", chain),
        *("-attime", str(int(FOUNDED_AT.timestamp()))),
    )
    assert "CAdES Verification successful" in text


def test_openssl_stamps_time_with_the_tsa(desk: Desk, tmp_path: Path) -> None:
    """RFC 3161: the certificate must be for time stamping alone, and critically so."""
    query, reply = tmp_path / "query", tmp_path / "reply"
    (tmp_path / "serial").write_text("01\n")
    leaf = desk.leaf("tsa")
    config = tmp_path / "tsa.cnf"
    config.write_text(
        f"[tsa]\nserial = {tmp_path / 'serial'}\ncrypto_device = builtin\nsigner_cert = {leaf}\n"
        f"signer_key = {leaf.with_suffix('.key')}\nsigner_digest = sha256\n"
        "default_policy = 1.2.3.4\ndigests = sha256\n"
    )
    openssl("ts", "-query", "-data", desk.root, "-sha256", "-cert", "-out", query)
    openssl(
        *("ts", "-reply", "-config", config, "-section", "tsa"),
        *("-queryfile", query, "-out", reply),
    )
    text = openssl(
        *("ts", "-verify", "-in", reply, "-queryfile", query, "-CAfile", desk.root),
        *("-untrusted", leaf, "-attime", str(int(FOUNDED_AT.timestamp()))),
    )
    assert "Verification: OK" in text


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One under the system's clock, which TLS looks at."""
    directory = tmp_path_factory.mktemp("tls")
    state = copy_of_authority(tmp_path_factory, directory / "pki", live=True)
    desk = Desk(state, clock=Clock(utc_now()))
    desk.issue(ORDERS)
    return desk


class TestTls:
    """Mutual TLS 1.3 with Python's OpenSSL, in memory, under the system's clock."""

    def context(self, desk: Desk, side: ssl._SSLMethod, profile: str) -> ssl.SSLContext:
        """Ports trust the TLS CA only, so that a seal opens nothing."""
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(desk.authority.layout.certificate("tls-ca"))
        leaf = desk.leaf(profile)
        context.load_cert_chain(leaf, leaf.with_suffix(".key"))
        return context

    def handshake(self, desk: Desk, client: str, host: str, server: str = "server") -> str:
        """The identity that the server sees."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = self.context(desk, ssl.PROTOCOL_TLS_CLIENT, client).wrap_bio(
            to_client, to_server, server_hostname=host
        )
        theirs = self.context(desk, ssl.PROTOCOL_TLS_SERVER, server).wrap_bio(
            to_server, to_client, server_side=True
        )
        waiting = [ours, theirs]
        for _ in range(6):
            for side in list(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        assert not waiting
        assert theirs.version() == "TLSv1.3"
        der = theirs.getpeercert(binary_form=True)
        assert der is not None
        return str(identity.of_certificate(x509.load_der_x509_certificate(der)))

    @pytest.mark.parametrize("host", ["localhost", "centre.example", "127.0.0.1", "::1"])
    def test_a_system_calls_the_server(self, live: Desk, host: str) -> None:
        name = self.handshake(live, "system", host)
        assert name == "spiffe://exchange.example/unit/qd-caizheng/system/oa"

    def test_staff_call_too(self, live: Desk) -> None:
        name = self.handshake(live, "staff", "localhost")
        assert name == f"spiffe://exchange.example/staff/{STAFF.name}"

    @pytest.mark.parametrize("host", ["other.example", "10.0.0.1", SERVER.name])
    def test_the_host_counts(self, live: Desk, host: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            self.handshake(live, "system", host)

    @pytest.mark.parametrize("client", ["seal", "centre-seal", "tsa", "server"])
    def test_nothing_else_is_a_client(self, live: Desk, client: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            self.handshake(live, client, "localhost")

    def test_a_client_is_no_server(self, live: Desk) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            self.handshake(live, "system", "localhost", server="staff")
