"""What the documents say in a form that can be checked: examples, names of tests, links."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from exchange_client.cli import exchange
from exchange_pki.cli import exchange_pki

from document_exchange import event, evidence, manifest, receipt
from exchange_server import registry_file
from exchange_server.cli import cli as exchange_server

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
    evidence.SCHEMA: evidence.decode,
}
VECTORS = ROOT / "tests" / "assets" / "vectors"
SALT = bytes(range(32))

FORMATS = (DOCS / "formats.md").read_text(encoding="utf-8")
SECURITY = (DOCS / "security.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
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


def test_the_example_of_evidence_is_that_of_the_test_vector() -> None:
    stem = "deliveries/qd-caizheng/0002-SIGNED_FOR"
    with zipfile.ZipFile(VECTORS / "simple.zip") as archive:
        index = archive.read(evidence.INDEX)
        digested = [
            index,
            archive.read(evidence.ROOT_CERTIFICATE),
            archive.read(f"{stem}.json"),
            archive.read(f"{stem}.salt") + archive.read(f"{stem}.event.json"),
        ]
    assert index in EXAMPLES
    for data in digested:
        assert f"`{hashlib.sha256(data).hexdigest()}`" in FORMATS


def test_every_step_of_a_delivery_has_its_place_among_the_names_of_etsi() -> None:
    named = " ".join(row[0] for row in rows(FORMATS, "Our names and those of ETSI EN 319 522"))
    for kind in receipt.ReceiptType:
        assert f"`{kind.value}`" in named


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
        named = re.findall(r"`(?:([A-Z])/((?:\w+/)?test_\w+\.py)|…)((?:::\w+)*)`", tests)
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


def test_every_log_event_is_one_that_the_code_has() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("exchange_server", "exchange_runtime", "certs/exchange_pki")
        for path in (ROOT / package).rglob("*.py")
    )
    named = [
        name
        for event_names, *_ in rows(OPERATIONS, "Logs and health")
        for name in re.findall(r"`(\w+)`", event_names)
    ]
    assert len(named) > 25
    for name in named:
        assert f'"{name}"' in code, name


def test_every_command_of_the_table_is_there() -> None:
    programs = {
        "exchange": exchange,
        "exchange-server": exchange_server,
        "exchange-pki": exchange_pki,
    }
    table = rows(OPERATIONS, "Commands")
    assert len(table) > 10
    named = set()
    for commands, *_ in table:
        program, _, verbs = commands.strip("`").partition("`")[0].partition(" ")
        for verb in verbs.partition(" --")[0].split(", "):
            name = verb.split()[0]
            assert name == "…" or name in programs[program].commands, commands
            named.add((program, name))
    assert {name for program, name in named if program == "exchange"} == set(exchange.commands)


def test_the_registry_to_begin_with_is_right(tmp_path: Path) -> None:
    [example] = re.findall(
        r"^```toml\n(\[\[business.*?)^```$", OPERATIONS, re.MULTILINE | re.DOTALL
    )
    path = tmp_path / "registry.toml"
    path.write_text(example, encoding="utf-8")
    roles = sorted(member.role for member in registry_file.read_file(path).staff)
    assert roles == ["operator", "security", "security"]


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
