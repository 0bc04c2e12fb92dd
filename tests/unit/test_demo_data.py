"""The demonstration's data: codes are right, the day is as planned, its files open in a reader."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any
from xml.etree import ElementTree

import msgspec
import pypdf
import pytest
from click.testing import CliRunner
from exchange_client.compose import Draft, compose, recipients_of
from reportlab.pdfbase.ttfonts import TTFontFace

from demo import catalogue, city, documents, fonts, tables, workday
from demo.__main__ import MARKER, main
from demo.city import City
from demo.files import MadeFile, RealFiles
from demo.offices import metadata_of
from demo.plan import PlannedDocument, Workday
from demo.prose import chinese_date
from document_exchange import codes, identity
from document_exchange.identity import Identity, Kind
from document_exchange.manifest import Genre, Part, PartRole, sha256_hex
from document_exchange.receipt import ReasonCode
from exchange_server import registry_file
from exchange_server.routes import Party, Route, RouteTable

DISTRICT_CODES = {
    "370202", "370203", "370205", "370211", "370212", "370213", "370214", "370281", "370282",
    "370283", "370284", "370285",
}  # fmt: skip
BUSINESSES = {
    "DOCUMENT", "INFORMATION", "MEETING", "RECEPTION", "SUPERVISION", "ASSESSMENT", "EMERGENCY",
    "PETITION", "DATA",
}  # fmt: skip


@pytest.fixture(scope="module")
def people() -> City:
    return city.load()


@pytest.fixture(scope="module")
def day(people: City) -> Workday:
    return workday.plan(people)


# -- city.toml


def test_city_has_districts_departments_and_the_centre(people: City) -> None:
    kinds = Counter(unit.kind for unit in people.units)
    assert kinds["DISTRICT"] == 12
    assert kinds["DEPARTMENT"] >= 80
    assert people.ids("CENTRE") == ("qd-dianzizhengwu",)
    assert {"qd-zhengfu", "qd-zhengfuban", "qd-shiweiban"} <= set(people.ids("OFFICE"))
    assert {people.by_id[unit].region for unit in people.ids("DISTRICT")} == DISTRICT_CODES


def test_codes_have_right_check_characters_and_are_unique(people: City) -> None:
    for unit in people.units:
        assert codes.is_organisation_code(unit.organisation_code), unit
        assert codes.is_credit_code(unit.credit_code), unit
        assert unit.credit_code[8:17] == unit.organisation_code, unit
        assert unit.credit_code[2:8] == unit.region, unit
    for values in (
        [unit.organisation_code for unit in people.units],
        [unit.credit_code for unit in people.units],
        [unit.unit_id for unit in people.units],
        [unit.name_zh for unit in people.units],
        [unit.name_en for unit in people.units],
        [unit.short_zh for unit in people.units],
        [mark for unit in people.units for mark in unit.issuer_marks],
        [region.code for region in people.regions],
    ):
        assert len(set(values)) == len(values), Counter(values).most_common(2)


def test_unit_ids_can_stand_in_certificates(people: City) -> None:
    for unit in people.units:
        spiffe_id = f"spiffe://exchange.example/unit/{unit.unit_id}/seal/seal"
        assert identity.parse(spiffe_id).unit == unit.unit_id


def test_groups_hold_their_kind(people: City) -> None:
    for group, kind in (("all-districts", "DISTRICT"), ("all-departments", "DEPARTMENT")):
        members = {unit.unit_id for unit in people.units if group in unit.groups}
        assert members == {unit.unit_id for unit in people.units if unit.kind == kind}


def test_references_within_the_city_hold(people: City) -> None:
    regions = {region.code: region for region in people.regions}
    assert {unit.region for unit in people.units} <= regions.keys()
    assert {business.code for business in people.businesses} == BUSINESSES | {"COUNTERSIGN"}
    assert [(each.unit, each.issuer) for each in people.acts_for] == [
        ("qd-zhengfuban", "qd-zhengfu")
    ]
    for region in people.regions:
        if region.valid_from and region.valid_to:
            assert region.valid_from < region.valid_to
    ended = {code for code, region in regions.items() if region.valid_to is not None}
    assert ended == {"370205", "370282", "370284"}


def test_sections_are_sorted(people: City) -> None:
    for kind in ("DISTRICT", "DEPARTMENT"):
        units = [unit for unit in people.units if unit.kind == kind]
        keys = [unit.region if kind == "DISTRICT" else unit.unit_id for unit in units]
        assert keys == sorted(keys)


# -- the plan


def test_day_has_everything_that_it_should_show(people: City, day: Workday) -> None:
    planned = day.documents
    assert len(planned) == 300
    assert [document.key for document in planned] == list(range(1, 301))
    assert {document.genre for document in planned} == set(Genre)
    assert {document.business for document in planned} == BUSINESSES
    assert sum(document.urgency == "EXTRA_URGENT" for document in planned) >= 5
    assert sum(bool(document.attachments) for document in planned) == pytest.approx(135, abs=3)
    assert sum(document.answer is not None for document in planned) >= 30
    everybody = [each for each in planned if len(each.recipients) == len(people.units) - 1]
    assert {each.number for each in everybody} == {"青政办发〔2009〕31号", "青电政办〔2009〕6号"}
    assert any(document.sender not in document.issuers for document in planned)
    assert any(len(document.issuers) > 1 for document in planned)
    samples = {sample.number for sample in catalogue.SAMPLES}
    assert samples <= {document.number for document in planned}


def test_plan_is_the_same_for_the_same_seed(people: City, day: Workday) -> None:
    assert workday.plan(people) == day
    assert workday.plan(people, seed=1).documents != day.documents


@pytest.mark.parametrize("count", [2, 3, 19, 20, 301, 1000])
def test_plan_has_exactly_the_documents_asked_for(people: City, count: int) -> None:
    planned = workday.plan(people, documents=count, seed=count)
    assert len(planned.documents) == count
    assert planned.refusals


def test_plan_refuses_an_empty_day(people: City) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        workday.plan(people, documents=1)


def test_identifiers_and_numbers_are_unique(day: Workday) -> None:
    identifiers = [document.doc_id for document in day.documents]
    numbers = [document.number for document in day.documents if document.number]
    assert len(set(identifiers)) == len(identifiers)
    assert len(set(numbers)) == len(numbers)


def test_answers_come_after_what_they_answer_from_one_who_received_it(day: Workday) -> None:
    by_key = {document.key: document for document in day.documents}
    for document in day.documents:
        if document.answer is None:
            continue
        original = by_key[document.answer.key]
        assert original.key < document.key
        assert document.answer.signed_for_by in original.recipients
        assert document.answer.signed_for_by in document.issuers
        assert document.to == (original.sender,)
        assert (original.key, document.answer.signed_for_by) not in day.refusals


def test_senders_act_only_for_whom_they_may(people: City, day: Workday) -> None:
    may = {(each.unit, each.issuer) for each in people.acts_for}
    for document in day.documents:
        assert document.sender in document.issuers or all(
            (document.sender, issuer) in may for issuer in document.issuers
        )
        assert document.sender not in document.recipients
        assert len(set(document.recipients)) == len(document.recipients)
        assert set(document.recipients) <= people.by_id.keys()


@pytest.fixture(scope="module")
def routes() -> RouteTable:
    file = registry_file.read_file(city.CITY_FILE)
    return RouteTable(Route(**msgspec.structs.asdict(route)) for route in file.route)


@pytest.fixture(scope="module")
def parties(people: City) -> dict[str, Party]:
    return {unit.unit_id: Party(unit.unit_id, unit.groups) for unit in people.units}


def test_everything_that_is_sent_goes_by_a_rule_of_the_city(
    people: City, routes: RouteTable, parties: dict[str, Party]
) -> None:
    """Whatever the dice say, and each rule that allows something is needed sooner or later."""
    used = set()
    for seed in range(10):
        for document in workday.plan(people, seed=seed).documents:
            kind = (document.business, document.genre, document.direction)
            for unit in document.recipients:
                decision = routes.decide(parties[document.sender], parties[unit], *kind)
                assert decision.allowed, (document, decision)
                used.add(decision.route_id)
    file = registry_file.read_file(city.CITY_FILE)
    allowing = {route.route_id for route in file.route if route.effect == "ALLOW"}
    assert allowing - used == {"flood-control-to-departments"}


@pytest.mark.parametrize(
    ("sender", "kind", "recipient", "rule", "allowed"),
    [
        ("qd-minzheng", "DOCUMENT REQUEST UP", "qd-zhengfu", "up-from-departments", True),
        ("qd-caizheng", "DOCUMENT LETTER PARALLEL", "qd-laoshan", "parallel", True),
        ("qd-caizheng", "DOCUMENT NOTICE DOWN", "qd-laoshan", "departments-not-down", False),
        ("qd-weisheng", "DOCUMENT NOTICE DOWN", "qd-laoshan", "authorised-down", True),
        ("qd-weisheng", "DOCUMENT ORDER DOWN", "qd-laoshan", "authorised-no-orders", False),
        ("qd-xinfang", "PETITION NONE DOWN", "qd-laoshan", "petitions-down", True),
        ("qd-fangxun", "EMERGENCY NONE DOWN", "qd-laoshan", "flood-control-to-districts", True),
        ("qd-caizheng", "EMERGENCY NONE DOWN", "qd-laoshan", "departments-not-down", False),
        ("qd-laoshan", "DOCUMENT REPORT UP", "qd-caizheng", "", False),
        ("qd-caizheng", "DOCUMENT NOTICE DOWN", "qd-jiaoyu", "", False),
        ("qd-laoshan", "DOCUMENT NOTICE DOWN", "qd-zhengfu", "", False),
    ],
)
def test_the_worked_examples_of_the_document_on_routes_hold(
    routes: RouteTable,
    parties: dict[str, Party],
    sender: str,
    kind: str,
    recipient: str,
    rule: str,
    allowed: bool,
) -> None:
    decision = routes.decide(parties[sender], parties[recipient], *kind.split())
    assert (decision.allowed, decision.route_id) == (allowed, rule)


def test_refusals_have_reasons_that_the_exchange_knows(day: Workday) -> None:
    by_key = {document.key: document for document in day.documents}
    assert len(day.refusals) >= 5
    for (key, unit), refusal in day.refusals.items():
        assert unit in by_key[key].recipients
        assert refusal.text
        code = ReasonCode(refusal.reason_code)
        assert code not in (ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH)


def test_sizes_follow_the_distribution(day: Workday) -> None:
    totals = sorted(sum(part.size_bytes for part in each.parts) for each in day.documents)
    bodies = [document.body.size_bytes for document in day.documents]
    assert median(bodies) == pytest.approx(200_000, rel=0.1)
    assert median(totals) == pytest.approx(350_000, rel=0.25)
    assert mean(totals) == pytest.approx(1_200_000, rel=0.25)
    assert totals[285] == pytest.approx(5_000_000, rel=0.3)
    assert totals[-1] == pytest.approx(25_000_000, rel=0.2)


def composed(document: PlannedDocument, files: list[MadeFile] | None = None) -> bytes:
    """The manifest of a planned document, made and checked as the SDK does."""
    described = files or []
    parts = tuple(
        Part(
            part_id=f"part-{place}",
            role=PartRole(part.role),
            filename=part.filename,
            media_type="application/pdf",
            size=described[place].size if described else part.size_bytes,
            sha256=described[place].sha256 if described else sha256_hex(part.title.encode()),
        )
        for place, part in enumerate(document.parts)
    )
    at = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    draft = Draft(
        envelope_id=codes.new_id(at),
        at=at,
        sender=Identity("exchange.example", Kind.SYSTEM, "oa", document.sender),
        title=document.title,
        doc_id=document.doc_id,
        recipients=recipients_of(document.to, document.copies),
        parts=parts,
    )
    reply_to = codes.new_id(at) if document.answer else None
    return compose(draft, metadata_of(document, reply_to))[1]


def test_every_planned_document_makes_an_acceptable_manifest(day: Workday) -> None:
    for document in day.documents:
        content = composed(document)
        assert document.title.encode() in content


# -- the files


def test_font_has_every_character_of_the_city_and_the_day(people: City, day: Workday) -> None:
    """Otherwise run demo/fonts/make_subset.py again."""
    known = {chr(code) for code in TTFontFace(fonts.SONG).charToGlyph}
    here = Path(city.__file__).parent
    names = ("city.toml", "catalogue.py", "documents.py", "pages.py", "prose.py", "tables.py")
    sources = [here / name for name in names]
    used = {character for path in sources for character in path.read_text(encoding="utf-8")}
    used |= {character for document in day.documents for character in document.title}
    assert used - known - set("\n") == set()


def of_kind(day: Workday, kind: str) -> PlannedDocument:
    """A document with an attachment of this kind, the smallest one."""
    having = [
        document
        for document in day.documents
        if kind in [part.kind for part in document.attachments] and len(document.parts) == 2
    ]
    return min(having, key=lambda document: sum(part.size_bytes for part in document.parts))


def test_bodies_are_pdf_files_that_show_their_text(
    people: City, day: Workday, tmp_path: Path
) -> None:
    document = next(each for each in day.documents if each.number == "青民〔2009〕28号")
    [body, *_] = documents.make_document(document, people, tmp_path, seed=1)

    reader = pypdf.PdfReader(body.path, strict=True)
    text = "".join(page.extract_text() for page in reader.pages)

    assert "青岛市民政局文件" in text
    assert "关于城乡低保标准的请示" in text
    assert f"签发人：{document.signatory}" in text
    assert "二〇〇九年六月十八日" in text
    resources: Any = reader.pages[0]["/Resources"]
    used = [font.get_object() for font in resources["/Font"].values()]
    assert used
    assert all("/FontFile2" in font["/FontDescriptor"] for font in used), "a font is not embedded"
    assert body.path.read_bytes().rstrip().endswith(b"%%EOF")


def test_files_are_as_large_as_planned_through_different_pages(day: Workday) -> None:
    attachments = [
        part for document in day.documents for part in document.attachments if part.kind == "PDF"
    ]
    largest = max(attachments, key=lambda part: part.size_bytes)
    content = documents.scan_pdf(largest, random.Random(1))

    assert len(content) == pytest.approx(largest.size_bytes, rel=0.05)
    images = []
    for page in pypdf.PdfReader(io.BytesIO(content)).pages[1:]:
        resources: Any = page["/Resources"]
        scans = [each.get_object().get_data() for each in resources["/XObject"].values()]
        images += [hashlib.sha256(scan).digest() for scan in scans]
    assert len(images) >= 5
    assert len(set(images)) == len(images)


def test_files_are_the_same_for_the_same_seed(people: City, day: Workday, tmp_path: Path) -> None:
    document = of_kind(day, "XLSX")
    first, again, other = (
        documents.make_document(document, people, tmp_path / name, seed=seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert [file.sha256 for file in first] == [file.sha256 for file in again]
    assert [file.sha256 for file in first] != [file.sha256 for file in other]
    for file in first:
        content = file.path.read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert composed(document, first)


def test_csv_opens_as_a_table_in_utf8() -> None:
    content = tables.csv_file("数据表", 100_000, random.Random(1))
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert tuple(rows[0]) == tables.HEADER
    assert {len(row) for row in rows} == {len(tables.HEADER)}
    assert len(content) == pytest.approx(100_000, rel=0.1)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row)


def test_xlsx_opens_as_a_workbook() -> None:
    content = tables.xlsx_file("数据表", 40_000, random.Random(1))
    assert len(content) == pytest.approx(40_000, rel=0.2)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert set(tables.HEADER) <= {text.text for text in shared.iter(f"{space}t")}
    assert len(list(sheet.iter(f"{space}row"))) > 500


def test_real_files_are_taken_in_turn(day: Workday, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"公文{number}.pdf").write_bytes(b"%PDF-" + bytes([number]))
    real = RealFiles(tmp_path)
    seen = set()
    for document in day.documents[:6]:
        files = real.files_of(document)
        assert len(files) == len(document.parts)
        assert files[0].role == "BODY"
        for file in files:
            content = file.path.read_bytes()
            assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
            assert file.media_type == "application/pdf"
            seen.add(file.filename)
    assert seen == {"公文0.pdf", "公文1.pdf", "公文2.pdf"}


def test_names_of_real_files_can_be_shown(day: Workday, tmp_path: Path) -> None:
    (tmp_path / "a\nb\u202e.pdf").write_bytes(b"%PDF-")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pdf")).write_bytes(b"%PDF-")
    real = RealFiles(tmp_path)
    names = {file.filename for document in day.documents[:2] for file in real.files_of(document)}
    assert names == {"a_b_.pdf", "\ufffd.pdf"}


def test_real_files_need_a_file(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "config").touch()
    with pytest.raises(ValueError, match="no file"):
        RealFiles(tmp_path)


def test_a_folder_without_files_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    evidence = tmp_path / "out" / "evidence.zip"
    evidence.parent.mkdir(parents=True)
    evidence.touch()
    (tmp_path / "out" / MARKER).touch()

    result = CliRunner().invoke(
        main, ["--files", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    )

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: there is no file to send in ")
    assert evidence.exists()


def test_names_are_chinese_where_the_locale_knows_only_ascii(tmp_path: Path) -> None:
    (tmp_path / "空").mkdir()
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--files", tmp_path / "空", "--out", tmp_path / "out"],
        env={**os.environ, **plain},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.decode().endswith("空\n")


def test_links_out_of_the_folder_are_not_followed(day: Workday, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("not ours to send")
    (folder / "below" / "notice.txt").write_text("to be sent")
    (folder / "again.txt").symlink_to("below/notice.txt")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "away").symlink_to(tmp_path)
    (folder / "broken.txt").symlink_to("nothing")
    (folder / "circle.txt").symlink_to("circle.txt")
    os.mkfifo(folder / "pipe")

    real = RealFiles(folder)

    sent = {file.path for document in day.documents for file in real.files_of(document)}
    assert sent == {folder / "again.txt", folder / "below" / "notice.txt"}
    assert {path.name: reason.split(" that")[0] for path, reason in real.skipped} == {
        "out.txt": "a link",
        "away": "a link",
        "broken.txt": "a broken link",
        "circle.txt": "a broken link",
        "pipe": "not a regular file",
    }


def test_dates_are_written_as_in_official_documents() -> None:
    shown = [
        chinese_date(datetime.fromisoformat(day).date())
        for day in ("2009-06-18", "2010-10-01", "2009-12-31", "2009-11-20")
    ]
    assert shown == [
        "二〇〇九年六月十八日", "二〇一〇年十月一日", "二〇〇九年十二月三十一日",
        "二〇〇九年十一月二十日",
    ]  # fmt: skip
