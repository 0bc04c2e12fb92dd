"""The registry file: read whole and checked, or refused with the place that is wrong."""

from __future__ import annotations

import itertools
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from document_exchange import codes, entries, entry_rules, event
from document_exchange.errors import ConfigurationError
from exchange_server import registry_file
from exchange_server.changes import Changed

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
    assert len(registry_file.read_file(Path(str(sample))).unit) == 5
    city = registry_file.read_file(Path(__file__).parents[2] / "demo" / "city.toml")
    assert sum(unit.kind == "DISTRICT" for unit in city.unit) == 12
    assert sum(unit.kind == "DEPARTMENT" for unit in city.unit) >= 80


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (UNIT.format(unit_id="a-1", code="900000013"), "900000013"),
        (UNIT.format(unit_id="A", code="900000014"), "unit_id"),
        (UNIT.format(unit_id="a-1\\n", code="900000014"), "unit_id"),
        (UNIT.format(unit_id="a-1", code="900000014") + 'contact = "\\u0000"\n', "contact"),
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
        registry_file.read_file(written(tmp_path, text))


def acting_for(tmp_path: Path, others: int) -> Path:
    """A file in which one unit acts for so many others, all with the longest of identifiers."""
    unit_ids = [f"{number:040}" for number in range(others + 1)]
    entries = [
        UNIT.format(unit_id=unit_id, code=f"{body}{codes.organisation_check_character(body)}")
        for unit_id, body in zip(unit_ids, (f"{n:08}" for n in itertools.count()), strict=False)
    ]
    relations = [
        f'[[acts_for]]\nunit = "{unit_ids[0]}"\nissuer = "{other}"\n' for other in unit_ids[1:]
    ]
    return written(tmp_path, "".join([*entries, *relations]))


def test_as_many_delegations_as_are_possible_fit_into_an_event(tmp_path: Path) -> None:
    found = registry_file.read_file(acting_for(tmp_path, entry_rules.MAX_NAMES))
    (after,) = (
        each for each in found.entries() if isinstance(each, entries.UnitEntry) and each.acts_for
    )
    assert len(after.acts_for) == entry_rules.MAX_NAMES
    longest = tuple(f"{number:040}" for number in range(1000, 1000 + entry_rules.MAX_NAMES))
    marks = tuple(
        f"{mark}{number:02}" for number in range(entry_rules.MAX_NAMES) for mark in ["青" * 38]
    )
    after = msgspec.structs.replace(after, groups=longest, issuer_marks=marks)
    before = msgspec.structs.replace(after, acts_for=after.groups, issuer_marks=marks[::-1])
    made = event.Event(
        schema=event.SCHEMA,
        event_id="01969f2c-9000-7000-8000-000000000001",
        type="REGISTRY_CHANGED",
        at="2025-05-05T01:30:01.536Z",
        actor="centre",
        detail=Changed(before, after).detail() | {"reason": "因" * 2000},
    )
    assert event.decode(event.encode(made)) == made


def test_more_delegations_than_an_event_can_tell_of_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="acts_for lists 91"):
        registry_file.read_file(acting_for(tmp_path, entry_rules.MAX_NAMES + 1))


STAFF = '[[staff]]\nname = "li"\nperson = "S-1"\nfull_name = "李"\nrole = "{role}"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (STAFF.format(role="chief"), "role"),
        (STAFF.format(role="auditor") * 2, "staff li"),
        (STAFF.format(role="auditor") + 'status = "GONE"\n', "status"),
        ('[[system]]\nunit_id = "a-1"\nname = "OA"\n', "name"),
        ('[[group]]\ngroup_id = "a b"\nname_zh = "组"\nname_en = "g"\n', "group_id"),
        ('[[quota]]\nunit_id = "*"\ncalls_per_minute = -1\n', "calls_per_minute"),
        (
            '[[route]]\nroute_id = "self"\neffect = "ALLOW"\nsender = "*"\nrecipient = "*"\n',
            "route_id",
        ),
        (
            '[[route]]\nroute_id = "r"\neffect = "ALLOW"\nsender = "all"\nrecipient = "*"\n',
            "sender",
        ),
        (
            '[[region]]\ncode = "370200"\nname_zh = "青岛"\nname_en = "Qingdao"\n'
            "valid_from = 2012-12-01\nvalid_to = 2012-11-30\n",
            "370200",
        ),
    ],
)
def test_what_is_wrong_in_other_entries_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        registry_file.read_file(written(tmp_path, text))


@pytest.mark.parametrize("text", ["a = " + "1" * 5000, "a = " + "[" * 5000])
def test_what_the_reader_of_toml_breaks_on_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="the registry file"):
        registry_file.read_file(written(tmp_path, text))
