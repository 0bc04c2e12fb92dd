"""Makes the structured data of the demonstration: tables as XLSX and CSV of about a given size."""

from __future__ import annotations

import csv
import io
import random
from datetime import datetime
from functools import lru_cache

import xlsxwriter  # type: ignore[import-untyped]

HEADER = ("序号", "区市", "项目", "单位名称", "本月", "累计", "同比增长(%)", "报送日期")
DISTRICTS = (
    "市南区", "市北区", "四方区", "黄岛区", "崂山区", "李沧区", "城阳区", "胶州市", "即墨市",
    "平度市", "胶南市", "莱西市",
)  # fmt: skip
ITEMS = (
    "规模以上工业增加值",
    "固定资产投资",
    "社会消费品零售额",
    "财政一般预算收入",
    "用电量",
    "新登记企业",
)
BODIES = ("第一分局", "第二分局", "开发区分局", "稽查支队", "服务中心")
CSV_ROW_BYTES, XLSX_ROW_BYTES, XLSX_BASE_BYTES = 86, 38, 6_500
MAX_ROWS = 24_000
MADE_AT = datetime(2009, 6, 18, 9, 0)

Row = tuple[int | float | str, ...]


@lru_cache(maxsize=1)
def _all_rows() -> list[Row]:
    """Made-up figures, made once; no cell begins with a character that spreadsheets run."""
    rng = random.Random(19667)
    return [
        (
            place,
            DISTRICTS[place % len(DISTRICTS)],
            ITEMS[place // len(DISTRICTS) % len(ITEMS)],
            rng.choice(BODIES),
            rng.randrange(1_000, 9_999_999) / 100,
            rng.randrange(10_000, 99_999_999) / 100,
            rng.randrange(1, 380) / 10,
            "2009-06-18",
        )
        for place in range(1, MAX_ROWS + 1)
    ]


def rows(count: int, rng: random.Random) -> list[Row]:
    """At most ``count`` consecutive rows, from a place of their own."""
    count = min(max(1, count), MAX_ROWS)
    first = rng.randrange(MAX_ROWS - count + 1)
    return _all_rows()[first : first + count]


def csv_file(title: str, size_bytes: int, rng: random.Random) -> bytes:
    """A CSV file in UTF-8 with a byte order mark, so that spreadsheets show the Chinese."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(rows(size_bytes // CSV_ROW_BYTES, rng))
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def xlsx_file(title: str, size_bytes: int, rng: random.Random) -> bytes:
    """A workbook of one sheet."""
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    book.set_properties({"title": title, "created": MADE_AT})
    sheet = book.add_worksheet("数据")
    sheet.write_row(0, 0, HEADER, book.add_format({"bold": True}))
    count = (size_bytes - XLSX_BASE_BYTES) // XLSX_ROW_BYTES
    for place, row in enumerate(rows(count, rng), start=1):
        sheet.write_row(place, 0, row)
    book.close()
    return target.getvalue()
