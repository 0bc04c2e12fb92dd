"""``exchange-server dev``: everybody enrols once, and what keeps it from running is said soon."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path

import psutil
import pytest
from exchange_client import AsyncClient, PartSource, self_test
from exchange_client.testing import LocalCentre

from document_exchange.errors import ConfigurationError
from tests.pki_for_tests import make_leaf
from tests.real_centre import CentreInside, now

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


STAFF = {"operator-1": "operator", "security-1": "security", "auditor-1": "auditor"}


@dataclass
class Stack:
    """A development stack that can be killed, and started again over the same directory."""

    state: Path

    @contextmanager
    def running(self) -> Iterator[LocalCentre]:
        with LocalCentre(state=self.state) as centre:
            yield centre

    def profiles(self) -> dict[str, bytes]:
        """Every file of every profile that matters to its holder, by its path."""
        files = (self.state / "clients").rglob("*")
        return {
            str(path.relative_to(self.state)): path.read_bytes()
            for path in files
            if path.suffix in (".toml", ".pem", ".key")
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return Stack(tmp_path_factory.mktemp("stack") / "state")


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        return bytes(response.read())


async def enrolled_with(centre: LocalCentre) -> dict[str, int]:
    """With how many tokens each unit and member of staff enrolled."""
    async with CentreInside(centre).ledger() as ledger:
        rows = await ledger.fetch(
            "select coalesce(unit_id, staff) as whose, count(*) from exchange.tokens"
            " where used_at is not null group by 1"
        )
    return {row["whose"]: row["count"] for row in rows}


@pytest.mark.timeout(180)
async def test_everybody_enrols_once_however_it_ends(stack: Stack) -> None:
    with stack.running() as centre:
        enrolled = centre.description["enrolled"]
        staff = {each["name"]: each["role"] for each in centre.description["staff"]}
        assert staff.items() >= STAFF.items()
        names = {unit.unit_id for unit in centre.units} | staff.keys()
        assert (enrolled["units"], enrolled["staff"]) == (len(centre.units), len(staff))
        assert await enrolled_with(centre) == dict.fromkeys(names, 1)
        before = stack.profiles()
        family = psutil.Process(centre.process_id).children(recursive=True)
        assert any("exchange_pki" in process.cmdline() for process in family)
        psutil.Process(centre.process_id).kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 60)
        assert not alive, "the authority is killed with the rest"

    with stack.running() as centre:
        enrolled = centre.description["enrolled"]
        assert (enrolled["units"], enrolled["staff"]) == (0, 0)
        assert stack.profiles() == before
        assert await enrolled_with(centre) == dict.fromkeys(names, 1)
        async with centre.async_client("qd-caizheng") as client:
            test = await self_test.run(client)
        assert test.receipt_id


@pytest.mark.timeout(180)
async def test_staff_and_metrics_are_there(stack: Stack) -> None:
    with stack.running() as centre:
        assert {person.role for person in centre.staff} == {"operator", "security", "auditor"}
        for person in centre.staff:
            async with AsyncClient.from_profile(person.profile, centre.config_dir) as client:
                assert await client.admin.role() == person.role
        authority = centre.description["authority"]
        for address in (centre.description["metrics"], authority["metrics"]):
            assert b"exchange_registry_age_seconds" in fetched(f"http://{address}/metrics")
        root = (centre.config_dir / "qd-caizheng" / "root.pem").read_bytes()
        assert fetched(f"http://{authority['http_address']}/root.pem") == root


@pytest.mark.timeout(180)
async def test_only_who_has_no_valid_profile_enrols_anew(stack: Stack) -> None:
    """One profile is gone, one's certificate has ended, one is of another centre."""
    with stack.running() as centre:
        address, finance = centre.address, CentreInside(centre).unit("qd-caizheng").certificate
    clients = stack.state / "clients"
    shutil.rmtree(clients / "qd-jiaoyu")
    ended = make_leaf(
        "spiffe://exchange.example/unit/qd-tongji/system/oa",
        issuer=None,
        not_before=now() - timedelta(days=2),
        not_after=now() - timedelta(days=1),
    )
    (clients / "qd-tongji" / "system.pem").write_bytes(ended.pem)
    settings = clients / "operator-1" / "profile.toml"
    text = settings.read_text()
    settings.write_text(text.replace(address, "127.0.0.1:1"))
    with stack.running() as centre:
        enrolled = centre.description["enrolled"]
        assert (enrolled["units"], enrolled["staff"]) == (2, 1)
        used = await enrolled_with(centre)
        again = {"qd-jiaoyu", "qd-tongji", "operator-1"}
        assert {name for name, count in used.items() if count == 2} == again
        assert CentreInside(centre).unit("qd-caizheng").certificate == finance
        assert settings.read_text() == text
        for unit in ("qd-jiaoyu", "qd-tongji"):
            async with centre.async_client(unit) as client:
                assert (await client.unit(unit)).unit_id == unit


@pytest.mark.timeout(180)
async def test_a_start_that_was_killed_amid_enrolments_goes_on_with_their_tokens(
    stack: Stack,
) -> None:
    with stack.running() as centre:
        batch = stack.state / "wanted.jsonl"
        batch.write_text('{"unit": "qd-caizheng", "system": "oa"}\n')
        ledger = {"EXCHANGE_PKI_DSN": centre.description["ledger"]["dsn_authority"]}
        words = ("token", "--state", centre.description["pki"], "--batch", str(batch))
        command = [sys.executable, "-m", "exchange_pki", *words]
        issued = json.loads(subprocess.check_output(command, env={**os.environ, **ledger}))
        before = await enrolled_with(centre)
    application = {"token": issued["token"], "profile": "qd-caizheng"}
    (stack.state / "joining.jsonl").write_text(json.dumps(application) + "\n")
    shutil.rmtree(stack.state / "clients" / "qd-caizheng")
    with stack.running() as centre:
        async with CentreInside(centre).ledger() as owner:
            standing = await owner.fetchval(
                "select used_at is not null from exchange.tokens where token_id = $1::uuid",
                issued["token_id"],
            )
            assert standing
        after = await enrolled_with(centre)
        assert after == before | {"qd-caizheng": before["qd-caizheng"] + 1}
        assert await CentreInside(centre).admits(CentreInside(centre).unit("qd-caizheng"))
    assert not (stack.state / "joining.jsonl").exists()


@pytest.mark.timeout(180)
async def test_a_suspended_unit_gets_no_new_profile_and_keeps_nobody_waiting(stack: Stack) -> None:
    with stack.running() as centre:
        async with CentreInside(centre).ledger() as owner:
            await owner.execute(
                "update exchange.units set status = 'SUSPENDED' where unit_id = 'qd-tongji'"
            )
    shutil.rmtree(stack.state / "clients" / "qd-tongji")
    with stack.running() as centre:
        assert not (centre.config_dir / "qd-tongji").exists()
        assert "no profile for qd-tongji" in centre.log.read_text()
        assert await CentreInside(centre).admits(CentreInside(centre).unit("qd-jiaoyu"))
        async with CentreInside(centre).ledger() as owner:
            await owner.execute(
                "update exchange.units set status = 'ACTIVE' where unit_id = 'qd-tongji'"
            )


@pytest.mark.timeout(180)
async def test_documents_travel_without_the_authority(stack: Stack) -> None:
    with stack.running() as centre:
        [authority] = [
            process
            for process in psutil.Process(centre.process_id).children(recursive=True)
            if process.cmdline()[1:4] == ["-m", "exchange_pki", "serve"]
        ]
        authority.kill()
        async with centre.async_client("qd-caizheng") as client, asyncio.timeout(30):
            while "the authority ended" not in centre.log.read_text():
                assert (await client.unit("qd-jiaoyu")).unit_id == "qd-jiaoyu"
            sent = await client.send(
                title="函", recipients=["qd-jiaoyu"], files=[PartSource(b"x", filename="x.txt")]
            )
        assert sent.envelope_id


def test_a_unit_and_a_member_of_staff_cannot_share_a_profile(tmp_path: Path) -> None:
    sample = resources.files("exchange_server") / "sample_units.toml"
    registry = tmp_path / "registry.toml"
    text = sample.read_text(encoding="utf-8").replace('"operator-1"', '"qd-jiaoyu"')
    registry.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="both called qd-jiaoyu"):
        LocalCentre(registry=registry).start()
