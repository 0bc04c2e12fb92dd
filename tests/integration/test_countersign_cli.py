"""Joint issue with the command line alone, each command a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from exchange_client.testing import LocalCentre

from tests.shell_for_tests import Shell

LEADER, SECOND, THIRD = ISSUERS = ("qd-caizheng", "qd-jiaoyu", "qd-tongji")


@pytest.fixture
def shell(local_centre: LocalCentre, tmp_path: Path) -> Shell:
    return Shell(local_centre.config_dir, tmp_path)


def drafted(shell: Shell) -> Path:
    """A draft of three issuers, in the directory ``joint``."""
    (shell.directory / "notice.pdf").write_bytes(b"%PDF-1.7")
    issuers = [word for unit in ISSUERS for word in ("--issuer", unit)]
    (row,) = shell.rows(
        *("--profile", LEADER, "draft", "notice.pdf", "--to", "qd-zhengfuban"),
        *("--title", "联合通知", "--number", "青财联〔2026〕1号", "-o", "joint", *issuers),
    )
    assert (row["sealed_by"], row["missing"]) == ([LEADER], [SECOND, THIRD])
    assert row["parts"][0]["path"] == "joint/parts/001.pdf"
    return shell.directory / "joint"


def test_by_file(shell: Shell) -> None:
    drafted(shell)
    refused = shell.run("--profile", LEADER, "send", "--draft", "joint", code=6)
    assert f"{SECOND}, {THIRD}" in refused.stderr
    assert "exchange countersign joint --collect" in refused.stderr
    # Nobody seals unseen: without a terminal it takes --yes, and the draft is shown all the same.
    unasked = shell.run("--profile", SECOND, "countersign", "joint", code=2)
    assert "青财联〔2026〕1号" in unasked.stdout
    assert "--yes" in unasked.stderr
    for unit in (SECOND, THIRD):
        # A program looks first; nothing is sealed by that.
        (seen,) = shell.rows("--profile", unit, "countersign", "joint")
        assert (seen["unit"], seen["sealed"], unit in seen["missing"]) == (unit, False, True)
        (row,) = shell.rows("--profile", unit, "countersign", "joint", "--yes")
        assert (row["envelope_id"], row["sealed"]) == (seen["envelope_id"], True)
        assert unit in row["sealed_by"]
    (sent,) = shell.rows("--profile", LEADER, "send", "--draft", "joint")
    (again,) = shell.rows("--profile", LEADER, "send", "--draft", "joint")
    assert again["envelope_id"] == sent["envelope_id"]
    assert (sent["repeated"], again["repeated"]) == (False, True)
    mixed = ("send", "--draft", "joint", "--title", "x")
    assert "--draft" in shell.run("--profile", LEADER, *mixed, code=2).stderr


def test_through_the_centre(shell: Shell) -> None:
    drafted(shell)
    asked = ("--profile", LEADER, "countersign", "joint", "--request", "--reply-due", "2099-01-31")
    (row,) = shell.rows(*asked)
    request_id = row["standing"][1]["request_id"]
    assert [each["state"] for each in row["standing"]] == ["", "PENDING", "PENDING"]
    (inbox,) = [
        each
        for each in shell.rows("--profile", SECOND, "inbox")
        if each["envelope_id"] == request_id
    ]
    assert inbox["business"] == "COUNTERSIGN"

    answering = ("countersign", "--envelope", request_id)
    (seen,) = shell.rows("--profile", SECOND, *answering)
    assert (seen["sealed"], "answer_id" in seen) == (False, False)
    (answer,) = shell.rows("--profile", SECOND, *answering, "--yes")
    assert (answer["sealed"], answer["repeated"]) == (True, False)
    assert (answer["request_id"], answer["envelope_id"]) == (request_id, row["envelope_id"])
    assert answer["answer_id"] not in (request_id, row["envelope_id"])
    # Once is enough, and nothing is asked again.
    (again,) = shell.rows("--profile", SECOND, *answering)
    assert again == {**answer, "repeated": True}
    told = shell.run("--profile", SECOND, *answering).stdout
    assert f"exchange withdraw {answer['answer_id']}" in told
    assert Path(shell.directory / answer["parts"][0]["path"]).read_bytes() == b"%PDF-1.7"
    shell.run("--profile", THIRD, "receive", request_id)
    shell.run("--profile", THIRD, "refuse", request_id, "--code", "NOT_CONSULTED")

    (collected,) = shell.rows("--profile", LEADER, "countersign", "joint", "--collect")
    assert (collected["taken"], collected["missing"]) == ([SECOND], [THIRD])
    third = collected["standing"][2]
    assert (third["state"], third["reason_code"]) == ("REFUSED", "NOT_CONSULTED")
    table = shell.run("--profile", LEADER, "--lang", "zh", "countersign", "joint", "--collect")
    assert "未会签" in table.stdout
    assert THIRD in table.stderr

    (row,) = shell.rows("--profile", LEADER, "countersign", "joint", "--request")
    shell.run(
        *("--profile", THIRD, "countersign", "--envelope", row["standing"][2]["request_id"]),
        "--yes",
    )
    done = shell.run("--profile", LEADER, "countersign", "joint", "--collect")
    assert "exchange send --draft joint" in done.stderr
    (sent,) = shell.rows("--profile", LEADER, "send", "--draft", "joint")
    assert sent["recipients"] == ["qd-zhengfuban"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_asks(shell: Shell, local_centre: LocalCentre, answer: str) -> None:
    draft = drafted(shell)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "exchange_client.cli", "--profile", SECOND, "countersign"]
    with subprocess.Popen(
        [*command, "joint"],
        cwd=shell.directory,
        env={**os.environ, "EXCHANGE_CONFIG": str(local_centre.config_dir), "LC_ALL": "C.UTF-8"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "notice.pdf" in out
    assert f"Seal this document for {SECOND}?" in err
    sealed = (draft / "signatures" / f"{SECOND}.p7s").exists()
    assert (process.returncode, sealed) == ((0, True) if answer == "y" else (1, False))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("joint", "--request", "--collect"),
        ("joint", "--envelope", "x"),
        ("--request",),
        ("joint", "--reply-due", "2099-01-31"),
    ],
)
def test_one_thing_at_a_time(shell: Shell, arguments: tuple[str, ...]) -> None:
    (shell.directory / "joint").mkdir()
    shell.run("--profile", LEADER, "countersign", *arguments, code=2)


def test_an_ordinary_document_is_no_request(shell: Shell) -> None:
    envelope_id = shell.send("一般公文")
    asked = ("--profile", SECOND, "countersign", "--envelope", envelope_id)
    refused = shell.run(*asked, code=2).stderr
    assert "is no request for a seal" in refused
    assert f"exchange receive {envelope_id}" in refused
    assert "Do not seal" not in refused
    (row,) = [
        row for row in shell.rows("--profile", SECOND, "inbox") if row["envelope_id"] == envelope_id
    ]
    assert row["state"] == "PENDING"  # looking at it has taken nothing


def test_a_foreign_file_is_named_with_what_to_do(shell: Shell) -> None:
    draft = drafted(shell)
    (draft / "signatures" / "Thumbs.db").write_bytes(b"x")
    for arguments in (("send", "--draft", "joint"), ("countersign", "joint", "--collect")):
        refused = shell.run("--profile", LEADER, *arguments, code=6)
        assert "Thumbs.db" in refused.stderr
        assert "emove the file" in refused.stderr
        assert "Do not seal" not in refused.stderr
        assert "send it as a new one" not in refused.stderr
    (draft / "signatures" / "Thumbs.db").unlink()
    shell.run("--profile", LEADER, "countersign", "joint", "--collect")


def test_a_request_that_does_not_stand_is_shown(shell: Shell) -> None:
    drafted(shell)
    (row,) = shell.rows("--profile", LEADER, "countersign", "joint", "--request")
    request_id = row["standing"][1]["request_id"]
    shell.run("--profile", SECOND, "countersign", "--envelope", request_id, "--yes")
    shell.run("--profile", SECOND, "return", request_id, "--code", "NOT_CONSULTED")
    told = shell.run("--profile", LEADER, "--lang", "zh", "countersign", "joint", "--collect")
    assert f"发出前请向 {SECOND} 确认" in told.stderr
    shell.run("--profile", THIRD, "receive", request_id)
    shell.run("--profile", THIRD, "refuse", request_id, "--code", "NOT_CONSULTED")
    refused = shell.run(
        *("--profile", THIRD, "countersign", "--envelope", request_id, "--yes"), code=6
    )
    assert "does not stand any more" in refused.stderr
    assert "Do not seal it" in refused.stderr
