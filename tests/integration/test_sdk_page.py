"""docs/sdk.md is true: every block of code on it is run, in its order, against a running centre."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from exchange_client import (
    AsyncClient,
    AsyncDelivery,
    AsyncSent,
    Client,
    Delivery,
    Profile,
    Sent,
)
from exchange_client.cli import exchange
from exchange_client.testing import LocalCentre, local_centre_fixture

local_centre = local_centre_fixture(scope="module")
"""One of its own: the programs read everything that is in an inbox."""

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PROGRAMS = [text for language, text in BLOCKS if language == "python"]
OFFICE_TEST = "local_centre_fixture"


def run(directory: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_of_a_kind_that_is_tried_here() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "toml", "sh"}
    assert len([text for text in PROGRAMS if OFFICE_TEST in text]) == 1


def test_the_programs_do_what_the_page_says(local_centre: LocalCentre, tmp_path: Path) -> None:
    (tmp_path / "notice.txt").write_text("各单位", encoding="utf-8")
    printed = []
    for text in PROGRAMS:
        if OFFICE_TEST not in text:
            (tmp_path / "program.py").write_text(text, encoding="utf-8")
            config = str(local_centre.config_dir)
            printed.append(run(tmp_path, "program.py", EXCHANGE_CONFIG=config))
    sent, asked, joint, received, decided, answered, *printed = printed
    repeated, watched, followed, issued = printed
    assert "900000014-" in sent
    assert "all-departments qd-caizheng qd-jiaoyu" in asked
    assert "PARALLEL True" in asked
    assert "DOWN False" in asked
    assert "qd-caizheng 关于开展教育经费统计的通知 received/" in joint
    assert "\n()\n" in joint  # nobody's seal is missing
    assert "seal spiffe://exchange.example/unit/qd-caizheng/seal/main" in issued
    assert "关于编制部门预算的通知 各单位：请于月底前报送部门预算。" in received
    assert "SIGNED_FOR" in received
    assert decided.startswith("SIGNED_FOR spiffe://exchange.example/unit/qd-jiaoyu/seal/main ")
    assert "SUPERSEDES" in answered
    assert repeated == "the centre has it already\n"
    assert "关于报送年度总结的通知 qd-jiaoyu SIGNED_FOR" in watched
    assert "关于报送年度总结的通知 qd-jiaoyu SIGNED_FOR" in followed


def test_the_test_of_an_office_passes(tmp_path: Path) -> None:
    [text] = [text for text in PROGRAMS if OFFICE_TEST in text]
    (tmp_path / "test_office.py").write_text(text, encoding="utf-8")
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "test_office.py")


def test_the_profile_is_read_and_imported(local_centre: LocalCentre, tmp_path: Path) -> None:
    [example] = [text for language, text in BLOCKS if language == "toml"]
    profile = tmp_path / "qd-caizheng"
    profile.mkdir()
    for path in (local_centre.config_dir / "qd-caizheng").iterdir():
        (profile / path.name).write_bytes(path.read_bytes())
    found = str(local_centre.description["root_fingerprint"])
    named = tomllib.loads(example)["root_fingerprint"]
    (profile / "profile.toml").write_text(example.replace(named, found), encoding="utf-8")
    with tarfile.open(tmp_path / "qd-caizheng.tar", "w") as archive:
        archive.add(profile, "qd-caizheng")
    config = tmp_path / "config"

    [lines] = [text for language, text in BLOCKS if language == "sh" and "profile import" in text]
    for line in lines.splitlines():
        program, *words = shlex.split(line)
        assert program == "exchange"
        shown = run(tmp_path, "-m", "exchange_client.cli", *words, EXCHANGE_CONFIG=str(config))
        assert "qd-caizheng" in shown
    assert Profile.load(config_dir=config).server_name == "localhost"


def test_the_extras_are_there() -> None:
    [lines] = [text for language, text in BLOCKS if language == "sh" and "pip install" in text]
    [extras] = re.findall(r"\.\[(.*)\]", lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def table(heading: str, number: int) -> list[list[str]]:
    """The cells of a table under a heading, without its first two lines."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    rows = tables[number].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


@pytest.mark.parametrize(
    ("heading", "number", "blocking", "asynchronous"),
    [
        ("A client", 0, Client, AsyncClient),
        ("A client", 1, Delivery, AsyncDelivery),
        ("What becomes of a document", 1, Sent, AsyncSent),
    ],
    ids=["client", "delivery", "sent"],
)
def test_the_tables_name_every_method_and_its_command(
    heading: str, number: int, blocking: type, asynchronous: type
) -> None:
    named = set()
    for methods, *_, command in table(heading, number):
        named |= set(re.findall(r"`(\w+)[(`]", methods))
        for verb in re.findall(r"exchange ([\w-]+)", command):
            assert verb in exchange.commands, verb
    inherited = set(dir(asynchronous.__mro__[1])) | {"from_profile", "session", "timing"}
    public = {name for name in vars(blocking) if not name.startswith("_")}
    assert public - inherited == named - inherited
    assert named <= set(dir(asynchronous))
