"""``exchange-server dev``: what keeps it from running is one line and an exit code, and soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from exchange_client.testing import LocalCentre

from document_exchange.errors import ConfigurationError

SERVER = ("-m", "exchange_server.cli")

# The modules of an extra are missing, as in a plain installation.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("urllib3", "minio", "asyncpg", "uvloop")))
from exchange_server.cli import main
main()
"""


def refused(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.returncode, done.stderr


def test_a_second_one_is_refused_and_harms_nothing(local_centre: LocalCentre) -> None:
    state = Path(local_centre.config_dir).parent
    description = (state / "dev.json").read_bytes()

    code, said = refused(*SERVER, "dev", "--state", str(state))

    assert code == 3
    assert f"{state} is in use by process {local_centre.process_id}" in said
    assert (state / "dev.json").read_bytes() == description


def test_a_second_local_centre_says_why_it_ended(local_centre: LocalCentre) -> None:
    state = Path(local_centre.config_dir).parent
    with pytest.raises(ConfigurationError) as caught:
        LocalCentre(state=state).start()
    assert f"in use by process {local_centre.process_id}" in caught.value.message
    assert "\n" not in caught.value.message
    assert (state / "dev.json").exists()


def test_missing_binaries(tmp_path: Path) -> None:
    code, said = refused(*SERVER, "dev", "--state", str(tmp_path), EXCHANGE_POSTGRES_BIN="/none")
    assert code == 3
    assert "EXCHANGE_POSTGRES_BIN" in said


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = refused(*SERVER, "dev", "--state", str(tmp_path / "file" / "x"))
    assert code == 3
    assert "can't run in" in said


@pytest.mark.parametrize("command", ["dev", "migrate"])
def test_extras_that_are_not_installed(tmp_path: Path, command: str) -> None:
    option = {"dev": "--state", "migrate": "--dsn"}[command]
    code, said = refused("-c", WITHOUT, command, option, str(tmp_path / "x"))
    assert code == 3
    assert "pip install 'document-exchange[server,pki,embedded]'" in said


@pytest.mark.parametrize(
    "dsn", ["postgresql://owner:secret@127.0.0.1:1/x", "mysql://x", "postgresql://o:secret@h:x/x"]
)
def test_migrate_says_that_it_was_the_ledger(dsn: str) -> None:
    code, said = refused(*SERVER, "migrate", "--dsn", dsn)
    assert code == 5
    assert "the ledger can't be reached with this DSN" in said
    assert "secret" not in said
