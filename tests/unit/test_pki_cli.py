"""The commands: what they print where, their exit codes, and what they refuse to overwrite."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from exchange_pki.authority import Authority
from exchange_pki.cli import main
from exchange_pki.prepare import Order

from document_exchange import identity
from document_exchange.certificates import load_chain_pem
from tests.authority_for_tests import TRUST_DOMAIN, copy_of_authority, new_private_key

PASSPHRASE = "a passphrase for tests"
Words = tuple[str | Path, ...]


@dataclass
class Shell:
    """Runs commands against one authority; ``out`` and ``err`` hold what the last one printed."""

    directory: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    @property
    def state(self) -> Path:
        return self.directory / "pki"

    def __call__(self, *arguments: str | Path, key: bool = True) -> int:
        more: list[str | Path] = ["--state", self.state]
        if key:
            more += ["--passphrase-file", self.directory / "passphrase"]
        return self.raw(*arguments, *more)

    def raw(self, *arguments: str | Path) -> int:
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self.capture.readouterr()
        return code

    @property
    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def empty_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG", "EXCHANGE_PKI_PASSPHRASE"):
        monkeypatch.delenv(variable, raising=False)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    passphrase.chmod(0o600)
    return Shell(tmp_path, capsys)


@pytest.fixture
def shell(empty_shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """One whose authority is there."""
    copy_of_authority(tmp_path_factory, empty_shell.state, live=True)
    return empty_shell


SYSTEM: Sequence[str] = ("issue", "system", "--unit", "qd-caizheng", "--name", "oa")


class TestInit:
    def test_it_prints_the_fingerprint_to_pin(self, empty_shell: Shell) -> None:
        shell = empty_shell
        assert shell("init", "--trust-domain", TRUST_DOMAIN, "--json") == 0
        [row] = shell.rows
        assert row == {
            "state": str(shell.state),
            "trust_domain": TRUST_DOMAIN,
            "root_fingerprint": Authority.load(shell.state).root_fingerprint,
        }
        assert shell.err == ""

    def test_a_second_time_is_refused(self, shell: Shell) -> None:
        assert shell("init", "--trust-domain", TRUST_DOMAIN) == 3
        assert shell.out == ""
        assert "not empty" in shell.err

    def test_without_a_passphrase(self, shell: Shell) -> None:
        target = shell.directory / "other"
        assert shell.raw("init", "--trust-domain", TRUST_DOMAIN, "--state", target) == 2
        assert "EXCHANGE_PKI_PASSPHRASE" in shell.err
        assert "--passphrase-file" in shell.err
        assert not target.exists()

    def test_it_knows_its_version(self, shell: Shell) -> None:
        assert shell.raw("--version") == 0
        assert shell.out.startswith("exchange-pki, version ")

    def test_a_passphrase_that_others_may_read_is_mentioned(self, shell: Shell) -> None:
        (shell.directory / "passphrase").chmod(0o644)
        assert shell("crl") == 0
        assert "chmod 600" in shell.err


class TestIssue:
    def test_with_a_new_key(self, shell: Shell) -> None:
        out = shell.directory / "out"
        assert shell(*SYSTEM, "--new-key", "--out", out, "--json") == 0
        [row] = shell.rows
        leaf, issuer = load_chain_pem((out / "system.pem").read_bytes())
        assert issuer == Authority.load(shell.state).certificate("tls-ca")
        assert str(identity.of_certificate(leaf)) == row["identity"]
        assert row["certificate"] == str(out / "system.pem")
        assert row["key"] == str(out / "system.key")
        key = serialization.load_pem_private_key((out / "system.key").read_bytes(), None)
        assert key.public_key() == leaf.public_key()
        assert stat.S_IMODE((out / "system.key").stat().st_mode) == 0o600

    def test_of_a_signing_request(self, shell: Shell) -> None:
        private = new_private_key()
        request = shell.directory / "request.csr"
        request.write_bytes(
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name.from_rfc4514_string("CN=somebody else"))
            .sign(private, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        out = shell.directory / "out"
        assert shell(*SYSTEM, "--request", request, "--out", out, "--json") == 0
        [row] = shell.rows
        assert row["key"] is None
        assert [path.name for path in out.iterdir()] == ["system.pem"]
        assert load_chain_pem((out / "system.pem").read_bytes())[0].public_key() == (
            private.public_key()
        )

    def test_a_passphrase_of_the_environment(
        self, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command: Words = (*SYSTEM, "--new-key", "--out", shell.directory / "out")
        monkeypatch.setenv("EXCHANGE_PKI_PASSPHRASE", "not this passphrase")
        assert shell(*command, key=False) == 3
        assert "KEY_UNUSABLE" in shell.err
        assert not (shell.directory / "out").exists()
        monkeypatch.setenv("EXCHANGE_PKI_PASSPHRASE", PASSPHRASE)
        assert shell(*command, key=False) == 0

    def test_nothing_is_overwritten_unless_told(self, shell: Shell) -> None:
        out = shell.directory / "out"
        command: Words = (*SYSTEM, "--new-key", "--out", out)
        assert shell(*command) == 0
        before = {path: path.read_bytes() for path in out.iterdir()}
        journal = (shell.state / "journal.jsonl").read_bytes()
        assert shell(*command) == 3
        assert {path: path.read_bytes() for path in out.iterdir()} == before
        assert (shell.state / "journal.jsonl").read_bytes() == journal
        assert shell(*command, "--replace") == 0
        assert all(path.read_bytes() != content for path, content in before.items())

    @pytest.mark.parametrize(
        "arguments",
        [
            (*SYSTEM,),
            (*SYSTEM, "--new-key", "--request", "x"),
            (*SYSTEM, "--new-key", "--role", "auditor"),
            (*SYSTEM, "--new-key", "--dns", "a.example"),
            (*SYSTEM, "--new-key", "--not-after", "tomorrow"),
            (*SYSTEM, "--new-key", "--not-after", "2099-01-01T00:00:00Z"),
            (*SYSTEM, "--new-key", "--colour", "red"),
            ("issue", "system", "--name", "oa", "--new-key"),
            ("issue", "stamp", "--name", "oa", "--new-key"),
            ("issue", "root", "--name", "oa", "--new-key"),
            ("issue", "server", "--name", "s1", "--new-key"),
            ("issue", "staff", "--name", "li", "--role", "chief", "--new-key"),
        ],
    )
    def test_wrong_usage(self, shell: Shell, arguments: Sequence[str]) -> None:
        assert shell(*arguments, "--out", shell.directory / "out") == 2
        assert shell.out == ""
        assert shell.err
        assert not (shell.directory / "out").exists()

    def test_a_request_that_is_none(self, shell: Shell) -> None:
        request = shell.directory / "request.csr"
        assert shell(*SYSTEM, "--request", request, "--out", shell.directory) == 3
        request.write_text("garbage")
        assert shell(*SYSTEM, "--request", request, "--out", shell.directory) == 2


class TestBatch:
    def batch(self, shell: Shell, *lines: object) -> Path:
        file = shell.directory / "batch.jsonl"
        file.write_text("\n".join(json.dumps(line) for line in lines))
        return file

    def test_a_city_at_once(self, shell: Shell) -> None:
        units = [f"unit-{number:02}" for number in range(94)]
        file = self.batch(
            shell,
            *(
                {"profile": profile, "unit": unit, "name": "oa", "directory": unit}
                for unit in units
                for profile in ("system", "seal")
            ),
        )
        out = shell.directory / "clients"
        assert shell("issue-batch", file, "--out", out, "--json") == 0
        assert len(shell.rows) == 188
        for unit in units:
            assert sorted(path.name for path in (out / unit).iterdir()) == [
                "seal.key",
                "seal.pem",
                "system.key",
                "system.pem",
            ]

    def test_servers_and_staff(self, shell: Shell) -> None:
        file = self.batch(
            shell,
            {
                "profile": "server",
                "name": "s1",
                "dns": ["localhost"],
                "ip": ["127.0.0.1"],
                "directory": ".",
            },
            {"profile": "staff", "name": "li", "role": "auditor", "directory": "staff/li"},
        )
        out = shell.directory / "out"
        assert shell("issue-batch", file, "--out", out) == 0
        assert (out / "server.key").exists()
        assert (out / "staff" / "li" / "staff.pem").exists()

    GOOD = {"profile": "seal", "unit": "qd-caizheng", "name": "a", "directory": "a"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ({**GOOD, "directory": "../a"}, "directory"),
            ({**GOOD, "directory": "a/../../b"}, "directory"),
            ({**GOOD, "directory": "/tmp/a"}, "directory"),
            ({**GOOD, "directory": "a\0b"}, "directory"),
            ({**GOOD, "colour": "red"}, "line 2"),
            ({**GOOD, "unit": 7}, "line 2"),
            ({"profile": "seal"}, "line 2"),
            ([], "line 2"),
            ({**GOOD, "unit": "qd-jiaoyu"}, "two orders want"),
            ({**GOOD, "directory": "b", "unit": "?"}, "unit id"),
        ],
    )
    def test_one_wrong_line_and_nothing_is_issued(
        self, shell: Shell, line: object, expected: str
    ) -> None:
        before = (shell.state / "journal.jsonl").read_bytes()
        out = shell.directory / "out"
        assert shell("issue-batch", self.batch(shell, self.GOOD, line), "--out", out) == 2
        assert expected in shell.err
        assert not out.exists()
        assert (shell.state / "journal.jsonl").read_bytes() == before


class TestStanding:
    @pytest.fixture
    def seal(self, shell: Shell) -> str:
        command = ("issue", "seal", "--unit", "qd-caizheng", "--name", "2026", "--new-key")
        assert shell(*command, "--out", shell.directory / "out", "--json") == 0
        return str(shell.rows[0]["serial"])

    def test_revoked_by_its_certificate(self, shell: Shell, seal: str) -> None:
        certificate = shell.directory / "out" / "seal.pem"
        command = ("revoke", "--certificate", certificate, "--reason", "keyCompromise", "--json")
        assert shell(*command) == 0
        assert shell.rows[0]["serial"] == seal
        crl = x509.load_der_x509_crl((shell.state / "crl" / "seal-ca.crl").read_bytes())
        assert [f"{entry.serial_number:x}" for entry in crl] == [seal]
        assert shell("list", "--check", key=False) == 0

    def test_what_a_compromised_key_was_renewed_to_is_shown_too(
        self, shell: Shell, seal: str
    ) -> None:
        command = ("issue", "seal", "--unit", "qd-caizheng", "--name", "2026", "--new-key")
        assert shell(*command, "--out", shell.directory / "renewed", "--json") == 0
        renewed = shell.rows[0]["serial"]
        assert shell("revoke", "--serial", seal, "--reason", "keyCompromise", "--json") == 0
        assert [row["serial"] for row in shell.rows] == [seal, renewed]

    def test_without_a_passphrase_the_list_has_to_follow(self, shell: Shell, seal: str) -> None:
        assert shell("revoke", "--serial", seal, "--reason", "superseded", key=False) == 0
        assert "exchange-pki crl" in shell.err
        assert shell("list", "--check", "--json", key=False) == 1
        assert [row["kind"] for row in shell.rows] == ["CRL_INCOMPLETE"]
        assert shell("crl", "--issuer", "seal-ca", "--json") == 0
        assert [(row["issuer"], row["number"], row["revoked"]) for row in shell.rows] == [
            ("seal-ca", 2, 1)
        ]
        assert shell("list", "--check", key=False) == 0
        assert shell.out == ""

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("--reason", "superseded"), 2),
            (("--serial", "zz", "--reason", "superseded"), 2),
            (("--serial", "12", "--reason", "superseded"), 6),
            (("--serial", "12", "--reason", "because"), 2),
            (("--certificate", "/nowhere", "--reason", "superseded"), 3),
        ],
    )
    def test_what_can_not_be_revoked(
        self, shell: Shell, arguments: Sequence[str], code: int
    ) -> None:
        assert shell("revoke", *arguments) == code

    def test_list(self, shell: Shell, seal: str) -> None:
        assert shell("revoke", "--serial", seal, "--reason", "superseded", key=False) == 0
        assert shell("list", "--json", key=False) == 0
        rows = {row["profile"]: row for row in shell.rows}
        assert set(rows) == {"root", "tls-ca", "seal-ca", "seal"}
        assert rows["root"]["status"] == "VALID"
        assert rows["seal"]["status"] == "REVOKED"
        assert rows["seal"]["reason"] == "superseded"

    def test_list_in_chinese(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        assert shell("list", "--lang", "zh", key=False) == 0
        assert "序列号" in shell.out
        assert "有效" in shell.out
        monkeypatch.setenv("LANG", "zh_CN.UTF-8")
        assert shell("list", key=False) == 0
        assert "序列号" in shell.out
        monkeypatch.setenv("LC_ALL", "C")
        assert shell("list", key=False) == 0
        assert "serial" in shell.out

    def test_a_row_is_one_line_when_it_goes_to_a_file(self, shell: Shell, seal: str) -> None:
        assert shell("list", key=False) == 0
        assert len(shell.out.splitlines()) == 5

    @pytest.mark.parametrize("dsn", ["", "garbage", "http://127.0.0.1/x"])
    def test_publish_to_nowhere(self, shell: Shell, dsn: str) -> None:
        assert shell("publish", "--dsn", dsn or "postgresql://127.0.0.1:1/x", key=False) == (
            3 if dsn else 5
        )


class TestProgram:
    def test_no_authority(self, shell: Shell) -> None:
        assert shell.raw("list", "--state", shell.directory / "nowhere") == 3

    @pytest.mark.parametrize("arguments", [(), ("bogus",), ("list", "--bogus"), ("list",)])
    def test_usage(self, shell: Shell, arguments: Sequence[str]) -> None:
        assert shell.raw(*arguments) == 2
        assert shell.out == ""
        assert "Usage" in shell.err

    def test_help_needs_nothing_heavy(self) -> None:
        program = (
            "import sys\n"
            "from exchange_pki.cli import main\n"
            "assert main(['--help']) == 0\n"
            "assert main(['issue', '--help']) == 0\n"
            "heavy = {'cryptography', 'asyncpg', 'rich', 'msgspec'} & set(sys.modules)\n"
            "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    def test_run_as_a_module(self, shell: Shell) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "exchange_pki", "list", "--json", "--state", str(shell.state)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stdout.splitlines()) == 3
        assert done.stderr == ""


def test_an_order_and_the_options_of_issue_have_the_same_fields() -> None:
    from exchange_pki.cli import exchange_pki

    options = {parameter.name for parameter in exchange_pki.commands["issue"].params}
    assert set(Order.__dataclass_fields__) <= options
