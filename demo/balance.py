"""Balances the books: what was planned against the ledger and against every recipient's files.

The ledger is read directly, with plain SQL, and the files are read from disk again, so that
neither the centre's calls nor the SDK are believed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from exchange_client import AsyncClient, Circulation

from demo.books import Books, Concluded, Deadline, Expected, Matter, Sent
from document_exchange import manifest as manifests
from document_exchange.errors import ExchangeError
from document_exchange.receipt import State

_ENVELOPES = """
    select envelope_id::text, sender, doc_id, encode(manifest_sha256, 'hex') as manifest_sha256
      from exchange.envelopes"""
_DELIVERIES = "select envelope_id::text, recipient, state from exchange.deliveries"
_STATEMENTS = """
    select envelope_id::text, recipient, array_agg(type order by seq) as types
      from exchange.statements
     group by envelope_id, recipient"""
_TOKENS = "select unit_id from exchange.tokens where used_at is not null and unit_id is not null"
_PARTS = "select envelope_id::text, size_bytes, encode(sha256, 'hex') from exchange.parts"
ABOUT_DEADLINES = ("REMINDED", "OVERDUE")
MOST_SHOWN = 20
DOCUMENTS_TRACKED = 3


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger holds, as plain values."""

    envelopes: Sequence[tuple[str, str, str, str]]
    """(envelope_id, sender, doc_id, digest of the manifest)"""
    deliveries: Mapping[tuple[str, str], str]
    """State by (envelope_id, recipient)."""
    histories: Mapping[tuple[str, str], tuple[str, ...]]
    """The types of the statements in their order, by (envelope_id, recipient)."""
    parts: Counter[tuple[str, int, str]]
    """(envelope_id, size, SHA-256)"""
    tokens: Counter[str]
    """With how many tokens each unit enrolled."""


@dataclass
class Balance:
    """What the comparison found. ``problems`` are sentences for people."""

    problems: list[str] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    files_checked: int = 0
    bytes_checked: int = 0
    enrolled: int = 0

    @property
    def is_even(self) -> bool:
        return not self.problems and not self.lost and not self.duplicated

    def shown(self) -> list[str]:
        """The first problems, and how many more there are."""
        rest = len(self.problems) - MOST_SHOWN
        return self.problems[:MOST_SHOWN] + ([f"... and {rest} more"] if rest > 0 else [])


async def read_ledger(dsn: str) -> Ledger:
    """Read the tables in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            envelopes = await connection.fetch(_ENVELOPES)
            deliveries = await connection.fetch(_DELIVERIES)
            statements = await connection.fetch(_STATEMENTS)
            parts = await connection.fetch(_PARTS)
            tokens = await connection.fetch(_TOKENS)
    finally:
        await connection.close()
    return Ledger(
        envelopes=[tuple(row) for row in envelopes],
        deliveries={(row["envelope_id"], row["recipient"]): row["state"] for row in deliveries},
        histories={
            (row["envelope_id"], row["recipient"]): tuple(row["types"]) for row in statements
        },
        parts=Counter(tuple(row) for row in parts),
        tokens=Counter(row["unit_id"] for row in tokens),
    )


async def check(books: Books, units: Iterable[str], dsn: str) -> Balance:
    """Compare plan, own books, ledger and files."""
    balance = Balance()
    ledger = await read_ledger(dsn)
    compare_enrolments(units, ledger, balance)
    compare_with_ledger(books, ledger, balance)
    compare_matters(books.matters, ledger, balance)
    await asyncio.to_thread(compare_with_files, books, balance)
    return balance


async def check_with_senders(
    books: Books, clients: Mapping[str, AsyncClient], balance: Balance
) -> None:
    """What the centre tells the senders of the widest documents is what the recipients did."""
    widest = sorted(books.sent.values(), key=lambda sent: -len(sent.document.recipients))
    for sent in widest[:DOCUMENTS_TRACKED]:
        tracking = await clients[sent.document.sender].track(sent.envelope_id)
        told = {each.recipient: each.state is State.SIGNED_FOR for each in tracking.deliveries}
        key = sent.document.key
        done = {unit: outcome.signed_for for (of, unit), outcome in books.concluded.items()
                if of == key}  # fmt: skip
        if told != done:
            balance.problems.append(f"the sender of document {key} is told something else")


def compare_enrolments(units: Iterable[str], ledger: Ledger, balance: Balance) -> None:
    """Every unit has used one token, its own."""
    for unit in units:
        used = ledger.tokens[unit]
        balance.enrolled += used == 1
        if used != 1:
            balance.problems.append(f"{unit} enrolled with {used} tokens")


def compare_with_ledger(books: Books, ledger: Ledger, balance: Balance) -> None:
    """Every planned document is there once, every delivery has ended as its recipient said."""
    _compare_envelopes(books, ledger, balance)
    expected = {
        (books.sent[document.key].envelope_id, unit): (document.key, unit)
        for document in books.workday.documents
        if document.key in books.sent
        for unit in document.recipients
    }
    for delivery, (key, unit) in expected.items():
        outcome = books.concluded.get((key, unit))
        state = ledger.deliveries.get(delivery)
        planned = "REFUSED" if (key, unit) in books.workday.refusals else "SIGNED_FOR"
        if outcome is None or state is None:
            balance.lost += 1
            balance.problems.append(f"document {key} did not arrive at {unit}: {state}")
        elif state != planned or outcome.signed_for is not (planned == "SIGNED_FOR"):
            balance.problems.append(f"document {key} to {unit} is {state}, planned {planned}")
        steps = ledger.histories.get(delivery, ())
        if state is not None and steps != ("DELIVERED", planned):
            balance.problems.append(f"document {key} to {unit} has the statements {steps}")
    tests = set(books.tests.items())
    for test in tests:
        if ledger.deliveries.get(test) != "SIGNED_FOR":
            balance.lost += 1
            balance.problems.append(f"the test document of {test[1]} was not signed for")
    played = {delivery for matter in books.matters for delivery in matter.deliveries}
    surplus = ledger.deliveries.keys() - expected.keys() - tests - played
    balance.duplicated += len(surplus) + len(books.again)
    balance.problems += [f"nobody planned the delivery of {each[0]} to {each[1]}"
                         for each in surplus]  # fmt: skip
    balance.problems += [f"document {key} came to {unit} twice" for key, unit in books.again]


def compare_matters(matters: Iterable[Matter], ledger: Ledger, balance: Balance) -> None:
    """Each envelope of a matter is there, each delivery went as its offices saw it, in order."""
    found = {envelope[0]: (envelope[1], envelope[3]) for envelope in ledger.envelopes}
    for matter in matters:
        for envelope_id, sent in matter.envelopes.items():
            if found.get(envelope_id) != sent:
                balance.problems.append(f"{matter.name}: the ledger has another {envelope_id}")
        for delivery, expected in matter.deliveries.items():
            state = ledger.deliveries.get(delivery)
            history = ledger.histories.get(delivery, ())
            balance.lost += state is None
            if state != expected.state or not _is_history(history, expected):
                balance.problems.append(
                    f"{matter.name}: the delivery to {delivery[1]} is {state} after"
                    f" {', '.join(history) or 'nothing'}; expected {expected}"
                )
        if matter.view is not None:
            _compare_view(matter, matter.view, balance)


def _compare_view(matter: Matter, view: Circulation, balance: Balance) -> None:
    """What the sender was told of all recipients is what they did."""
    told = (view.signed, view.answered, view.late)
    main = [each for of, each in matter.deliveries.items() if of[0] == matter.main]
    signed = sum(each.state is State.SIGNED_FOR for each in main)
    done = (signed, len(matter.envelopes) - 1, matter.overdue)
    if told != done:
        balance.problems.append(
            f"{matter.name}: the sender is told {told} signed, answered, late; in fact {done}"
        )


def _is_history(history: Sequence[str], expected: Expected) -> bool:
    """The parties' steps in order; what the centre says of deadlines may stand between them."""
    said = [step for step in history if step in ABOUT_DEADLINES]
    if tuple(step for step in history if step not in ABOUT_DEADLINES) != expected.steps:
        return False
    match expected.deadline:
        case Deadline.NONE:
            return not said
        case Deadline.KEPT:
            return said in ([], ["REMINDED"], ["REMINDED", "OVERDUE"])
        case Deadline.MISSED:
            return said == ["REMINDED", "OVERDUE"]


def _compare_envelopes(books: Books, ledger: Ledger, balance: Balance) -> None:
    by_doc_id: dict[tuple[str, str], list[tuple[str, str]]] = {}
    played = {envelope_id for matter in books.matters for envelope_id in matter.envelopes}
    for envelope_id, sender, doc_id, manifest_sha256 in ledger.envelopes:
        if books.tests.get(envelope_id) == sender or envelope_id in played:
            continue
        by_doc_id.setdefault((sender, doc_id), []).append((envelope_id, manifest_sha256))
    for document in books.workday.documents:
        found = by_doc_id.pop((document.sender, document.doc_id), [])
        sent = books.sent.get(document.key)
        if sent is None or not found:
            balance.lost += len(document.recipients)
            balance.problems.append(f"document {document.key} is not in the ledger")
            continue
        balance.duplicated += len(found) - 1
        if found != [(sent.envelope_id, sent.manifest_sha256)]:
            balance.problems.append(f"document {document.key} is in the ledger as {found}")
        expected = Counter((sent.envelope_id, size, sha256) for size, sha256 in sent.parts)
        if any(ledger.parts[part] != count for part, count in expected.items()):
            balance.problems.append(f"the ledger has other parts for document {document.key}")
    for unknown in by_doc_id:
        balance.problems.append(f"the ledger has a document that nobody planned: {unknown}")


def compare_with_files(books: Books, balance: Balance) -> None:
    """What lies on each recipient's disk is what was sent, to the byte, and nothing else."""
    for outcome in books.concluded.values():
        sent = books.sent.get(outcome.key)
        if sent is None:
            continue
        try:
            problem = _file_problem(outcome, sent, balance)
        except (OSError, ExchangeError) as error:
            problem = str(error)
        if problem:
            balance.lost += 1
            balance.problems.append(f"document {outcome.key} at {outcome.unit}: {problem}")


def _file_problem(outcome: Concluded, sent: Sent, balance: Balance) -> str | None:
    content = (outcome.directory / "manifest.json").read_bytes()
    if manifests.sha256_hex(content) != sent.manifest_sha256:
        return "the manifest is another one"
    manifest = manifests.decode(content)
    listed = Counter((part.size, part.sha256) for part in manifest.parts)
    if listed != Counter(sent.parts):
        return "the manifest lists other parts than were sent"
    on_disk = Counter(_size_and_digest(path) for path in (outcome.directory / "parts").iterdir())
    balance.files_checked += on_disk.total()
    balance.bytes_checked += sum(size * count for (size, _), count in on_disk.items())
    return None if on_disk == listed else "files differ from the manifest, are missing or surplus"


def _size_and_digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
