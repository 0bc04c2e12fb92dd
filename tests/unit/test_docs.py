"""What the documents say in a form that can be checked: examples, names of tests, links."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from document_exchange import event, manifest, receipt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLDERS = {
    "I": "integration",
    "U": "unit",
    "P": "property",
    "C": "contract",
    "F": "fault",
    "A": "acceptance",
}
READERS: dict[str, Callable[[bytes], object]] = {
    manifest.SCHEMA: manifest.decode,
    receipt.RECEIPT_SCHEMA: receipt.decode_receipt,
    receipt.ADMISSION_SCHEMA: receipt.decode_admission,
    event.SCHEMA: event.decode,
}
SALT = bytes(range(32))

FORMATS = (DOCS / "formats.md").read_text(encoding="utf-8")
SECURITY = (DOCS / "security.md").read_text(encoding="utf-8")
EXAMPLES = [
    block.encode()
    for block in re.findall(r"^```json\n(.*?)\n```$", FORMATS, re.MULTILINE | re.DOTALL)
]


def schema_of(example: bytes) -> str:
    return str(msgspec.json.decode(example)["schema"])


def test_there_is_an_example_of_everything_that_is_signed() -> None:
    assert {schema_of(example) for example in EXAMPLES} == set(READERS)


@pytest.mark.parametrize("example", EXAMPLES, ids=schema_of)
def test_an_example_is_read_and_its_digest_is_the_one_that_is_named(example: bytes) -> None:
    found = READERS[schema_of(example)](example)
    if isinstance(found, event.Event):
        assert f"`{event.leaf(SALT, example)}`" in FORMATS
    elif isinstance(found, manifest.Manifest) or getattr(found, "type", "") == "SIGNED_FOR":
        assert f"`{hashlib.sha256(example).hexdigest()}`" in FORMATS


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_measure_names_a_test_that_is_there() -> None:
    table = rows(SECURITY, "Threats")
    assert len(table) > 25
    for threat, _, tests in table:
        file = None
        named = re.findall(r"`(?:([A-Z])/(test_\w+\.py)|…)((?:::\w+)*)`", tests)
        assert named, threat
        for folder, name, path in named:
            file = ROOT / "tests" / FOLDERS[folder] / name if folder else file
            assert file is not None, threat
            source = file.read_text(encoding="utf-8")
            for piece in path.split("::")[1:]:
                assert re.search(rf"^ *(async def|def|class) {piece}\b", source, re.M), piece


def test_every_case_that_is_named_is_there() -> None:
    source = (ROOT / "tests" / "forgeries.py").read_text(encoding="utf-8")
    named = re.findall(r"\bcases? ((?:`\w+`(?:, | to )?)+)", SECURITY)
    assert named
    for words in named:
        for case in re.findall(r"`(\w+)`", words):
            assert f"    {case}: (" in source, case


def anchor(heading: str) -> str:
    """As the usual renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            assert fragment in {anchor(heading) for heading in headings}, target
