"""Makes ``exchange-demo-song.ttf`` out of Noto Serif SC, so that the sample PDFs show anywhere.

The PDF library embeds TrueType outlines only and Noto Serif SC has PostScript ones, hence the
conversion. Kept are the signs and the 3,755 common characters of GB 2312, and whatever the
demonstration's own files use. Run it again when a test says that a character is missing::

    pip install fonttools
    python demo/fonts/make_subset.py NotoSerifSC-Regular.otf

The source is ``Serif/SubsetOTF/SC/NotoSerifSC-Regular.otf`` of github.com/notofonts/noto-cjk, under
the SIL Open Font License 1.1 (``OFL.txt`` beside this file).
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset  # type: ignore[import-not-found]
from fontTools.pens.cu2quPen import Cu2QuPen  # type: ignore[import-not-found]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-not-found]
from fontTools.ttLib import TTFont, newTable  # type: ignore[import-not-found]

HERE = Path(__file__).parent
TARGET = HERE / "exchange-demo-song.ttf"
FAMILY = "Exchange Demo Song"
OUTLINE_TOLERANCE_EM = 1 / 500
IDEOGRAPHIC_SPACE = "\u3000"
LAYOUT_TABLES = ("CFF ", "VORG", "BASE", "GDEF", "GPOS", "GSUB", "vhea", "vmtx", "STAT")
UNUSED_LIMITS = (
    "maxTwilightPoints",
    "maxStorage",
    "maxFunctionDefs",
    "maxInstructionDefs",
    "maxStackElements",
    "maxSizeOfInstructions",
    "maxComponentElements",
)


def wanted_characters() -> set[str]:
    """ASCII, the signs and common characters of GB 2312, those in the demonstration's own files."""
    wanted = {chr(code) for code in range(0x20, 0x7F)}
    wanted.add(IDEOGRAPHIC_SPACE)
    for high in (0xA1, 0xA2, 0xA3, *range(0xB0, 0xD8)):
        for low in range(0xA1, 0xFF):
            wanted.update(bytes((high, low)).decode("gb2312", errors="ignore"))
    for source in (*HERE.parent.glob("*.py"), *HERE.parent.glob("*.toml")):
        wanted.update(source.read_text(encoding="utf-8"))
    return wanted - set("\n\r\t")


def to_truetype(font: TTFont) -> None:
    """Replace the cubic outlines by quadratic ones, in place."""
    glyph_set, order = font.getGlyphSet(), font.getGlyphOrder()
    tolerance = font["head"].unitsPerEm * OUTLINE_TOLERANCE_EM
    glyphs = {}
    for name in order:
        pen = TTGlyphPen(glyph_set)
        glyph_set[name].draw(Cu2QuPen(pen, tolerance, reverse_direction=True))
        glyphs[name] = pen.glyph()
    font["loca"] = newTable("loca")
    table = font["glyf"] = newTable("glyf")
    table.glyphOrder, table.glyphs = order, glyphs
    for tag in LAYOUT_TABLES:
        if tag in font:
            del font[tag]
    table.compile(font)
    for name, glyph in glyphs.items():
        font["hmtx"][name] = (font["hmtx"][name][0], getattr(glyph, "xMin", 0))
    profile = font["maxp"]
    profile.tableVersion = 0x00010000
    for field in UNUSED_LIMITS:
        setattr(profile, field, 0)
    profile.maxZones = 1
    font["post"].formatType = 3.0
    font.sfntVersion = "\0\1\0\0"


def rename(font: TTFont) -> None:
    """Give the subset a name of its own; the copyright and licence records stay."""
    names = font["name"]
    for name_id in (1, 4, 16):
        names.setName(FAMILY, name_id, 3, 1, 0x409)
    names.setName("ExchangeDemoSong-Regular", 6, 3, 1, 0x409)
    names.setName(f"{FAMILY}, a subset of Noto Serif SC", 3, 3, 1, 0x409)


def main(source: Path) -> None:
    font = TTFont(source, recalcTimestamp=False)
    options = subset.Options(layout_features=[], hinting=False, name_IDs=["*"], notdef_outline=True)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[ord(character) for character in wanted_characters()])
    subsetter.subset(font)
    to_truetype(font)
    rename(font)
    font.save(TARGET)
    print(f"{TARGET.name}: {len(font.getGlyphOrder())} glyphs, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
