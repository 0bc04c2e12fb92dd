"""The server's log: one JSON object a line, and nothing of what documents or keys hold."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
from datetime import UTC, datetime
from pathlib import Path
import structlog
from exchange_runtime import logs

logs.configure("info")
log = structlog.get_logger()
structlog.contextvars.bind_contextvars(envelope_id="one")
log.debug("too quiet")
log.info("accepted", unit="市档案局", path=Path("/a"), at=datetime(2026, 1, 1, tzinfo=UTC))
try:
    passphrase = "-".join(["correct", "horse"])
    raise ValueError("broken")
except ValueError:
    log.exception("call_failed")
"""


def _lines() -> list[bytes]:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=True)
    assert done.stdout == b""
    return done.stderr.splitlines()


def test_each_line_is_one_object_that_carries_the_context() -> None:
    accepted, failed = map(json.loads, _lines())
    assert accepted["event"] == "accepted"
    assert accepted["envelope_id"] == failed["envelope_id"] == "one"
    assert (accepted["unit"], accepted["path"], accepted["level"]) == ("市档案局", "/a", "info")


def test_a_traceback_names_the_places_and_none_of_the_values() -> None:
    failed = _lines()[1]
    assert b"horse" not in failed
    (exception,) = json.loads(failed)["exception"]
    assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "broken")
    assert exception["frames"]
