"""``exchange doctor``: each fault is provoked, found, named, and answered with what to do."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exchange_client import keys
from exchange_client.cli import main
from exchange_client.cli.enrolment_words import ENROLMENT_WORDS
from exchange_client.diagnosis import Check, Verdict
from exchange_client.doctor import examine, healthy
from exchange_client.doctor_network import check_address
from exchange_client.profile import Settings, read_settings
from exchange_client.profile_store import rendered, replace_certificate, write_profile
from exchange_client.timing import Timing

from document_exchange.certificates import fingerprint
from document_exchange.errors import CertificateRevoked, StatusUnknown
from document_exchange.v1 import directory_pb2
from tests.centre_for_tests import DAY, now
from tests.joining_for_tests import (
    UNIT,
    ScriptedAuthority,
    WelcomingCentre,
    server_leaf,
    stamp,
    system_id,
)
from tests.pki_for_tests import CLIENT, Holder, Pki, key_usage, make_leaf, unit_seal_id

TIMING = Timing(call_deadline_s=5)
Captured = pytest.CaptureFixture[str]


def system(pki: Pki, begin: dt.datetime, end: dt.datetime) -> Holder:
    return make_leaf(
        system_id(),
        issuer=pki.tls_ca,
        purposes=CLIENT,
        usage=key_usage("digital_signature"),
        not_before=begin,
        not_after=end,
    )


@pytest.fixture
def profile(pki: Pki, centre: WelcomingCentre, authority: ScriptedAuthority, config: Path) -> Path:
    """The directory of a profile with which everything is in order."""
    directory = config / UNIT
    directory.mkdir(mode=0o700, parents=True)
    own = system(pki, now() - DAY, now() + 29 * DAY)
    seal = make_leaf(
        unit_seal_id(UNIT), issuer=pki.seal_ca, not_before=now() - DAY, not_after=now() + 29 * DAY
    )
    settings = Settings(
        address=centre.address,
        authority=authority.address,
        root="root.pem",
        root_fingerprint=fingerprint(pki.root.certificate),
        tls_ca="tls-ca.pem",
        seal_ca="seal-ca.pem",
        system_certificate="system.pem",
        system_key="system.key",
        seal_certificate="seal.pem",
        seal_key="seal.key",
    )
    files = {
        "root.pem": pki.root.pem,
        "tls-ca.pem": pki.tls_ca.pem,
        "seal-ca.pem": pki.seal_ca.pem,
        "system.pem": own.pem,
        "system.key": own.key_pem,
        "seal.pem": seal.pem,
        "seal.key": seal.key_pem,
    }
    write_profile(directory, settings, files)
    return directory


def edit(profile: Path, **changes: str) -> None:
    settings = read_settings(profile / "profile.toml")
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    keys.write_private(profile / "profile.toml", rendered(Settings(**(values | changes))))


async def found(name: str) -> Check:
    """What the doctor says of one thing."""
    [check] = [each for each in await examine(timing=TIMING) if each.name == name]
    return check


def is_fault(check: Check, finding: str) -> None:
    assert (check.verdict, check.finding) == (Verdict.FAULT, finding)


def is_warning(check: Check, finding: str) -> None:
    assert (check.verdict, check.finding) == (Verdict.WARNING, finding)


async def test_a_sound_profile_passes_every_check(profile: Path) -> None:
    checks = await examine(timing=TIMING)
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert healthy(checks)
    assert [check.name for check in checks] == [
        *("files", "certificate", "chain", "seal", "address", "tls"),
        *("identity", "clock", "checkpoint", "authority", "revocation"),
    ]


class TestFiles:
    async def test_no_profile(self, config: Path) -> None:
        [check] = await examine(timing=TIMING)
        is_fault(check, "error")

    async def test_a_key_that_others_can_read(self, profile: Path) -> None:
        (profile / "system.key").chmod(0o644)
        [check] = await examine(timing=TIMING)
        is_fault(check, "error")
        assert f"chmod 600 {profile / 'system.key'}" in str(check.values["error"])

    async def test_a_directory_that_others_can_write(self, profile: Path) -> None:
        profile.chmod(0o770)
        is_warning(await found("files"), "directory_open")

    async def test_another_root(self, profile: Path) -> None:
        keys.write_private(profile / "root.pem", Pki().root.pem)
        is_fault(await found("files"), "error")


class TestCertificates:
    def put(self, profile: Path, pki: Pki, begin: dt.timedelta, end: dt.timedelta) -> None:
        own = system(pki, now() + begin, now() + end)
        replace_certificate(profile, "system", own.key, own.pem)

    async def test_expired(self, profile: Path, pki: Pki) -> None:
        self.put(profile, pki, -DAY, dt.timedelta(hours=-1))
        is_fault(await found("certificate"), "expired")
        assert (await found("chain")).verdict is Verdict.OK
        skipped = await found("identity")
        assert (skipped.verdict, skipped.values) == (Verdict.SKIPPED, {"check": "certificate"})

    async def test_not_yet_valid(self, profile: Path, pki: Pki) -> None:
        self.put(profile, pki, dt.timedelta(hours=1), DAY)
        is_fault(await found("certificate"), "not_yet_valid")

    async def test_due_for_renewal(self, profile: Path, pki: Pki) -> None:
        self.put(profile, pki, -21 * DAY, 9 * DAY)
        check = await found("certificate")
        is_warning(check, "renewal_due")
        assert healthy([check])

    async def test_about_to_end(self, profile: Path, pki: Pki) -> None:
        self.put(profile, pki, -28 * DAY, 2 * DAY)
        is_warning(await found("certificate"), "ending")

    async def test_not_of_the_pinned_root(self, profile: Path) -> None:
        other = Pki()
        own = system(other, now() - DAY, now() + DAY)
        replace_certificate(profile, "system", own.key, own.pem)
        is_fault(await found("chain"), "error")

    async def test_the_tls_ca_is_of_another_root(self, profile: Path) -> None:
        keys.write_private(profile / "tls-ca.pem", Pki().tls_ca.pem)
        is_fault(await found("chain"), "error")
        is_fault(await found("tls"), "untrusted_server")

    async def test_no_seal(self, profile: Path) -> None:
        edit(profile, seal_certificate="", seal_key="")
        is_warning(await found("seal"), "no_seal")

    async def test_an_expired_seal(self, profile: Path, pki: Pki) -> None:
        seal = make_leaf(
            unit_seal_id(UNIT),
            issuer=pki.seal_ca,
            not_before=now() - 2 * DAY,
            not_after=now() - DAY,
        )
        replace_certificate(profile, "seal", seal.key, seal.pem)
        is_fault(await found("seal"), "expired")

    async def test_a_seal_of_another_root(self, profile: Path) -> None:
        seal = make_leaf(unit_seal_id(UNIT), issuer=Pki().seal_ca, not_after=now() + DAY)
        replace_certificate(profile, "seal", seal.key, seal.pem)
        is_fault(await found("seal"), "error")


class TestAddress:
    async def test_no_such_host(self, profile: Path) -> None:
        edit(profile, address="nowhere.invalid:8443")
        is_fault(await found("address"), "no_such_host")
        assert (await found("clock")).verdict is Verdict.SKIPPED

    async def test_no_port(self, profile: Path) -> None:
        edit(profile, address="nowhere")
        is_fault(await found("address"), "no_address")

    async def test_nobody_listens(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            edit(profile, address=f"127.0.0.1:{free.getsockname()[1]}")
            is_fault(await found("address"), "not_reached")

    async def test_the_certificate_has_another_name(
        self, profile: Path, centre: WelcomingCentre
    ) -> None:
        edit(profile, server_name="exchange.example")
        is_fault(await found("tls"), "other_server_name")
        port = centre.address.rpartition(":")[2]
        edit(profile, server_name="", address=f"localhost:{port}")
        is_fault(await found("tls"), "other_server_name")

    def test_a_server_of_another_ca(self, pki: Pki, tmp_path: Path) -> None:
        with tls_server(server_leaf(Pki(), "s"), tmp_path) as address:
            assert self.tls(address, pki).finding == "untrusted_server"

    def test_a_server_that_speaks_tls_1_2_only(self, pki: Pki, tmp_path: Path) -> None:
        with tls_server(server_leaf(pki, "s"), tmp_path, ssl.TLSVersion.TLSv1_2) as address:
            assert self.tls(address, pki).finding == "old_tls"

    def test_a_server_that_speaks_no_tls(self, pki: Pki) -> None:
        with plain_server() as address:
            assert self.tls(address, pki).finding == "no_tls"

    def test_a_good_one(self, pki: Pki, tmp_path: Path) -> None:
        """Or the tests above would show nothing."""
        with tls_server(server_leaf(pki, "s"), tmp_path) as address:
            check = self.tls(address, pki)
        assert (check.finding, check.values["version"]) == ("trusted_server", "TLSv1.3")

    def tls(self, address: str, pki: Pki) -> Check:
        reached, tls = check_address(address, "", pki.tls_ca.pem)
        assert reached.verdict is Verdict.OK
        return tls


class TestCentre:
    async def test_it_does_not_admit_us(self, profile: Path, centre: WelcomingCentre) -> None:
        centre.refusals = [CertificateRevoked()]
        check = await found("identity")
        is_fault(check, "error")
        assert isinstance(check.error, CertificateRevoked)

    async def test_nothing_is_tried_twice(self, profile: Path, centre: WelcomingCentre) -> None:
        centre.refusals = [StatusUnknown()]
        assert isinstance((await found("identity")).error, StatusUnknown)

    @pytest.mark.parametrize(
        ("change", "finding", "verdict"),
        [
            (lambda v: setattr(v, "identity", system_id("qd-jiaoyu")), "mistaken", Verdict.FAULT),
            (
                lambda v: setattr(v.certificate, "fingerprint", "0" * 64),
                "mistaken",
                Verdict.FAULT,
            ),
            (
                lambda v: setattr(v.unit, "status", directory_pb2.UNIT_STATUS_SUSPENDED),
                "unit_not_active",
                Verdict.FAULT,
            ),
            (lambda v: setattr(v, "status_age_s", 7.0), "status_old", Verdict.WARNING),
        ],
    )
    async def test_it_sees_us_otherwise(
        self,
        profile: Path,
        centre: WelcomingCentre,
        change: Callable[[Any], None],
        finding: str,
        verdict: Verdict,
    ) -> None:
        centre.view = change
        check = await found("identity")
        assert (check.finding, check.verdict) == (finding, verdict)

    @pytest.mark.parametrize(
        ("minutes", "verdict"),
        [(0.05, Verdict.OK), (1, Verdict.WARNING), (-1, Verdict.WARNING), (9, Verdict.FAULT)],
    )
    async def test_the_clocks_differ(
        self, profile: Path, centre: WelcomingCentre, minutes: float, verdict: Verdict
    ) -> None:
        centre.view = lambda view: view.server_time.CopyFrom(
            stamp(now() + dt.timedelta(minutes=minutes))
        )
        check = await found("clock")
        assert check.verdict is verdict
        assert check.values["difference_s"] == pytest.approx(abs(minutes) * 60, abs=3)

    async def test_the_log(self, profile: Path, centre: WelcomingCentre) -> None:
        assert (await found("checkpoint")).finding == "no_log_yet"
        centre.view = lambda view: setattr(view, "log_origin", "exchange.example/log")
        check = await found("checkpoint")
        assert (check.finding, check.values) == ("log_runs", {"origin": "exchange.example/log"})


class TestAuthority:
    async def test_its_address_is_not_known(self, profile: Path) -> None:
        edit(profile, authority="")
        is_warning(await found("authority"), "no_authority")
        assert (await found("revocation")).verdict is Verdict.SKIPPED

    async def test_it_does_not_answer(self, profile: Path) -> None:
        edit(profile, authority="127.0.0.1:1")
        is_fault(await found("authority"), "error")
        assert (await found("identity")).verdict is Verdict.OK

    async def test_a_list_has_expired(self, profile: Path, authority: ScriptedAuthority) -> None:
        authority.faults.lists_end = dt.timedelta(minutes=-1)
        is_fault(await found("revocation"), "list_expired")

    @pytest.mark.parametrize("name", ["system.pem", "seal.pem", "tls-ca.pem", "seal-ca.pem"])
    async def test_a_certificate_is_on_a_list(
        self, profile: Path, authority: ScriptedAuthority, name: str
    ) -> None:
        from document_exchange.certificates import load_pem

        authority.faults.revoked = [load_pem((profile / name).read_bytes())]
        is_fault(await found("revocation"), "revoked")


class TestCommand:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_a_table_for_people(self, profile: Path, capsys: Captured, language: str) -> None:
        assert main(["doctor", "--lang", language]) == 0
        shown = capsys.readouterr().out
        assert ("revocation lists" if language == "en" else "吊销列表") in shown
        assert "found_" not in shown

    def test_lines_for_programs(
        self, profile: Path, centre: WelcomingCentre, capsys: Captured
    ) -> None:
        centre.refusals = [CertificateRevoked()]
        assert main(["doctor", "--json"]) == 1
        rows = {row["check"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
        assert rows["identity"]["error"] == "CERTIFICATE_REVOKED"
        assert rows["identity"]["what_to_do"]
        assert rows["clock"]["verdict"] == "SKIPPED"
        assert rows["certificate"]["values"]["not_after"].endswith("Z")

    def test_warnings_are_no_failure(self, profile: Path, capsys: Captured) -> None:
        edit(profile, authority="")
        assert main(["doctor"]) == 0
        assert "profile.toml" in capsys.readouterr().out

    def test_a_missing_profile_is_1(self, config: Path, capsys: Captured) -> None:
        assert main(["doctor"]) == 1
        assert "exchange enrol" in capsys.readouterr().out


def test_every_finding_has_words_and_every_bad_one_a_remedy() -> None:
    import re

    import exchange_client

    source = Path(next(iter(exchange_client.__path__)))
    text = "".join(path.read_text("utf-8") for path in source.glob("doctor*.py"))
    calls = re.findall(r'\b(ok|warning|fault)\(\s*(?:"[a-z]+"|name),\s*"([a-z_0-9]+)"', text)
    assert {name for name, _ in calls} == {"ok", "warning", "fault"}
    assert len(calls) >= 30
    for verdict, finding in calls:
        assert f"found_{finding}" in ENROLMENT_WORDS
        if verdict != "ok":
            assert f"remedy_{finding}" in ENROLMENT_WORDS, finding


@contextmanager
def tls_server(
    holder: Holder, directory: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[str]:
    """A server that shakes hands, and nothing else."""
    pem = directory / "server.pem"
    pem.write_bytes(holder.pem + holder.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.maximum_version = newest

    def shake(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with _served(shake) as address:
        yield address


@contextmanager
def plain_server() -> Iterator[str]:
    """A server that speaks another protocol."""

    def speak(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"220 mail.example ESMTP\r\n")

    with _served(speak) as address:
        yield address


@contextmanager
def _served(work: Callable[[socket.socket], None]) -> Iterator[str]:
    """For one connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                work(connection)
            except OSError:  # the doctor hangs up on what it does not like
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)
