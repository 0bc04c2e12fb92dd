"""Certificates of the own unit: kept by the profile, listed by the centre, renewed on request."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from cryptography import x509
from exchange_client import keys, profile_store
from exchange_client.cli import main
from exchange_client.enrol import Application, enrol
from exchange_client.known_certificates import KnownCertificates
from exchange_client.profile import PROFILE_FILE, Profile, read_settings
from exchange_client.profile_store import locked, replace_certificate
from exchange_client.timing import Timing

from document_exchange.certificates import fingerprint
from document_exchange.errors import ConfigurationError, KeyUnusable
from tests.centre_for_tests import now
from tests.joining_for_tests import (
    TOKEN,
    UNIT,
    ScriptedAuthority,
    WelcomingCentre,
    system_id,
)
from tests.pki_for_tests import Holder, Pki, make_leaf, unit_seal_id

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[WelcomingCentre, ScriptedAuthority]]:
    pki = Pki()
    with WelcomingCentre(pki) as centre, ScriptedAuthority(pki, centre.address) as authority:
        yield centre, authority


@pytest.fixture
def centre(running: tuple[WelcomingCentre, ScriptedAuthority]) -> WelcomingCentre:
    running[0].forget()
    return running[0]


@pytest.fixture
def authority(
    running: tuple[WelcomingCentre, ScriptedAuthority], centre: WelcomingCentre
) -> ScriptedAuthority:
    running[1].forget()
    return running[1]


@pytest.fixture
def profile(authority: ScriptedAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a profile that has enrolled."""
    for variable in ("EXCHANGE_PROFILE", "EXCHANGE_KEY_PASSPHRASE", "LC_ALL", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("EXCHANGE_CONFIG", str(tmp_path))
    application = Application(
        authority=authority.enrolment_address,
        root_fingerprint=authority.fingerprint,
        token=TOKEN,
    )
    asyncio.run(enrol(application, tmp_path, Timing()))
    return tmp_path / UNIT


def renewed(authority: ScriptedAuthority, name: str = "") -> Holder:
    key = keys.new_key()
    certified = authority.certified(name or system_id(), keys.request(key))
    return Holder(certified.certificate, key)


class TestReplacing:
    def test_the_new_one_is_used_and_the_old_one_still_known(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        before = Profile.read(profile, UNIT)
        new = renewed(authority)
        after = replace_certificate(profile, "system", new.key, new.pem)
        assert after.system_certificate == new.certificate
        assert after.seal is not None
        assert Profile.read(profile, UNIT).system_certificate == new.certificate
        settings = read_settings(profile / PROFILE_FILE)
        assert settings.system_key == f"system-{keys.key_sha256(new.key)[:8]}.key"
        known = KnownCertificates(profile)
        assert known.knows(fingerprint(before.system_certificate))
        assert known.knows(fingerprint(new.certificate))

    def test_only_the_one_before_is_kept_beside_it(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        for _ in range(4):
            new = renewed(authority)
            replace_certificate(profile, "system", new.key, new.pem)
        assert len(list(profile.glob("system*.key"))) == 2
        assert len(list(profile.glob("seal*.key"))) == 1

    def test_a_seal_is_kept_until_it_ends(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        """It is the one way to another seal without approval, if its successors are of no use."""
        for _ in range(3):
            new = renewed(authority, unit_seal_id(UNIT))
            replace_certificate(profile, "seal", new.key, new.pem)
        found = list(profile.glob("seal*.key"))
        assert len(found) == 4
        for key in found:
            certificate = x509.load_pem_x509_certificate(key.with_suffix(".pem").read_bytes())
            assert keys.load(key).public_key() == certificate.public_key()

    def test_a_seal_that_has_ended_is_not_kept(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        made = now() - dt.timedelta(days=2)
        over = make_leaf(
            unit_seal_id(UNIT),
            issuer=authority.pki.seal_ca,
            not_before=made,
            not_after=made + dt.timedelta(days=1),
        )
        replace_certificate(profile, "seal", over.key, over.pem)
        names = {path.name for path in profile.iterdir()}
        for _ in range(2):
            new = renewed(authority, unit_seal_id(UNIT))
            replace_certificate(profile, "seal", new.key, new.pem)
        stem = f"seal-{keys.key_sha256(over.key)[:8]}"
        assert {f"{stem}.pem", f"{stem}.key"} <= names
        assert not list(profile.glob(f"{stem}*"))

    def test_a_new_key_is_encrypted_where_any_was(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        seal = renewed(authority, unit_seal_id(UNIT))
        replace_certificate(profile, "seal", seal.key, seal.pem, "secret")
        newer = renewed(authority, unit_seal_id(UNIT))
        with pytest.raises(KeyUnusable, match="EXCHANGE_KEY_PASSPHRASE"):
            replace_certificate(profile, "seal", newer.key, newer.pem)

    def test_what_does_not_fit_changes_nothing(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        text = (profile / PROFILE_FILE).read_bytes()
        new = renewed(authority)
        with pytest.raises(KeyUnusable):
            replace_certificate(profile, "system", keys.new_key(), new.pem)
        for wrong in (system_id(), unit_seal_id("qd-jiaoyu")):
            other = renewed(authority, wrong)
            with pytest.raises(ConfigurationError):
                replace_certificate(profile, "seal", other.key, other.pem)
        assert (profile / PROFILE_FILE).read_bytes() == text
        assert not list(profile.glob(".*.toml"))

    def test_a_new_key_is_encrypted_as_the_old_one_was(
        self, profile: Path, authority: ScriptedAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new = renewed(authority)
        replace_certificate(profile, "system", new.key, new.pem, "secret")
        newer = renewed(authority)
        with pytest.raises(KeyUnusable, match="EXCHANGE_KEY_PASSPHRASE"):
            replace_certificate(profile, "system", newer.key, newer.pem)
        monkeypatch.setenv("EXCHANGE_KEY_PASSPHRASE", "secret")
        replace_certificate(profile, "system", newer.key, newer.pem)
        name = read_settings(profile / PROFILE_FILE).system_key
        assert b"ENCRYPTED" in (profile / name).read_bytes()

    def test_both_kinds_at_once_lose_nothing(
        self, profile: Path, authority: ScriptedAuthority
    ) -> None:
        system, seal = renewed(authority), renewed(authority, unit_seal_id(UNIT))
        threads = [
            threading.Thread(target=replace_certificate, args=(profile, kind, new.key, new.pem))
            for kind, new in (("system", system), ("seal", seal))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = Profile.read(profile, UNIT)
        assert after.system_certificate == system.certificate
        assert after.require_seal().certificate == seal.certificate

    def test_a_power_cut_leaves_the_old_profile(
        self, profile: Path, authority: ScriptedAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = Profile.read(profile, UNIT)
        new = renewed(authority)

        def power_cut(*_: object) -> None:
            raise InterruptedError

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", power_cut)
            patch.setattr(Path, "replace", power_cut)
            with pytest.raises(InterruptedError):
                replace_certificate(profile, "system", new.key, new.pem)
        assert Profile.read(profile, UNIT).system_certificate == before.system_certificate

    def test_a_lock_is_held_by_one(self, profile: Path) -> None:
        with locked(profile), pytest.raises(ConfigurationError), locked(profile, wait=False):
            pytest.fail("two hold it")
        with locked(profile, wait=False):
            pass

    def test_settings_survive_being_written(self, profile: Path) -> None:
        settings = read_settings(profile / PROFILE_FILE)
        keys.write_private(profile / "again.toml", profile_store.rendered(settings))
        assert read_settings(profile / "again.toml") == settings


class TestListing:
    def certificates(self, profile: Path, authority: ScriptedAuthority) -> list[x509.Certificate]:
        """The profile's own two, and two that it knows nothing of."""
        own = Profile.read(profile, UNIT)
        strangers = [renewed(authority).certificate for _ in range(2)]
        return [own.system_certificate, own.require_seal().certificate, *strangers]

    def test_own_ones_are_no_alert(
        self, profile: Path, centre: WelcomingCentre, authority: ScriptedAuthority, capsys: Captured
    ) -> None:
        centre.certificates = self.certificates(profile, authority)[:2]
        assert main(["certificates", "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["alert"] for row in rows] == ["", ""]

    def test_strange_ones_are_until_they_are_acknowledged_or_revoked(
        self, profile: Path, centre: WelcomingCentre, authority: ScriptedAuthority, capsys: Captured
    ) -> None:
        centre.certificates = self.certificates(profile, authority)
        strange = [fingerprint(each) for each in centre.certificates[2:]]
        assert main(["certificates", "--json"]) == 1
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["fingerprint"] for row in rows if row["alert"] == "UNKNOWN"] == strange
        assert main(["certificates", "--acknowledge", strange[0]]) == 1
        assert "1 valid certificate" in capsys.readouterr().err
        centre.revoked = {strange[1]}
        assert main(["certificates"]) == 0
        centre.revoked = set()
        assert main(["certificates", "--acknowledge", strange[1].upper()]) == 0
        assert main(["certificates"]) == 0

    def test_a_table_in_both_languages(
        self, profile: Path, centre: WelcomingCentre, authority: ScriptedAuthority, capsys: Captured
    ) -> None:
        centre.certificates = self.certificates(profile, authority)
        assert main(["certificates"]) == 1
        assert "NOT KNOWN HERE" in capsys.readouterr().out
        assert main(["certificates", "--lang", "zh"]) == 1
        assert "本机未知" in capsys.readouterr().out

    def test_what_is_no_fingerprint_is_refused(self, profile: Path, capsys: Captured) -> None:
        assert main(["certificates", "--acknowledge", "abc"]) == 3

    def test_watching_shows_them_as_they_come(
        self, profile: Path, centre: WelcomingCentre, authority: ScriptedAuthority, capsys: Captured
    ) -> None:
        centre.certificates = self.certificates(profile, authority)
        assert main(["certificates", "--watch", "--json"]) == 6  # where the script ends
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["alert"] for row in rows] == ["", "", "UNKNOWN", "UNKNOWN"]


class TestRenewing:
    def test_nothing_is_renewed_before_it_is_due(self, profile: Path, capsys: Captured) -> None:
        before = Profile.read(profile, UNIT)
        assert main(["renew", "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(row["kind"], row["renewed"]) for row in rows] == [
            ("system", False),
            ("seal", False),
        ]
        assert Profile.read(profile, UNIT).system_certificate == before.system_certificate

    def test_all_is_renewed_by_force(self, profile: Path, capsys: Captured) -> None:
        before = Profile.read(profile, UNIT)
        assert main(["renew", "--force"]) == 0
        after = Profile.read(profile, UNIT)
        assert after.system_certificate != before.system_certificate
        assert after.require_seal().certificate != before.require_seal().certificate
        assert capsys.readouterr().out.count("renewed, valid until") == 2

    def test_an_authority_that_is_away_is_5_and_breaks_nothing(
        self, profile: Path, capsys: Captured
    ) -> None:
        before = Profile.read(profile, UNIT)
        settings = read_settings(profile / PROFILE_FILE)
        away = profile_store.rendered(settings).replace(settings.authority.encode(), b"127.0.0.1:1")
        keys.write_private(profile / PROFILE_FILE, away)
        with stamina.set_testing(True):  # one try is enough
            assert main(["renew", "--force"]) == 5
        assert Profile.read(profile, UNIT).system_certificate == before.system_certificate
