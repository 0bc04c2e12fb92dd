"""``exchange admin`` and the real centre: what staff of each role do to the registry."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exchange_client.testing import LocalCentre

from document_exchange.codes import organisation_check_character
from tests.pki_for_tests import Holder
from tests.real_centre import RECIPIENT, SENDER, CentreInside, admitted

ROLES = {"olga": "operator", "sun": "security", "sima": "security", "ada": "auditor"}


def code() -> str:
    """An organisation code that nobody has."""
    first = "X" + secrets.token_hex(4)[:7].upper()
    return first + organisation_check_character(first)


class Office:
    """Where staff of each role type, and two units; names are of this office alone."""

    def __init__(self, config: Path, directory: Path, mark: str) -> None:
        self.config = config
        self.directory = directory
        self.mark = mark

    def name(self, what: str) -> str:
        return f"{what}-{self.mark}"

    def run(self, who: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        profile = self.name(who) if who in ROLES else who
        done = subprocess.run(
            [sys.executable, "-m", "exchange_client.cli", *arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "EXCHANGE_CONFIG": str(self.config),
                "EXCHANGE_PROFILE": profile,
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def rows(self, who: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        out = self.run(who, *arguments, "--json", code=code).stdout
        return [json.loads(line) for line in out.splitlines()]

    def said(self, who: str, *arguments: str, code: int = 0) -> str:
        done = self.run(who, *arguments, code=code)
        return done.stdout + done.stderr

    def units_file(self, *units: tuple[str, str]) -> str:
        """A CSV file of units, each with its name and code; returns its name."""
        columns = "unit_id,name_zh,name_en,short_zh,kind,organisation_code,credit_code,region"
        columns += ",issuer_marks,groups,acts_for,contact,successor"
        rows = [f"{unit},甲局,Bureau,甲,DEPARTMENT,{own},,,,,,'=office," for unit, own in units]
        (self.directory / "units.csv").write_text("\n".join([columns, *rows]), encoding="utf-8")
        return "units.csv"


def write_profile(centre: LocalCentre, holder: Holder, directory: Path) -> None:
    """A profile of a member of staff, from that of a unit."""
    shutil.copytree(centre.config_dir / SENDER, directory)
    chain = (directory / "tls-ca.pem").read_bytes()
    (directory / "system.pem").write_bytes(holder.pem + chain)
    (directory / "system.key").write_bytes(holder.key_pem)
    settings = (directory / "profile.toml").read_text().splitlines()
    kept = [line for line in settings if not line.startswith(("seal_certificate", "seal_key"))]
    (directory / "profile.toml").write_text("\n".join(kept))


@pytest.fixture(scope="module")
async def office(local_centre: LocalCentre, tmp_path_factory: pytest.TempPathFactory) -> Office:
    inside = CentreInside(local_centre)
    directory = tmp_path_factory.mktemp("office")
    made = Office(directory / "profiles", directory, secrets.token_hex(4))
    async with inside.ledger() as ledger:
        for who, role in ROLES.items():
            name = made.name(who)
            await ledger.execute(
                """insert into exchange.staff (name, person, full_name, role)
                   values ($1, $2, $1, $3)""",
                *(name, f"p-{name}", role),
            )
    holders = {
        who: inside.issue("staff", None, made.name(who), role) for who, role in ROLES.items()
    }
    await inside.publish()
    for who, holder in holders.items():
        write_profile(local_centre, holder, made.config / made.name(who))
        await admitted(inside, holder)
    for unit in (SENDER, RECIPIENT):
        shutil.copytree(local_centre.config_dir / unit, made.config / unit)
    return made


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what every server process learns within 2 s."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            pass


async def test_units_are_imported_changed_suspended_and_closed(office: Office) -> None:
    first, second = office.name("qd-a"), office.name("qd-b")
    file = office.units_file((first, code()), (second, code()))
    arguments = ("admin", "import", file, "--kind", "unit")
    (shown,) = office.rows("olga", *arguments)
    assert (shown["applied"], shown["dry_run"]) == (False, True)
    assert {each["key"] for each in shown["differences"]} == {first, second}
    assert "NOT_FOUND" in office.said("olga", "admin", "unit", "show", first, code=6)
    (done,) = office.rows("olga", *arguments, "--apply", "--reason", "reform")
    assert (done["applied"], done["differences"]) == (True, shown["differences"])
    assert "nothing to change" in office.said("olga", *arguments, "--apply")

    (unit,) = office.rows("olga", "admin", "unit", "show", first)
    assert (unit["contact"], unit["status"]) == ("=office", "ACTIVE")
    (told,) = office.rows("olga", "admin", "unit", "set", first, "--contact", "Ms Li")
    assert told["differences"] == [
        {"kind": "unit", "key": first, "field": "contact", "before": "=office", "after": "Ms Li"}
    ]
    office.run("olga", "admin", "unit", "suspend", first)
    office.run("olga", "admin", "unit", "resume", first)
    assert "--yes" in office.said("olga", "admin", "unit", "close", first)
    (unit,) = office.rows("olga", "admin", "unit", "show", first)
    assert (unit["contact"], unit["status"]) == ("Ms Li", "ACTIVE")
    office.run("olga", "admin", "unit", "close", first, "--successor", second, "--yes")
    (unit,) = office.rows("ada", "admin", "unit", "show", first)
    assert (unit["status"], unit["successor"]) == ("CLOSED", second)


async def test_an_import_is_all_or_nothing_and_names_the_entry(office: Office) -> None:
    first, second, shared = office.name("qd-c"), office.name("qd-d"), code()
    file = office.units_file((first, shared), (second, shared))
    said = office.said("olga", "admin", "import", file, "--kind", "unit", "--apply", code=2)
    assert f"unit {first}: organisation_code {shared} is that of {second}" in said
    for unit in (first, second):
        office.run("olga", "admin", "unit", "show", unit, code=6)


async def test_what_is_exported_is_there_already(office: Office) -> None:
    for kind in ("unit", "region", "business", "group", "system", "quota"):
        file = f"{kind}.csv"
        office.run("olga", "admin", "export", "--kind", kind, "-o", file)
        (same,) = office.rows("olga", "admin", "import", file, "--kind", kind)
        assert same["differences"] == [], kind
    office.run("sun", "admin", "export", "-o", "all.toml")
    kinds = ("--kind", "staff", "--kind", "route")
    (same,) = office.rows("sun", "admin", "import", "all.toml", *kinds)
    assert same["differences"] == []


async def test_a_rule_needs_two_and_then_decides(office: Office) -> None:
    rule = office.name("no-decisions")
    asked = ("route", RECIPIENT, "--genre", "DECISION", "--direction", "DOWN")
    assert office.rows(SENDER, *asked)[0]["allowed"] is True
    add = [*("admin", "route", "add", rule, "--effect", "DENY", "--sender", f"unit:{SENDER}")]
    add += ["--recipient", f"unit:{RECIPIENT}", "--genre", "DECISION", "--note", "not by them"]
    assert "NOT_PERMITTED" in office.said("olga", *add, code=4)
    (proposed,) = office.rows("sun", *add, "--reason", "order of the mayor")
    proposal = proposed["proposal_id"]
    assert proposal
    assert office.rows(SENDER, *asked)[0]["allowed"] is True
    assert "not by them" in office.said("sima", "admin", "proposals", "show", proposal)
    assert "not by them" in office.said("ada", "admin", "proposals", "show", proposal)
    said = office.said("sun", "admin", "proposals", "approve", proposal, code=4)
    assert "SECOND_PERSON_NEEDED" in said
    office.run("sima", "admin", "proposals", "approve", proposal, "--reason", "seen")

    def denied() -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "exchange_client.cli", *asked, "--json"],
            env={**os.environ, "EXCHANGE_CONFIG": str(office.config), "EXCHANGE_PROFILE": SENDER},
            capture_output=True,
            check=False,
        )
        return done.returncode == 4

    await until(denied)
    (answer,) = office.rows(SENDER, *asked, code=4)
    assert answer["route_id"] == rule
    assert [each["name"] for each in answer["steps"] if not each["passed"]] == ["rule"]
    (seen,) = office.rows("olga", *asked, "--from", SENDER, code=4)
    assert seen["route_id"] == rule
    (removal,) = office.rows("sima", "admin", "route", "remove", rule, "--yes")
    office.run("sun", "admin", "proposals", "approve", removal["proposal_id"])
    assert rule not in office.said("ada", "admin", "route", "list")


async def test_a_document_to_a_group_names_every_member(office: Office) -> None:
    group = office.name("one-two")
    names = ("--name-zh", "二局", "--name-en", "Two", "--members", f"{SENDER},{RECIPIENT}")
    office.run("olga", "admin", "group", "add", group, *names)
    (office.directory / "a.csv").write_text("1,2\n")

    def known() -> bool:
        rows = office.rows(SENDER, "groups")
        return group in {row["group_id"] for row in rows}

    await until(known)
    send = ("send", "a.csv", "--title", "数据", "--business", "DATA")
    (sent,) = office.rows(SENDER, *send, "--to", f"group:{group}")
    assert sent["recipients"] == [RECIPIENT]
    office.run("olga", "admin", "group", "remove", group, "--yes")


async def test_auditors_read_and_change_nothing(office: Office) -> None:
    for kind in ("unit", "system", "staff", "group", "region", "business", "route", "quota"):
        office.run("ada", "admin", kind, "list")
    assert "NOT_PERMITTED" in office.said("ada", "admin", "unit", "suspend", SENDER, code=4)
    assert "NOT_PERMITTED" in office.said(SENDER, "admin", "unit", "list", code=4)


async def test_nobody_gets_a_second_role(office: Office) -> None:
    change = ("admin", "staff", "set", office.name("olga"), "--role", "auditor")
    assert "ROLE_CONFLICT" in office.said("sun", *change, code=4)


async def test_suspended_staff_are_out_at_once(office: Office) -> None:
    (done,) = office.rows("sun", "admin", "staff", "suspend", office.name("ada"))
    assert done["applied"] is True

    def out() -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "exchange_client.cli", "admin", "unit", "list", "--json"],
            env={
                **os.environ,
                "EXCHANGE_CONFIG": str(office.config),
                "EXCHANGE_PROFILE": office.name("ada"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return "STAFF_NOT_ACTIVE" in done.stderr

    await until(out)
