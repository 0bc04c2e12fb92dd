"""The demonstration sees it if the script does not do what it must, or stamps do not come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.proof import Proof

GOOD = Proof(True, 0, "PROVED", 1, "NOT PROVED")


def test_no_problem() -> None:
    assert GOOD.problems == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (replace(GOOD, stamped=False), "not time-stamped"),
        (replace(GOOD, code=1), "refuses the evidence: PROVED"),
        (replace(GOOD, code_when_changed=0), "does not refuse"),
        # 2 is a wrong call, which proves nothing either way.
        (replace(GOOD, code_when_changed=2), "does not refuse"),
    ],
)
def test_problems(bad: Proof, said: str) -> None:
    [problem] = bad.problems
    assert said in problem
