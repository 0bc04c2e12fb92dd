"""Makes the files of a planned document: official-looking PDF bodies, attachments and tables.

The font is embedded, so Chinese text shows in any viewer. Size comes from scanned pages inside the
PDF, never from bytes after its end. The same plan and seed give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from reportlab import rl_config
from reportlab.lib.colors import black, red
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from demo import pages, tables
from demo.city import City
from demo.files import MadeFile, media_type
from demo.fonts import SONG
from demo.plan import PlannedDocument, PlannedPart
from demo.prose import chinese_date, paragraphs

FONT = "Song"
PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN = 76
TEXT_SIZE, LINE_STEP = 16, 27
NEVER_FIRST = "，。、；：？！）》”’〕"
URGENCY_ZH = {"URGENT": "加急", "EXTRA_URGENT": "特急"}
TEXT_PDF_BYTES = 36_000
"""About what the text of a body and its font take; scanned pages fill the rest."""

# Images go into the PDF as they are, not spelled in ASCII: a fifth smaller and much faster.
rl_config.useA85 = 0


def make_document(
    document: PlannedDocument, city: City, directory: Path, *, seed: int
) -> list[MadeFile]:
    """Write the body and attachments of one document into ``directory``; the body is first."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed}/{document.key}")
    made = []
    for place, part in enumerate(document.parts):
        if part.role == "BODY":
            content = body_pdf(document, city, rng)
        elif part.kind == "PDF":
            content = scan_pdf(part, rng)
        else:
            make_table = tables.xlsx_file if part.kind == "XLSX" else tables.csv_file
            content = make_table(part.title, part.size_bytes, rng)
        path = directory / f"{place}.{part.kind.lower()}"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        made.append(
            MadeFile(part.role, part.filename, media_type(path), path, len(content), digest)
        )
    return made


def body_pdf(document: PlannedDocument, city: City, rng: random.Random) -> bytes:
    """The body: red head, number, title, text, signature line, and scanned enclosures."""
    target = io.BytesIO()
    sheet = _Sheet(_canvas(target, document.title))
    _draw_head(sheet, document)
    sheet.leave(LINE_STEP)
    sheet.centred(document.title, 20)
    sheet.leave(10)
    addressees = [city.by_id[unit].short_zh for unit in document.to]
    shown = (
        addressees if len(addressees) <= 15 else ["各区、市人民政府", "市政府各部门", "市直各单位"]
    )
    sheet.paragraph("、".join(shown) + "：", indent=0)
    for text in paragraphs(document.genre, document.title, rng):
        sheet.paragraph(text)
    if document.attachments:
        listed = "；".join(
            f"{place}.{part.title}" for place, part in enumerate(document.attachments, start=1)
        )
        sheet.paragraph(f"附件：{listed}")
    sheet.leave(LINE_STEP)
    for unit in document.issuers:
        sheet.right_aligned(city.by_id[unit].name_zh)
    sheet.right_aligned(chinese_date(document.signed_date))
    if document.copies:
        sheet.rule()
        sheet.paragraph("抄送：" + "、".join(city.by_id[unit].name_zh for unit in document.copies))
    sheet.finish()
    scans = pages.pages_of(document.body.size_bytes - TEXT_PDF_BYTES, rng)
    _draw_scans(sheet.canvas, scans)
    sheet.canvas.save()
    return target.getvalue()


def scan_pdf(part: PlannedPart, rng: random.Random) -> bytes:
    """An attachment as it comes from the scanner: a title and scanned pages."""
    target = io.BytesIO()
    sheet = _Sheet(_canvas(target, part.title))
    sheet.centred(part.title, 22)
    scans = pages.pages_of(part.size_bytes - TEXT_PDF_BYTES // 4, rng)
    sheet.leave(LINE_STEP)
    sheet.paragraph(f"共扫描{len(scans)}页。" if scans else "本附件无扫描页。")
    sheet.finish()
    _draw_scans(sheet.canvas, scans)
    sheet.canvas.save()
    return target.getvalue()


def _draw_head(sheet: _Sheet, document: PlannedDocument) -> None:
    """Urgency, red head, number with the signatory beside it, and the red rule."""
    canvas = sheet.canvas
    if document.urgency in URGENCY_ZH:
        canvas.setFont(FONT, 18)
        canvas.drawString(MARGIN, PAGE_HEIGHT - MARGIN, URGENCY_ZH[document.urgency])
    sheet.leave(50)
    room = PAGE_WIDTH - 2 * MARGIN
    names = document.issuer_mark.split("、")
    at_one_point = max(pdfmetrics.stringWidth(name, FONT, 1) for name in names)
    canvas.setFillColor(red)
    for name in names:
        sheet.centred(name, min(44.0, max(18.0, 0.98 * room / at_one_point)))
    canvas.setFillColor(black)
    sheet.leave(20)
    canvas.setFont(FONT, TEXT_SIZE)
    if document.signatory:
        canvas.drawRightString(PAGE_WIDTH - MARGIN, sheet.y, f"签发人：{document.signatory}")
    sheet.line(document.number or document.doc_id, centred=not document.signatory)
    canvas.setStrokeColor(red)
    canvas.setLineWidth(2)
    canvas.line(MARGIN, sheet.y + 12, PAGE_WIDTH - MARGIN, sheet.y + 12)
    canvas.setStrokeColor(black)


class _Sheet:
    """Text from top to bottom, over as many pages as it takes."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.y = PAGE_HEIGHT - MARGIN
        self._page = 1

    def leave(self, points: float) -> None:
        self.y -= points

    def line(self, text: str, *, size: float = TEXT_SIZE, centred: bool = False) -> None:
        """One line; a new page first where this one is full."""
        if self.y < MARGIN:
            self._turn()
        self.canvas.setFont(FONT, size)
        if centred:
            self.canvas.drawCentredString(PAGE_WIDTH / 2, self.y, text)
        else:
            self.canvas.drawString(MARGIN, self.y, text)
        self.y -= max(LINE_STEP, size * 1.5)

    def centred(self, text: str, size: float) -> None:
        for row in wrap(text, size, first_indent=0):
            self.line(row, size=size, centred=True)

    def paragraph(self, text: str, *, indent: int = 2) -> None:
        """Text that begins ``indent`` characters in."""
        for row in wrap("\u3000" * indent + text, TEXT_SIZE, first_indent=indent):
            self.line(row)

    def right_aligned(self, text: str) -> None:
        if self.y < MARGIN:
            self._turn()
        self.canvas.setFont(FONT, TEXT_SIZE)
        self.canvas.drawRightString(PAGE_WIDTH - MARGIN, self.y, text)
        self.y -= LINE_STEP

    def rule(self) -> None:
        self.canvas.setLineWidth(0.7)
        self.canvas.line(MARGIN, self.y + 8, PAGE_WIDTH - MARGIN, self.y + 8)
        self.y -= 14

    def finish(self) -> None:
        self.canvas.setFont(FONT, 12)
        self.canvas.drawCentredString(PAGE_WIDTH / 2, MARGIN / 2, f"— {self._page} —")
        self.canvas.showPage()

    def _turn(self) -> None:
        self.finish()
        self._page += 1
        self.y = PAGE_HEIGHT - MARGIN


def wrap(text: str, size: float, *, first_indent: int) -> Iterator[str]:
    """Rows that fit between the margins; closing marks never begin one."""
    room = PAGE_WIDTH - 2 * MARGIN
    row, width = "", 0.0
    for character in text:
        advance = pdfmetrics.stringWidth(character, _font(), size)
        full = width + advance > room and len(row) > first_indent
        if full and character not in NEVER_FIRST:
            yield row
            row, width = "", 0.0
        row += character
        width += advance
    if row:
        yield row


class _Scan(ImageReader):
    """A JPEG that goes into the PDF as it is; grey, so without transparency."""

    _dataA = None

    def __init__(self, page: pages.Page) -> None:
        super().__init__(io.BytesIO(page.jpeg))
        self._page_name = page.name

    def getRGBData(self) -> bytes:
        """The library names images by a digest of this; the pixels needn't be decoded for it."""
        return self._page_name.encode()


def _draw_scans(canvas: Canvas, scans: Sequence[pages.Page]) -> None:
    for scan in scans:
        canvas.drawImage(_Scan(scan), 0, 0, PAGE_WIDTH, PAGE_HEIGHT)
        canvas.showPage()


@lru_cache(maxsize=1)
def _font() -> str:
    pdfmetrics.registerFont(TTFont(FONT, SONG))
    return FONT


def _canvas(target: io.BytesIO, title: str) -> Canvas:
    _font()
    canvas = Canvas(
        target,
        pagesize=A4,
        pageCompression=1,
        invariant=1,
        initialFontName=FONT,  # type: ignore[arg-type]  # the stub says float
    )
    canvas.setTitle(title)
    canvas.setCreator("document-exchange demo")
    return canvas
