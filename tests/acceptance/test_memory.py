"""The server's memory while several units send very large parts at once.

``EXCHANGE_ACCEPTANCE_MB`` makes the parts smaller for a quick try.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from exchange_client.testing import LocalCentre

CITY = Path(__file__).parents[2] / "demo" / "city.toml"
SENDERS = 8
MEGABYTES = int(os.environ.get("EXCHANGE_ACCEPTANCE_MB", "500"))
LIMIT_MB = 300
SEND = """
import sys
from exchange_client import Client
with Client.from_profile(sys.argv[1]) as client:
    client.send(title="大附件", recipients=["qd-jiaoyu"], files=[sys.argv[2]])
"""


def server_process(centre: LocalCentre) -> psutil.Process:
    """The one process that runs ``exchange_server run``."""
    found = [
        process
        for process in psutil.Process(centre.description["pid"]).children(recursive=True)
        if process.cmdline()[1:4] == ["-m", "exchange_server", "run"]
    ]
    assert len(found) == 1
    return found[0]


class Peak:
    """Watches a process's resident memory until it is left."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


def report(config: pytest.Config, figures: str) -> None:
    """Print a figure where whoever runs the acceptance sees it."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(terminal, pytest.TerminalReporter)
    terminal.write_line(f"\n{figures}")


@pytest.mark.acceptance
def test_eight_large_uploads_at_once_stay_within_300_mb(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    block = os.urandom(1_000_000)
    file = tmp_path / "scan.bin"
    with file.open("wb") as output:
        for _ in range(MEGABYTES):
            output.write(block)
    with LocalCentre(registry=CITY, state=tmp_path / "state") as centre:
        senders = [u.unit_id for u in centre.units if u.unit_id != "qd-jiaoyu"][:SENDERS]
        environment = {**os.environ, "EXCHANGE_CONFIG": str(centre.config_dir)}
        started = time.monotonic()
        with Peak(server_process(centre)) as peak:
            clients = [
                subprocess.Popen([sys.executable, "-c", SEND, unit, str(file)], env=environment)
                for unit in senders
            ]
            codes = [client.wait(timeout=1500) for client in clients]
        seconds = time.monotonic() - started
        with centre.client("qd-jiaoyu") as client:
            received = sorted(delivery.sender for delivery in client.inbox())
    rate = SENDERS * MEGABYTES / seconds
    figures = (
        f"{SENDERS} x {MEGABYTES} MB at once: peak {peak.bytes / 1e6:.0f} MB RSS, "
        f"{seconds:.0f} s, {rate:.0f} MB/s"
    )
    report(pytestconfig, figures)
    assert codes == [0] * SENDERS
    assert received == sorted(senders)
    assert peak.bytes < LIMIT_MB * 1e6
