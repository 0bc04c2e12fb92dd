"""Enrolment: whom it trusts, what it keeps, what it checks, and that repeating it is safe."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_client import enrolment_folder, keys, self_test
from exchange_client.cli import main
from exchange_client.client import AsyncClient
from exchange_client.enrol import Application, Enrolled, enrol, with_port
from exchange_client.profile import Profile
from exchange_client.timing import Timing
from exchange_client.trust_bundle import TlsTrust, TrustBundle, normalised

from document_exchange.certificates import fingerprint
from document_exchange.errors import (
    CertificateExpired,
    ConfigurationError,
    ExchangeError,
    KeyUnusable,
    TokenUnknown,
    TokenUsed,
    Unavailable,
    VerificationFailed,
)
from document_exchange.v1 import authority_pb2
from tests.centre_for_tests import now
from tests.joining_for_tests import (
    STAFF_TOKEN,
    TOKEN,
    UNIT,
    ScriptedAuthority,
    WelcomingCentre,
    served_files,
    server_leaf,
    system_id,
)
from tests.pki_for_tests import (
    CLIENT,
    SEAL_CA_PURPOSES,
    SERVER,
    Pki,
    key_usage,
    make_authority,
    make_leaf,
    unit_seal_id,
)

ONCE = Timing(retry_budget_s=0)
Captured = pytest.CaptureFixture[str]


def application(authority: ScriptedAuthority, /, **changes: Any) -> Application:
    made = Application(
        authority=authority.enrolment_address,
        root_fingerprint=authority.fingerprint,
        token=TOKEN,
    )
    return replace(made, **changes)


async def enrolled(authority: ScriptedAuthority, config: Path, /, **changes: Any) -> Enrolled:
    return await enrol(application(authority, **changes), config, ONCE)


def arguments(authority: ScriptedAuthority, *more: str) -> list[str]:
    return [
        "enrol",
        f"--authority={authority.enrolment_address}",
        f"--fingerprint={authority.fingerprint}",
        f"--token={TOKEN}",
        *more,
    ]


class TestTrust:
    async def test_a_root_with_another_fingerprint_gets_no_token(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        other = fingerprint(Pki().root.certificate)
        with pytest.raises(VerificationFailed, match=authority.fingerprint):
            await enrolled(authority, config, root_fingerprint=other)
        assert authority.enrolments == 0

    async def test_a_mistyped_fingerprint_does_not_bind_the_token(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        with pytest.raises(VerificationFailed):
            await enrolled(authority, config, root_fingerprint="0" * 64)
        assert (await enrolled(authority, config)).profile.unit == UNIT

    async def test_a_port_that_wants_a_certificate_is_named_at_once(
        self, authority: ScriptedAuthority, centre: WelcomingCentre, config: Path
    ) -> None:
        """With retries, it was silent for half a minute."""
        began = time.monotonic()
        for elsewhere in (centre.address, authority.address):
            made = application(authority, authority=elsewhere)
            with pytest.raises(ConfigurationError, match="not the enrolment address"):
                await enrol(made, config, Timing())
        assert time.monotonic() - began < 10

    async def test_another_service_without_certificates_is_named(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        leaf = server_leaf(authority.pki, "other")
        server = grpc.server(ThreadPoolExecutor(1))
        port = server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([(leaf.key_pem, leaf.pem)])
        )
        server.start()
        try:
            with pytest.raises(ConfigurationError, match="not the enrolment address"):
                await enrolled(authority, config, authority=f"127.0.0.1:{port}")
        finally:
            server.stop(None).wait()

    async def test_one_that_hangs_up_may_be_busy(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as other:
            other.submit(lambda: listening.accept()[0].close())
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            with pytest.raises(Unavailable, match="busy"):
                await enrolled(authority, config, authority=address)

    @pytest.mark.parametrize("speaks", [True, False])
    async def test_what_speaks_no_tls_is_named(
        self, authority: ScriptedAuthority, config: Path, speaks: bool
    ) -> None:
        with served_files({}) as address:
            host = address.removeprefix("http://") if speaks else "127.0.0.1:1"
            expected = ConfigurationError if speaks else Unavailable
            with pytest.raises(expected) as raised:
                await enrolled(authority, config, authority=host)
        assert host in raised.value.message

    @pytest.mark.parametrize("http", [False, True])
    async def test_whoever_serves_the_right_root_with_another_ca_gets_no_token(
        self, authority: ScriptedAuthority, config: Path, http: bool
    ) -> None:
        """The certificate of the server in between chains to a CA that the root never issued."""
        other = Pki()
        with ScriptedAuthority(other, "127.0.0.1:1") as between:
            served = {
                "/root.pem": authority.pki.root.pem,
                "/tls-ca.pem": other.tls_ca.pem,
                "/seal-ca.pem": authority.pki.seal_ca.pem,
            }
            between.faults.bundle = lambda bundle: bundle.MergeFrom(
                authority_pb2.TrustBundle(
                    root=authority.pki.root.der, seal_ca=authority.pki.seal_ca.der
                )
            )
            with served_files(served) as address, pytest.raises(VerificationFailed):
                await enrolled(
                    authority,
                    config,
                    authority=between.enrolment_address,
                    http=address if http else "",
                )
            assert between.enrolments == 0

    async def test_whoever_serves_the_right_bundle_needs_the_right_certificate(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        right = authority.pki
        with ScriptedAuthority(Pki(), "127.0.0.1:1") as between:
            between.faults.bundle = lambda bundle: bundle.MergeFrom(
                authority_pb2.TrustBundle(
                    root=right.root.der, tls_ca=right.tls_ca.der, seal_ca=right.seal_ca.der
                )
            )
            with pytest.raises(ConfigurationError, match="is not the authority"):
                await enrolled(authority, config, authority=between.enrolment_address)
            assert between.enrolments == 0

    async def test_the_root_comes_over_http_where_so_wanted(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        served = {
            "/root.pem": authority.pki.root.pem,
            "/tls-ca.pem": authority.pki.tls_ca.pem,
            "/seal-ca.pem": authority.pki.seal_ca.pem,
        }
        authority.faults.bundle = lambda bundle: bundle.Clear()
        with served_files(served) as address:
            assert (await enrolled(authority, config, http=address)).profile.unit == UNIT

    @pytest.mark.parametrize("content", [None, b"nothing", bytes(1024 * 1024)])
    async def test_what_is_no_root_is_refused(
        self, authority: ScriptedAuthority, config: Path, content: bytes | None
    ) -> None:
        files = (
            {}
            if content is None
            else {"/root.pem": content, "/tls-ca.pem": b"", "/seal-ca.pem": b""}
        )
        expected = Unavailable if content is None else VerificationFailed
        with served_files(files) as address, pytest.raises(expected):
            await enrolled(authority, config, http=address)

    @pytest.mark.parametrize(
        "given",
        ["", "abc", "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n0"],
    )
    async def test_what_is_no_fingerprint_is_refused(
        self, authority: ScriptedAuthority, config: Path, given: str
    ) -> None:
        with pytest.raises(ConfigurationError, match="fingerprint"):
            await enrolled(authority, config, root_fingerprint=given)

    def test_a_fingerprint_may_look_as_openssl_prints_it(
        self, authority: ScriptedAuthority
    ) -> None:
        shown = ":".join(re.findall("..", authority.fingerprint)).upper()
        assert normalised(shown) == authority.fingerprint

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("ca.example", "ca.example:7452"),
            ("ca.example:1", "ca.example:1"),
            ("[::1]", "[::1]:7452"),
            (" 10.0.0.1:7445 ", "10.0.0.1:7445"),
        ],
    )
    def test_an_address_may_be_without_its_port(self, given: str, expected: str) -> None:
        assert with_port(given, 7452) == expected

    @pytest.mark.parametrize(
        "given", ["", ":1", "a:b", "a:0", "a:65536", "http://a", "a b", "a:1:2", "::1"]
    )
    def test_what_is_no_address_is_refused(self, given: str) -> None:
        with pytest.raises(ConfigurationError):
            with_port(given, 7452)

    async def test_another_name_than_the_certificate_has_is_said_in_words(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        port = authority.enrolment_address.rpartition(":")[2]
        with pytest.raises(ConfigurationError, match="another name"):
            await enrolled(authority, config, authority=f"localhost:{port}")
        assert authority.enrolments == 0

    async def test_nobody_there_is_said_in_words(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        with pytest.raises(Unavailable, match="check --authority"):
            await enrolled(authority, config, authority="127.0.0.1:1")


class TestChains:
    def changed(self, pki: Pki, name: str) -> TrustBundle:
        """A bundle with something else in the place of the TLS CA."""
        others = {
            "of another root": Pki().tls_ca,
            "the seal CA": pki.seal_ca,
            "the root itself": pki.root,
            "with a longer path": make_authority(
                "TLS CA", issuer=pki.root, path_length=1, purposes=(*SERVER, *CLIENT)
            ),
            "for everything": make_authority("TLS CA", issuer=pki.root, path_length=0),
            "a leaf": make_leaf(system_id(), issuer=pki.root, purposes=CLIENT),
        }
        other = others[name]
        return TrustBundle.pinned(
            pki.root.der, other.der, pki.seal_ca.der, fingerprint(pki.root.certificate)
        )

    @pytest.mark.parametrize(
        "name",
        [
            "of another root",
            "the seal CA",
            "the root itself",
            "with a longer path",
            "for everything",
            "a leaf",
        ],
    )
    def test_only_the_ca_for_tls_is_one(self, pki: Pki, name: str) -> None:
        with pytest.raises(VerificationFailed):
            self.changed(pki, name)

    def test_a_seal_ca_of_another_root_is_refused(self, pki: Pki) -> None:
        other = make_authority(
            "Seal CA", issuer=Pki().root, path_length=0, purposes=SEAL_CA_PURPOSES
        )
        with pytest.raises(VerificationFailed):
            TrustBundle.pinned(
                pki.root.der, pki.tls_ca.der, other.der, fingerprint(pki.root.certificate)
            )

    def test_a_client_certificate_is_one_of_a_client_now(self, pki: Pki) -> None:
        trust = TlsTrust(pki.root.certificate, pki.tls_ca.certificate)
        usage = key_usage("digital_signature")
        good = make_leaf(system_id(), issuer=pki.tls_ca, purposes=CLIENT, usage=usage)
        trust.check_client(good.certificate, now())
        for bad in (
            make_leaf(system_id(), issuer=pki.seal_ca, purposes=CLIENT, usage=usage),
            make_leaf(system_id(), issuer=pki.tls_ca, purposes=SERVER, usage=usage),
            make_leaf(system_id(), issuer=pki.tls_ca, purposes=(*CLIENT, *SERVER), usage=usage),
            make_authority("CA", issuer=pki.tls_ca, path_length=None, purposes=CLIENT),
        ):
            with pytest.raises(VerificationFailed):
                trust.check_client(bad.certificate, now())
        for at in (
            good.certificate.not_valid_before_utc - dt.timedelta(seconds=1),
            good.certificate.not_valid_after_utc + dt.timedelta(seconds=1),
        ):
            with pytest.raises(CertificateExpired):
                trust.check_client(good.certificate, at)


class TestProfile:
    async def test_it_is_complete_and_private(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        found = await enrolled(authority, config)
        profile = Profile.load(UNIT, config)
        assert (found.seal, found.repeated) == ("ISSUED", False)
        assert found.profile.system_certificate == profile.system_certificate
        assert (profile.address, profile.authority) == (
            found.profile.address,
            authority.address,
        )
        assert profile.root_fingerprint == authority.fingerprint
        assert profile.seal is not None
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (config / UNIT).iterdir()}
        assert modes == {0o600}
        assert stat.S_IMODE((config / UNIT).stat().st_mode) == 0o700
        assert [path.name for path in config.iterdir()] == [UNIT]

    async def test_the_token_is_not_kept(self, authority: ScriptedAuthority, config: Path) -> None:
        await enrolled(authority, config)
        for path in (config / UNIT).iterdir():
            assert TOKEN.encode() not in path.read_bytes()

    async def test_keys_are_encrypted_with_a_passphrase(
        self, authority: ScriptedAuthority, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await enrolled(authority, config, passphrase="芝麻开门")
        for name in ("system.key", "seal.key"):
            assert b"ENCRYPTED" in (config / UNIT / name).read_bytes()
        with pytest.raises(KeyUnusable, match="EXCHANGE_KEY_PASSPHRASE"):
            Profile.load(UNIT, config)
        assert Profile.load(UNIT, config, "芝麻开门").seal is not None
        monkeypatch.setenv("EXCHANGE_KEY_PASSPHRASE", "芝麻开门")
        assert (await enrolled(authority, config)).repeated

    async def test_staff_have_one_without_a_seal(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        found = await enrolled(authority, config, token=STAFF_TOKEN)
        assert found.seal == "NONE"
        profile = Profile.load("li.na", config)
        assert profile.seal is None
        with pytest.raises(ConfigurationError, match="not a unit's system"):
            _ = profile.unit

    async def test_another_profile_of_this_name_is_left_alone(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        (config / UNIT).mkdir(parents=True)
        (config / UNIT / "notes").write_text("mine")
        with pytest.raises(ConfigurationError, match="--replace"):
            await enrolled(authority, config)
        assert (await enrolled(authority, config, profile="finance")).profile.name == "finance"
        assert (config / UNIT / "notes").read_text() == "mine"
        assert authority.enrolments == 2

    async def test_it_takes_the_place_of_another_on_request(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        (config / UNIT).mkdir(parents=True)
        (config / UNIT / "notes").write_text("gone")
        await enrolled(authority, config, replace=True)
        assert not (config / UNIT / "notes").exists()
        assert [path.name for path in config.iterdir()] == [UNIT]

    @pytest.mark.parametrize("replacing", [False, True])
    @pytest.mark.parametrize("name", ["../other", ".hidden", "a/b", "/etc"])
    async def test_its_name_is_a_name(
        self, authority: ScriptedAuthority, config: Path, name: str, replacing: bool
    ) -> None:
        with pytest.raises(ConfigurationError, match="can't be the name"):
            await enrolled(authority, config, profile=name, replace=replacing)
        assert authority.enrolments == 0

    def test_nothing_outside_gives_way_to_a_profile(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        documents = config.parent / "documents"
        documents.mkdir(parents=True)
        opened = enrolment_folder.opened(config, TOKEN, authority.fingerprint)
        with opened as folder, pytest.raises(ConfigurationError):
            folder.renamed("../documents", replace=True)
        assert list(documents.iterdir()) == []

    async def test_the_one_before_is_kept_until_this_one_has_its_seal(
        self, authority: ScriptedAuthority, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (config / UNIT).mkdir(parents=True)
        (config / UNIT / "seal.key").write_text("the one that there is")
        (config / f".replaced-{UNIT}-north-01234567").mkdir()
        for standing in ("PENDING", "REJECTED"):
            authority.seal_standing = authority_pb2.SealStanding.Value(f"SEAL_STANDING_{standing}")
            assert (await enrolled(authority, config, replace=True)).seal == standing
            [kept] = config.glob(f".replaced-{UNIT}-????????")
            assert (kept / "seal.key").read_text() == "the one that there is"
        authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED

        def power_cut(*_: object) -> None:
            raise InterruptedError

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", power_cut)
            with pytest.raises(InterruptedError):
                await enrolled(authority, config)
        assert (await enrolled(authority, config)).repeated
        # What another profile replaced is not its business.
        left = {path.name for path in config.iterdir()}
        assert left == {UNIT, f".replaced-{UNIT}-north-01234567"}


class TestRepeating:
    async def test_a_lost_answer_burns_nothing(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        authority.faults.lose_answers = 1
        with pytest.raises(Unavailable):
            await enrolled(authority, config)
        [hidden] = config.iterdir()
        kept = keys.key_sha256(keys.load(hidden / "system.key"))
        found = await enrolled(authority, config)
        assert keys.key_sha256(keys.load(config / UNIT / "system.key")) == kept
        assert not found.repeated

    async def test_a_token_in_capitals_or_with_blanks_is_the_same_one(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        authority.faults.lose_answers = 1
        with pytest.raises(Unavailable):
            await enrolled(authority, config)
        other_hand = f"\t{TOKEN.upper()} \n"
        assert not (await enrolled(authority, config, token=other_hand)).repeated
        assert (await enrolled(authority, config, token=other_hand)).repeated
        assert [path.name for path in config.iterdir()] == [UNIT]

    async def test_what_is_complete_asks_nobody(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        first = await enrolled(authority, config)
        again = await enrolled(authority, config)
        assert again.repeated
        assert again.profile.system_certificate == first.profile.system_certificate
        assert authority.enrolments == 1

    @pytest.mark.parametrize("broken", ["write_profile", "renamed", "write_record"])
    async def test_a_crash_anywhere_is_made_good(
        self,
        authority: ScriptedAuthority,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        broken: str,
    ) -> None:
        places: dict[str, tuple[Any, str]] = {
            "write_profile": (keys, "place_private"),
            "renamed": (enrolment_folder.EnrolmentFolder, "renamed"),
            "write_record": (enrolment_folder.EnrolmentFolder, "write_record"),
        }
        place, name = places[broken]
        real, calls = getattr(place, name), []

        def power_cut(*arguments: Any, **more: Any) -> Any:
            calls.append(arguments)
            if broken == "renamed" or len(calls) == _CUT_AT[broken]:
                raise InterruptedError
            return real(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(place, name, power_cut)
            with pytest.raises(InterruptedError):
                await enrolled(authority, config)
        found = await enrolled(authority, config)
        assert found.seal == "ISSUED"
        assert Profile.load(UNIT, config).seal is not None
        assert [path.name for path in config.iterdir()] == [UNIT]

    async def test_a_key_that_is_gone_is_not_made_anew(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        """The token belongs to it: another would only be refused, without saying why."""
        authority.faults.lose_answers = 1
        with pytest.raises(Unavailable):
            await enrolled(authority, config)
        [hidden] = config.iterdir()
        (hidden / "seal.key").unlink()
        with pytest.raises(KeyUnusable, match="new token"):
            await enrolled(authority, config)

    async def test_a_token_of_others_is_refused_as_the_authority_says(
        self, authority: ScriptedAuthority, config: Path, tmp_path: Path
    ) -> None:
        await enrolled(authority, config)
        with pytest.raises(TokenUsed):
            await enrolled(authority, tmp_path / "elsewhere")
        with pytest.raises(TokenUnknown):
            await enrolled(authority, config, token="guessed")

    async def test_two_at_once_do_not_make_two_pairs_of_keys(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        folder = enrolment_folder.opened(config, TOKEN, authority.fingerprint)
        with folder, pytest.raises(ConfigurationError, match="another process"):
            await enrolled(authority, config)
        assert (await enrolled(authority, config)).seal == "ISSUED"

    async def test_a_token_goes_on_with_its_own_authority(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        with enrolment_folder.opened(config, TOKEN, "0" * 64) as folder:
            enrolment_folder.remember(folder, TOKEN, "a:1", "0" * 64)
        with pytest.raises(ConfigurationError, match="0000"):
            await enrolled(authority, config)


_CUT_AT = {"write_profile": 7, "write_record": 2}
"""At which call the power is cut: in the middle of the profile's files, after the answer."""


class TestSeal:
    async def test_it_is_collected_once_it_is_approved(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        authority.seal_standing = authority_pb2.SEAL_STANDING_PENDING
        first = await enrolled(authority, config)
        assert first.seal == "PENDING"
        key = keys.load(config / UNIT / "seal.key")
        assert first.seal_key_sha256 == keys.key_sha256(key)
        assert Profile.load(UNIT, config).seal is None

        authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
        second = await enrolled(authority, config)
        assert second.seal == "ISSUED"
        seal = Profile.load(UNIT, config).require_seal().certificate
        assert seal.public_key() == key.public_key()
        assert (await enrolled(authority, config)).repeated

    async def test_it_is_collected_after_the_system_was_renewed(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        from exchange_client.profile_store import replace_certificate

        authority.seal_standing = authority_pb2.SEAL_STANDING_PENDING
        await enrolled(authority, config)
        for _ in range(3):
            key = keys.new_key()
            leaf = authority.certified(system_id(), keys.request(key))
            replace_certificate(config / UNIT, "system", key, leaf.pem)
        authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
        found = await enrolled(authority, config)
        assert found.profile.system_certificate == leaf.certificate
        assert found.profile.seal is not None

    async def test_a_rejection_says_why(self, authority: ScriptedAuthority, config: Path) -> None:
        authority.seal_standing = authority_pb2.SEAL_STANDING_REJECTED
        found = await enrolled(authority, config)
        assert (found.seal, found.seal_reason) == ("REJECTED", "the key was not read out right")
        assert found.profile.seal is None


class TestAnswers:
    def lie(self, authority: ScriptedAuthority, name: str) -> None:
        pki = authority.pki

        def key_in(certificate: bytes) -> Any:
            return x509.load_der_x509_certificate(certificate).public_key()

        def other(identity: str, **more: Any) -> bytes:
            values: dict[str, Any] = {
                "issuer": pki.tls_ca,
                "purposes": CLIENT,
                "usage": key_usage("digital_signature"),
                "not_after": now() + dt.timedelta(days=1),
            }
            return make_leaf(identity, **(values | more)).der

        def seal(identity: str, key: Any = None) -> bytes:
            end = now() + dt.timedelta(days=1)
            return make_leaf(identity, issuer=pki.seal_ca, public_key=key, not_after=end).der

        changes: dict[str, Callable[[authority_pb2.EnrolResponse], object]] = {
            "another key": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(system_certificate=other(system_id()))
            ),
            "no certificate": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(system_certificate=b"nothing")
            ),
            "another root's": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(
                    system_certificate=other(
                        system_id(),
                        issuer=Pki().tls_ca,
                        public_key=key_in(answer.system_certificate),
                    )
                )
            ),
            "a server's certificate": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(
                    system_certificate=other(
                        system_id(),
                        purposes=SERVER,
                        public_key=key_in(answer.system_certificate),
                    )
                )
            ),
            "another identity": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(identity=system_id("qd-jiaoyu"))
            ),
            "another key in the seal": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(seal_certificate=seal(unit_seal_id(UNIT)))
            ),
            "the system's certificate as seal": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(seal_certificate=answer.system_certificate)
            ),
            "the seal of another unit": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(
                    seal_certificate=seal(
                        unit_seal_id("qd-jiaoyu"), key_in(answer.seal_certificate)
                    )
                )
            ),
            "no address": lambda answer: answer.MergeFrom(
                authority_pb2.EnrolResponse(centre_address="http://centre/")
            ),
        }
        change = changes[name]

        def apply(answer: authority_pb2.EnrolResponse) -> None:
            change(answer)

        authority.faults.answer = apply

    @pytest.mark.parametrize(
        "name",
        [
            "another key",
            "no certificate",
            "another root's",
            "a server's certificate",
            "another identity",
            "another key in the seal",
            "the system's certificate as seal",
            "the seal of another unit",
            "no address",
        ],
    )
    async def test_what_is_not_ours_makes_no_profile(
        self, authority: ScriptedAuthority, config: Path, name: str
    ) -> None:
        self.lie(authority, name)
        with pytest.raises(VerificationFailed):
            await enrolled(authority, config)
        assert not (config / UNIT).exists()
        authority.faults.answer = lambda answer: None
        assert (await enrolled(authority, config)).seal == "ISSUED"

    async def test_a_certificate_for_another_unit_than_expected_is_refused(
        self, authority: ScriptedAuthority, config: Path
    ) -> None:
        with pytest.raises(VerificationFailed, match="qd-jiaoyu"):
            await enrolled(authority, config, unit="qd-jiaoyu")


class TestSelfTest:
    async def test_a_document_comes_back_signed_for(
        self, authority: ScriptedAuthority, centre: WelcomingCentre, config: Path
    ) -> None:
        found = await enrolled(authority, config)
        async with AsyncClient(found.profile, ONCE) as client:
            first = await self_test.run(client)
            again = await self_test.run(client)
        assert first == again
        assert list(centre.held) == [first.envelope_id]
        assert centre.held[first.envelope_id].state.value == "SIGNED_FOR"

    async def test_an_interruption_sends_nothing_twice(
        self, authority: ScriptedAuthority, centre: WelcomingCentre, config: Path
    ) -> None:
        found = await enrolled(authority, config)
        for lost in ("Submit", "ConfirmDelivery", "RecordReceipt"):
            centre.faults.lose_answer_of = {lost}
            async with AsyncClient(found.profile, ONCE) as client:
                with pytest.raises(ExchangeError):
                    await self_test.run(client)
        async with AsyncClient(found.profile, ONCE) as client:
            test = await self_test.run(client)
        assert list(centre.held) == [test.envelope_id]


class TestCommand:
    def test_from_token_to_receipt(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
    ) -> None:
        assert main(arguments(authority, "--json")) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert (rows[0]["profile"], rows[0]["seal"]) == (UNIT, "ISSUED")
        assert {row["verdict"] for row in rows[1:-1]} == {"OK"}
        [held] = centre.held.values()
        assert rows[-1]["envelope_id"] == held.manifest.envelope_id
        assert rows[-1]["unit_id"] == UNIT

    def test_repeating_it_sends_nothing_more(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
    ) -> None:
        assert main(arguments(authority)) == 0
        assert main(arguments(authority)) == 0
        assert len(centre.held) == 1
        assert "enrolled before" in capsys.readouterr().out

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_a_pending_seal_is_1_and_says_what_to_read_out(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
        language: str,
    ) -> None:
        authority.seal_standing = authority_pb2.SEAL_STANDING_PENDING
        assert main(arguments(authority, "--lang", language)) == 1
        key = keys.key_sha256(keys.load(config / UNIT / "seal.key"))
        assert key in capsys.readouterr().err
        assert not centre.held
        authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
        assert main(arguments(authority)) == 0
        assert len(centre.held) == 1

    def test_waiting_ends_when_somebody_decides(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
    ) -> None:
        authority.seal_standing = authority_pb2.SEAL_STANDING_PENDING

        def decide(answer: authority_pb2.EnrolResponse) -> None:
            authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED

        authority.faults.answer = decide
        assert main(arguments(authority, "--wait")) == 0
        assert authority.enrolments == 2
        assert len(centre.held) == 1

    def test_a_rejected_seal_is_6(
        self, authority: ScriptedAuthority, config: Path, capsys: Captured
    ) -> None:
        authority.seal_standing = authority_pb2.SEAL_STANDING_REJECTED
        assert main(arguments(authority)) == 6
        assert "the key was not read out right" in capsys.readouterr().err

    def test_a_wrong_fingerprint_is_told_what_to_compare(
        self, authority: ScriptedAuthority, config: Path, capsys: Captured
    ) -> None:
        wrong = [*arguments(authority), f"--fingerprint={'0' * 64}"]
        assert main(wrong) == 6
        said = capsys.readouterr().err
        assert "The token was not sent" in said
        assert "Refuse it" not in said
        assert main([*wrong, "--lang", "zh"]) == 6
        assert "令牌尚未发送" in capsys.readouterr().err

    def test_a_token_of_others_is_told_whom_to_ask(
        self, authority: ScriptedAuthority, config: Path, capsys: Captured
    ) -> None:
        assert main([*arguments(authority), "--token=guessed"]) == 6
        said = capsys.readouterr().err
        assert "Ask the operator for a new token." in said
        assert "document" not in said

    def test_an_authority_that_is_not_there_is_told_in_one_line(
        self, authority: ScriptedAuthority, config: Path, capsys: Captured
    ) -> None:
        assert main([*arguments(authority), "--authority=127.0.0.1:1"]) == 5
        error, advice = capsys.readouterr().err.splitlines()
        assert "UNAVAILABLE" in error
        assert "Check --authority" in advice

    def test_trying_again_is_one_line_and_no_log(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capfd: Captured,
    ) -> None:
        authority.faults.lose_answers = 3
        assert main(arguments(authority)) == 0
        said = capfd.readouterr().err.splitlines()
        assert len([line for line in said if "trying again for 30 s" in line]) == 1
        assert not [line for line in said if "stamina" in line]

    def test_the_token_may_come_from_elsewhere(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        import io

        without = [each for each in arguments(authority) if not each.startswith("--token")]
        assert main(without) == 2
        assert "EXCHANGE_ENROLMENT_TOKEN" in capsys.readouterr().err
        monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN + "\n"))
        assert main([*without, "--token", "-"]) == 0
        monkeypatch.setenv("EXCHANGE_ENROLMENT_TOKEN", TOKEN)
        assert main(without) == 0

    def test_the_centre_may_hear_of_the_certificate_later(
        self,
        authority: ScriptedAuthority,
        centre: WelcomingCentre,
        config: Path,
        capsys: Captured,
    ) -> None:
        from document_exchange.errors import CertificateNotAdmitted

        centre.refusals = [CertificateNotAdmitted(), CertificateNotAdmitted()]
        assert main(arguments(authority)) == 0


def test_a_request_names_nobody_unless_it_must() -> None:
    key = keys.new_key()
    assert isinstance(key.curve, ec.SECP256R1)
    plain = x509.load_der_x509_csr(keys.request(key))
    assert plain.is_signature_valid
    assert not list(plain.subject)
    assert not list(plain.extensions)
    named = x509.load_der_x509_csr(keys.request(key, system_id()))
    [extension] = named.extensions
    assert extension.value.get_values_for_type(x509.UniformResourceIdentifier) == [system_id()]


def test_the_list_of_profiles_shows_staff_too(
    authority: ScriptedAuthority, centre: WelcomingCentre, config: Path, capsys: Captured
) -> None:
    given = [each for each in arguments(authority, "--no-seal") if "--token" not in each]
    assert main([*given, f"--token={STAFF_TOKEN}"]) == 0
    assert "no test document" in capsys.readouterr().err
    assert main(["profile", "list"]) == 0
    assert "li.na" in capsys.readouterr().out
    assert main(["profile", "import", str(config / "li.na"), "--name", "again"]) == 0
