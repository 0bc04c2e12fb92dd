"""``exchange enrol --batch``: many tokens in one process, and what becomes of each is said."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from exchange_client.cli import main
from exchange_client.enrolment_batch import applications
from exchange_client.locations import profile_names
from exchange_client.profile import Profile

from document_exchange.errors import ConfigurationError
from document_exchange.v1 import authority_pb2
from tests.joining_for_tests import STAFF_TOKEN, TOKEN, UNIT, ScriptedAuthority, WelcomingCentre

Captured = pytest.CaptureFixture[str]


def line(authority: ScriptedAuthority, **more: Any) -> dict[str, Any]:
    where = {"authority": authority.enrolment_address, "fingerprint": authority.fingerprint}
    return {**where, **more}


def enrol(config: Path, lines: list[dict[str, Any]], *words: str) -> int:
    batch = config.with_name("batch.jsonl")
    batch.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return main(["enrol", "--batch", str(batch), *words])


def test_each_line_becomes_a_profile(
    authority: ScriptedAuthority, centre: WelcomingCentre, config: Path, capsys: Captured
) -> None:
    lines = [
        line(authority, token=TOKEN, unit=UNIT),
        line(authority, token=STAFF_TOKEN, profile="li", seal=False),
    ]
    assert enrol(config, lines, "--json") == 0
    rows = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert {row["profile"]: row["seal"] for row in rows} == {UNIT: "ISSUED", "li": "NONE"}
    assert Profile.load(UNIT, config).unit == UNIT
    assert Profile.load("li", config).system.name == "li.na"
    assert authority.enrolments == 2
    assert not centre.held
    for path in config.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_stops_no_other(
    authority: ScriptedAuthority, config: Path, capsys: Captured
) -> None:
    lines = [
        line(authority, token="nobody-issued-this", profile="lost"),
        {**line(authority, token=TOKEN, profile="dark"), "authority": "127.0.0.1:1"},
        line(authority, token=TOKEN),
    ]
    lines[1]["token"] = "another"
    assert enrol(config, lines, "--json") == 1
    rows = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    outcome = {row["profile"]: row.get("error") for row in rows}
    assert outcome == {"lost": "TOKEN_UNKNOWN", "dark": "UNAVAILABLE", UNIT: None}
    assert profile_names(config) == [UNIT]


def test_people_read_one_line_for_each(
    authority: ScriptedAuthority, config: Path, capsys: Captured
) -> None:
    lines = [line(authority, token=TOKEN), line(authority, token="unknown", profile="lost")]
    assert enrol(config, lines, "--lang", "zh") == 1
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 2
    assert f"配置 {UNIT} 已就绪" in said
    assert "lost：未完成注册" in said


def test_repeating_it_changes_nothing(
    authority: ScriptedAuthority, config: Path, capsys: Captured
) -> None:
    lines = [line(authority, token=TOKEN)]
    assert enrol(config, lines) == 0
    before = (config / UNIT / "system.pem").read_bytes()
    assert enrol(config, lines, "--replace") == 0
    assert authority.enrolments == 1
    assert (config / UNIT / "system.pem").read_bytes() == before
    assert "enrolled before" in capsys.readouterr().out


def test_what_all_lines_share_may_stand_on_the_command_line(
    authority: ScriptedAuthority, config: Path
) -> None:
    shared = ["--authority", authority.enrolment_address, "--fingerprint", authority.fingerprint]
    assert enrol(config, [{"token": TOKEN}], *shared) == 0
    assert profile_names(config) == [UNIT]


def test_test_documents_travel_on_request(
    authority: ScriptedAuthority, centre: WelcomingCentre, config: Path, capsys: Captured
) -> None:
    lines = [line(authority, token=TOKEN), line(authority, token=STAFF_TOKEN, seal=False)]
    assert enrol(config, lines, "--test", "--json") == 0
    [held] = centre.held.values()
    assert held.state.value == "SIGNED_FOR"
    rows = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [row["envelope_id"] for row in rows if "envelope_id" in row] == list(centre.held)


def test_a_pending_seal_is_1(authority: ScriptedAuthority, config: Path, capsys: Captured) -> None:
    authority.seal_standing = authority_pb2.SEAL_STANDING_PENDING
    assert enrol(config, [line(authority, token=TOKEN)]) == 1
    assert "PENDING" in capsys.readouterr().out
    authority.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
    assert enrol(config, [line(authority, token=TOKEN)]) == 0
    assert Profile.load(UNIT, config).seal is not None


@pytest.mark.parametrize(
    "wrong",
    [b"x", b"[]", b'{"token": "abc"}', b'{"token": 1}', b'{"tokens": "abc"}', b"\xff", b"null"],
)
def test_a_malformed_line_enrols_nobody(
    authority: ScriptedAuthority, config: Path, capsys: Captured, wrong: bytes
) -> None:
    batch = config.with_name("batch.jsonl")
    batch.write_bytes(json.dumps(line(authority, token=TOKEN)).encode() + b"\n\n" + wrong)
    assert main(["enrol", "--batch", str(batch)]) == 3
    said = capsys.readouterr().err
    assert "line 3" in said
    assert "abc" not in said
    assert authority.enrolments == 0


@pytest.mark.parametrize(
    "words", [["--unit", UNIT], ["--token", TOKEN], ["--wait"], ["--profile", "x"], ["--no-seal"]]
)
def test_what_a_line_says_is_no_option(
    authority: ScriptedAuthority, config: Path, words: list[str]
) -> None:
    assert enrol(config, [line(authority, token=TOKEN)], *words) == 2
    assert authority.enrolments == 0


def test_one_enrolment_needs_to_know_where(config: Path) -> None:
    assert main(["enrol", "--token", TOKEN, "--fingerprint", "0" * 64]) == 2
    assert main(["enrol", "--token", TOKEN, "--authority", "127.0.0.1:1"]) == 2


def test_a_line_is_an_application() -> None:
    text = b'{"token": " t ", "profile": "p", "unit": "u", "seal": false}'
    [found] = applications(text, authority="h:1", fingerprint="f", replace=True)
    assert (found.token, found.profile, found.unit) == ("t", "p", "u")
    assert (found.authority, found.root_fingerprint) == ("h:1", "f")
    assert found.replace
    assert not found.with_seal
    with pytest.raises(ConfigurationError, match="line 1"):
        applications(text)
