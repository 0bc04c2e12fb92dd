"""What the commands print: tables or JSON lines on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

from exchange_client.cli.words import Words

# Control and direction characters could rewrite a terminal; json leaves most of them as they are.
_UNPRINTABLE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = Mapping[str, object]


def printable(text: str) -> str:
    """``text`` without what a terminal would obey instead of showing it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def as_json(row: Row) -> str:
    """One line of JSON; times in UTC with milliseconds."""
    line = json.dumps(row, ensure_ascii=False, default=_json_value)
    return _UNPRINTABLE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple | frozenset):
        return list(value)
    return str(value)


class Output:
    """Prints in one language, for people or for programs."""

    def __init__(self, words: Words, *, as_json: bool) -> None:
        self.words = words
        self.as_json = as_json

    def row(self, row: Row, sentence: str) -> None:
        """One result: a JSON object, or ``sentence`` filled in from it."""
        if self.as_json:
            click.echo(as_json(row))
        else:
            values = {key: self._shown(key, value) for key, value in row.items()}
            click.echo(self.words(sentence, **values))

    def table(self, rows: Iterable[Row], columns: Sequence[str]) -> int:
        """Many results: a JSON line each, or a table of ``columns``; returns their number."""
        if self.as_json:
            count = 0
            for row in rows:
                click.echo(as_json(row))
                count += 1
            return count
        listed = list(rows)
        if listed:
            self._print_table(listed, columns)
        else:
            self.notice("nothing")
        return len(listed)

    def notice(self, sentence: str, **values: object) -> None:
        """Something worth knowing that is no result: on stderr."""
        if self.as_json:
            click.echo(as_json({"notice": sentence, **values}), err=True)
        else:
            shown = {key: self._shown(key, value) for key, value in values.items()}
            click.echo(self.words(sentence, **shown), err=True)

    def failure(
        self,
        message: str,
        codes: tuple[str, ...],
        exit_code: int,
        attributes: Mapping[str, str],
    ) -> None:
        """An error: what was wrong, what to do, and the stable code, on stderr."""
        advice = self.words.advice(codes)
        if self.as_json:
            row = {
                "error": codes[0],
                "message": message,
                "what_to_do": advice,
                "exit_code": exit_code,
                "attributes": dict(attributes),
            }
            click.echo(as_json(row), err=True)
            return
        lines = [f"{self.words('error')}: {printable(message)} [{codes[0]}]"]
        if advice:
            lines.append(f"{self.words('what_to_do')}: {advice}")
        click.echo("\n".join(lines), err=True)

    def _print_table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        # rich takes 50 ms to import, so only where a table is drawn.
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            numeric = isinstance(rows[0].get(column), int)
            table.add_column(
                self.words(column),
                justify="right" if numeric else "left",
                no_wrap=column in {"envelope_id", "unit_id", "profile"},
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(self._shown(column, row.get(column))) for column in columns))
        console = Console(file=sys.stdout)
        if not console.is_terminal:  # a pipe has no width: never wrap what programs cut apart
            console.width = 10_000
        console.print(table)

    def _shown(self, key: str, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return self.words("yes" if value else "no")
        if isinstance(value, datetime):
            return value.astimezone().isoformat(sep=" ", timespec="seconds")
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, list | tuple):
            return ", ".join(self._shown(key, item) for item in value)
        if isinstance(value, Mapping):
            return ", ".join(f"{self.words(str(name))} {count}" for name, count in value.items())
        text = printable(str(value))
        return self.words(text) if key in _TRANSLATED else text


_TRANSLATED = frozenset({"state", "urgency", "type", "reason_code", "kind", "status"})
"""Columns whose values are words of ours, not of those who wrote the document."""
