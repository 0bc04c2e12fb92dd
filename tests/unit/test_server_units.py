"""The registry file: read whole and checked, or refused with the place that is wrong."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from document_exchange.errors import ConfigurationError
from exchange_server import units

UNIT = """
[[unit]]
unit_id = "{unit_id}"
name_zh = "单位"
name_en = "Unit"
short_zh = "单位"
kind = "DEPARTMENT"
organisation_code = "{code}"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "units.toml"
    path.write_text(text)
    return path


def test_the_sample_and_the_demo_city_are_right() -> None:
    sample = resources.files("exchange_server") / "sample_units.toml"
    assert len(units.read_file(Path(str(sample))).unit) == 5
    city = units.read_file(Path(__file__).parents[2] / "demo" / "city.toml")
    assert sum(unit.kind == "DISTRICT" for unit in city.unit) == 12
    assert sum(unit.kind == "DEPARTMENT" for unit in city.unit) >= 80


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (UNIT.format(unit_id="a-1", code="900000013"), "900000013"),
        (UNIT.format(unit_id="A", code="900000014"), "unit_id"),
        (UNIT.format(unit_id="a-1", code="900000014") * 2, "a-1"),
        (
            UNIT.format(unit_id="a-1", code="900000014")
            + UNIT.format(unit_id="b-1", code="900000014"),
            "b-1",
        ),
        (UNIT.format(unit_id="a-1", code="900000014") + "surprise = 1\n", "surprise"),
        ('[[acts_for]]\nunit = "a-1"\nissuer = "b-1"\n', "a-1"),
        ("[[unit]\n", "units.toml"),
        (
            UNIT.format(unit_id="a-1", code="900000014") + 'credit_code = "11320000MB151840XJ"\n',
            "a-1",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        units.read_file(written(tmp_path, text))
