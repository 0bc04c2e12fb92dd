"""A received document's folder proves it with openssl alone, as docs/formats.md says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from exchange_client import PartSource
from exchange_client.testing import LocalCentre

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def commands() -> str:
    """The block under "The same with OpenSSL"."""
    text = FORMATS.read_text(encoding="utf-8").partition("## The same with OpenSSL")[2]
    found = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_received_document_verifies_with_openssl(
    local_centre: LocalCentre, tmp_path: Path
) -> None:
    async with (
        local_centre.async_client("qd-caizheng") as finance,
        local_centre.async_client("qd-jiaoyu") as education,
    ):
        sent = await finance.send(
            title="关于报送预算的通知",
            recipients=["qd-jiaoyu"],
            files=[PartSource(b"%PDF-1.7", filename="a.pdf")],
        )
        document = await (await education.delivery(sent.envelope_id)).download(tmp_path)
    done = run(document.directory)
    assert done.returncode == 0, done.stderr
    assert local_centre.description["root_fingerprint"] in done.stdout
    assert "/unit/qd-caizheng/seal/" in done.stdout
    assert done.stdout.count(": OK") == 2

    path = document.directory / "manifest.json"
    path.write_bytes(path.read_bytes().replace("通知".encode(), "通告".encode()))
    assert run(document.directory).returncode != 0
