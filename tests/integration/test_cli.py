"""The command line and the real centre, each command a process of its own."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from exchange_client.testing import LocalCentre

from tests.shell_for_tests import Shell


@pytest.fixture
def shell(local_centre: LocalCentre, tmp_path: Path) -> Shell:
    return Shell(local_centre.config_dir, tmp_path)


def test_send_receive_sign_and_track(shell: Shell) -> None:
    envelope_id = shell.send(
        "关于编制部门预算的通知", "--urgency", "urgent", "--number", "青财预〔2009〕16号"
    )

    waiting = shell.rows("--profile", "qd-jiaoyu", "inbox")
    (row,) = [each for each in waiting if each["envelope_id"] == envelope_id]
    assert (row["state"], row["urgency"], row["sender"]) == ("PENDING", "URGENT", "qd-caizheng")
    assert row["accepted_at"].endswith("Z")

    (received,) = shell.rows("--profile", "qd-jiaoyu", "receive", "--sign", envelope_id)
    assert received["state"] == "SIGNED_FOR"
    (part,) = received["parts"]
    path = shell.directory / part["path"]
    assert path.read_bytes() == "%PDF-1.7 关于编制部门预算的通知".encode()
    assert path.parent.parent.parent == shell.directory / "received"

    steps = shell.rows("--profile", "qd-caizheng", "track", envelope_id)
    assert [each["type"] for each in steps] == ["ACCEPTED", "DELIVERED", "SIGNED_FOR"]
    sent = shell.rows("--profile", "qd-caizheng", "outbox", "--state", "signed_for")
    assert sent[0]["envelope_id"] == envelope_id
    assert sent[0]["deliveries"][0]["state"] == "SIGNED_FOR"


def test_tables_speak_chinese(shell: Shell) -> None:
    envelope_id = shell.send("关于报送统计年报的通知")
    table = shell.run("--profile", "qd-jiaoyu", "inbox", "--lang", "zh").stdout
    (line,) = [line for line in table.splitlines() if envelope_id in line]
    assert "待送达" in line
    assert "关于报送统计年报的通知" in line
    assert "来文单位" in table
    units = shell.run("--lang", "zh", "--profile", "qd-jiaoyu", "units").stdout
    assert "青岛市财政局" in units
    assert "Finance Bureau" in shell.run("--profile", "qd-jiaoyu", "units").stdout


@pytest.mark.parametrize("how", ["--supersedes", "--voids"])
def test_what_was_replaced_is_named_before_it_is_signed_for(shell: Shell, how: str) -> None:
    earlier = shell.send("替代前")
    later = shell.send("替代后", how, earlier)
    taking = ("--profile", "qd-jiaoyu", "receive", "--sign")
    told = shell.run("--json", *taking, earlier)
    assert json.loads(told.stdout)["replaced_by"] == later
    assert json.loads(told.stderr) == {
        "notice": "was_replaced",
        "envelope_id": earlier,
        "replaced_by": later,
        "title": "替代前",
    }
    shown = shell.run(*taking, earlier).stderr
    assert f"void by envelope {later}; see  exchange thread {earlier}" in shown
    shown = shell.run("--lang", "zh", *taking, earlier).stderr
    assert f"已被信封 {later} 替代或声明作废" in shown
    assert shell.run(*taking, later).stderr == ""


def test_a_step_of_the_sender_and_a_wrong_recipient_are_told_as_such(shell: Shell) -> None:
    envelope_id = shell.send("催办对象")
    urged = ("urge", envelope_id)
    refused = shell.run("--profile", "qd-jiaoyu", *urged, code=6).stderr
    assert "This is a step of the sender, qd-caizheng" in refused
    for doing in (urged, ("offer-again", envelope_id)):
        wrong = (*doing, "--recipient", "qd-shinan")
        refused = shell.run("--profile", "qd-caizheng", *wrong, code=6).stderr
        assert f"exchange track {envelope_id}" in refused
        assert "Check the identifier" not in refused
    shell.settle("qd-jiaoyu")


def test_everything_that_waits_is_received_once(shell: Shell) -> None:
    shell.settle("qd-jiaoyu")
    sent = {shell.send(f"通知 {number}") for number in range(3)}
    received = shell.rows("--profile", "qd-jiaoyu", "receive")
    assert {each["envelope_id"] for each in received} == sent
    again = shell.run("--profile", "qd-jiaoyu", "receive")
    assert (again.stdout, again.stderr) == ("", "nothing to show\n")
    signed = shell.rows("--profile", "qd-jiaoyu", "receive", "--sign")
    assert {(each["envelope_id"], each["state"]) for each in signed} == {
        (envelope_id, "SIGNED_FOR") for envelope_id in sent
    }


def test_refuse(shell: Shell) -> None:
    envelope_id = shell.send("关于商请协调公交线路的函")
    refusal = ("--profile", "qd-jiaoyu", "refuse", envelope_id, "--code", "NOT_OUR_REMIT")
    assert "[STATE_CONFLICT]" in shell.run(*refusal, code=6).stderr
    shell.rows("--profile", "qd-jiaoyu", "receive", envelope_id)
    assert "refused" in shell.run(*refusal).stdout
    (last,) = shell.rows("--profile", "qd-caizheng", "track", envelope_id)[-1:]
    assert (last["type"], last["reason_code"]) == ("REFUSED", "NOT_OUR_REMIT")
    bogus = shell.run("--profile", "qd-jiaoyu", "refuse", envelope_id, "--code", "BOGUS", code=2)
    assert "WRONG_RECIPIENT" in bogus.stderr


def test_a_folder_that_is_in_the_way_stops_one_document_only(shell: Shell, tmp_path: Path) -> None:
    shell.settle("qd-jiaoyu")
    blocked, free = shell.send("甲"), shell.send("乙")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "rs").mkdir()
    (tmp_path / "rs" / blocked).symlink_to(elsewhere)
    arguments = ("--json", "--profile", "qd-jiaoyu", "receive", "--out", "rs")

    def received(*named: str) -> list[str]:
        done = shell.run(*arguments, *named, code=1)
        error = json.loads(done.stderr)
        assert (error["error"], error["exit_code"]) == ("CONFIGURATION", 3)
        assert error["attributes"]["path"].endswith(f"rs/{blocked}")
        return [json.loads(line)["envelope_id"] for line in done.stdout.splitlines()]

    assert received() == [free]
    named = shell.send("丙")
    assert received(blocked, named) == [named]
    assert list(elsewhere.iterdir()) == []
    (tmp_path / "rs" / blocked).unlink()
    assert shell.rows("--profile", "qd-jiaoyu", "receive", "--out", "rs", blocked)


def test_groups_become_recipients(shell: Shell) -> None:
    (shell.directory / "a.csv").write_text("1,2\n")
    (row,) = shell.rows(
        *("--profile", "qd-caizheng", "send", "a.csv", "--to", "@all-departments"),
        *("--cc", "qd-zhengfu,qd-jiaoyu", "--title", "数据", "--business", "DATA"),
    )
    assert row["recipients"][-1] == "qd-zhengfu"
    assert {"qd-jiaoyu", "qd-tongji"} <= set(row["recipients"])
    assert "qd-caizheng" not in row["recipients"]
    assert len(set(row["recipients"])) == len(row["recipients"])


def test_a_joint_issue_takes_the_seals_of_other_profiles(shell: Shell) -> None:
    (shell.directory / "a.pdf").write_bytes(b"%PDF")
    command = ["--profile", "qd-zhengfuban", "send", "a.pdf", "--to", "qd-jiaoyu"]
    command += ["--title", "意见", "--issuer", "qd-zhengfu", "--issuer", "qd-zhengfuban"]
    said = shell.run(*command, code=6).stderr
    assert "[SIGNATURE_MISSING]" in said
    assert "--seal PROFILE  with a profile of qd-zhengfu" in said
    shell.run(*command, "--seal", "qd-zhengfu")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["track", "0121a0c4-5f80-7abc-8def-0123456789ab"], 6, "NOT_FOUND"),
        (["track", "nonsense"], 2, "INVALID_REQUEST"),
        (["receive", "0121a0c4-5f80-7abc-8def-0123456789ab"], 6, "NOT_FOUND"),
        (["send", "/etc/hostname", "--to", "qd-nobody", "--title", "t"], 6, "RECIPIENTS_REFUSED"),
        (["inbox", "--state", "LOST"], 2, "USAGE"),
        (["units", "--group", "nosuch"], 2, "INVALID_REQUEST"),
        (["send", "/etc/hostname", "--to", "@nosuch", "--title", "t"], 2, "INVALID_REQUEST"),
        (["--profile", "nobody", "inbox"], 3, "CONFIGURATION"),
    ],
)
def test_exit_codes(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    done = shell.run("--json", "--profile", "qd-caizheng", *arguments, code=code)
    assert done.stdout == ""
    assert json.loads(done.stderr)["error"] == said


def test_a_group_that_is_not_there_is_answered_with_those_there_are(shell: Shell) -> None:
    said = shell.run("--profile", "qd-caizheng", "units", "--group", "nosuch", code=2).stderr
    assert "there is no group nosuch; the groups are all-departments" in said
    table = shell.run("--profile", "qd-caizheng", "units").stdout
    assert "groups" in table
    assert "all-departments" in table


@pytest.mark.parametrize("form", [["--json"], []])
def test_a_centre_that_is_down_is_said_once(
    form: list[str], shell: Shell, local_centre: LocalCentre, tmp_path: Path
) -> None:
    config = tmp_path / "profiles"
    shutil.copytree(local_centre.config_dir / "qd-caizheng", config / "qd-caizheng")
    profile = config / "qd-caizheng" / "profile.toml"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        profile.write_text(profile.read_text().replace(local_centre.address, address))
        down = Shell(config, tmp_path)
        with down.start(*form, "outbox") as process:
            assert process.stderr is not None
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert process.returncode == 130
    assert f"nothing listens at {address}" in first
    assert "retry" in first if form else "trying again for 30 s" in first
    assert rest.count("\n") == 1
    assert "interrupted" in rest


def test_a_directory_that_cant_be_made_is_named_whole(shell: Shell) -> None:
    envelope_id = shell.send("通知")
    arguments = ("--json", "--profile", "qd-jiaoyu", "receive", "--out", "/proc/x/y", envelope_id)
    error = json.loads(shell.run(*arguments, code=3).stderr)
    assert error["error"] == "FILES"
    assert error["message"].startswith("/proc/x/y: ")


def test_evidence_that_cant_be_written_is_named_as_it_was_asked_for(shell: Shell) -> None:
    envelope_id = shell.send("通知")
    evidence = ("--json", "--profile", "qd-caizheng", "evidence", envelope_id, "-o")
    error = json.loads(shell.run(*evidence, "missing/x.zip", code=3).stderr)
    assert error["message"] == "missing/x.zip: No such file or directory"
    (shell.directory / "e.zip").write_bytes(b"what was there before")
    shell.run(*evidence, "e.zip")
    assert (shell.directory / "e.zip").read_bytes().startswith(b"PK")
    assert list(shell.directory.glob(".*")) == []


def test_a_full_disk_behind_stdout_is_1(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exchange_client.cli", "--profile", "qd-caizheng", "units"],
            env=shell._environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output: No space left on device [FILES]")


def test_of_several_some_may_fail(shell: Shell) -> None:
    envelope_id = shell.send("通知")
    unknown = "0121a0c4-5f80-7abc-8def-0123456789ab"
    rows = shell.rows("--profile", "qd-jiaoyu", "receive", unknown, envelope_id, code=1)
    assert [row["envelope_id"] for row in rows] == [envelope_id]


def test_following_goes_on_until_interrupted(shell: Shell) -> None:
    shell.settle("qd-jiaoyu")
    arguments = ("--json", "--profile", "qd-jiaoyu", "receive", "--follow", "--sign")
    with shell.start(*arguments) as process:
        assert process.stdout is not None
        envelope_id = shell.send("跟踪接收")
        for line in process.stdout:
            if json.loads(line)["envelope_id"] == envelope_id:
                break
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", '{"notice": "interrupted"}\n')
    assert process.returncode == 130


def test_a_reader_that_has_enough_is_told_nothing(shell: Shell) -> None:
    with shell.start("--json", "--profile", "qd-jiaoyu", "units") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_profiles(shell: Shell, local_centre: LocalCentre, tmp_path: Path) -> None:
    listed = {row["profile"]: row for row in shell.rows("profile", "list")}
    assert listed["qd-caizheng"]["address"] == local_centre.address
    assert listed["qd-caizheng"]["seal"] is True
    mine = Shell(tmp_path / "mine", tmp_path)
    source = local_centre.config_dir / "qd-caizheng"
    (row,) = mine.rows("profile", "import", str(source))
    assert row["profile"] == "qd-caizheng"
    assert mine.rows("units")  # the only profile needs no name
    mine.run("profile", "import", str(source), code=3)
