"""Document numbers 发文字号 and identifiers 公文标识 of the planned documents."""

from __future__ import annotations

import random
from collections.abc import Sequence

from demo.city import City


class Numbers:
    """Hands out document numbers and identifiers; none twice, none of a sample's."""

    def __init__(self, city: City, year: int, taken: Sequence[str], rng: random.Random) -> None:
        self._city = city
        self._year = year
        self._rng = rng
        self._taken = set(taken)
        self._serials: dict[str, int] = {}
        self._identifiers: dict[str, int] = {}

    def number(self, issuer: str, genre: str) -> str:
        """The next free 发文字号 of an issuer."""
        unit = self._city.by_id[issuer]
        telling = {"LETTER": "函", "MINUTES": "纪要"}.get(genre, "")
        marks = [mark for mark in unit.issuer_marks if telling and telling in mark]
        mark = marks[0] if marks else unit.issuer_marks[0]
        if genre == "ORDER":
            series, form = f"{unit.name_zh}令", "{series} 第{serial}号"
        elif "纪要" in mark:
            series, form = f"{mark}〔{self._year}〕", "{series}第{serial}期"
        else:
            series, form = f"{mark}〔{self._year}〕", "{series}{serial}号"
        while True:
            number = form.format(series=series, serial=self._next(self._serials, series))
            if number not in self._taken:
                return number

    def doc_id(self, issuer: str) -> str:
        """The next 公文标识 of an issuer: organisation code, year, serial (GB/T 19667.1)."""
        code = self._city.by_id[issuer].organisation_code
        return f"{code}-{self._year}-{self._next(self._identifiers, issuer)}"

    def _next(self, serials: dict[str, int], name: str) -> int:
        """The year's first five months have used up some serials already."""
        serials[name] = serials.get(name, self._rng.randint(20, 90)) + 1
        return serials[name]
