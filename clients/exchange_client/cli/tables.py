"""Tables for people: identifiers and times stay whole, so that they can be copied.

Where a table is too wide for the terminal without breaking those, each row is shown as a record,
a line for each column.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cells = Sequence[Sequence[str]]

_LONGEST_WORD = 24
"""Terminal cells after which a word of running text may be broken; Chinese has no spaces."""
_BETWEEN_COLUMNS = 3
_AT_THE_EDGES = 2
_INDENT = 2


def draw(
    console: Console,
    headers: Sequence[str],
    rows: Cells,
    *,
    folded: Collection[int],
    numeric: Collection[int],
) -> None:
    """Print ``rows`` under ``headers``.

    Args:
        console: where to; its width decides between table and records.
        headers: one for each column.
        rows: of as many texts each.
        folded: places of the columns whose text may go on in the next line.
        numeric: places of the columns that stand at the right.
    """
    gaps = _BETWEEN_COLUMNS * (len(headers) - 1) + _AT_THE_EDGES
    widths = _widths(headers, rows, folded, console.width - gaps)
    if widths is None:
        _draw_records(console, headers, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, header in enumerate(headers):
        table.add_column(
            header,
            justify="right" if place in numeric else "left",
            width=widths[place],
            no_wrap=place not in folded,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(
    headers: Sequence[str], rows: Cells, folded: Collection[int], room: int
) -> list[int] | None:
    """The columns' widths; None if ``room`` is too small for all that must stay whole."""
    columns = list(zip(headers, *rows, strict=True))
    widest = [max(map(cell_len, column)) for column in columns]
    widths = [
        min(_LONGEST_WORD, max(_longest_word(text) for text in column))
        if place in folded
        else widest[place]
        for place, column in enumerate(columns)
    ]
    spare = room - sum(widths)
    if spare < 0:
        return None
    # What is left goes to the folded ones, first to those that need little of it.
    waiting = sorted(folded, key=lambda place: widest[place] - widths[place])
    for served, place in enumerate(waiting):
        more = min(widest[place] - widths[place], spare // (len(waiting) - served))
        widths[place] += more
        spare -= more
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _draw_records(console: Console, headers: Sequence[str], rows: Cells) -> None:
    """Each row as lines of header and value; a long value is left to the terminal to fold."""
    indent = max(map(cell_len, headers)) + _INDENT
    for number, row in enumerate(rows):
        if number:
            console.print()
        for header, value in zip(headers, row, strict=True):
            if value:
                line = Text(header + " " * (indent - cell_len(header)) + value)
                console.print(line, soft_wrap=True)
