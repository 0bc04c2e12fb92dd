"""The authority: founding, issuing, revoking, lists, and what its events say."""

from __future__ import annotations

import dataclasses
import ipaddress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from exchange_pki import signing_request
from exchange_pki.authority import Authority
from exchange_pki.keys import Passphrase
from exchange_pki.lint import LintRefused
from exchange_pki.outcome import Cause
from exchange_pki.prepare import Order
from exchange_pki.profile import AUTHORITIES
from exchange_pki.register import Certified

from document_exchange import event, identity
from document_exchange.certificates import SealTrust, fingerprint, load_chain_pem
from document_exchange.errors import (
    ConfigurationError,
    InvalidRequest,
    KeyUnusable,
    NotFound,
    Refused,
    SealExpired,
    SealNotTrusted,
    SealRevoked,
)
from document_exchange.revocations import CrlPair, RevocationLists
from tests.authority_for_tests import (
    CENTRE_SEAL,
    FOUNDED_AT,
    ORDERS,
    PASSPHRASE,
    SEAL,
    SERVER,
    STAFF,
    SYSTEM,
    TRUST_DOMAIN,
    TSA,
    Clock,
    copy_of_authority,
    new_key,
    new_private_key,
)

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
DER = serialization.Encoding.DER


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_authority(tmp_path_factory, tmp_path / "pki")


@pytest.fixture
def authority(state: Path, clock: Clock) -> Authority:
    return Authority.load(state, PASSPHRASE, clock=clock)


def crl_pair(authority: Authority) -> CrlPair:
    return CrlPair.from_der(
        authority.layout.crl("root").read_bytes(), authority.layout.crl("seal-ca").read_bytes()
    )


def trust(authority: Authority) -> SealTrust:
    return SealTrust(authority.certificate("root"), authority.certificate("seal-ca"))


class TestInit:
    def test_what_is_there(self, authority: Authority, state: Path) -> None:
        assert authority.trust_domain == TRUST_DOMAIN
        assert authority.root_fingerprint == fingerprint(authority.certificate("root"))
        assert sorted(str(p.relative_to(state)) for p in state.rglob("*") if p.is_file()) == [
            *sorted(f"crl/{name}{end}.crl" for name in AUTHORITIES for end in ("", "-1")),
            "journal.jsonl",
            *sorted(f"private/{name}.key" for name in AUTHORITIES),
            *sorted(f"{name}.pem" for name in AUTHORITIES),
        ]
        for name in AUTHORITIES:
            [certificate] = load_chain_pem(authority.layout.certificate(name).read_bytes())
            assert certificate == authority.certificate(name)

    def test_it_overwrites_nothing(self, state: Path) -> None:
        before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
        with pytest.raises(ConfigurationError, match="not empty"):
            Authority.init(state, TRUST_DOMAIN, PASSPHRASE)
        assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before

    def test_an_empty_directory_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        Authority.init(tmp_path / "empty", TRUST_DOMAIN, PASSPHRASE)
        assert Authority.load(tmp_path / "empty").trust_domain == TRUST_DOMAIN

    @pytest.mark.parametrize("blocked", ["file", "file/below"])
    def test_a_file_in_its_place(self, tmp_path: Path, blocked: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ConfigurationError):
            Authority.init(tmp_path / blocked, TRUST_DOMAIN, PASSPHRASE)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_half_an_authority_never_exists(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ConfigurationError("the disk is full")

        monkeypatch.setattr("exchange_pki.acts.Acts.sign_crl", broken)
        with pytest.raises(ConfigurationError, match="disk is full"):
            Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "domain", ["", "Exchange.example", "a b", "a/b", "a@b", "a\n", "城市", "d" * 65]
    )
    def test_a_wrong_trust_domain(self, tmp_path: Path, domain: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            Authority.init(tmp_path / "pki", domain, PASSPHRASE)
        assert caught.value.attributes["field"] == "trust_domain"

    def test_no_authority_to_load(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no authority here"):
            Authority.load(tmp_path / "pki")


class TestIssue:
    @pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.profile)
    def test_identity_and_key(self, authority: Authority, order: Order) -> None:
        key = new_key()
        certified = authority.issue(order, key)
        certificate = certified.certificate
        assert certificate.public_key() == key
        assert str(identity.of_certificate(certificate)) == certified.identity
        assert certified.role == order.role
        assert certified.serial == f"{certificate.serial_number:x}"
        assert load_chain_pem(authority.chain_pem(certified)) == (
            certificate,
            authority.certificate(certified.issuer),
        )

    def test_the_journal_remembers(self, authority: Authority, state: Path) -> None:
        issued = [authority.issue(order, new_key()) for order in ORDERS]
        again = Authority.load(state).register
        assert [again.certified[each.serial] for each in issued] == issued

    def test_all_or_none(self, authority: Authority) -> None:
        before = authority.layout.journal.read_bytes()
        wrong = dataclasses.replace(SEAL, unit="?")
        with pytest.raises(InvalidRequest):
            authority.issue_all([(SYSTEM, new_key()), (wrong, new_key())])
        assert authority.layout.journal.read_bytes() == before

    @pytest.mark.parametrize("profile", AUTHORITIES)
    def test_no_order_makes_an_authority(self, authority: Authority, profile: str) -> None:
        with pytest.raises(InvalidRequest):
            authority.issue(Order(profile, "x"), new_key(ec.SECP384R1))

    def test_a_wrong_passphrase_begins_nothing(self, state: Path) -> None:
        authority = Authority.load(state, Passphrase(b"not the passphrase"), clock=Clock())
        before = authority.layout.journal.read_bytes()
        with pytest.raises(KeyUnusable):
            authority.issue(SYSTEM, new_key())
        assert authority.layout.journal.read_bytes() == before

    def test_an_offline_root_is_no_obstacle(self, authority: Authority) -> None:
        authority.layout.key("root").unlink()
        authority.issue(SYSTEM, new_key())
        authority.issue_crls(["tls-ca", "seal-ca"])
        with pytest.raises(KeyUnusable):
            authority.issue_crls(["root"])


class TestValidity:
    def test_a_shorter_one_may_be_ordered(self, authority: Authority) -> None:
        begins = FOUNDED_AT.replace(microsecond=0)
        ends = begins + timedelta(seconds=2)
        order = dataclasses.replace(SYSTEM, not_before=begins, not_after=ends)
        certificate = authority.issue(order, new_key()).certificate
        assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (begins, ends)

    @pytest.mark.parametrize(
        "changes",
        [
            {"not_after": FOUNDED_AT.replace(microsecond=0) + 30 * DAY},
            {"not_before": FOUNDED_AT.replace(microsecond=0) - timedelta(minutes=11)},
            {"not_before": FOUNDED_AT.replace(microsecond=0) + timedelta(minutes=1)},
            {"not_after": FOUNDED_AT.replace(microsecond=0) - timedelta(seconds=1)},
        ],
    )
    def test_a_longer_an_earlier_or_a_past_one_is_refused(
        self, authority: Authority, changes: dict[str, object]
    ) -> None:
        with pytest.raises(LintRefused) as caught:
            authority.issue(dataclasses.replace(SYSTEM, **changes), new_key())  # type: ignore[arg-type]
        assert caught.value.attributes["rule"] == "validity"

    def test_with_a_clock_in_the_past_it_has_expired_by_now(self, state: Path) -> None:
        ends = FOUNDED_AT.replace(microsecond=0) + timedelta(seconds=1)
        early = Authority.load(state, PASSPHRASE, clock=Clock())
        certified = early.issue(dataclasses.replace(SEAL, not_after=ends), new_key())
        with pytest.raises(SealExpired):
            trust(early).check(certified.certificate, at=FOUNDED_AT + DAY, crls=None)


class TestKeyUse:
    def test_a_tls_key_is_never_a_seal(self, authority: Authority) -> None:
        key = new_key()
        authority.issue(SYSTEM, key)
        with pytest.raises(LintRefused, match="certified before, as system") as caught:
            authority.issue(SEAL, key)
        assert caught.value.attributes["rule"] == "key"

    def test_nor_of_another_unit(self, authority: Authority) -> None:
        key = new_key()
        authority.issue(SEAL, key)
        with pytest.raises(LintRefused, match="certified before"):
            authority.issue(dataclasses.replace(SEAL, unit="qd-jiaoyu"), key)

    def test_within_one_batch_either(self, authority: Authority) -> None:
        key = new_key()
        with pytest.raises(InvalidRequest, match="same public key"):
            authority.issue_all([(SYSTEM, key), (SEAL, key)])

    def test_a_renewal_may_keep_its_key(self, authority: Authority, clock: Clock) -> None:
        key = new_key()
        first = authority.issue(SYSTEM, key)
        clock.advance(days=20)
        second = authority.issue(SYSTEM, key)
        assert first.serial != second.serial

    def test_a_compromised_key_never_comes_back(self, authority: Authority) -> None:
        key = new_key()
        authority.revoke(authority.issue(SYSTEM, key).serial, "keyCompromise")
        with pytest.raises(LintRefused, match="compromised"):
            authority.issue(SYSTEM, key)

    def test_a_key_on_a_wrong_curve(self, authority: Authority) -> None:
        for curve in (ec.SECP384R1, ec.SECP256K1, ec.SECP521R1):
            with pytest.raises(LintRefused):
                authority.issue(SYSTEM, new_key(curve))


class TestSigningRequest:
    def request(
        self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    ) -> x509.CertificateSigningRequest:
        """One that asks for everything that it must not get."""
        names = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/centre/seal/mine"),
                x509.DNSName("centre.example"),
            ]
        )
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name.from_rfc4514_string("CN=root"))
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )

    @pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, DER])
    def test_only_the_key_counts(
        self, authority: Authority, encoding: serialization.Encoding
    ) -> None:
        private = new_private_key()
        key = signing_request.proved_key(self.request(private).public_bytes(encoding))
        assert key == private.public_key()
        with_request = authority.issue(SYSTEM, key)
        without = authority.issue(SYSTEM, new_key())
        for certified in (with_request, without):
            assert certified.certificate.subject == x509.Name([])
            [name] = certified.certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value
            assert name.value == f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa"
        assert [e.oid for e in with_request.certificate.extensions] == [
            e.oid for e in without.certificate.extensions
        ]

    def test_every_flipped_bit_is_refused_or_changes_no_key(self) -> None:
        private = new_private_key()
        der = self.request(private).public_bytes(DER)
        refused = 0
        for position in range(len(der)):
            changed = der[:position] + bytes([der[position] ^ 1]) + der[position + 1 :]
            try:
                accepted = signing_request.proved_key(changed)
            except InvalidRequest:
                refused += 1
                continue
            assert accepted == private.public_key()
        assert refused > len(der) * 0.9

    def test_a_key_that_another_signed_for(self) -> None:
        """The public key of somebody else, under a signature with one's own key."""
        own, other = new_private_key(), new_private_key()
        der = self.request(own).public_bytes(DER)
        point = serialization.PublicFormat.UncompressedPoint
        encoding = serialization.Encoding.X962
        own_point = own.public_key().public_bytes(encoding, point)
        stolen = der.replace(own_point, other.public_key().public_bytes(encoding, point))
        assert stolen != der
        with pytest.raises(InvalidRequest, match="not signed with the key"):
            signing_request.proved_key(stolen)

    def test_rsa_is_refused(self) -> None:
        request = self.request(rsa.generate_private_key(65537, 2048))
        with pytest.raises(InvalidRequest, match="P-256"):
            signing_request.proved_key(request.public_bytes(DER))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x30\x00",
            b"garbage",
            b"-----BEGIN CERTIFICATE REQUEST-----\n!!\n-----END CERTIFICATE REQUEST-----\n",
            b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            b"0" * (signing_request.LARGEST_BYTES + 1),
        ],
    )
    def test_what_is_no_request(self, data: bytes) -> None:
        with pytest.raises(InvalidRequest):
            signing_request.proved_key(data)


class TestChains:
    def verifier(self, authority: Authority) -> verification.PolicyBuilder:
        store = verification.Store([authority.certificate("root")])
        return verification.PolicyBuilder().store(store).time(FOUNDED_AT)

    @pytest.mark.parametrize("order", [SYSTEM, STAFF], ids=lambda order: order.profile)
    def test_clients(self, authority: Authority, order: Order) -> None:
        certified = authority.issue(order, new_key())
        verified = (
            self.verifier(authority)
            .build_client_verifier()
            .verify(certified.certificate, [authority.certificate("tls-ca")])
        )
        assert verified.chain[1:] == [
            authority.certificate("tls-ca"),
            authority.certificate("root"),
        ]
        assert verified.subjects == [x509.UniformResourceIdentifier(certified.identity)]

    @pytest.mark.parametrize(
        "subject",
        [
            x509.DNSName("centre.example"),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ],
    )
    def test_servers(self, authority: Authority, subject: x509.DNSName | x509.IPAddress) -> None:
        certified = authority.issue(SERVER, new_key())
        self.verifier(authority).build_server_verifier(subject).verify(
            certified.certificate, [authority.certificate("tls-ca")]
        )

    @pytest.mark.parametrize("order", [SERVER, SEAL, CENTRE_SEAL, TSA], ids=lambda o: o.profile)
    def test_nothing_else_is_a_client(self, authority: Authority, order: Order) -> None:
        certified = authority.issue(order, new_key())
        both = [authority.certificate("tls-ca"), authority.certificate("seal-ca")]
        with pytest.raises(verification.VerificationError):
            self.verifier(authority).build_client_verifier().verify(certified.certificate, both)

    @pytest.mark.parametrize("order", [SEAL, CENTRE_SEAL], ids=lambda order: order.profile)
    def test_seals(self, authority: Authority, order: Order) -> None:
        certified = authority.issue(order, new_key())
        found = trust(authority).check(
            certified.certificate, at=FOUNDED_AT, crls=crl_pair(authority)
        )
        assert str(found) == certified.identity

    @pytest.mark.parametrize("order", [SYSTEM, STAFF, SERVER, TSA], ids=lambda o: o.profile)
    def test_nothing_else_is_a_seal(self, authority: Authority, order: Order) -> None:
        certified = authority.issue(order, new_key())
        with pytest.raises(SealNotTrusted):
            trust(authority).check(certified.certificate, at=FOUNDED_AT, crls=None)


class TestRevoke:
    @pytest.fixture
    def seal(self, authority: Authority) -> Certified:
        return authority.issue(SEAL, new_key())

    def test_the_next_list_holds_it(
        self, authority: Authority, seal: Certified, clock: Clock
    ) -> None:
        before = crl_pair(authority)
        clock.advance(minutes=5)
        revocation = authority.revoke(seal.serial, "keyCompromise")
        assert revocation.revoked_at == clock.now
        lists = authority.issue_crls()
        entry = lists["seal-ca"].get_revoked_certificate_by_serial_number(int(seal.serial, 16))
        assert entry is not None
        next_second = clock.now.replace(microsecond=0) + SECOND
        assert entry.revocation_date_utc == next_second
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert reason is x509.ReasonFlags.key_compromise
        assert len(lists["root"]) == len(lists["tls-ca"]) == 0
        trust(authority).check(seal.certificate, at=clock.now, crls=before)
        with pytest.raises(SealRevoked):
            trust(authority).check(seal.certificate, at=next_second, crls=crl_pair(authority))

    @pytest.mark.parametrize("name", ["root", "seal-ca"])
    def test_what_was_signed_in_the_second_of_a_revocation_stays_good(
        self, authority: Authority, seal: Certified, clock: Clock, name: str
    ) -> None:
        """Lists know whole seconds. The one before is in force until the next one begins."""
        before = authority.crl_der(name)
        clock.advance(minutes=5)
        revoked = seal if name == "seal-ca" else authority.register.authority("seal-ca")
        authority.revoke(revoked.serial, "keyCompromise")
        signed_at, next_second = clock.now, clock.now.replace(microsecond=0) + SECOND
        clock.advance(seconds=0.5)
        after = authority.issue_crls()[name]
        # Openssl asks a list in force for no dates: so this one must not be yet.
        assert after.last_update_utc == next_second
        assert authority.due_crls(DAY) == []
        others = {"root": "seal-ca", "seal-ca": "root"}
        lists = RevocationLists([before, after.public_bytes(DER), authority.crl_der(others[name])])
        trusted = trust(authority)
        trusted.check(seal.certificate, at=signed_at, crls=lists.in_force(signed_at, trusted))
        with pytest.raises(SealRevoked):
            trusted.check(
                seal.certificate, at=next_second, crls=lists.in_force(next_second, trusted)
            )
        # Later lists are dated as ever.
        clock.advance(seconds=0.5)
        assert authority.issue_crls()[name].last_update_utc == next_second

    def test_who_asks_whom_to_let_in_needs_a_list_at_once(
        self, authority: Authority, clock: Clock
    ) -> None:
        authority.revoke(authority.issue(SYSTEM, new_key()).serial, "superseded")
        assert authority.issue_crls()["tls-ca"].last_update_utc <= clock.now

    def test_what_a_clock_that_was_ahead_revoked_keeps_no_list_from_its_time(
        self, authority: Authority, seal: Certified, clock: Clock
    ) -> None:
        clock.advance(days=3)
        authority.revoke(seal.serial, "superseded")
        clock.advance(days=-3)
        assert authority.issue_crls()["seal-ca"].last_update_utc <= clock.now

    def test_again_the_first_one_stands(
        self, authority: Authority, seal: Certified, clock: Clock
    ) -> None:
        first = authority.revoke(seal.serial, "superseded")
        clock.advance(hours=1)
        assert authority.revoke(seal.serial, "keyCompromise") == first

    def test_with_a_compromised_key_goes_what_it_was_renewed_to(
        self, authority: Authority, seal: Certified, clock: Clock
    ) -> None:
        named_otherwise = [authority.issue(order, new_key()) for order in (SYSTEM, STAFF)]
        renewed = [authority.issue(SEAL, new_key()) for _ in range(2)]
        authority.revoke(renewed[0].serial, "superseded")
        authority.revoke(seal.serial, "keyCompromise", Cause("spiffe://x/staff/li"))
        revoked = authority.register.revoked
        assert set(revoked) == {each.serial for each in (seal, *renewed)}
        assert revoked[renewed[0].serial].reason == "superseded"
        assert revoked[renewed[1].serial].reason == "keyCompromise"
        recorded = revoked[renewed[1].serial].event
        assert recorded is not None
        happened = event.decode(recorded.event)
        assert happened.actor == "spiffe://x/staff/li"
        assert (happened.detail or {})["because_of"] == seal.fingerprint
        assert not {each.serial for each in named_otherwise} & set(revoked)
        # What the unit enrolled for after that stays, also where the revocation is repeated.
        clock.advance(minutes=1)
        anew = authority.issue(SEAL, new_key())
        authority.revoke(seal.serial, "keyCompromise")
        assert anew.serial not in revoked

    def test_other_reasons_concern_one_certificate(
        self, authority: Authority, seal: Certified
    ) -> None:
        renewed = authority.issue(SEAL, new_key())
        authority.revoke(seal.serial, "superseded")
        assert renewed.serial not in authority.register.revoked

    def test_a_compromise_that_is_known_late_reaches_all_that_came_of_it(
        self, authority: Authority, seal: Certified
    ) -> None:
        stolen = authority.issue(SEAL, new_key())
        authority.revoke(seal.serial, "superseded")
        of_the_stolen = authority.issue(SEAL, new_key())
        authority.revoke(seal.serial, "keyCompromise")
        assert {stolen.serial, of_the_stolen.serial} <= set(authority.register.revoked)

    def test_what_has_ended_needs_no_revocation(self, authority: Authority, clock: Clock) -> None:
        first, ended = (authority.issue(SYSTEM, new_key()) for _ in range(2))
        clock.advance(days=31)
        authority.revoke(first.serial, "keyCompromise")
        assert ended.serial not in authority.register.revoked

    @pytest.mark.parametrize(
        "spelling", [str.upper, lambda s: ":".join((s[:2], s[2:])), "00".__add__]
    )
    def test_other_spellings_of_a_serial(
        self, authority: Authority, seal: Certified, spelling: object
    ) -> None:
        assert callable(spelling)
        text = spelling(seal.serial)
        if len(text.replace(":", "")) > 40:
            with pytest.raises(InvalidRequest):
                authority.revoke(text, "superseded")
        else:
            assert authority.revoke(text, "superseded").serial == seal.serial

    @pytest.mark.parametrize("serial", ["", "xyz", "-1", "0x12", "1 2", "٣"])
    def test_what_is_no_serial(self, authority: Authority, serial: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            authority.revoke(serial, "superseded")
        assert caught.value.attributes["field"] == "serial"

    def test_an_unknown_serial(self, authority: Authority) -> None:
        with pytest.raises(NotFound):
            authority.revoke("12", "superseded")

    @pytest.mark.parametrize("reason", ["", "certificateHold", "removeFromCRL", "because"])
    def test_a_wrong_reason(self, authority: Authority, seal: Certified, reason: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            authority.revoke(seal.serial, reason)
        assert caught.value.attributes["field"] == "reason"

    def test_it_needs_no_passphrase(self, state: Path, authority: Authority) -> None:
        serial = authority.issue(SEAL, new_key()).serial
        without = Authority.load(state, clock=Clock())
        without.revoke(serial, "superseded")
        with pytest.raises(KeyUnusable):
            without.issue_crls()
        authority.refresh()
        assert serial in authority.register.revoked

    def test_a_revoked_authority_issues_no_more(self, authority: Authority) -> None:
        seal_ca = authority.register.authority("seal-ca")
        authority.revoke(seal_ca.serial, "cACompromise")
        with pytest.raises(Refused, match="seal-ca was revoked"):
            authority.issue(SEAL, new_key())
        authority.issue(SYSTEM, new_key())
        [root_list] = authority.issue_crls(["root"]).values()
        assert [entry.serial_number for entry in root_list] == [int(seal_ca.serial, 16)]

    def test_the_root_can_not_be_revoked(self, authority: Authority) -> None:
        with pytest.raises(InvalidRequest, match="root"):
            authority.revoke(authority.register.authority("root").serial, "superseded")

    def test_the_certificate_of_another_authority_is_not_mistaken(
        self, authority: Authority, seal: Certified
    ) -> None:
        assert authority.serial_of(seal.certificate) == seal.serial
        key = new_private_key()
        same_serial = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(seal.certificate.issuer)
            .public_key(key.public_key())
            .serial_number(seal.certificate.serial_number)
            .not_valid_before(FOUNDED_AT)
            .not_valid_after(FOUNDED_AT + DAY)
            .sign(key, hashes.SHA256())
        )
        with pytest.raises(NotFound):
            authority.serial_of(same_serial)


class TestCrls:
    def test_numbers_rise_and_every_list_is_kept(self, authority: Authority, clock: Clock) -> None:
        first = authority.layout.crl("seal-ca").read_bytes()
        clock.advance(hours=1)
        fresh = authority.issue_crls()["seal-ca"]
        assert authority.layout.numbered_crl("seal-ca", 1).read_bytes() == first
        der = fresh.public_bytes(DER)
        assert authority.layout.numbered_crl("seal-ca", 2).read_bytes() == der
        assert authority.layout.crl("seal-ca").read_bytes() == der
        assert fresh.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
        assert fresh.last_update_utc == clock.now.replace(microsecond=0)
        assert fresh.next_update_utc == fresh.last_update_utc + 7 * DAY

    def test_due_are_old_lists_and_those_that_lack_a_revocation(
        self, state: Path, authority: Authority, clock: Clock
    ) -> None:
        authority.issue_crls()
        assert authority.due_crls(DAY) == []
        authority.revoke(authority.issue(SYSTEM, new_key()).serial, "superseded")
        for each in (authority, Authority.load(state, clock=clock)):
            assert each.due_crls(DAY) == ["tls-ca"]
        authority.issue_crls(["tls-ca"])
        for each in (authority, Authority.load(state, clock=clock)):
            assert each.due_crls(DAY) == []
        clock.advance(days=1)
        assert authority.due_crls(DAY) == ["root", "tls-ca", "seal-ca"]

    def test_a_list_from_a_clock_that_was_ahead_is_due(
        self, authority: Authority, clock: Clock
    ) -> None:
        """Until its time comes nobody can use it, and it would be the last for that long."""
        clock.advance(days=3)
        authority.issue_crls()
        clock.advance(days=-3)
        assert authority.due_crls(DAY) == ["root", "tls-ca", "seal-ca"]
        authority.issue_crls()
        assert authority.due_crls(DAY) == []

    def test_a_list_that_never_got_to_its_place_is_due(
        self, authority: Authority, clock: Clock
    ) -> None:
        older = authority.layout.crl("tls-ca").read_bytes()
        authority.issue_crls()
        assert authority.due_crls(DAY) == []
        authority.layout.crl("tls-ca").write_bytes(older)
        assert authority.due_crls(DAY) == ["tls-ca"]

    def test_a_revocation_outlives_its_certificate(
        self, authority: Authority, clock: Clock
    ) -> None:
        serial = authority.issue(SYSTEM, new_key()).serial
        authority.revoke(serial, "unspecified")
        clock.advance(days=400)
        [entry] = authority.issue_crls(["tls-ca"])["tls-ca"]
        assert f"{entry.serial_number:x}" == serial
        assert len(entry.extensions) == 0  # `unspecified` is left out (RFC 5280)


class TestEvents:
    def test_an_issuance(self, authority: Authority, clock: Clock) -> None:
        certified = authority.issue(STAFF, new_key())
        assert certified.event is not None
        happened = event.decode(certified.event.event)
        assert event.encode(happened) == certified.event.event
        assert happened.type == "CERTIFICATE_ISSUED"
        assert happened.event_id == certified.event.event_id
        assert happened.at == "2026-11-20T09:30:15.250Z"
        assert happened.actor == f"spiffe://{TRUST_DOMAIN}/centre/authority/tls-ca"
        assert happened.certificate_sha256 == fingerprint(certified.certificate)
        assert happened.detail == {
            "identity": f"spiffe://{TRUST_DOMAIN}/staff/li.na",
            "profile": "staff",
            "role": "security",
            "serial": certified.serial,
            "not_after": "2026-12-20T09:20:14.000Z",
        }

    def test_a_revocation(self, authority: Authority, clock: Clock) -> None:
        certified = authority.issue(SEAL, new_key())
        clock.advance(hours=2)
        revocation = authority.revoke(certified.serial, "affiliationChanged")
        assert revocation.event is not None
        happened = event.decode(revocation.event.event)
        assert happened.type == "CERTIFICATE_REVOKED"
        assert happened.at == "2026-11-20T11:30:15.250Z"
        assert happened.actor == f"spiffe://{TRUST_DOMAIN}/centre/authority/seal-ca"
        assert happened.certificate_sha256 == certified.fingerprint
        assert happened.detail is not None
        assert happened.detail["reason"] == "affiliationChanged"
        assert happened.detail["identity"] == certified.identity

    def test_they_are_made_once(self, authority: Authority, state: Path) -> None:
        certified = authority.issue(SEAL, new_key())
        authority.revoke(certified.serial, "superseded")
        for _ in range(2):
            again = Authority.load(state).register
            assert again.certified[certified.serial].event == certified.event
            assert again.history == authority.register.history
        assert certified.event is not None
        assert len(certified.event.salt) == event.SALT_BYTES

    def test_authorities_have_none(self, authority: Authority) -> None:
        for name in AUTHORITIES:
            assert authority.register.authority(name).event is None
        revocation = authority.revoke(authority.register.authority("tls-ca").serial, "superseded")
        assert revocation.event is None
