"""Writes the test vectors: bundles of evidence for who implements a verifier in another language.

``python -m tests.assets.make_vectors`` writes tests/assets/vectors anew, the same files each time:
keys and salts are derived from fixed texts, dates are fixed, signatures deterministic (RFC 6979).
So anybody can make these keys: they are for tests alone.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from tests.evidence_cases import BROKEN, CITY, FOREIGN, VALID
from tests.evidence_for_tests import Files

FOLDER = Path(__file__).parent / "vectors"
TABLE = "vectors.json"
_ABOUT = (
    "Each file is a bundle of evidence (docs/formats.md) without verify.sh and VERIFY.md. With "
    "root_fingerprint from outside it must verify if step is null, and otherwise fail first at "
    "that step. The keys are for tests alone: tests/assets/make_vectors.py derives them from texts."
)
_DATE = (1980, 1, 1, 0, 0, 0)


def make() -> dict[str, bytes]:
    """All files of the folder, by name."""
    made: dict[str, bytes] = {}
    table: list[dict[str, Any]] = []
    for name, (told, valid) in VALID.items():
        made[f"{name}.zip"] = zipped(valid())
        table.append(_row(name, None, told))
    for name, case in BROKEN.items():
        made[f"{name}.zip"] = zipped(case.make())
        table.append(_row(name, case.step.value, case.reason))
    other = "a valid bundle, and the fingerprint of another root"
    table.append(_row("simple", "root", other) | {"root_fingerprint": FOREIGN.fingerprint})
    value = {"about": _ABOUT, "vectors": table}
    made[TABLE] = (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
    return made


def _row(name: str, step: str | None, reason: str) -> dict[str, Any]:
    return {
        "file": f"{name}.zip", "root_fingerprint": CITY.fingerprint, "step": step, "reason": reason,
    }  # fmt: skip


def zipped(files: Files) -> bytes:
    """Sorted, without a date."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _DATE)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, files[path], zipfile.ZIP_DEFLATED, 9)
    return data.getvalue()


def unzipped(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main() -> None:
    """Write them, and remove what is not among them."""
    FOLDER.mkdir(exist_ok=True)
    made = make()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
