"""``exchange thread``: the documents that answer, supersede, void or refer to one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli import standing
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.words import Words

if TYPE_CHECKING:
    from exchange_client.conversation import ThreadItem

_COLUMNS = ("place", "title", "parties", "accepted_at", "deliveries", "links", "envelope_id")
_NAMED = 3
"""Recipients that are named before the others are only counted."""
DEEPEST = 8
"""Steps that are drawn; what lies deeper is drawn at this depth."""


@click.command(cls=Command)
@click.argument("envelope")
@click.pass_context
def thread(context: click.Context, envelope: str) -> None:
    """Show the conversation that an ENVELOPE belongs to.

    What answers, supersedes, voids or refers to one another, as far as your unit sent or got it:
    each below what it refers to, oldest first. With --json: one object for each envelope.
    """
    settings = settings_of(context)
    output = settings.output
    found = run(settings, lambda client: client.thread(envelope))
    if settings.json:
        output.table(map(row_of, found.items), ())
    else:
        output.table(table_rows(found.items, output.words), _COLUMNS)
    if found.truncated:
        output.notice("thread_truncated", count=len(found.items), envelope_id=envelope)


def row_of(item: ThreadItem) -> dict[str, Any]:
    """An envelope of a thread by field name, without what is empty."""
    row = {
        "envelope_id": item.envelope_id,
        "sender": item.sender,
        "title": item.title,
        "doc_id": item.doc_id,
        "number": item.number,
        "business": item.business,
        "genre": item.genre,
        "accepted_at": item.accepted_at,
        "links": [
            {"kind": link.kind.value, "envelope_id": link.envelope_id} for link in item.links
        ],
        "standing": {state.value: count for state, count in item.standing.items()},
        "deliveries": [standing.fields_of(status) for status in item.deliveries],
    }
    return {name: value for name, value in row.items() if value != ""}


def arranged(items: Sequence[ThreadItem]) -> list[tuple[str, ThreadItem]]:
    """Each envelope after what it refers to, with the branches that are drawn before it.

    An envelope that refers to several stands below the latest one. ``items`` are by time.
    """
    places = {item.envelope_id: place for place, item in enumerate(items)}
    below: dict[int | None, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        earlier = (places[link.envelope_id] for link in item.links if link.envelope_id in places)
        below[max(earlier, default=None)].append(place)
    # A stack rather than recursion, since a thread may be 500 deep.
    waiting: list[tuple[int, tuple[str, ...], str]] = [(p, (), "") for p in reversed(below[None])]
    drawn = []
    while waiting:
        place, before, branch = waiting.pop()
        drawn.append((_prefix((*before, branch)), items[place]))
        if branch:
            before = (*before, "   " if branch == "└─ " else "│  ")
        children = below[place]
        for child in reversed(children):
            waiting.append((child, before, "└─ " if child == children[-1] else "├─ "))
    return drawn


def _prefix(branches: tuple[str, ...]) -> str:
    deeper = len(branches) > DEEPEST
    return ("… " if deeper else "") + "".join(branches[-DEEPEST:])


def table_rows(items: Sequence[ThreadItem], words: Words) -> Iterator[dict[str, Any]]:
    """The thread as a table, its envelopes numbered from top to bottom."""
    tree = arranged(items)
    numbers = {item.envelope_id: place for place, (_, item) in enumerate(tree, 1)}
    for branches, item in tree:
        yield {
            "place": numbers[item.envelope_id],
            "title": branches + item.title,
            "parties": f"{item.sender} -> {_recipients(item, words)}",
            "accepted_at": item.accepted_at,
            "deliveries": {state.value: count for state, count in item.standing.items()},
            "links": [
                words(
                    f"link_{link.kind.value}",
                    earlier=numbers.get(link.envelope_id, link.envelope_id),
                )
                for link in item.links
            ],
            "envelope_id": item.envelope_id,
        }


def _recipients(item: ThreadItem, words: Words) -> str:
    """Whom it went to, as far as the own unit may know."""
    count = sum(item.standing.values())
    units = [each.recipient for each in item.deliveries]
    if not units:
        return words("several_units", count=count)
    if len(units) <= _NAMED:
        return ", ".join(units)
    return words("more_units", units=", ".join(units[:_NAMED]), count=count, others=count - _NAMED)
