"""The JSON Schemas (draft 2020-12) of everything that is signed, made from the structs.

For those who write a client in another language: field names, bounds, patterns and words. What a
schema can't say is in docs/formats.md: canonical bytes, check characters, the calendar, and the
rules between fields.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from document_exchange.event import Event
from document_exchange.evidence import Index
from document_exchange.fields import MAX_INTEGER
from document_exchange.manifest import Manifest
from document_exchange.receipt import Admission, Receipt

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    "manifest": Manifest,
    "receipt": Receipt,
    "admission": Admission,
    "event": Event,
    "evidence": Index,
}

_VALUE = {
    "description": "A value of free form: no null, no fraction, keys in ASCII.",
    "anyOf": [
        {"type": "string"},
        {"type": "boolean"},
        {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "array", "items": {"$ref": "#/$defs/Value"}},
        {
            "type": "object",
            "propertyNames": {"pattern": "^[\\u0000-\\u007f]*$"},
            "additionalProperties": {"$ref": "#/$defs/Value"},
        },
    ],
}


def json_schemas() -> dict[str, str]:
    """The text of each schema by its file name, as in ``manifest.schema.json``."""
    return {
        f"{name}.schema.json": json.dumps(_schema(name, cls), ensure_ascii=False, indent=2) + "\n"
        for name, cls in _STRUCTS.items()
    }


def _schema(name: str, cls: type[msgspec.Struct]) -> dict[str, Any]:
    generated = _cleaned(msgspec.json.schema(cls))
    definitions = generated["$defs"]
    if "Extension" in definitions:
        definitions["Value"] = _VALUE
    root = definitions.pop(cls.__name__)
    schema = {"$schema": DRAFT, "$id": f"urn:document-exchange:schema:{name}:1", **root}
    return schema | {"$defs": definitions} if definitions else schema


def _cleaned(node: Any) -> Any:
    """The node in the words of JSON Schema and of the canonical form.

    What is optional is left out, never null, and a default is never written: so the alternative
    "null" goes, and of a flag that is false by default only true remains.
    """
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("default") is False:
        return {"const": True}
    cleaned = {key: _cleaned(value) for key, value in node.items() if key != "default"}
    alternatives = [kind for kind in cleaned.get("anyOf", ()) if kind != {"type": "null"}]
    if len(alternatives) == 1:
        del cleaned["anyOf"]
        cleaned = alternatives[0] | cleaned
    if isinstance(pattern := cleaned.get("pattern"), str):
        cleaned["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")  # as ECMA-262 has it
    if isinstance(description := cleaned.get("description"), str):
        cleaned["description"] = inspect.cleandoc(description)
    return cleaned
