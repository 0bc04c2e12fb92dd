"""The evidence that the demonstration leaves, and its verification with what every system has."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from exchange_client import AsyncClient

from document_exchange.evidence import Step
from document_exchange.evidence_report import Report, Verdict

EVIDENCE, UNPACKED, FINGERPRINT = "evidence.zip", "evidence", "root-fingerprint.txt"
STAMPS_TIMEOUT_S, LOOK_AGAIN_S = 15.0, 0.5
SCRIPT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What the script in the bundle said of it, and of it with one byte changed."""

    stamped: bool
    code: int
    last_line: str
    code_when_changed: int
    last_line_when_changed: str

    @property
    def problems(self) -> list[str]:
        """Sentences for people; none if all is as it must be."""
        found = []
        if not self.stamped:
            found.append(f"the evidence was not time-stamped within {STAMPS_TIMEOUT_S:g} s")
        if self.code != 0:
            found.append(f"verify.sh refuses the evidence: {self.last_line}")
        if self.code_when_changed != 1:
            found.append("verify.sh does not refuse the evidence with one byte changed")
        return found


async def leave(client: AsyncClient, envelope_id: str, fingerprint: str, out: Path) -> Proof:
    """Write the evidence about an envelope and the root's fingerprint to ``out``, and try them.

    Raises:
        ExchangeError: the evidence can't be had, or does not verify.
        OSError, TimeoutExpired: the script can't be run.
    """
    stamped = await _save_when_stamped(client, envelope_id, out / EVIDENCE)
    (out / FINGERPRINT).write_text(f"{fingerprint}\n", encoding="ascii")
    right, wrong = await asyncio.gather(
        asyncio.to_thread(_run_script, out / EVIDENCE, fingerprint, change=False),
        asyncio.to_thread(_run_script, out / EVIDENCE, fingerprint, change=True),
    )
    return Proof(stamped, *right, *wrong)


async def _save_when_stamped(client: AsyncClient, envelope_id: str, to: Path) -> bool:
    """Save it, again and again until each of the centre's signatures is time-stamped."""
    give_up_at = time.monotonic() + STAMPS_TIMEOUT_S
    while True:
        saved = await client.evidence(envelope_id, to=to)
        if _is_stamped(saved.report):
            return True
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(LOOK_AGAIN_S)


def _is_stamped(report: Report) -> bool:
    found = [each.verdict for each in report.findings if each.step is Step.TIMESTAMP]
    return Verdict.PASSED in found and Verdict.NOTE not in found


def _run_script(bundle: Path, fingerprint: str, *, change: bool) -> tuple[int, str]:
    """Exit code and last line of the script, in an empty directory and environment."""
    with tempfile.TemporaryDirectory() as directory:
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(directory)
        if change:
            _change_a_byte(Path(directory))
        done = subprocess.run(
            ["env", "-i", "PATH=/usr/bin:/bin", "sh", "verify.sh", fingerprint],
            cwd=directory, capture_output=True, check=False, timeout=SCRIPT_TIMEOUT_S,
        )  # fmt: skip
    printed = done.stdout.decode(errors="replace").strip().splitlines()
    return done.returncode, printed[-1].strip() if printed else ""


def _change_a_byte(directory: Path) -> None:
    """In the middle of the document's body."""
    path = min((directory / "parts").iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
