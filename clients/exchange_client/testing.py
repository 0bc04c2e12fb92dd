"""A real exchange centre for a test: ``with LocalCentre() as centre:``.

It is a process of its own (``exchange-server dev``) with its own PostgreSQL, object store and
authority under a temporary directory, gone at the end. Its units have enrolled with the authority
as real ones do, and their certificates renew themselves. It needs the extras ``server``, ``pki``
and ``embedded``: ``pip install 'document-exchange[server,pki,embedded]'``. As a pytest fixture::

    local_centre = local_centre_fixture()
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from document_exchange.errors import ConfigurationError, Unavailable
from exchange_client.blocking_client import Client
from exchange_client.client import AsyncClient
from exchange_client.threads import in_thread
from exchange_client.timing import Timing

START_TIMEOUT_S = 120.0
"""The first start initialises a database, and every unit enrols."""
STOP_TIMEOUT_S = 30.0
_LOOK_AGAIN_S = 0.05
_LOG_TAIL_BYTES = 4000

# Runs a program that gets SIGTERM when we die, however we die (prctl PR_SET_PDEATHSIG, which
# outlives exec). A program of its own, because code between fork and exec may deadlock.
_TIED = (
    sys.executable,
    *("-I", "-S", "-c"),
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)\n"
    "if os.getppid() == int(sys.argv[1]):\n"
    "    os.execv(sys.argv[2], sys.argv[2:])\n",
)


@dataclass(frozen=True, slots=True)
class CentreUnit:
    """A unit that the centre was set up with."""

    unit_id: str
    name_zh: str
    profile: str
    kind: str


@dataclass(frozen=True, slots=True)
class CentreStaff:
    """A member of staff that the centre was set up with."""

    name: str
    full_name: str
    profile: str
    role: str


class LocalCentre:
    """A throwaway exchange centre. A context manager, blocking and asynchronous."""

    def __init__(
        self,
        *,
        registry: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        """Prepare a centre; it starts with the ``with`` block.

        Args:
            registry: a registry file with the units to set up; default: a sample of a few.
            state: a directory to keep; default: a temporary one, removed at the end.
            arguments: further ones for ``exchange-server dev``.
            environment: variables to set for the server, besides those of this process.
            start_timeout_s: how long it may take until it is ready.
        """
        self._registry = Path(registry) if registry is not None else None
        self._kept = Path(state) if state is not None else None
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        self._start_timeout_s = start_timeout_s
        self._state: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._description: dict[str, Any] = {}

    # What it offers

    @property
    def description(self) -> Mapping[str, Any]:
        """All of dev.json: addresses, root fingerprint, ledger and blob store."""
        if not self._description:
            raise ConfigurationError("the centre is not running: use it as a context manager")
        return self._description

    @property
    def address(self) -> str:
        """``host:port`` of the exchange."""
        return str(self.description["address"])

    @property
    def config_dir(self) -> Path:
        """The directory of all units' profiles, for EXCHANGE_CONFIG."""
        return Path(self.description["clients"])

    @property
    def units(self) -> tuple[CentreUnit, ...]:
        """The units that can exchange."""
        return tuple(
            CentreUnit(unit["unit_id"], unit["name_zh"], unit["profile"], unit["kind"])
            for unit in self.description["units"]
        )

    @property
    def staff(self) -> tuple[CentreStaff, ...]:
        """Who administers and audits the centre; their profiles are beside those of the units."""
        return tuple(
            CentreStaff(each["name"], each["full_name"], each["profile"], each["role"])
            for each in self.description["staff"]
        )

    @property
    def process_id(self) -> int:
        """Of ``exchange-server dev``, which started all the rest."""
        return int(self.description["pid"])

    @property
    def log(self) -> Path:
        """What the server printed."""
        if self._state is None:
            raise ConfigurationError("the centre is not running: use it as a context manager")
        return self._state / "dev.log"

    def client(self, unit_id: str, timing: Timing | None = None) -> Client:
        """A client of a unit; a context manager of its own."""
        return Client.from_profile(self._profile_of(unit_id), self.config_dir, timing)

    def async_client(self, unit_id: str, timing: Timing | None = None) -> AsyncClient:
        """An asynchronous client of a unit; a context manager of its own."""
        return AsyncClient.from_profile(self._profile_of(unit_id), self.config_dir, timing)

    def _profile_of(self, unit_id: str) -> str:
        for unit in self.units:
            if unit.unit_id == unit_id:
                return unit.profile
        raise ConfigurationError(f"the centre has no unit {unit_id}", unit=unit_id)

    # Its life

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            ConfigurationError: it ended at once (its extras are not installed, ``state`` is in
                use, ...); the message has what it said.
            Unavailable: it was not ready in time.
        """
        self._launch()
        self._await_ready()

    def _launch(self) -> None:
        if self._process is not None:
            raise ConfigurationError("the centre is running already")
        self._state = self._kept or Path(tempfile.mkdtemp(prefix="exchange-"))
        self._state.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*_TIED, str(os.getpid()), *self._command(self._state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for the test; the centre is told to stop
            )

    def _await_ready(self) -> None:
        try:
            self._description = self._read_description()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the process as an operator would; by force if it does not end in time."""
        process, self._process, self._description = self._process, None, {}
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        state, self._state = self._state, None
        if state is not None and self._kept is None:
            shutil.rmtree(state, ignore_errors=True)

    def _command(self, state: Path) -> list[str]:
        script = Path(sys.executable).parent / "exchange-server"
        program = (
            [str(script)] if script.is_file() else [sys.executable, "-m", "exchange_server.cli"]
        )
        registry = ["--registry", str(self._registry)] if self._registry is not None else []
        return [*program, "dev", "--state", str(state), *registry, *self._arguments]

    def _read_description(self) -> dict[str, Any]:
        process, ready = self._process, self.log.with_name("dev.json")
        assert process is not None
        give_up_at = time.monotonic() + self._start_timeout_s
        while time.monotonic() < give_up_at:
            if process.poll() is not None:
                raise ConfigurationError(
                    f"exchange-server dev ended with code {process.returncode}: {self._tail()}"
                )
            try:
                found = dict(json.loads(ready.read_bytes()))
            except (FileNotFoundError, json.JSONDecodeError):
                found = {}
            if found.get("pid") == process.pid:  # and not of another one, that is there or was
                return found
            time.sleep(_LOOK_AGAIN_S)
        raise Unavailable(
            f"exchange-server dev was not ready after {self._start_timeout_s:g} s:\n{self._tail()}"
        )

    def _tail(self) -> str:
        """The end of what it printed since it was started; one line if it said what is wrong."""
        printed = self.log.read_bytes()[self._log_start :]
        return printed[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._launch()  # here and not in a thread: the centre ends when its starter's thread does
        await in_thread(self._await_ready)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(in_thread(self.stop))


def local_centre_fixture(
    *,
    scope: Literal["session", "package", "module", "class", "function"] = "session",
    registry: str | os.PathLike[str] | None = None,
) -> Any:
    """A pytest fixture that gives a running centre, one for each ``scope``."""
    import pytest  # only a department's tests have it

    def local_centre() -> Iterator[LocalCentre]:
        with LocalCentre(registry=registry) as centre:
            yield centre

    return pytest.fixture(scope=scope)(local_centre)
