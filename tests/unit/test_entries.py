"""Entries of the registry: what one may say, and how what is wrong is named."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from document_exchange.entries import KINDS, AnyEntry, Entry, field_types, required_fields
from document_exchange.entry_rules import MAX_NAMES, read, read_key
from document_exchange.errors import InvalidRequest

UNIT = {
    "unit_id": "qd-caizheng",
    "name_zh": "财政局",
    "name_en": "Finance",
    "short_zh": "财政局",
    "kind": "DEPARTMENT",
    "organisation_code": "900000014",
}
REGION = {"code": "370205", "name_zh": "四方区", "name_en": "Sifang"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_key_comes_first_and_is_required(kind: type[Entry]) -> None:
    width = len(kind.key_fields)
    assert tuple(field_types(kind))[:width] == kind.key_fields
    assert required_fields(kind)[:width] == kind.key_fields


def test_an_entry_says_of_which_kind_it_is() -> None:
    entry = read("unit", UNIT)
    assert (entry.family, entry.key) == ("unit", "qd-caizheng")
    written = msgspec.json.encode(entry)
    assert msgspec.json.decode(written)["entry"] == "unit"
    assert msgspec.json.decode(written, type=AnyEntry) == entry


@pytest.mark.parametrize(
    ("kind", "values", "field", "said"),
    [
        ("unit", {"family": "system"}, "family", "is not a field"),
        ("unit", {"key_fields": ["unit_id"]}, "key_fields", "is not a field"),
        ("unit", {"name_zh": ""}, "name_zh", "expected 1 to 200 characters"),
        ("unit", {"short_zh": None}, "short_zh", "expected 1 to 200 characters"),
        ("unit", {"kind": "CASTLE"}, "kind", "expected 'DISTRICT' or"),
        ("unit", {"organisation_code": ""}, "organisation_code", "neither of the two codes"),
        ("unit", {"organisation_code": "900000015"}, "organisation_code", "'900000015' is no"),
        ("unit", {"credit_code": "11370200QD0010790C"}, "credit_code", "is no credit code"),
        ("unit", {"credit_code": "11370200QD0010790B"}, "credit_code", "another organisation"),
        ("unit", {"acts_for": ["qd-caizheng"]}, "acts_for", "names the unit itself"),
        ("unit", {"successor": "qd-caizheng"}, "successor", "names the unit itself"),
        (
            "unit",
            {"issuer_marks": [f"青{n}" for n in range(MAX_NAMES + 1)]},
            "issuer_marks",
            "lists 91; at most 90",
        ),
        (
            "region",
            {"valid_from": date(2012, 12, 1), "valid_to": date(2012, 11, 30)},
            "valid_to",
            "lies before 2012-12-01",
        ),
    ],
)
def test_what_is_wrong_is_named(kind: str, values: dict[str, Any], field: str, said: str) -> None:
    right = {"unit": UNIT, "region": REGION}[kind]
    read(kind, right)
    with pytest.raises(InvalidRequest, match=said) as refused:
        read(kind, {**right, **values})
    assert refused.value.attributes["field"] == f"{kind}.{field}"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidRequest, match="name_en is missing"):
        read("unit", {name: value for name, value in UNIT.items() if name != "name_en"})


def test_a_key_is_read_by_the_same_shapes() -> None:
    assert read_key("system", {"unit_id": "qd-caizheng", "name": "oa"}) == "qd-caizheng/oa"
    with pytest.raises(InvalidRequest, match="expected a unit id, or") as refused:
        read_key("quota", {"unit_id": "**"})
    assert refused.value.attributes["field"] == "quota.unit_id"
