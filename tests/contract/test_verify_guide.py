"""The commands in VERIFY.md do what its text says; guide and script come with the package."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from document_exchange import evidence, times
from tests import evidence_stories as stories
from tests.evidence_cases import CITY
from tests.evidence_for_tests import Files, Forgery, make_bundle
from tests.evidence_stories import OTHER, RECIPIENT
from tests.evidence_verifiers import unpack

GUIDE = (
    resources.files("document_exchange")
    .joinpath("offline", evidence.VERIFY_TEXT)
    .read_text("utf-8")
)
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
SIGNED = f"deliveries/{RECIPIENT}/0002-SIGNED_FOR"


def block(word: str) -> str:
    """The commands that contain ``word``."""
    [found] = [each for each in BLOCKS if word in each]
    return str(found)


def run(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-ec", commands],
        cwd=folder, capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr if done.returncode == 0 else ""


def unpacked(files: Files, folder: Path) -> Path:
    unpack(files, folder)
    assert "OK" in run(block("seal-ca.pem > anchors.pem"), folder)
    return folder


def signature_of(stem: str, moment: dt.datetime) -> str:
    commands = block("cms -verify").replace(
        "-in S -content F", f"-in {stem}.p7s -content {stem}.json"
    )
    return commands.replace(" T ", f" {int(moment.timestamp())} ")


def test_a_signature_by_hand(tmp_path: Path) -> None:
    folder = unpacked(make_bundle(CITY, stories.simple()), tmp_path)
    said = run(signature_of(SIGNED, stories.at(2)), folder)
    assert f"URI:spiffe://exchange.example/unit/{RECIPIENT}/seal/seal-1" in said
    assert "signer.pem: OK" in said
    assert not run(signature_of(SIGNED, stories.at(10**6)), folder)


def test_by_hand_one_sees_who_signed(tmp_path: Path) -> None:
    forgery = Forgery(signers={f"{SIGNED}.p7s": CITY.seal(OTHER)})
    folder = unpacked(make_bundle(CITY, stories.simple(), forgery), tmp_path)
    said = run(signature_of(SIGNED, stories.at(2)), folder)
    assert f"/unit/{OTHER}/seal/" in said
    assert f"/unit/{RECIPIENT}/seal/" not in said


def test_a_time_stamp_by_hand(tmp_path: Path) -> None:
    folder = unpacked(make_bundle(CITY, stories.stamped()), tmp_path)
    commands = block("ts -verify").replace("-attime T", f"-attime {int(stories.at(3).timestamp())}")
    assert "Verification: OK" in run(commands, folder)
    (folder / "timestamps/00000001.txt").write_text("0" * 64 + "\n")
    assert not run(commands, folder)


def test_the_digests_by_hand(tmp_path: Path) -> None:
    files = make_bundle(CITY, stories.simple())
    folder = unpacked(files, tmp_path)
    said = run(block("sha256sum -c index.sha256"), folder)
    for path in files:
        if path not in evidence.NOT_INDEXED:
            assert f"  {path}\n" in said, path


@pytest.mark.parametrize(
    "moment", ["1970-01-01", "1972-02-29", "2000-03-01", "2024-02-29", "2038-01-20", "2100-03-01"]
)
def test_the_script_counts_seconds_as_others_do(moment: str, tmp_path: Path) -> None:
    """Leap years and all; the function is taken out of the script."""
    script = resources.files("document_exchange").joinpath("offline", evidence.VERIFY_SCRIPT)
    text = f"{moment}T23:08:09.500Z"
    functions = script.read_text("utf-8").partition("# ---- the steps")[0]
    said = run(f'{functions}\nepoch {text}; echo "$epoch"', tmp_path)
    assert int(said) == int(times.parse_time(text).timestamp())


def test_guide_and_script_are_in_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (evidence.VERIFY_TEXT, evidence.VERIFY_SCRIPT):
        assert f"document_exchange/offline/{name}" in names
