"""Both verifiers of evidence, asked the same: does it verify, and if not, at which step?"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from document_exchange import evidence, evidence_check
from tests.evidence_for_tests import Files, MemoryBundle

SCRIPT = resources.files("document_exchange").joinpath("offline", evidence.VERIFY_SCRIPT)
_FAILED = re.compile(r"^FAILED +(\S+) +(.*)$", re.MULTILINE)


_NOTE = re.compile(r"^NOTE +timestamp +(.*)$", re.MULTILINE)


class Verdict(NamedTuple):
    """What a verifier said. ``step`` is empty if all was proved."""

    step: str
    said: str
    exit_code: int | None = None
    """Of the script."""

    @property
    def notes_on_stamps(self) -> list[str]:
        """What it found worth a note about time-stamps, sorted."""
        return sorted(_NOTE.findall(self.said))


def in_python(files: Files, fingerprint: str, tsa: str | None = None) -> Verdict:
    """``tsa``: the fingerprint of the root of another time-stamping service."""
    report = evidence_check.verify(MemoryBundle(files), fingerprint, tsa_root_fingerprint=tsa)
    failure = report.first_failure
    assert report.ok is (failure is None), report.findings
    if failure is None:
        lines = (f"{f.verdict:7} {f.step:11} {f.subject}: {f.detail}" for f in report.findings)
        return Verdict("", "\n".join(lines))
    return Verdict(failure.step.value, f"{failure.subject}: {failure.detail}")


def in_shell(
    files: Files,
    fingerprint: str,
    tsa: str | None = None,
    *,
    shell: Sequence[str] = ("sh",),
    environment: Sequence[str] = (),
) -> Verdict:
    """Unpacked into an empty folder; by default the environment says where programs are only.

    Args:
        shell: how it is called, with its options.
        environment: what it gets besides, as NAME=VALUE.
    """
    fingerprints = (fingerprint, tsa) if tsa else (fingerprint,)
    with tempfile.TemporaryDirectory() as folder:
        unpack(files, Path(folder))
        return run_script(Path(folder), *fingerprints, shell=shell, environment=environment)


def run_script(
    folder: Path,
    *fingerprints: str,
    shell: Sequence[str] = ("sh",),
    environment: Sequence[str] = (),
) -> Verdict:
    """The script that is in the folder, if there is one; else the one of the package."""
    script = folder / evidence.VERIFY_SCRIPT
    with resources.as_file(SCRIPT) as of_package:
        used = str(script if script.exists() else of_package)
        done = subprocess.run(
            ["env", "-i", "PATH=/usr/bin:/bin", *environment, *shell, used, *fingerprints],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=120,
        )
    said = done.stdout.decode(errors="replace")
    assert not done.stderr, done.stderr
    failed = _FAILED.search(said)
    assert (done.returncode == 0) is (failed is None), said
    assert (done.returncode == 0) is ("\nPROVED" in said), said
    return Verdict(failed[1] if failed else "", said, done.returncode)


def all_in_shell(asked: Sequence[tuple[Files, str]]) -> list[Verdict]:
    """Of bundles and fingerprints; as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda each: in_shell(*each), asked))


def unpack(files: Files, folder: Path) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
