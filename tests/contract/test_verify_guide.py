"""The commands in VERIFY.md do what its text says; guide and script come with the package."""

from __future__ import annotations

import datetime as dt
import re
import shutil
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
from tests.evidence_verifiers import run_script, unpack

GUIDE = (
    resources.files("document_exchange")
    .joinpath("offline", evidence.VERIFY_TEXT)
    .read_text("utf-8")
)
SCRIPT_TEXT = (
    resources.files("document_exchange")
    .joinpath("offline", evidence.VERIFY_SCRIPT)
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
    commands = block("cms -verify").replace(" -in S", f" -in {stem}.p7s")
    commands = commands.replace(" -content F", f" -content {stem}.json")
    return commands.replace(" T ", f" {int(moment.timestamp())} ")


def test_a_signature_by_hand(tmp_path: Path) -> None:
    folder = unpacked(make_bundle(CITY, stories.simple()), tmp_path)
    said = run(signature_of(SIGNED, stories.at(2)), folder)
    assert f"URI:spiffe://exchange.example/unit/{RECIPIENT}/seal/seal-1" in said
    assert "signer.pem: OK" in said
    for word in ("eContent: <ABSENT>", "signedAttrs:", "signingCertificateV2", "ecdsa-with-SHA256"):
        assert word in said
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
    text = f"{moment}T23:08:09.500Z"
    said = run(f'{functions()}\nepoch {text}; echo "$epoch"', tmp_path)
    assert int(said) == int(times.parse_time(text).timestamp())


def functions(until: str = "") -> str:
    """Those of the script that no step needs alone; or all before this one."""
    end = f"\n{until}()" if until else "# ---- the steps"
    return SCRIPT_TEXT.partition(end)[0]


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J", "a\rb", "a\x7fb", "a\x9bb", "a\u202eb", "a\u2067b", "a\u061cb", "a\ufeffb",
        "a\u2028b", b"a\x9b2J", b"\xc3", b"\xe5\x85", b"\xed\xa0\x80",
    ],
)  # fmt: skip
def test_the_script_shows_nothing_that_moves_the_cursor(text: str | bytes, shell: str) -> None:
    raw = text.encode() if isinstance(text, str) else text
    assert shown(raw, shell).startswith(b"(not shown")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_shows_titles(shell: str) -> None:
    title = "关于〔2019〕31号 “防汛”——预案、𠀋 → é (plain)".encode()
    assert shown(title, shell) == title


def shown(text: bytes, shell: str) -> bytes:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    done = subprocess.run(
        [
            *("env", "-i", "PATH=/usr/bin:/bin", shell, "-c"),
            f'{functions()}\nshown "$1"; printf %s "$shown"', "sh", text,
        ],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("moment", "is_one"),
    [
        ("2019-06-03T23:59:59.999Z", True), ("2020-02-29T00:00:00.000Z", True),
        ("2019-02-29T00:00:00.000Z", False), ("2100-02-29T00:00:00.000Z", False),
        ("2019-06-31T00:00:00.000Z", False), ("2019-06-03T24:00:00.000Z", False),
        ("2019-00-03T00:00:00.000Z", False), ("2019-13-03T00:00:00.000Z", False),
        ("2019-06-00T00:00:00.000Z", False), ("2019-12-31T00:00:00.000Z", True),
    ],
)  # fmt: skip
def test_the_script_knows_which_moments_there_are(
    moment: str, is_one: bool, tmp_path: Path
) -> None:
    said = run(f"{functions()}\nis_time {moment} && echo yes || echo no", tmp_path)
    assert said == ("yes\n" if is_one else "no\n")


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("20190603013300Z", "2019-06-03T01:33:00.000Z"),
        ("20190603013300.123Z", "2019-06-03T01:33:00.123Z"),
        ("20190603013300.5Z", "2019-06-03T01:33:00.500Z"),
        ("20190603013300.1239Z", "2019-06-03T01:33:00.123Z"),
        ("20190603013300.Z", ""), ("20190603013300.1.2Z", ""), ("20190603013300.12", ""),
        ("20190603013300", ""), ("20190603013300ZZ", ""), ("201906030133Z", ""),
        ("20190603013300+0100", ""), ("20191303013300Z", ""),
        ("2019060301330x[$(touch it)]Z", ""), ("x[$(touch${IFS}it)]", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_script_reads_the_time_of_a_stamp_and_runs_nothing(
    stamp: str, moment: str, shell: str, tmp_path: Path
) -> None:
    """A shell would run what stands in an index within arithmetic."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    commands = (
        f"{functions('check_log')}\nwork=. what=a stamp=$1; stamp_time &&\n"
        'echo "is $stamp" && echo "counts $stamped_at"'
    )
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", shell, "-c", commands, "sh", stamp],
        cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("is ")] == (
        [f"is {moment}"] if moment else []
    )
    assert ("counts 1559525580\n" in done.stdout) is bool(moment), "whole seconds"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "is_canonical"),
    [
        (rb'{"a":"b\"\\c\u001f"}', True), (rb'{"a":"\\u0041"}', True), (rb'{"a":"\u0041"}', False),
        (rb'{"a":"\\\u0041"}', False), (rb'{"\u0074ype":"x"}', False), (b'{"a":"b\r"}', False),
        (b'{"a":"b\0"}', False), (b'{"a":"b\n"}', False), (b'{"a":"b"}\n', False),
    ],
)  # fmt: skip
def test_the_script_reads_canonical_text_alone(
    text: bytes, is_canonical: bool, tmp_path: Path
) -> None:
    (tmp_path / "text.json").write_bytes(text)
    said = run(f"{functions()}\nwork=.; read_text text.json && echo read", tmp_path)
    assert ("read" in said) is is_canonical


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("text", "is_shaped"),
    [
        (r'{"a":"x"}', True), (r'{"a":"\"","b":[]}', True), (r'{"a":"\\","b":["\\\"",""]}', True),
        (r'{"a":"x","c":{"d":-1}}', True), (r'{"a":"x","c":{"d":0},"e":true}', True),
        (r'{"a":""}', True), (r'{}', False), (r'{"a":"x","e":false}', False), (r'{"a":1}', False),
        (r'{"a":"x"}}', False), (r'{"a":"x"}{}', False), (r'{"a":"x","b":["x"}}', False),
        (r'{"a":"x","b":[}', False), (r'{"a":"x","b":["x" "y"]}', False), (r'{"a":"x",}', False),
        (r'{"a":"x","b":["x",]}', False), (r'{"a":"x","b":[["x"]]}', False), (r'{"a"}', False),
        (r'{"a":"x","c":{"d":01}}', False), (r'{"a":"x","c":{"d":1e3}}', False),
        (r'{"a":"x","c":{"d":1.5}}', False), (r'{"a":"x","c":{}}', False), (r'{"a":"x\"}', False),
        (r'{"a":"x","a":"y"}', False), (r'{"b":[],"a":"x"}', False), (r'{"a":"x""b":[]}', False),
        (r'{"a":"x","c.d":1}', False), (r'{"a":"x","":"y"}', False), (r'{"a":"x","*":"y"}', False),
        (r'{"a":"x","c":{"d":1,"e":true}}', False), (r'{"a":"x","c":{"d":1]}', False),
        (r'{"a":"x","b":["x"],"c":{"d":1},"e":true}', True), (r'{"a":"x":"y"}', False),
    ],
)  # fmt: skip
def test_the_script_knows_the_shape_of_a_text(
    text: str, is_shaped: bool, shell: str, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    commands = f'{functions()}\nwork=. file=x text=$1; shaped "$2" && echo shaped'
    done = subprocess.run(
        [
            *("env", "-i", "PATH=/usr/bin:/bin", shell, "-c", commands, "sh", text),
            "a=s ?b=[ b.[]=s ?c={ c.d=n ?e=true",
        ],
        cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout.splitlines()[-1:] == ["shaped"]) is is_shaped, done.stdout


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_script_says_where_to_run_it_if_there_is_no_bundle(shell: str, tmp_path: Path) -> None:
    """From outside of the folder a good bundle must not be called a bad one."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    files = make_bundle(CITY, stories.simple())
    unpack(files | {evidence.VERIFY_SCRIPT: SCRIPT_TEXT.encode()}, tmp_path / "e")
    done = subprocess.run(
        [
            *("env", "-i", "PATH=/usr/bin:/bin", shell, *(["sh"] if shell == "busybox" else [])),
            "e/verify.sh", CITY.fingerprint,
        ],
        cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "run this inside the folder" in done.stderr
    assert "请先进入解压后的证据包文件夹" in done.stderr


@pytest.mark.parametrize("missing", [evidence.INDEX, evidence.MANIFEST, evidence.ROOT_CERTIFICATE])
def test_a_bundle_that_lacks_a_file_is_not_proved(missing: str, tmp_path: Path) -> None:
    files = make_bundle(CITY, stories.simple())
    del files[missing]
    unpack(files, tmp_path)
    found = run_script(tmp_path, CITY.fingerprint)
    assert (found.step, found.exit_code) == ("bundle", 1)
    assert f"{missing} is missing" in found.said


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
