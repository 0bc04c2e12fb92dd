"""The README's lines, copied into a file as a reader would, run against a running centre."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from exchange_client.testing import LocalCentre

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The README's code block in this language that contains these words."""
    found = [
        text
        for name, text in re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
        if name == language and containing in text
    ]
    assert len(found) == 1, (language, containing, len(found))
    return str(found[0])


def run(centre: LocalCentre, directory: Path, *command: str) -> str:
    environment = {**os.environ, "EXCHANGE_CONFIG": str(centre.config_dir)}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_document_travels(local_centre: LocalCentre, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(block("python", "from_profile"), encoding="utf-8")
    printed = run(local_centre, tmp_path, sys.executable, "first.py")
    assert "关于编制部门预算的通知" in printed
    received = [path.read_bytes() for path in tmp_path.glob("received/*/parts/*")]
    assert "各单位：请于月底前报送部门预算。".encode() in received


def test_the_same_from_the_command_line(local_centre: LocalCentre, tmp_path: Path) -> None:
    (tmp_path / "notice.txt").write_text("各单位", encoding="utf-8")
    for line in block("sh", ".venv/bin/exchange --profile").splitlines():
        for received in tmp_path.glob("received/*/parts/notice.txt"):
            line = line.replace("ENVELOPE", received.parents[1].name)
        words = line.replace(".venv/bin/exchange", "").split()
        run(local_centre, tmp_path, sys.executable, "-m", "exchange_client.cli", *words)
    assert list(tmp_path.glob("received/*/parts/notice.txt"))
    assert zipfile.is_zipfile(tmp_path / "evidence.zip")


def test_the_centre_for_tests_needs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(block("python", "LocalCentre"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["snippet.py"]
