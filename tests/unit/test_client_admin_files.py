"""Files of registry entries: what is read and written comes out the same, faults all at once."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

import msgspec
import pytest
from exchange_client.admin_csv import csv_of
from exchange_client.admin_faults import FileFaulty
from exchange_client.admin_files import MAX_FILE_BYTES, read_entries, toml_of, write_entries
from hypothesis import given
from hypothesis import strategies as st

from document_exchange.entries import (
    KINDS,
    BusinessEntry,
    Entry,
    GroupEntry,
    QuotaEntry,
    RegionEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.errors import InvalidRequest

ROOT = Path(__file__).parents[2]

FINANCE = UnitEntry(
    unit_id="qd-caizheng",
    name_zh="青岛市财政局",
    name_en="Finance, Bureau of",
    short_zh='财"政"局',
    kind="DEPARTMENT",
    organisation_code="900000014",
    region="370200",
    issuer_marks=("青财预", "青财"),
    groups=("all-departments",),
    acts_for=("qd-jiaoyu", "qd-zhengfu"),
    contact="@office",
    status="SUSPENDED",
)

SAMPLES: dict[str, list[Entry]] = {
    "business": [BusinessEntry(code="DATA", name_zh="数据", name_en="Data")],
    "region": [
        RegionEntry(code="370205", name_zh="四方区", name_en="Sifang", valid_to=date(2012, 11, 30))
    ],
    "unit": [
        FINANCE,
        UnitEntry(
            unit_id="qd-old",
            name_zh="旧",
            name_en="Old",
            short_zh="旧",
            kind="OFFICE",
            organisation_code="900000022",
            successor="qd-caizheng",
            status="CLOSED",
        ),
    ],
    "group": [
        GroupEntry(group_id="one", name_zh="一", name_en="One", members=("qd-a", "qd-b")),
        GroupEntry(group_id="two", name_zh="二", name_en="Two"),
    ],
    "system": [SystemEntry(unit_id="qd-caizheng", name="oa", description="-1 day's office")],
    "staff": [
        StaffEntry(name="wang", person="007", full_name="王五", role="security", status="ACTIVE")
    ],
    "route": [RouteEntry(route_id="up", effect="ALLOW", sender="group:one", recipient="*")],
    "quota": [QuotaEntry(unit_id="*", calls_per_minute=600, bytes_in_flight=2**40)],
}


def test_there_is_a_sample_of_every_kind() -> None:
    assert set(SAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", SAMPLES)
def test_csv_gives_back_what_was_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "entries.csv"
    write_entries(path, SAMPLES[kind], [kind])
    assert read_entries(path, [kind]) == SAMPLES[kind]


def test_toml_gives_back_what_was_written(tmp_path: Path) -> None:
    everything = [entry for kind in KINDS for entry in SAMPLES[kind]]
    path = tmp_path / "entries.toml"
    write_entries(path, everything)
    # Beside units the groups leave to them who belongs to which.
    assert [entry for entry in read_entries(path) if entry.family != "group"] == [
        entry for entry in everything if entry.family != "group"
    ]
    assert b"members" not in path.read_bytes()
    assert read_entries(path, ["staff"]) == SAMPLES["staff"]
    write_entries(path, SAMPLES["group"])
    assert read_entries(path) == SAMPLES["group"]


@pytest.mark.parametrize("name", ["demo/city.toml", "exchange_server/sample_units.toml"])
def test_the_registry_files_of_the_project_are_read(name: str, tmp_path: Path) -> None:
    found = read_entries(ROOT / name)
    assert {"unit", "business"} <= {entry.family for entry in found}
    (tmp_path / "again.toml").write_bytes(toml_of(found))
    assert read_entries(tmp_path / "again.toml") == found


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=20))
def test_no_cell_is_a_formula_and_every_text_comes_back(text: str) -> None:
    from exchange_client.admin_csv import rows_of
    from exchange_client.admin_faults import Collector

    entry = SystemEntry(unit_id="qd-caizheng", name="oa", description=text)
    written = csv_of(SystemEntry, [entry]).decode("utf-8-sig")
    cell = next(csv.DictReader(io.StringIO(written, newline="")))["description"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    collector = Collector()
    rows_of(written, SystemEntry, collector)
    assert (collector.entries, collector.faults) == ([entry], [])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "'=1", "''", "'"])
def test_the_apostrophe_before_a_formula_is_taken_away_again(text: str, tmp_path: Path) -> None:
    entry = SystemEntry(unit_id="qd-caizheng", name="oa", description=text)
    write_entries(tmp_path / "s.csv", [entry], ["system"])
    assert f"'{text}".encode() in (tmp_path / "s.csv").read_bytes()
    assert read_entries(tmp_path / "s.csv", ["system"]) == [entry]


def test_csv_begins_with_a_byte_order_mark_so_that_excel_reads_chinese() -> None:
    assert csv_of(UnitEntry, SAMPLES["unit"]).startswith(b"\xef\xbb\xbfunit_id,name_zh")


def test_what_csv_can_not_hold_is_refused_and_not_mangled() -> None:
    unit = msgspec.structs.replace(FINANCE, issuer_marks=("a;b",))
    with pytest.raises(InvalidRequest, match="export it as TOML"):
        csv_of(UnitEntry, [unit])


def test_every_fault_of_a_csv_file_is_named_with_its_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "staff.csv"
    path.write_text(
        "name,person,full_name,role,status\n"
        "wang,007,王五,security,\n"
        "Li Si,008,李四,boss,GONE\n"
        ",,,,\n"
        "wang,009,,auditor\n"
        "wang,009,,auditor,\n"
        "wang,010,王六,auditor,ACTIVE\n"
    )
    with pytest.raises(FileFaulty) as caught:
        read_entries(path, ["staff"])
    found = [(fault.row, fault.column) for fault in caught.value.faults]
    assert found == [
        (3, "name"),
        (3, "role"),
        (3, "status"),
        (5, ""),
        (6, "full_name"),
        (7, "name"),
    ]
    texts = [fault.fault for fault in caught.value.faults]
    assert "expected 'operator' or 'security' or 'auditor'" in texts[1]
    assert texts[3] == "has 4 cells, the header has 5"
    assert texts[5] == "wang stands in row 2 too"
    assert "and 5 more" in caught.value.message


def test_a_column_that_is_missing_empties_nothing(tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    path.write_text("unit_id,name_zh,bogus,name_zh\nqd-a,甲,1,2\n")
    with pytest.raises(FileFaulty) as caught:
        read_entries(path, ["unit"])
    faults = {(fault.column, fault.fault.partition(";")[0]) for fault in caught.value.faults}
    assert ("acts_for", "there is no such column") in faults
    assert ("bogus", "column 3 is no field of a unit") in faults
    assert ("name_zh", "stands there twice") in faults
    assert all(column != "status" for column, _ in faults)
    assert {fault.row for fault in caught.value.faults} == {1}


def test_every_fault_of_a_toml_file_is_named_with_its_table(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(
        "bogus = 1\n"
        '[[unit]]\nunit_id = "qd-a"\nname_zh = "甲"\nname_en = "A"\nshort_zh = "甲"\n'
        'kind = "OFFICE"\norganisation_code = "900000015"\nacts_for = ["Q"]\n'
        '[[acts_for]]\nunit = "qd-z"\nissuer = "qd-a"\n'
        '[[acts_for]]\nunit = "qd-a"\n'
        '[[region]]\ncode = 370200\nname_zh = "市"\nname_en = "City"\nvalid_from = "yesterday"\n'
        '[[quota]]\nunit_id = "*"\nopen_streams = -1\ncalls_per_minute = true\nnosuch = 1\n'
    )
    with pytest.raises(FileFaulty) as caught:
        read_entries(path)
    assert [(f.kind, f.row, f.column) for f in caught.value.faults] == [
        ("acts_for", 1, "unit"),
        ("acts_for", 2, ""),
        ("bogus", 1, ""),
        ("quota", 1, "calls_per_minute"),
        ("quota", 1, "nosuch"),
        ("quota", 1, "open_streams"),
        ("region", 1, "code"),
        ("region", 1, "valid_from"),
        ("unit", 1, "acts_for"),
        ("unit", 1, "organisation_code"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "甲".encode("gbk"), "not UTF-8"),
        ("a.csv", b'unit_id,name\n"a', "line 2 is not CSV"),
        ("a.csv", b"unit_id\n" + b"x" * 200_000, "is not CSV"),
        ("a.toml", b"[[unit]", "is not TOML"),
        ("a.toml", b"x = " + b"[" * 100_000, "is not TOML"),
        ("a.toml", b"#" * (MAX_FILE_BYTES + 1), "larger than"),
        ("a.xlsx", b"", "must end in .toml or .csv"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_typed_error(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequest, match=said):
        read_entries(tmp_path / name, ["unit"])


@pytest.mark.parametrize("text", ["a = " + "1" * 5000, "a = " + "[" * 5000])
def test_what_the_reader_of_toml_breaks_on_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(InvalidRequest, match="is not TOML"):
        read_entries(tmp_path / "a.toml")


def test_a_csv_file_needs_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code\n")
    with pytest.raises(InvalidRequest, match="say which"):
        read_entries(tmp_path / "a.csv")
    with pytest.raises(InvalidRequest, match="one kind of entries"):
        write_entries(tmp_path / "b.csv", [])
    with pytest.raises(InvalidRequest, match="there is no kind of entry 'boss'"):
        read_entries(tmp_path / "a.csv", ["boss"])


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    path.write_text("before")
    with pytest.raises(InvalidRequest):
        write_entries(path, [msgspec.structs.replace(FINANCE, issuer_marks=("a;b",))], ["unit"])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_for_whom_a_unit_acts_may_be_said_in_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    unit = '[[unit]]\nunit_id = "qd-a"\nname_zh = "甲"\nname_en = "A"\nshort_zh = "甲"\n'
    unit += 'kind = "OFFICE"\norganisation_code = "900000014"\nacts_for = ["qd-c"]\n'
    unit += '[[acts_for]]\nunit = "qd-a"\nissuer = "qd-b"\n'
    path.write_text(unit)
    (found,) = read_entries(path)
    assert isinstance(found, UnitEntry)
    assert found.acts_for == ("qd-b", "qd-c")


def test_the_centres_own_rules_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "regions.csv"
    path.write_text(
        "code,name_zh,name_en,valid_from,valid_to\n"
        "370205,四方区,Sifang,2012-12-01,2012-11-30\n"
        "370206,黄岛区,Huangdao,2012-12-01,\n"
    )
    with pytest.raises(FileFaulty) as caught:
        read_entries(path, ["region"])
    assert [(each.row, each.column, each.fault) for each in caught.value.faults] == [
        (2, "valid_to", "lies before 2012-12-01")
    ]
