"""Scan-like page images that give sample documents realistic sizes; made once and shared.

A page is typed text on grey, slightly turned, with the noise of a scanner. Pages of one size class
differ in text, angle and noise, so a document with many pages embeds as many different images.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFont

from demo.fonts import SONG

_LINES = (
    "为进一步规范工作程序，提高办事效率，现将有关材料报送如下。",
    "一、基本情况。截至五月底，全市共完成各类项目四百二十六个。",
    "二、主要做法。明确责任分工，落实到岗到人，按月检查通报。",
    "三、存在的问题。部分单位报送不及时，个别数据前后不一致。",
    "四、下一步打算。加强培训，完善制度，定期开展自查和互查。",
    "以上材料请审阅，如有不妥，请及时与我单位联系。",
)


@dataclass(frozen=True, slots=True)
class Grade:
    """One size class of pages: resolution, noise and JPEG quality decide its bytes."""

    width: int
    height: int
    noise_percent: int
    quality: int
    variants: int


@dataclass(frozen=True, slots=True)
class Page:
    """One scanned page: a grey-scale JPEG, and a name that is unique among all pages."""

    name: str
    jpeg: bytes


GRADES = (
    Grade(1654, 2339, 16, 86, 20),
    Grade(1240, 1754, 12, 72, 8),
    Grade(827, 1169, 12, 60, 6),
    Grade(620, 877, 5, 36, 6),
)
"""From about 1.4 MB a page down to 20 KB."""


@lru_cache(maxsize=1)
def _noise_field() -> Image.Image:
    """2,400 x 3,000 grey values around 255; pages cut their own piece out of it."""
    width, height = 2400, 3000
    return Image.frombytes("L", (width, height), random.Random(33480).randbytes(width * height))


@lru_cache(maxsize=len(GRADES))
def _typed_lines(size_px: int) -> list[Image.Image]:
    """Each sample line as a mask, in letters of that size."""
    font = ImageFont.truetype(SONG, size_px)
    masks = []
    for text in _LINES:
        _, _, right, bottom = font.getbbox(text)
        mask = Image.new("L", (int(right), int(bottom)), 0)
        ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=font)
        masks.append(mask)
    return masks


@lru_cache(maxsize=sum(grade.variants for grade in GRADES))
def page(grade_index: int, variant: int) -> Page:
    """One page of a size class; the same arguments give the same bytes."""
    grade = GRADES[grade_index]
    rng = random.Random(grade_index * 1000 + variant)
    image = Image.new("L", (grade.width, grade.height), 246)
    lines = _typed_lines(grade.width // 34)
    margin, step = grade.width // 9, grade.height // 26
    for place in range(21):
        line = rng.choice(lines)
        top = margin + place * step
        box = (margin, top, margin + line.width, top + line.height)
        image.paste(rng.randint(30, 70), box, line)
    image = image.rotate(rng.uniform(-0.8, 0.8), fillcolor=235)
    left = rng.randrange(2400 - grade.width)
    top = rng.randrange(3000 - grade.height)
    noise = _noise_field().crop((left, top, left + grade.width, top + grade.height))
    weak_noise = noise.point([value * grade.noise_percent // 100 for value in range(256)])
    target = io.BytesIO()
    ImageChops.subtract(image, weak_noise).save(target, "JPEG", quality=grade.quality)
    return Page(f"scan-{grade_index}-{variant}", target.getvalue())


def pages_of(size_bytes: int, rng: random.Random) -> list[Page]:
    """Different pages of together about ``size_bytes``, at most a small page below it.

    At most all pages there are, about 30 MB.
    """
    chosen: list[Page] = []
    left = size_bytes
    for index, grade in enumerate(GRADES):
        first = rng.randrange(grade.variants)
        for offset in range(grade.variants):
            candidate = page(index, (first + offset) % grade.variants)
            if len(candidate.jpeg) > left:
                break
            chosen.append(candidate)
            left -= len(candidate.jpeg)
    return chosen
