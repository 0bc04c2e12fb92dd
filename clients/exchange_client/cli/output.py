"""What the commands print: tables or JSON lines on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from exchange_client.cli.words import Words

# Control and direction characters could rewrite a terminal; json leaves most of them as they are.
_UNPRINTABLE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_LINE_BREAKS = re.compile("[\t\n\r]+")

Row = Mapping[str, object]


def printable(text: str) -> str:
    """``text`` in one line, without what a terminal would obey instead of showing it."""
    text = _LINE_BREAKS.sub(" ", text)
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


@contextmanager
def _stdout_named() -> Iterator[None]:
    """Say of an error in writing what was written to."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _print(line: str) -> None:
    with _stdout_named():
        click.echo(line)


class Output:
    """Prints in one language, for people or for programs."""

    def __init__(self, words: Words, *, as_json: bool) -> None:
        self.words = words
        self.as_json = as_json

    def row(self, row: Row, sentence: str) -> None:
        """One result: a JSON object, or ``sentence`` filled in from it."""
        if self.as_json:
            _print(as_json(row))
        else:
            values = {key: self.shown(key, value) for key, value in row.items()}
            _print(self.words(sentence, **values))

    def table(self, rows: Iterable[Row], columns: Sequence[str]) -> int:
        """Many results: a JSON line each, or a table of ``columns``; returns their number."""
        if self.as_json:
            count = 0
            for row in rows:
                _print(as_json(row))
                count += 1
            return count
        listed = list(rows)
        if listed:
            with _stdout_named():
                self._print_table(listed, columns)
        else:
            self.notice("nothing")
        return len(listed)

    def notice(self, sentence: str, **values: object) -> None:
        """Something worth knowing that is no result: on stderr."""
        if self.as_json:
            click.echo(as_json({"notice": sentence, **values}), err=True)
        else:
            shown = {key: self.shown(key, value) for key, value in values.items()}
            click.echo(self.words(sentence, **shown), err=True)

    def failure(
        self,
        message: str,
        codes: tuple[str, ...],
        exit_code: int,
        attributes: Mapping[str, str],
        command: str | None = "exchange",
        won: Row | None = None,
    ) -> None:
        """An error: what was wrong, what to do, and the stable code, on stderr.

        ``command`` is the one whose help says more; None: the message says all. ``won`` is the
        statement that decided a conflict, verified.
        """
        advice = self.words.advice(codes, command, attributes) if command else ""
        if self.as_json:
            row = {
                "error": codes[0],
                "message": message,
                "what_to_do": advice,
                "exit_code": exit_code,
                "attributes": dict(attributes),
                **({"won": won} if won else {}),
            }
            click.echo(as_json(row), err=True)
            return
        lines = [f"{self.words('error')}: {printable(message)} [{codes[0]}]"]
        if won:
            shown = {key: self.shown(key, value) for key, value in won.items()}
            lines.append(self.words("won", **shown))
        if advice:
            lines.append(f"{self.words('what_to_do')}: {printable(advice)}")
        click.echo("\n".join(lines), err=True)

    def _print_table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        # rich takes 50 ms to import, so only where a table is drawn.
        from rich.console import Console

        from exchange_client.cli.tables import draw

        # One zone for all times, so that the header can say it once.
        zone = datetime.now().astimezone()
        console = Console(file=sys.stdout)
        if not console.is_terminal:  # a pipe has no width: never wrap what programs cut apart
            console.width = 10_000
        first = [rows[0].get(column) for column in columns]
        with console.capture() as captured:
            draw(
                console,
                [self._header(column, rows, zone) for column in columns],
                [[self._cell(column, row.get(column), zone) for column in columns] for row in rows],
                folded={place for place, column in enumerate(columns) if column in _FOLDED},
                numeric={place for place, value in enumerate(first) if isinstance(value, int)},
            )
        # rich fills each line up to the table's width.
        for line in captured.get().splitlines():
            click.echo(line.rstrip(" "))

    def _header(self, column: str, rows: Sequence[Row], zone: datetime) -> str:
        word = self.words(column)
        if any(isinstance(row.get(column), datetime) for row in rows):
            offset = zone.isoformat()[-len("+00:00") :]
            return f"{word} (UTC{offset})" if zone.utcoffset() else f"{word} (UTC)"
        return word

    def _cell(self, column: str, value: object, zone: datetime) -> str:
        if isinstance(value, datetime):
            return f"{value.astimezone(zone.tzinfo):%Y-%m-%d %H:%M:%S}"
        return self.shown(column, value)

    def shown(self, key: str, value: object) -> str:
        """A value as people read it, in the language of the words."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return self.words("yes" if value else "no")
        if isinstance(value, datetime):
            return value.astimezone().isoformat(sep=" ", timespec="seconds")
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, list | tuple):
            return ", ".join(self.shown(key, item) for item in value)
        if isinstance(value, Mapping):
            return ", ".join(f"{self.words(str(name))} {count}" for name, count in value.items())
        text = printable(str(value))
        return self.words(text) if key in _TRANSLATED else text


_TRANSLATED = frozenset(
    {
        "state",
        "urgency",
        "type",
        "reason_code",
        "kind",
        "status",
        "verb",
        "check",
        "verdict",
        "alert",
        "notes",
        "deadline",
        "last_type",
    }
)
"""Columns whose values are words of ours, not of those who wrote the document."""

_FOLDED = frozenset(
    {
        *("title", "name", "groups", "deliveries", "reason", "error", "details", "what_to_do"),
        *("parties", "links"),
        *("before", "after", "value", "members", "description", "note", "fault", "detail"),
        "notes",
    }
)
"""Columns of running text; everything else is to be copied and stays in one line."""
