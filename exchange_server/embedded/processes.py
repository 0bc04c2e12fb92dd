"""Starts a program under a guardian, and keeps what it needs under one directory that it owns."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from document_exchange.errors import ConfigurationError

_GUARDIAN = Path(__file__).with_name("guardian.py")
_LOG_TAIL_BYTES = 2000


class EmbeddedPartFailed(ConfigurationError):
    """An embedded part can't be started or does not answer."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom a program runs as.

    ``pass_directories``: it may pass directories that only root may enter (and read there), since
    what it needs lies below one.
    """

    uid: int
    gid: int
    pass_directories: bool


class DirectoryLock:
    """Says that a state directory is in use: held by whoever runs on it and by the guardian.

    The file names the holder for as long as it means to stay, so that whoever comes next knows at
    once whether waiting is of use.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor = -1
        self._held = False

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def acquire(self, timeout_s: float) -> None:
        """Wait for a predecessor that is still shutting down, and for no other.

        Raises:
            EmbeddedPartFailed: it is in use by a process that means to stay, or still in use after
                ``timeout_s``.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        wait_until(lambda: self._try() or self._holder() is not None, timeout_s)
        if not self._held:
            holder = self._holder()
            self.release()
            by = "another process" if holder is None else f"process {holder}"
            raise EmbeddedPartFailed(
                f"{self._path.parent} is in use by {by}; stop it, or name another state directory"
            )
        self._write(_life_of(os.getpid()))

    def announce_release(self) -> None:
        """Say that it will be released: the next one may wait. Signal handlers may call this."""
        if self._held:
            self._write(b"")

    def release(self) -> None:
        """Let go of this process's share; the guardian's lasts until it ends."""
        self.announce_release()
        self._held = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._held = True
        return self._held

    def _write(self, content: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)

    def _holder(self) -> int | None:
        """The process that has it and means to keep it; None if that one is ending, or dead."""
        said = os.pread(self._descriptor, 100, 0)
        with contextlib.suppress(ValueError, IndexError):
            process_id = int(said.split()[0])
            if said == _life_of(process_id):
                return process_id
        return None


def _life_of(process_id: int) -> bytes:
    """Number and start of a living process, which no other shares; b"" if that can't be known."""
    try:
        # proc(5): the name in parentheses may hold anything; state and start are fields 3 and 22.
        fields = Path(f"/proc/{process_id}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return b""
    return b"" if fields[0] in b"ZX" else b"%d %s\n" % (process_id, fields[19])


class GuardedProcess:
    """One program under its guardian (see guardian.py). Its output goes to the log file."""

    def __init__(self, guardian: subprocess.Popen[bytes], log: Path) -> None:
        self._guardian = guardian
        self._log = log

    @classmethod
    def start(
        cls,
        program: Sequence[str],
        *,
        log: Path,
        stop_signals: Sequence[signal.Signals],
        grace_s: float,
        lock: DirectoryLock,
        environment: Mapping[str, str],
        user: User | None = None,
        directory: Path,
    ) -> GuardedProcess:
        """Start ``program``; ``stop_signals`` end it, each with ``grace_s`` to obey."""
        command = [sys.executable, "-I", "-S", str(_GUARDIAN)]
        command += ["--signals", ",".join(str(int(number)) for number in stop_signals)]
        command += ["--grace", str(grace_s)]
        if user is not None:
            command += ["--uid", str(user.uid), "--gid", str(user.gid)]
            command += ["--pass-directories"] if user.pass_directories else []
        with log.open("ab") as output:
            guardian = subprocess.Popen(
                [*command, *program],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=directory,
                pass_fds=(lock.descriptor,),
                # A Ctrl-C in the terminal is the starter's to handle, which stops this in turn.
                start_new_session=True,
            )
        return cls(guardian, log)

    @property
    def running(self) -> bool:
        return self._guardian.poll() is None

    def stop(self) -> None:
        """End it and wait until it has ended."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        self._guardian.wait()

    def wait_until_ready(self, ready: Callable[[], bool], name: str, timeout_s: float) -> None:
        """Wait for ``ready``; stop the program if that does not come about.

        Raises:
            EmbeddedPartFailed: it ended, or is not ready after ``timeout_s``.
        """
        if wait_until(lambda: not self.running or ready(), timeout_s) and self.running:
            return
        why = f"is not ready after {timeout_s:g} s" if self.running else "ended at once"
        self.stop()
        raise EmbeddedPartFailed(f"{name} {why}; the end of {self._log}:\n{self._log_tail()}")

    def wait_until_done(self, name: str, timeout_s: float) -> None:
        """Wait for its own end.

        Raises:
            EmbeddedPartFailed: it failed, or is not done after ``timeout_s``.
        """
        try:
            code = self._guardian.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        self.stop()
        if code != 0:
            how = "is not done in time" if code is None else f"ended with {code}"
            raise EmbeddedPartFailed(f"{name} {how}; the end of {self._log}:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")


def run_guarded(
    program: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``program`` to its end, with what it printed; it is killed at once if we are."""
    command = [sys.executable, "-I", "-S", str(_GUARDIAN), "--signals", str(int(signal.SIGKILL))]
    ours, theirs = os.pipe()
    try:
        return subprocess.run(
            [*command, "--grace", "1", *program],
            stdin=ours,
            env=dict(environment),
            capture_output=True,
            encoding="utf-8",
            check=False,
            start_new_session=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def wait_until(condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.02) -> bool:
    """Ask until ``condition`` holds (True) or the time is up (False)."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


def plain_environment(**additions: str) -> dict[str, str]:
    """What a program needs of our environment, without the rest (other configuration, secrets)."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **additions}


def read_or_make_settings(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The settings that were chosen when this state directory was first used; private."""
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
    made = make()
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return made


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, below those that the kernel gives to outgoing calls."""
    chosen: list[int] = []
    candidates = random.sample(range(15000, 32000), 1000)
    while len(chosen) < count:
        port = candidates.pop()
        if is_port_free(port):
            chosen.append(port)
    return chosen


def is_port_free(port: int) -> bool:
    """Whether we could listen on ``port`` on every interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
