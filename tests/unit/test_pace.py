"""So much a minute, evenly: what one may have at once, and when there is more."""

from __future__ import annotations

import pytest

from exchange_runtime.pace import Pace, Paces


def test_after_the_first_allowance_it_comes_evenly() -> None:
    pace = Pace(60, 3)
    for _ in range(3):
        assert pace.wait_s(100.0) == 0
        pace.take(1, 100.0)
    assert pace.wait_s(100.0) == pytest.approx(1.0)
    assert pace.wait_s(100.25) == pytest.approx(0.75)
    assert pace.wait_s(101.0) == 0


def test_who_waits_long_has_no_more_than_the_first_allowance() -> None:
    pace = Pace(60, 3)
    pace.take(3, 0.0)
    pace.take(3, 10_000.0)
    assert pace.wait_s(10_000.0) == pytest.approx(1.0)


def test_each_name_has_its_own() -> None:
    paces = Paces(60, 2, most_names=10)
    assert [paces.take("a", 0.0) for _ in range(3)] == [0, 0, pytest.approx(1.0)]
    assert paces.take("b", 0.0) == 0


def test_what_was_refused_costs_nothing() -> None:
    paces = Paces(60, 1, most_names=10)
    paces.take("a", 0.0)
    for _ in range(100):
        assert paces.take("a", 0.5) == pytest.approx(0.5)
    assert paces.take("a", 1.0) == 0


def test_who_asked_least_lately_is_forgotten_and_who_asks_is_not() -> None:
    paces = Paces(60, 1, most_names=3)
    paces.take("busy", 0.0)
    for number in range(1000):
        paces.take(f"passing-{number}", 0.0)
        assert paces.take("busy", 0.0) > 0
        assert len(paces) <= 3
    assert paces.take("passing-0", 0.0) == 0
