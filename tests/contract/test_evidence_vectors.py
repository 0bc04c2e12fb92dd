"""Both verifiers find in each test vector what vectors.json says, at the step that it names."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import Any

import pytest

from document_exchange import times
from document_exchange.evidence import Step
from tests import evidence_stories as stories
from tests.assets import make_vectors
from tests.evidence_cases import CITY
from tests.evidence_for_tests import Files, make_bundle
from tests.evidence_verifiers import Verdict, all_in_shell, in_python, in_shell

VECTORS: list[dict[str, Any]] = json.loads((make_vectors.FOLDER / make_vectors.TABLE).read_bytes())[
    "vectors"
]


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['file']}-{vector['step']}"


def files_of(vector: dict[str, Any]) -> Files:
    return make_vectors.unzipped((make_vectors.FOLDER / vector["file"]).read_bytes())


@pytest.fixture(scope="module")
def in_shells() -> dict[str, Verdict]:
    """What verify.sh says of each; as many at once as there are processors."""
    asked = [(files_of(vector), vector["root_fingerprint"]) for vector in VECTORS]
    return dict(zip(map(name_of, VECTORS), all_in_shell(asked), strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_both_verifiers_agree_with_the_table(
    vector: dict[str, Any], in_shells: dict[str, Verdict]
) -> None:
    expected = vector["step"] or ""
    python = in_python(files_of(vector), vector["root_fingerprint"])
    shell = in_shells[name_of(vector)]
    assert (python.step, shell.step) == (expected, expected), (python.said, shell.said)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_every_shell_at_hand_understands_the_script(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    for vector in VECTORS:
        if vector["file"] in ("life.zip", "timestamps.zip", "history-gap.zip"):
            found = in_shell(files_of(vector), vector["root_fingerprint"], shell=[shell])
            assert found.step == (vector["step"] or ""), found.said


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        (["sh", "-C"], []),
        (["sh", "-f"], []),
        (["dash", "-aefu"], ["ENV=/nowhere", "CDPATH=/"]),
        (["bash", "-Cefa"], []),
        (["bash"], ["SHELLOPTS=allexport:errexit:noclobber:noglob:nounset:pipefail"]),
        (["bash"], ["BASHOPTS=dotglob:extglob:failglob:globstar:nocaseglob:nocasematch"]),
        (["bash"], ["BASHOPTS=nullglob", "GLOBIGNORE=*.json:parts/*"]),
        (["sh"], ["IFS=0123456789abcdef", "LC_ALL=C.UTF-8"]),
    ],
    ids=" ".join,
)
def test_no_option_or_variable_of_the_shell_changes_what_the_script_finds(
    shell: list[str], environment: list[str]
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]} here")
    for vector in VECTORS:
        if vector["file"] in ("timestamps.zip", "file-hidden.zip", "part-added.zip"):
            found = in_shell(
                files_of(vector), vector["root_fingerprint"], shell=shell, environment=environment
            )
            assert found.step == (vector["step"] or ""), found.said


def test_both_note_the_same_about_time_stamps(in_shells: dict[str, Verdict]) -> None:
    noted = set()
    for vector in VECTORS:
        if vector["step"] is None:
            python = in_python(files_of(vector), vector["root_fingerprint"])
            shell = in_shells[name_of(vector)]
            assert python.notes_on_stamps == shell.notes_on_stamps, vector["file"]
            noted |= {note.partition(": ")[2] for note in shell.notes_on_stamps}
    assert {"stamped 3 days later", "this signature is not time-stamped"} <= noted


def test_both_say_when_a_stamp_was_made_to_the_millisecond() -> None:
    """A second cut off its fraction would lie before the acceptance that it dates."""
    at = stories.at(3).replace(microsecond=540_000)
    files = make_bundle(CITY, dataclasses.replace(stories.simple(), stamped_at=at))
    for found in (in_python(files, CITY.fingerprint), in_shell(files, CITY.fingerprint)):
        assert f"signatures existed at {times.format_time(at)}, says " in found.said


def test_each_step_that_can_fail_has_a_vector() -> None:
    assert {vector["step"] for vector in VECTORS} == {None, *Step} - {Step.LOG}


def test_the_vectors_are_what_their_maker_makes() -> None:
    made = make_vectors.make()
    there = {path.name: path.read_bytes() for path in make_vectors.FOLDER.iterdir()}
    assert there.keys() == made.keys()
    assert there.pop(make_vectors.TABLE) == made[make_vectors.TABLE]
    # What is in them: another zlib may compress it to other bytes.
    different = [
        name
        for name, data in there.items()
        if make_vectors.unzipped(data) != make_vectors.unzipped(made[name])
    ]
    assert different == []
