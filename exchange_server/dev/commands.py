"""Runs the commands of this and of the other packages: to their end, or as guarded services."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from document_exchange.errors import ConfigurationError
from exchange_server.embedded.processes import DirectoryLock, GuardedProcess, run_guarded

SERVER = (sys.executable, "-m", "exchange_server")
PKI = (sys.executable, "-m", "exchange_pki")
CLIENT = (sys.executable, "-m", "exchange_client.cli")

PREDECESSOR_TIMEOUT_S = 90.0
"""A server that drains has 40 s, then store and database end."""
_READY_TIMEOUT_S = 60.0
_DRAIN_S = 40.0
_SAID_BYTES = 1500
_FOREIGN = (
    "EXCHANGE_SERVER_",
    "EXCHANGE_PKI_",
    "EXCHANGE_CONFIG",
    "EXCHANGE_PROFILE",
    "EXCHANGE_KEY_PASSPHRASE",
    "EXCHANGE_ENROLMENT_TOKEN",
)
_POLICY = ("EXCHANGE_SERVER_DEADLINES__",)
"""How any centre works, and not which one this is: tests need other deadlines."""


def call(command: Sequence[str], *, accepted: Sequence[int] = (0,), **environment: str) -> str:
    """Run a command to its end, and return what it printed.

    Raises:
        ConfigurationError: it ended with another code than those ``accepted``.
    """
    done = run_guarded(command, {**own_environment(), **environment})
    if done.returncode not in accepted:
        shown = " ".join(command[2:4])
        said = (done.stderr or done.stdout).strip()[-_SAID_BYTES:]
        raise ConfigurationError(f"{shown} failed: {said}")
    return done.stdout


def own_environment() -> Mapping[str, str]:
    """Ours, less what configures another centre, authority or client."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_POLICY) or not name.startswith(_FOREIGN)
    }


class Service:
    """A command that stays, under its guardian; it is stopped with ``stack``."""

    def __init__(
        self, command: Sequence[str], name: str, log: Path, directory: Path, stack: ExitStack
    ) -> None:
        """Start it.

        Args:
            command: prints a line ``{"listening": …`` when it is ready.
            name: what to call it.
            log: takes its output.
            directory: its own; locked for as long as it lives.
            stack: ends it.

        Raises:
            EmbeddedPartFailed: the directory is in use.
        """
        self.name = name
        self.log = log
        self._begin = log.stat().st_size if log.exists() else 0
        directory.mkdir(mode=0o700, exist_ok=True)
        lock = DirectoryLock(directory)
        lock.acquire(PREDECESSOR_TIMEOUT_S)
        stack.callback(lock.release)
        self._process = GuardedProcess.start(
            command,
            log=log,
            stop_signals=(signal.SIGTERM, signal.SIGKILL),
            grace_s=_DRAIN_S,
            lock=lock,
            environment=own_environment(),
            directory=directory.parent,
        )
        stack.callback(self._process.stop)

    @property
    def running(self) -> bool:
        return self._process.running

    def wait_until_ready(self) -> None:
        """Wait until it listens.

        Raises:
            EmbeddedPartFailed: it ended, or does not in time.
        """
        self._process.wait_until_ready(self._listens, self.name, _READY_TIMEOUT_S)

    def _listens(self) -> bool:
        with self.log.open("rb") as output:
            output.seek(self._begin)
            return b'{"listening"' in output.read()
