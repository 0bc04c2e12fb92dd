"""docs/onboarding.md is true: every command on it is run, in its order, from an empty directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "onboarding.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
MACHINE_TIME_S = 60.0
"""What the three commands from token to first receipt may take in all."""

_PROGRAMS = {
    "exchange": "exchange_client.cli",
    "exchange-pki": "exchange_pki",
    "exchange-server": "exchange_server",
}
_PRINTED = {
    "TOKEN": r"--token (\S+)|^token:? +(\S+)$",
    "REQUEST": r"\b([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\b +qd-weisheng",
    "KEY": r"^  ([0-9a-f]{64})$",
    "ENVELOPE": r"envelope ([0-9a-f-]{36})",
}
"""What is learned from what a command prints, by the word that stands for it on the page."""
_EXIT_CODE = re.compile(r"\s+# exit code ([0-9]+)$")


class Reader:
    """Somebody who types what the page says, and puts in what was printed before."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.words: dict[str, str] = {}
        self.took_s: list[tuple[str, float]] = []
        self.printed = ""
        self._stack = stack
        programs = directory / "bin"
        programs.mkdir()
        for name, module in _PROGRAMS.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            program.chmod(0o755)
        self._environment = {
            **{name: value for name, value in os.environ.items() if "EXCHANGE" not in name},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "EXCHANGE_CONFIG": str(directory / "profiles"),
            "LC_ALL": "C.UTF-8",
        }

    def put_in(self, text: str) -> str:
        """``text`` with the words in capitals replaced by what is known of them."""
        for word, value in self.words.items():
            text = re.sub(rf"\b{re.escape(word)}\b", value.replace("\\", r"\\"), text)
        return text

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(self.put_in(text), encoding="utf-8")

    def type(self, line: str) -> None:
        """Run one line, in the background if it ends with &, and learn from what it prints."""
        if line.endswith(" &"):
            self._start(line.removesuffix(" &"))
            return
        expected = _EXIT_CODE.search(line)
        began = time.monotonic()
        done = subprocess.run(
            ["sh", "-c", self.put_in(_EXIT_CODE.sub("", line))],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.took_s.append((line, time.monotonic() - began))
        self.printed = done.stdout + done.stderr
        assert done.returncode == (int(expected[1]) if expected else 0), (line, self.printed)
        for word, pattern in _PRINTED.items():
            if found := re.search(pattern, self.printed, re.MULTILINE):
                self.words[word] = next(filter(None, found.groups()))

    def _start(self, command: str) -> None:
        log = self.directory / f"{command.split()[0]}.log"
        process = self._stack.enter_context(running(command, self, log))
        if command.startswith("exchange-server dev"):
            described = self.directory / "centre" / "dev.json"
            wait_for(process, log, described.is_file)
            centre = json.loads(described.read_text())
            self.words |= {
                "CENTRE": centre["address"],
                "OWNER_DSN": f"'{centre['ledger']['dsn_owner']}'",
                "AUTHORITY_DSN": centre["ledger"]["dsn_authority"],
                "FINGERPRINT": centre["root_fingerprint"],
            }
        else:
            wait_for(process, log, lambda: '{"listening"' in log.read_text())
            [line] = [each for each in log.read_text().splitlines() if '{"listening"' in each]
            self.words["HOST:PORT"] = json.loads(line)["listening"]["enrolment"]

    @property
    def environment(self) -> dict[str, str]:
        return self._environment


@contextmanager
def running(command: str, reader: Reader, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the background, stopped as Ctrl-C would."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=reader.directory,
            env=reader.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def wait_for(process: subprocess.Popen[bytes], log: Path, ready: object) -> None:
    assert callable(ready)
    while not ready():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)


def commands() -> list[str]:
    return [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]


def test_the_page_has_nothing_that_is_not_tried() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "toml"}
    for line in commands():
        assert re.match(r"(EXCHANGE_CONFIG=\S+ )?(exchange(-pki|-server)?|echo) ", line), line


@pytest.mark.timeout(300)
def test_the_whole_page(tmp_path: Path) -> None:
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        for language, text in BLOCKS:
            if language == "toml":
                name = "staff.toml" if "[[staff]]" in text else "authority.toml"
                free = "".join(
                    f'{port}listen = "127.0.0.1:0"\n' for port in ("", "enrolment_", "http_")
                )
                reader.write(name, text if name == "staff.toml" else free + text)
                continue
            for line in text.splitlines():
                reader.type(line)
                checked(line, reader)
    [issued] = [place for place, (line, _) in enumerate(reader.took_s) if ISSUE in line]
    joining = [
        (line, took_s)
        for line, took_s in reader.took_s[issued:]
        if re.search(r"token issue|exchange enrol|seal approve", line)
    ]
    assert len(joining) == 4  # the unit's command twice, before and after the approval
    spent_s = sum(took_s for _, took_s in joining)
    sys.stdout.write(f"from token to first receipt: {spent_s:.1f} s of machine time\n")
    assert spent_s < MACHINE_TIME_S


ISSUE = "token issue --unit"


def checked(line: str, reader: Reader) -> None:
    """That what a line promises has happened."""
    if line.startswith("exchange enrol") and "--no-seal" not in line and "exit code" not in line:
        assert "was signed for" in reader.printed
    if "receive --sign" in line:
        assert "signed for" in reader.printed
        assert list(reader.directory.glob("received/*/parts/notice.txt"))
    if " track " in line:
        assert "signed for" in reader.printed
        assert "every signature was verified" in reader.printed
