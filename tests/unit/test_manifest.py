"""Manifests: every field and rule that ``decode`` checks, in the order that it promises."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from document_exchange import manifest
from document_exchange.errors import (
    ExchangeError,
    ManifestRefused,
    ManifestTooLarge,
    NotCanonical,
    SecrecyRefused,
    UnknownCriticalExtension,
)
from tests import statements_for_tests as samples

VALID = samples.as_json(samples.a_manifest())
PART = VALID["parts"][1]
RECIPIENT = VALID["recipients"][0]


def refusal_of(data: bytes) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        manifest.decode(data)
    error = caught.value
    assert error.attributes["field"].isprintable()
    assert len(error.message) > len(error.attributes["field"])
    return error


def recipients(count: int) -> list[dict[str, Any]]:
    return [{"unit": f"unit-{number}", "kind": "CC"} for number in range(count)]


def parts(count: int) -> list[dict[str, Any]]:
    return [PART | {"part_id": f"p{n}", "role": "DATA" if n else "BODY"} for n in range(count)]


def test_a_manifest_is_read_as_it_was_written() -> None:
    made = samples.a_manifest()
    assert manifest.decode(manifest.encode(made)) == made


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("recipients", recipients(500)),
        ("parts", parts(64)),
        ("document.title", "通" * 500),
        ("document.title", "\U0001f600" * 500),
        ("document.doc_id", "11320000MB151840XJ-2009-45"),
        ("document.business", "FUTURE_2030"),
        ("document.issuers", [f"unit-{n}" for n in range(32)]),
        ("document.reply_required", True),
        ("document.remark", "一\n二"),
        ("parts[1].size", 50 * 1024**3),
        ("parts[1].filename", "../../etc/passwd"),
        ("parts[1].filename", "a\x00b.pdf"),
        ("parts[1].filename", "长" * 134),  # 402 bytes
        ("parts[1].filename", "通知.pdf"),  # as another part's
        ("parts[1].media_type", "application/vnd.oasis.opendocument.text"),
        ("supersedes", samples.EARLIER_ENVELOPE_ID),
        ("extensions.archive.value", "\ufeff\u2028 any text"),
    ],
)
def test_what_lies_within_the_bounds_is_accepted(path: str, new: object) -> None:
    data = samples.replaced(VALID, path, new)
    assert manifest.encode(manifest.decode(data)) == data


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("schema", "document-exchange/manifest/2"),
        ("schema", None),
        ("envelope_id", samples.ENVELOPE_ID.upper()),
        ("envelope_id", "1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
        ("envelope_id", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("created_at", "2009-06-01T09:30:00Z"),
        ("created_at", "2009-06-01T09:30:00.000+08:00"),
        ("created_at", "2009-02-30T09:30:00.000Z"),
        ("created_at", "2008-12-31T23:59:60.000Z"),
        ("sender", "QD"),
        ("sender", "qd-caizheng\n"),
        ("sender", "a"),
        ("sender", "a" * 41),
        ("sender_system", "OA"),
        ("operator", ""),
        ("supersedes", samples.ENVELOPE_ID),
        ("refers_to", samples.ENVELOPE_ID),
        ("refers_to", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
        ("document", None),
        ("document.doc_id", "005117557-2009-31"),
        ("document.doc_id", "005117558-2009-031"),
        ("document.business", "document"),
        ("document.genre", "POEM"),
        ("document.genre", "NONE"),
        ("document.category", "ARMY"),
        ("document.direction", "SIDEWAYS"),
        ("document.title", ""),
        ("document.title", "通" * 501),
        ("document.title", "一\n二"),
        ("document.title", "\x1b[2J"),
        ("document.title", "\u202ecod.exe"),
        ("document.title", ["x"]),
        ("document.number", "〔2009〕" * 30),
        ("document.issuers", []),
        ("document.issuers[1]", "qd zhengfu"),
        ("document.issuers[1]", "qd-zhengfuban"),
        ("document.issuers", [f"unit-{n}" for n in range(33)]),
        ("document.signed_date", "2009-6-1"),
        ("document.signed_date", "2009-06-31"),
        ("document.print_date", "2009-02-29"),
        ("document.secrecy", "none"),
        ("document.urgency", "WHENEVER"),
        ("document.disclosure", "MAYBE"),
        ("document.remark", "一\r二"),
        ("document.reply_required", 1),
        ("document.reply_due", "2009-06-00"),
        ("document.reply_due", "2009-06-01T00:00:00.000Z"),
        ("document.reply_to", samples.ENVELOPE_ID),
        ("document.reply_to", "12"),
        ("recipients", []),
        ("recipients", recipients(501)),
        ("recipients[2].unit", "qd-caizheng"),
        ("recipients[2].unit", "全体"),
        ("recipients[2].kind", "BCC"),
        ("recipients[1].copies", 0),
        ("recipients[1].copies", "3"),
        ("recipients[1].copies", 3.5),
        ("parts", []),
        ("parts", parts(65)),
        ("parts", [PART]),  # no body
        ("parts[1].role", "BODY"),
        ("parts[1].role", "COVER"),
        ("parts[1].part_id", "body"),
        ("parts[1].part_id", "-x"),
        ("parts[1].part_id", "x" * 65),
        ("parts[1].part_id", "x/y"),
        ("parts[1].filename", ""),
        ("parts[1].filename", "x" * 1025),
        ("parts[1].media_type", "pdf"),
        ("parts[1].media_type", "application/pdf; charset=utf-8"),
        ("parts[1].size", -1),
        ("parts[1].size", 50 * 1024**3 + 1),
        ("parts[1].size", 2**53 + 1),
        ("parts[1].sha256", "a" * 63),
        ("parts[1].sha256", "A" * 64),
        ("parts[1].sha256", "a" * 64 + "\n"),
        ("extensions", {}),
        ("extensions", {f"x{n}": {"critical": False, "value": 1} for n in range(33)}),
        ("extensions.archive.critical", None),
        ("extensions.archive.critical", "false"),
        ("surplus", 1),
        ("document.surplus", "x"),
        ("recipients[1].surplus", "x"),
        ("parts[0].surplus", "x"),
        ("extensions.archive.surplus", "x"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(path: str, new: object) -> None:
    error = refusal_of(samples.replaced(VALID, path, new))
    assert type(error) is ManifestRefused
    assert error.attributes["field"] == path


REQUIRED = [
    *("schema", "envelope_id", "created_at", "sender", "sender_system", "document"),
    *("recipients", "parts", "document.doc_id", "document.business", "document.genre"),
    *("document.direction", "document.title", "document.issuers", "document.signed_date"),
    *("document.secrecy", "document.urgency", "recipients[1].unit", "recipients[1].kind"),
    *("parts[1].part_id", "parts[1].role", "parts[1].filename", "parts[1].media_type"),
    *("parts[1].size", "parts[1].sha256"),
    *("extensions.archive.critical", "extensions.archive.value"),
]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_field_is_refused_by_its_path(path: str) -> None:
    error = refusal_of(samples.without(VALID, path))
    assert type(error) is ManifestRefused
    assert error.attributes == {"field": path}
    assert "missing" in error.message


@pytest.mark.parametrize("name", ["", "A", "é", "x y", "x" * 101, "x\n"])
def test_the_name_of_an_extension_has_a_shape(name: str) -> None:
    error = refusal_of(samples.replaced(VALID, "extensions", {name: {"critical": 0, "value": 1}}))
    assert type(error) is ManifestRefused
    assert error.attributes["field"].startswith("extensions.")
    assert "not a good name" in error.message


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, ""),
        (1.5, ""),
        (1e300, ""),
        ({"years": None}, ".years"),
        ([1, {"x": [0.5]}], "[1].x[0]"),
        (2**53, ""),
        ([-(2**53)], "[0]"),
        ({"years": 10**60}, ".years"),
        ({"年": 1}, ".年"),
    ],
)
def test_extensions_hold_only_what_is_canonical(value: object, place: str) -> None:
    error = refusal_of(samples.replaced(VALID, "extensions.archive.value", value))
    assert type(error) is NotCanonical
    assert error.attributes["field"] == f"extensions.archive.value{place}"


def test_extensions_are_bounded_in_depth() -> None:
    value: Any = []
    for _ in range(40):
        value = [value]
    error = refusal_of(samples.replaced(VALID, "extensions.archive.value", value))
    assert type(error) is NotCanonical
    assert error.attributes["field"].startswith("extensions.archive.value[0][0]")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sender":', '"sender": '),
        ('"sender"', r'"s\u0065nder"'),
        ('"sender":"qd-zhengfuban"', '"sender":"qd-zhengfuban","sender":"qd-zhengfuban"'),
        ('"kind":"CC"', '"kind":"CC","copies":null'),
        ('"title":', '"reply_required":false,"title":'),
        ('"size":204800', '"size":204800.0'),
        ('"size":204800', '"size":2048e2'),
        ('"size":0', '"size":-0'),
        ('"years":30', '"years":30,"years":30'),
        ('"years":30', '"years":3e1'),
        ('["A","B"]', r'["\u0041","B"]'),
        ("application/pdf", r"application\/pdf"),
        ("防汛", r"\u9632汛"),
    ],
)
def test_another_spelling_is_refused(old: str, new: str) -> None:
    written = manifest.encode(samples.a_manifest()).decode()
    assert old in written
    error = refusal_of(written.replace(old, new, 1).encode())
    assert isinstance(error, ManifestRefused)


@pytest.mark.parametrize("secrecy", ["SECRET", "CONFIDENTIAL", "TOP_SECRET"])
def test_secrecy_is_refused_before_other_rules(secrecy: str) -> None:
    broken = samples.replaced(VALID, "parts", [PART, PART])
    broken = broken.replace(b'"secrecy":"NONE"', f'"secrecy":"{secrecy}"'.encode())
    broken = broken.replace(b'"critical":false', b'"critical":true')
    error = refusal_of(broken)
    assert type(error) is SecrecyRefused
    assert error.attributes == {"field": "document.secrecy", "value": repr(secrecy)}


def test_a_critical_extension_is_refused_before_other_rules() -> None:
    broken = samples.replaced(VALID, "extensions.archive.critical", True)
    broken = broken.replace(b'"role":"ATTACHMENT"', b'"role":"BODY"')
    error = refusal_of(broken)
    assert type(error) is UnknownCriticalExtension
    assert error.attributes == {"field": "extensions.archive"}


def test_a_known_critical_extension_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "KNOWN_EXTENSIONS", frozenset({"archive"}))
    found = manifest.decode(samples.replaced(VALID, "extensions.archive.critical", True))
    assert found.extensions
    assert found.extensions["archive"].critical


def test_form_is_refused_before_secrecy() -> None:
    secret = samples.replaced(VALID, "document.secrecy", "SECRET")
    assert type(refusal_of(secret + b" ")) is NotCanonical
    assert type(refusal_of(secret.replace(b'"kind":"CC"', b'"kind":"XX"'))) is ManifestRefused


@pytest.mark.parametrize("data", [b"\xff" * (1024**2 + 1), b"[" * 10_000_000])
def test_size_is_refused_before_anything_is_parsed(data: bytes) -> None:
    error = refusal_of(data)
    assert type(error) is ManifestTooLarge
    assert error.attributes["size"] == str(len(data))


def test_a_manifest_of_the_largest_size_is_read() -> None:
    value = samples.as_json(samples.a_manifest())
    value["extensions"]["archive"]["value"] = ""
    padding = manifest.MAX_BYTES - len(samples.written(value))
    data = samples.replaced(value, "extensions.archive.value", "x" * padding)
    assert len(data) == manifest.MAX_BYTES
    assert manifest.encode(manifest.decode(data)) == data
    longer = samples.replaced(value, "extensions.archive.value", "x" * (padding + 1))
    assert type(refusal_of(longer)) is ManifestTooLarge


def test_a_request_goes_up_to_one_with_a_signatory() -> None:
    request = samples.a_request()
    manifest.decode(samples.written(request))
    for path, new, field in [
        ("document.direction", "PARALLEL", "document.direction"),
        ("recipients[1].kind", "TO", "recipients"),
        ("recipients[0].kind", "CC", "recipients"),
    ]:
        error = refusal_of(samples.replaced(request, path, new))
        assert error.attributes["field"] == field
    assert refusal_of(samples.without(request, "document.signatory")).attributes == {
        "field": "document.signatory"
    }


def test_whatever_goes_up_needs_a_signatory() -> None:
    report = samples.a_request()
    report["document"]["genre"] = "REPORT"
    manifest.decode(samples.written(report))
    error = refusal_of(samples.without(report, "document.signatory"))
    assert error.attributes["field"] == "document.signatory"


def test_a_reply_says_what_it_answers() -> None:
    error = refusal_of(samples.replaced(VALID, "document.genre", "REPLY"))
    assert error.attributes["field"] == "document.reply_to"
    for name, text in (("reply_to", samples.EARLIER_ENVELOPE_ID), ("answers", "黄政〔2009〕8号")):
        value = samples.as_json(samples.a_manifest())
        value["document"] |= {"genre": "REPLY", name: text}
        manifest.decode(samples.written(value))


def test_only_what_is_no_document_proper_goes_without_a_genre() -> None:
    value = samples.as_json(samples.a_manifest())
    value["document"] |= {"business": "DATA", "genre": "NONE"}
    assert manifest.decode(samples.written(value)).document.genre is manifest.Genre.NONE


def test_sha256_in_hex() -> None:
    assert manifest.sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
