"""A shell for tests of the command line: each command is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Shell:
    """A shell in which EXCHANGE_CONFIG is set, in an empty directory."""

    def __init__(self, config: Path, directory: Path) -> None:
        """``config``: where the profiles are."""
        self.directory = directory
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("LANG", "LC_ALL", "LC_MESSAGES", "EXCHANGE_PROFILE")
        } | {"EXCHANGE_CONFIG": str(config), "LANG": "C.UTF-8"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "exchange_client.cli", *arguments],
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        return subprocess.CompletedProcess(arguments, code, out, err)

    def rows(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        out = self.run("--json", *arguments, code=code).stdout
        return [json.loads(line) for line in out.splitlines()]

    def send(self, title: str, *more: str) -> str:
        (self.directory / "notice.pdf").write_bytes(b"%PDF-1.7 " + title.encode())
        arguments = ("send", "notice.pdf", "--to", "qd-jiaoyu", "--title", title, *more)
        (row,) = self.rows("--profile", "qd-caizheng", *arguments)
        return str(row["envelope_id"])

    def settle(self, unit: str) -> None:
        """Receive, sign for and note whatever other tests have left for a unit."""
        done = self.run("--json", "--profile", unit, "receive", "--sign")
        shown = [
            json.loads(line) for line in (*done.stdout.splitlines(), *done.stderr.splitlines())
        ]
        if envelopes := [each["envelope_id"] for each in shown if "envelope_id" in each]:
            self.rows("--profile", unit, "seen", *envelopes)
