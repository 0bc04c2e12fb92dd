"""The verbs of a delivery's life and the real centre; the whole table is in tests/acceptance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exchange_client.testing import LocalCentre

from tests.shell_for_tests import Shell

SENDER, RECIPIENT = ("--profile", "qd-caizheng"), ("--profile", "qd-jiaoyu")
NOBODYS = "0121a0c4-5f80-7abc-8def-0123456789ab"


@pytest.fixture
def shell(local_centre: LocalCentre, tmp_path: Path) -> Shell:
    return Shell(local_centre.config_dir, tmp_path)


def signed_for(shell: Shell, title: str, *more: str) -> str:
    envelope_id = shell.send(title, *more)
    shell.rows(*RECIPIENT, "receive", "--sign", envelope_id)
    return envelope_id


def test_some_of_several_may_fail(shell: Shell) -> None:
    envelope_id = signed_for(shell, "办结")
    done = shell.run("--json", *RECIPIENT, "complete", envelope_id, NOBODYS, envelope_id, code=1)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["type"], row["state"], row["seq"]) == ("COMPLETED", "COMPLETED", 3)
    assert json.loads(done.stderr)["error"] == "NOT_FOUND"
    returning = (*RECIPIENT, "return", envelope_id, "--code", "DUPLICATE")
    assert "[STATE_CONFLICT]" in shell.run(*returning, code=6).stderr


def test_a_repetition_says_that_it_had_been_recorded(shell: Shell) -> None:
    """As after an error whose outcome is unknown: each command has its own receipt."""
    envelope_id, refused = shell.send("通知"), shell.send("重复")
    shell.rows(*RECIPIENT, "receive", envelope_id, refused)

    def twice(unit: tuple[str, str], verb: str, envelope_id: str, *more: str) -> None:
        (first,) = shell.rows(*unit, verb, envelope_id, *more)
        (again,) = shell.rows(*unit, verb, envelope_id, *more)
        assert (first.pop("repeated"), again.pop("repeated")) == (False, True)
        assert again == first
        said = shell.run(*unit, "--lang", "zh", verb, envelope_id, *more).stdout
        assert said.startswith("此前已记录：")

    twice(RECIPIENT, "sign", envelope_id)
    shell.rows(*SENDER, "withdraw", envelope_id, "--request", "附件有误")
    twice(RECIPIENT, "grant", envelope_id)
    twice(RECIPIENT, "refuse", refused, "--code", "DUPLICATE", "--reason", "已收过")
    other = (*RECIPIENT, "refuse", refused, "--code", "WRONG_RECIPIENT")
    assert "[STATE_CONFLICT]" in shell.run(*other, code=6).stderr
    twice(SENDER, "offer-again", refused, "--recipient", "qd-jiaoyu")
    twice(SENDER, "withdraw", refused)
    types = [row["type"] for row in shell.rows(*SENDER, "track", refused)]
    assert types == ["ACCEPTED", "DELIVERED", "REFUSED", "OFFERED_AGAIN", "WITHDRAWN"]


def test_what_another_unit_said_is_no_repetition(shell: Shell) -> None:
    envelope_id = shell.send("误发", "--to", "qd-tongji")
    shell.rows(*SENDER, "withdraw", envelope_id, "--from", "qd-jiaoyu")
    shell.rows("--profile", "qd-tongji", "receive", "--sign", envelope_id)
    late = shell.run("--json", *RECIPIENT, "sign", envelope_id, code=6)
    assert json.loads(late.stderr)["won"]["type"] == "WITHDRAWN"


def test_withdrawing_is_for_all_who_have_not_signed(shell: Shell) -> None:
    envelope_id = signed_for(shell, "误发", "--to", "qd-tongji,qd-zhengfu")
    done = shell.run("--json", *SENDER, "withdraw", envelope_id, code=1)
    assert {json.loads(line)["recipient"] for line in done.stdout.splitlines()} == {
        *("qd-tongji", "qd-zhengfu"),
    }
    late = json.loads(done.stderr)
    assert (late["attributes"]["recipient"], late["won"]["type"]) == ("qd-jiaoyu", "SIGNED_FOR")
    (asked,) = shell.rows(*SENDER, "withdraw", envelope_id, "--request", "附件有误")
    assert (asked["type"], asked["reason"]) == ("WITHDRAWAL_REQUESTED", "附件有误")
    shell.rows(*RECIPIENT, "grant", envelope_id)
    said = shell.run(*SENDER, "urge", envelope_id, code=6).stderr
    assert "is left for that: 3 WITHDRAWN" in said


def test_the_views_show_what_is_asked_in_both_languages(shell: Shell) -> None:
    envelope_id = signed_for(shell, "关于编制部门预算的通知")
    shell.rows(*SENDER, "withdraw", envelope_id, "--request", "附件有误")
    for unit, view in (
        (RECIPIENT, ("inbox", "--open")),
        (SENDER, ("outbox",)),
        (SENDER, ("track", envelope_id)),
    ):
        for language, word in (("en", "withdrawal requested"), ("zh", "申请撤回")):
            assert word in shell.run(*unit, *view, "--lang", language).stdout
    assert envelope_id not in shell.run(*RECIPIENT, "inbox").stdout
    (accepted, *_) = shell.rows(*RECIPIENT, "track", envelope_id)
    (stands,) = accepted["deliveries"]
    assert (stands["recipient"], stands["withdrawal_requested"]) == ("qd-jiaoyu", True)
    assert stands["last_type"] == "WITHDRAWAL_REQUESTED"


def test_news_come_until_they_were_noted(shell: Shell) -> None:
    envelope_id = signed_for(shell, "通知")

    def told(*arguments: str) -> list[tuple[str, int]]:
        rows = shell.rows(*SENDER, "news", *arguments)
        return [(row["type"], row["seq"]) for row in rows if row["envelope_id"] == envelope_id]

    assert told() == told() == [("SIGNED_FOR", 2)]
    assert told("--state", "COMPLETED") == []
    (noted,) = shell.rows(*SENDER, "seen", envelope_id)
    assert (noted["recipient"], noted["seq"]) == ("qd-jiaoyu", 2)
    assert told() == []
    shell.rows(*RECIPIENT, "progress", envelope_id, "正在会签")
    assert told("--seen") == [("PROGRESS", 3)]
    assert told() == []


def test_what_waits_may_be_urged(shell: Shell) -> None:
    envelope_id = shell.send("通知")
    shell.rows(*SENDER, "urge", envelope_id, "--reason", "请尽快签收")
    done = shell.run(*RECIPIENT, "receive")
    assert f"urged: 通知 ({envelope_id})" in done.stderr
    assert envelope_id in done.stdout


def test_a_recipient_notes_what_its_sender_said(shell: Shell) -> None:
    envelope_id = signed_for(shell, "通知")
    shell.rows(*SENDER, "urge", envelope_id)
    waiting = (*RECIPIENT, "receive", "--lang", "zh")
    assert f"催办：通知（{envelope_id}）" in shell.run(*waiting).stderr
    shell.rows(*RECIPIENT, "seen", envelope_id)
    assert envelope_id not in shell.run(*waiting).stderr
    said = shell.run(*RECIPIENT, "seen", envelope_id, "--recipient", "qd-tongji", code=6).stderr
    assert "qd-tongji is no recipient" in said
