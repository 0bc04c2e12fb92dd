"""``exchange admin``, ``route`` and ``groups`` as programs, against a centre in memory."""

from __future__ import annotations

import json
import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from exchange_client.cli import exchange
from exchange_client.cli.admin import admin
from exchange_client.cli.admin_authority import (
    CERTIFICATE_KINDS,
    SEAL_STANDINGS,
    TOKEN_STANDINGS,
)
from exchange_client.cli.admin_words import ADMIN_WORDS

from document_exchange.entries import (
    GroupEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.errors import EntriesChanged, NotPermitted
from document_exchange.v1 import admin_pb2, authority_pb2, directory_pb2
from tests.admin_for_tests import FINGERPRINT, KEY, PROPOSAL, AdministeredCentre
from tests.pki_for_tests import Pki

FINANCE = UnitEntry(
    unit_id="qd-caizheng",
    name_zh="财政局",
    name_en="Finance",
    short_zh="财政局",
    kind="DEPARTMENT",
    organisation_code="900000014",
    groups=("all-departments",),
    contact="Mr Wang",
    status="ACTIVE",
)
NEW_UNIT = ["unit", "add", "qd-new", "--name-zh", "新", "--name-en", "New", "--short-zh", "新"]
NEW_UNIT += ["--kind", "OFFICE", "--organisation-code", "900000022", "--groups", "a-1, b-2"]


@dataclass
class Desk:
    """Where a member of staff types."""

    here: Path
    centre: AdministeredCentre

    def run(self, *arguments: str, code: int = 0, profile: str = "one") -> str:
        """What is printed, stderr after stdout."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "exchange_client.cli", *arguments],
            cwd=self.here,
            env={
                **os.environ,
                "EXCHANGE_CONFIG": str(self.here / "profiles"),
                "EXCHANGE_PROFILE": profile,
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def admin(self, *arguments: str, code: int = 0) -> str:
        return self.run("admin", *arguments, code=code)

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """The JSON objects that are printed."""
        return [
            json.loads(line)
            for line in self.admin(*arguments, "--json", code=code).split("\n")
            if line
        ]

    def applied(self) -> list[bool]:
        """Of each change asked for, whether it was the act."""
        return [not each.dry_run for each in self.centre.asked(admin_pb2.ApplyChangesRequest)]


@pytest.fixture(scope="module")
def running() -> Iterator[AdministeredCentre]:
    with AdministeredCentre(Pki()) as centre:
        yield centre


@pytest.fixture
def desk(running: AdministeredCentre, tmp_path: Path) -> Desk:
    running.forget()
    running.write_staff_profile("one", tmp_path / "profiles")
    running.write_profile("qd-caizheng", tmp_path / "profiles")
    return Desk(tmp_path, running)


def commands(group: Any, path: str = "admin") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_the_verbs_that_fit_each_kind() -> None:
    always = {"add", "list", "show", "set"}
    verbs = {
        name: set(group.commands) - always
        for name, group in admin.commands.items()
        if hasattr(group, "commands")
    }
    for kind in ("unit", "system", "staff"):
        assert verbs[kind] == {"suspend", "resume", "close"}
    for kind in ("group", "route", "quota"):
        assert verbs[kind] == {"remove"}
    for kind in ("region", "business"):
        assert verbs[kind] == set()
    for _, command in commands(admin):
        assert command.help
    # What can't be undone is only shown unless somebody says --yes.
    careful = {path for path, c in commands(admin) if any(p.name == "yes" for p in c.params)}
    assert careful == {
        *(f"admin {kind} close" for kind in ("unit", "system", "staff")),
        *(f"admin {kind} remove" for kind in ("group", "route", "quota")),
        "admin token withdraw",
        "admin certificate revoke",
    }


def test_the_choices_are_those_of_the_wire() -> None:
    def names(values: Any, prefix: str) -> set[str]:
        return {name.removeprefix(prefix) for name, _ in values.items()} - {"UNSPECIFIED"}

    assert set(TOKEN_STANDINGS) == names(authority_pb2.TokenStanding, "TOKEN_STANDING_")
    assert set(SEAL_STANDINGS) == names(authority_pb2.SealStanding, "SEAL_STANDING_") - {"NONE"}
    assert set(CERTIFICATE_KINDS) >= {"system", "seal", "staff"}
    for what, values in (("TOKEN", TOKEN_STANDINGS), ("SEAL", SEAL_STANDINGS)):
        assert all(f"{what}_{value}" in ADMIN_WORDS for value in values)


def test_every_sentence_takes_the_same_values_in_both_languages() -> None:
    for english, chinese in ADMIN_WORDS.values():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name}
            for text in (english, chinese)
        ]
        assert fields[0] == fields[1]


def test_add_registers_what_is_new_and_refuses_what_is_there(desk: Desk) -> None:
    shown = desk.admin(*NEW_UNIT, "--dry-run")
    assert "repeat the command without --dry-run" in shown
    assert desk.applied() == [False]
    shown = desk.admin(*NEW_UNIT, "--reason", "founded")
    assert "qd-new" in shown
    assert "applied: " in shown
    added = desk.centre.entries["unit"]["qd-new"]
    assert isinstance(added, UnitEntry)
    assert (added.groups, added.kind, added.status) == (("a-1", "b-2"), "OFFICE", "")
    assert desk.centre.asked(admin_pb2.ApplyChangesRequest)[-1].reason == "founded"
    said = desk.admin(*NEW_UNIT, code=2)
    assert "there is a unit qd-new already" in said
    assert "exchange admin unit set qd-new" in said
    assert desk.applied() == [False, True]


def test_set_changes_what_is_given_and_keeps_the_rest(desk: Desk) -> None:
    desk.centre.keep(FINANCE)
    (told,) = desk.json("unit", "set", "qd-caizheng", "--name-en", "Treasury", "--groups", "")
    assert told["applied"] is True
    assert {(each["field"], each["before"], each["after"]) for each in told["differences"]} == {
        ("name_en", "Finance", "Treasury"),
        ("groups", "all-departments", ""),
    }
    kept = desk.centre.entries["unit"]["qd-caizheng"]
    assert isinstance(kept, UnitEntry)
    assert (kept.contact, kept.status, kept.groups) == ("Mr Wang", "ACTIVE", ())
    assert "nothing to change" in desk.admin("unit", "set", "qd-caizheng", "--name-en", "Treasury")
    assert "NOT_FOUND" in desk.admin("unit", "set", "qd-nobody", "--contact", "x", code=6)
    assert "at least one field" in desk.admin("unit", "set", "qd-caizheng", code=2)
    assert "expected six digits" not in desk.admin(
        "group", "set", "Bad Key", "--name-zh", "x", code=2
    )


def test_a_group_is_not_emptied_by_what_the_wire_can_not_say(desk: Desk) -> None:
    desk.centre.keep(GroupEntry(group_id="one", name_zh="一", name_en="One", members=("qd-a",)))
    assert "change its unit" in desk.admin("group", "set", "one", "--members", " ,", code=2)
    desk.admin("group", "set", "one", "--members", "qd-a,qd-b")
    kept = desk.centre.entries["group"]["one"]
    assert isinstance(kept, GroupEntry)
    assert kept.members == ("qd-a", "qd-b")


def test_what_can_not_be_undone_is_only_shown_without_yes(desk: Desk) -> None:
    desk.centre.keep(FINANCE, GroupEntry(group_id="one", name_zh="一", name_en="One"))
    shown = desk.admin("unit", "close", "qd-caizheng", "--successor", "qd-jiaoyu")
    assert "CLOSED" in shown
    assert "repeat the command with --yes" in shown
    desk.admin("group", "remove", "one")
    assert desk.applied() == [False, False]
    desk.admin("group", "remove", "one", "--yes")
    assert desk.centre.entries["group"] == {}
    desk.admin("unit", "close", "qd-caizheng", "--yes")
    desk.admin("system", "suspend", "qd-caizheng/oa")
    verbs = [each.changes[0].verb for each in desk.centre.asked(admin_pb2.ApplyChangesRequest)]
    assert verbs[-2:] == [admin_pb2.VERB_CLOSE, admin_pb2.VERB_SUSPEND]


def test_lists_and_single_entries(desk: Desk) -> None:
    desk.centre.keep(FINANCE, SystemEntry(unit_id="qd-caizheng", name="oa", status="SUSPENDED"))
    table = desk.admin("unit", "list", "--lang", "zh")
    assert "财政局" in table
    assert "部门" in table
    assert "qd-caizheng/oa" in desk.admin("system", "list", "--unit", "qd-caizheng")
    assert desk.json("system", "list", "--unit", "qd-caizheng") == [
        {
            "unit_id": "qd-caizheng",
            "name": "oa",
            "description": "",
            "contact": "",
            "status": "SUSPENDED",
        }
    ]
    assert "Mr Wang" in desk.admin("unit", "show", "qd-caizheng")
    assert "nothing to show" in desk.admin("region", "list")


def test_a_change_that_needs_a_second_person_says_what_that_one_runs(desk: Desk) -> None:
    person = ["staff", "add", "li", "--person", "8", "--full-name", "李四", "--role", "auditor"]
    said = desk.admin(*person)
    assert "second person" in said
    assert f"exchange admin proposals approve {PROPOSAL}" in said
    assert "staff" not in desk.centre.entries
    assert PROPOSAL in desk.admin("proposals", "list")
    shown = desk.admin("proposals", "show", PROPOSAL)
    assert "李四" in shown
    assert "before" in shown  # what would differ now, not only what was asked for
    (asked,) = desk.centre.asked(admin_pb2.ApplyChangesRequest)[1:]
    assert asked.dry_run
    desk.centre.role = "auditor"  # who may not ask for changes sees them as they were asked for
    assert "李四" in desk.admin("proposals", "show", PROPOSAL)
    assert len(desk.centre.asked(admin_pb2.ApplyChangesRequest)) == 2
    (decided,) = desk.json("proposals", "approve", PROPOSAL, "--reason", "seen")
    assert decided["standing"] == "APPLIED"
    assert {each["field"] for each in decided["differences"]} >= {"role", "person"}
    assert desk.centre.entries["staff"]["li"].key == "li"
    assert "nothing to show" in desk.admin("proposals", "list")
    (shown_after,) = desk.json("proposals", "show", PROPOSAL)
    assert shown_after["differences"] is None
    assert {
        "verb": "PUT",
        "kind": "staff",
        "key": "li",
        "field": "role",
        "value": "auditor",
    } in shown_after["changes"]
    assert "--reason" in desk.admin("proposals", "reject", PROPOSAL, code=2)


def test_an_import_shows_first_and_applies_when_told(desk: Desk) -> None:
    desk.centre.keep(FINANCE)
    (desk.here / "g.csv").write_text("group_id,name_zh,name_en,members\none,一,One,qd-a;qd-b\n")
    arguments = ["import", "g.csv", "--kind", "group"]
    shown = desk.admin(*arguments)
    assert "qd-a qd-b" in shown
    assert "repeat the command with --apply" in shown
    assert "group" not in desk.centre.entries
    desk.admin(*arguments, "--apply", "--reason", "list of 2026")
    assert desk.centre.entries["group"]["one"].key == "one"
    assert "nothing to change" in desk.admin(*arguments)


def test_a_set_keeps_what_others_did_since_it_was_read(desk: Desk) -> None:
    """Who suspends the unit in between, or changes another field, finds it as they left it."""
    desk.centre.keep(FINANCE)
    meanwhile = msgspec.structs.replace(FINANCE, status="SUSPENDED", name_en="Money")
    desk.centre.meanwhile = (meanwhile,)
    desk.admin("unit", "set", "qd-caizheng", "--contact", "Ms Li")
    expected = msgspec.structs.replace(meanwhile, contact="Ms Li")
    assert desk.centre.entries["unit"]["qd-caizheng"] == expected
    first, second = desk.centre.asked(admin_pb2.ApplyChangesRequest)
    assert (first.version, second.version) == (1, 2)
    assert second.changes[0].entry.unit.status == directory_pb2.UNIT_STATUS_UNSPECIFIED


def test_an_add_does_not_overwrite_what_came_in_between(desk: Desk) -> None:
    twin = msgspec.structs.replace(FINANCE, unit_id="qd-new")
    desk.centre.meanwhile = (twin,)
    assert "there is a unit qd-new already" in desk.admin(*NEW_UNIT, code=2)
    assert desk.centre.entries["unit"]["qd-new"] == twin


def test_an_import_resumes_nothing_and_says_so(desk: Desk) -> None:
    """The file is from before the suspension, as ``export`` wrote it."""
    desk.centre.keep(FINANCE)
    desk.admin("export", "--kind", "unit", "-o", "u.toml")
    file = desk.here / "u.toml"
    file.write_text(file.read_text().replace("Mr Wang", "Ms Li"))
    suspended = msgspec.structs.replace(FINANCE, status="SUSPENDED")
    desk.centre.keep(suspended)
    said = desk.admin("import", "u.toml", "--apply")
    assert "unit qd-caizheng stays" in said
    expected = msgspec.structs.replace(suspended, contact="Ms Li")
    assert desk.centre.entries["unit"]["qd-caizheng"] == expected
    new = file.read_text().replace("qd-caizheng", "qd-new").replace("ACTIVE", "SUSPENDED")
    file.write_text(new)
    assert "stays" not in desk.admin("import", "u.toml", "--apply")
    (*_, last) = desk.centre.asked(admin_pb2.ApplyChangesRequest)
    assert last.version == desk.centre.version
    assert last.changes[0].entry.unit.status == directory_pb2.UNIT_STATUS_SUSPENDED


def test_an_import_names_every_fault_and_asks_the_centre_nothing(desk: Desk) -> None:
    (desk.here / "g.csv").write_text("group_id,name_zh,name_en,members\nA B,一,One,\ntwo,,Two,\n")
    faults = desk.json("import", "g.csv", "--kind", "group", code=2)
    assert [(each.get("row"), each.get("column")) for each in faults[:-1]] == [
        (2, "group_id"),
        (3, "name_zh"),
    ]
    assert faults[-1]["error"] == "INVALID_REQUEST"
    table = desk.admin("import", "g.csv", "--kind", "group", "--apply", code=2)
    assert "is missing" in table
    assert desk.centre.requests == []


def test_an_export_is_what_an_import_finds_unchanged(desk: Desk) -> None:
    route = RouteEntry(route_id="up", effect="ALLOW", sender="*", recipient="*", note="=1+1")
    desk.centre.keep(
        FINANCE,
        route,
        StaffEntry(name="li", person="8", full_name="李四", role="auditor", status="ACTIVE"),
    )
    desk.admin("export", "-o", "all.toml")
    desk.admin("export", "--kind", "route", "-o", "routes.csv")
    assert "'=1+1" in (desk.here / "routes.csv").read_text(encoding="utf-8-sig")
    for arguments in (["all.toml"], ["routes.csv", "--kind", "route"]):
        assert "nothing to change" in desk.admin("import", *arguments)
    assert "--replace" in desk.admin("export", "-o", "all.toml", code=2)
    desk.admin("export", "-o", "all.toml", "--replace")
    assert "one kind" in desk.admin("export", "-o", "all.csv", code=2)
    assert not (desk.here / "all.csv").exists()


def test_tokens(desk: Desk) -> None:
    said = desk.admin(
        "token", "issue", "--unit", "qd-new", "--system", "oa", "--seal", "main", "--hours", "2"
    )
    assert (
        f"exchange enrol --authority ca.example:7443 --fingerprint {FINGERPRINT} --unit qd-new"
        " --token secret-of-the-token" in said
    )
    (asked,) = desk.centre.asked(authority_pb2.IssueTokenRequest)
    said = desk.admin("token", "issue", "--unit", "qd-new", "--system", "oa")
    assert f"{FINGERPRINT} --unit qd-new --no-seal --token" in said
    assert (asked.unit, asked.system, asked.seal, asked.lifetime_s) == (
        "qd-new",
        "oa",
        "main",
        7200,
    )
    for wrong in (["--unit", "qd-new"], ["--system", "oa"], ["--staff", "li"], []):
        desk.admin("token", "issue", *wrong, code=2)
    assert "open" in desk.admin("token", "list")
    assert "可用" in desk.admin("token", "list", "--standing", "open", "--lang", "zh")
    assert "--yes" in desk.admin("token", "withdraw", "t-1")
    assert desk.centre.asked(authority_pb2.WithdrawTokenRequest) == []
    assert "NOT_FOUND" in desk.admin("token", "withdraw", "t-9", code=6)
    desk.admin("token", "withdraw", "t-1", "--yes")
    assert len(desk.centre.asked(authority_pb2.WithdrawTokenRequest)) == 1


def test_seals(desk: Desk) -> None:
    assert KEY in desk.admin("seal", "list")
    assert "--key" in desk.admin("seal", "approve", "s-1", code=2)
    assert "issued" in desk.admin("seal", "approve", "s-1", "--key", KEY.upper())
    assert "rejected" in desk.admin("seal", "reject", "s-1", "--reason", "not theirs")
    assert "NOT_FOUND" in desk.admin("seal", "reject", "s-9", "--reason", "x", code=6)
    approved, rejected = desk.centre.asked(authority_pb2.ApproveSealRequest)
    assert (approved.key_sha256, approved.reject) == (KEY, False)
    assert (rejected.key_sha256, rejected.reject, rejected.reason) == (KEY, True, "not theirs")


def test_certificates(desk: Desk) -> None:
    desk.admin("certificate", "list", "--unit", "qd-caizheng", "--ending-within", "7")
    (asked,) = desk.centre.asked(authority_pb2.ListCertificatesRequest)
    assert (asked.unit, asked.ending_within_s) == ("qd-caizheng", 7 * 24 * 3600)
    for name, field in (("0A1B", "serial"), (FINGERPRINT, "fingerprint")):
        arguments = ["certificate", "revoke", name, "--reason", "keyCompromise"]
        shown = desk.admin(*arguments)
        assert "unit/qd-caizheng/system/oa" in shown
        assert "--yes" in shown
        assert desk.centre.asked(authority_pb2.RevokeRequest) == []
        assert "revoked: " in desk.admin(*arguments, "--yes")
        (revoked,) = desk.centre.asked(authority_pb2.RevokeRequest)
        assert (getattr(revoked, field), revoked.reason) == (name.lower(), "keyCompromise")
        desk.centre.requests.clear()
    assert "NOT_FOUND" in desk.admin(
        "certificate", "revoke", "ff", "--reason", "superseded", code=6
    )
    assert "keyCompromise" in desk.admin("certificate", "revoke", "ff", "--reason", "bogus", code=2)


def test_who_may_not_is_told_so(desk: Desk) -> None:
    desk.centre.refusal = NotPermitted("auditors change nothing")
    said = desk.admin("unit", "suspend", "qd-caizheng", code=4)
    assert "auditors change nothing [NOT_PERMITTED]" in said
    assert "This takes a member of staff with another role" in said


def test_what_is_not_there_is_looked_for_in_a_list(desk: Desk) -> None:
    said = desk.admin("unit", "show", "qd-nowhere", code=6)
    assert "exchange admin ... list" in said
    assert "sent or received" not in said


def test_a_stale_decision_is_told_to_look_again(desk: Desk) -> None:
    desk.centre.refusal = EntriesChanged()
    said = desk.admin("unit", "suspend", "qd-caizheng", code=6)
    assert "decide again" in said
    assert "document" not in said


@pytest.mark.parametrize(("place", "suggested"), [(0, "--kind staff"), (2, "--kind unit")])
def test_an_import_for_another_role_says_what_to_leave_out(
    desk: Desk, place: int, suggested: str
) -> None:
    (desk.here / "all.toml").write_text(
        "[[unit]]\nunit_id = 'qd-new'\nname_zh = '新'\nname_en = 'New'\nshort_zh = '新'\n"
        "kind = 'OFFICE'\norganisation_code = '900000022'\n"
        "[[system]]\nunit_id = 'qd-new'\nname = 'oa'\n"
        "[[staff]]\nname = 'wang'\nperson = '1'\nfull_name = 'W'\nrole = 'operator'\n"
    )
    desk.centre.refusal = NotPermitted("no", change=str(place))
    said = desk.admin("import", "all.toml", code=4)
    assert f"import only what your role keeps: {suggested}" in said


def test_a_csv_file_without_its_kind_is_told_the_option(desk: Desk) -> None:
    (desk.here / "units.csv").write_text("unit_id\nqd-a\n")
    assert "say which with --kind, one of " in desk.admin("import", "units.csv", code=2)


def test_route_and_groups(desk: Desk) -> None:
    desk.centre.answer = directory_pb2.CheckRouteResponse(
        allowed=False,
        reason="rule down denies it",
        route_id="down",
        steps=[
            directory_pb2.RouteStep(name="sender", passed=True, detail="qd-caizheng is active"),
            directory_pb2.RouteStep(name="rule", passed=False, detail="rule down denies it"),
        ],
    )
    table = desk.run("route", "qd-jiaoyu", "--lang", "zh", code=4, profile="qd-caizheng")
    assert "不通过" in table
    assert "发文单位" in table
    assert "不可发往 qd-jiaoyu" in table
    desk.centre.answer.allowed = True
    row = json.loads(desk.run("route", "qd-jiaoyu", "--from", "qd-x", "--json"))
    assert row["allowed"] is True
    assert [each["passed"] for each in row["steps"]] == [True, False]
    assert desk.centre.asked(directory_pb2.CheckRouteRequest)[-1].sender == "qd-x"
    desk.centre.groups = [
        directory_pb2.Group(group_id="all", name_zh="全部", members=["qd-a", "qd-b"])
    ]
    assert "全部" in desk.run("groups", "--lang", "zh")
    assert json.loads(desk.run("groups", "--json"))["members"] == ["qd-a", "qd-b"]


def test_a_profile_of_staff_is_listed_and_imported(desk: Desk) -> None:
    (row,) = [
        each
        for each in map(json.loads, desk.run("profile", "list", "--json").splitlines())
        if each["profile"] == "one"
    ]
    assert (row["unit_id"], row["system"], row["seal"]) == ("", "one", False)
    (desk.here / "profiles" / "one").rename(desk.here / "brought")
    said = desk.run("profile", "import", "brought", "--json")
    assert json.loads(said)["profile"] == "one"
    assert "nothing to show" in desk.admin("unit", "list")


ADMINISTRATION = (Path(__file__).parents[2] / "docs" / "administration.md").read_text("utf-8")
LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", ADMINISTRATION, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_the_commands_of_the_document_are_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("units.csv", "registry.toml", "notice.pdf"):
        Path(name).touch()
    program, *arguments = shlex.split(line)
    command: click.Command = exchange
    context = exchange.make_context(program, arguments)
    while isinstance(command, click.Group):
        verb, found, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert found is not None
        command = found
        context = command.make_context(verb, rest, parent=context)


def test_the_document_shows_every_verb() -> None:
    shown = {" ".join(shlex.split(line)[:4]) for line in LINES}
    for path, _ in commands(admin):
        words = path.split()
        if len(words) == 2:
            assert any(line.startswith(f"exchange {path}") for line in shown), path
    for kind in admin.commands:
        assert any(line.startswith(f"exchange admin {kind} ") for line in shown) or kind in (
            "region",
            "business",
        ), kind
