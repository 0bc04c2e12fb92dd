"""The JSON Schemas: current beside the protos, and of the same opinion as the decoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from document_exchange.schemas import json_schemas
from tests import statements_for_tests as samples

DIRECTORY = Path(__file__).parents[2] / "proto" / "document_exchange" / "v1"
MANIFEST = samples.as_json(samples.a_manifest())


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(json_schemas()[f"{name}.schema.json"])
    return jsonschema.Draft202012Validator(schema)


def test_committed_schemas_are_current() -> None:
    committed = {p.name: p.read_text(encoding="utf-8") for p in DIRECTORY.glob("*.schema.json")}
    assert committed == json_schemas(), "run make proto"


@pytest.mark.parametrize("name", ["manifest", "receipt", "admission", "event"])
def test_schemas_are_schemas(name: str) -> None:
    schema = json.loads(json_schemas()[f"{name}.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:document-exchange:schema:{name}:1"
    assert schema["additionalProperties"] is False
    assert '"null"' not in json_schemas()[f"{name}.schema.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manifest", MANIFEST),
        ("manifest", samples.a_request()),
        ("receipt", samples.as_json(samples.signed_for())),
        ("receipt", samples.as_json(samples.accepted())),
        ("receipt", samples.as_json(samples.delivered())),
        ("admission", samples.as_json(samples.an_admission())),
        ("event", samples.as_json(samples.an_event())),
    ],
)
def test_what_is_valid_is_accepted(name: str, value: Any) -> None:
    validator(name).validate(value)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("schema", "document-exchange/manifest/2"),
        ("surplus", 1),
        ("operator", None),
        ("envelope_id", "x"),
        ("created_at", "2009-06-01T24:00:00.000Z"),
        ("sender", "QD"),
        ("document.surplus", 1),
        ("document.genre", "POEM"),
        ("document.title", "x" * 501),
        ("document.title", "\u202e"),
        ("document.reply_required", False),
        ("document.issuers", ["qd-a", "qd-a"]),
        ("recipients", []),
        ("recipients", [MANIFEST["recipients"][0]] * 501),
        ("recipients[1].copies", 0),
        ("parts", MANIFEST["parts"][1:]),
        ("parts[1].role", "BODY"),
        ("parts[0].size", 2**53),
        ("parts[0].sha256", "A" * 64),
        ("extensions", {}),
        ("extensions", {"X": {"critical": False, "value": 1}}),
        ("extensions.archive.value", None),
        ("extensions.archive.value", [{"x": 0.5}]),
        ("extensions.archive.value", [2**53]),
        ("extensions.archive.value", {"é": 1}),
    ],
)
def test_what_is_wrong_is_refused(path: str, new: object) -> None:
    broken = json.loads(samples.replaced(MANIFEST, path, new))
    assert not validator("manifest").is_valid(broken)
