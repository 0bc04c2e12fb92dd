"""The demonstration finds what is lost, doubled or altered; it can't report success blindly."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from exchange_client import Circulation, CirculationEntry, DeliveryStatus
from exchange_client.compose import Draft, compose, recipients_of
from rich.console import Console

from demo import balance, city, summary, workday
from demo.__main__ import MARKER, clear, running_centre
from demo.balance import Balance, Ledger
from demo.books import Books, Concluded, Deadline, Matter
from demo.files import MadeFile
from demo.offices import metadata_of
from demo.plan import PlannedDocument
from document_exchange import codes
from document_exchange.identity import Identity, Kind
from document_exchange.manifest import Part, PartRole, sha256_hex
from document_exchange.receipt import ReceiptType, State

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
UNITS = tuple(city.load().by_id)
TEST, MATTER = codes.new_id(AT), codes.new_id(AT)
ENDED, QUICK, SILENT = UNITS[1:4]
HISTORIES = {
    ENDED: ("DELIVERED", "SIGNED_FOR", "RETURNED"),
    QUICK: ("DELIVERED", "REMINDED", "SIGNED_FOR"),
    SILENT: ("REMINDED", "OVERDUE"),
}


def a_matter() -> Matter:
    """Its three recipients do what there are histories of."""
    matter = Matter("circulated", "关于征求意见的函", (UNITS[0], ENDED, QUICK, SILENT))
    matter.enter_sent(MATTER, UNITS[0], "1" * 64)
    signed = (ReceiptType.DELIVERED, ReceiptType.SIGNED_FOR)
    matter.expect(MATTER, ENDED, State.RETURNED, *signed, ReceiptType.RETURNED)
    matter.expect(MATTER, QUICK, State.SIGNED_FOR, *signed, deadline=Deadline.KEPT)
    matter.expect(MATTER, SILENT, State.PENDING, deadline=Deadline.MISSED)
    entries = [entry(ENDED), entry(QUICK, signed_for_at=AT), entry(SILENT, late=True)]
    matter.view = Circulation(MATTER, UNITS[0], matter.title, tuple(entries))
    return matter


def entry(unit: str, signed_for_at: datetime | None = None, late: bool = False) -> CirculationEntry:
    status = DeliveryStatus(unit, State.PENDING, 1, AT, overdue=late)
    return CirculationEntry(status, "TO", signed_for_at, None, "")


@dataclass
class Scene:
    """A day that went well, as everybody's books have it."""

    books: Books
    ledger: Ledger

    def balance(self) -> Balance:
        found = Balance()
        balance.compare_enrolments(UNITS, self.ledger, found)
        balance.compare_with_ledger(self.books, self.ledger, found)
        balance.compare_matters(self.books.matters, self.ledger, found)
        balance.compare_with_files(self.books, found)
        return found


def send(document: PlannedDocument, books: Books, received: Path) -> None:
    """As if the document had been sent and had reached every recipient."""
    contents = [f"{document.key}/{part.filename}".encode() for part in document.parts]
    files = [
        MadeFile(
            part.role, part.filename, "application/pdf", received, len(content), sha256_hex(content)
        )
        for part, content in zip(document.parts, contents, strict=True)
    ]
    parts = tuple(
        Part(
            part_id=f"part-{place}",
            role=PartRole(file.role),
            filename=file.filename,
            media_type=file.media_type,
            size=file.size,
            sha256=file.sha256,
        )
        for place, file in enumerate(files)
    )
    sender = Identity("exchange.example", Kind.SYSTEM, "oa", document.sender)
    draft = Draft(
        envelope_id=codes.new_id(AT),
        at=AT,
        sender=sender,
        title=document.title,
        doc_id=document.doc_id,
        recipients=recipients_of(document.to, document.copies),
        parts=parts,
    )
    reply_to = codes.new_id(AT) if document.answer else None
    manifest, content = compose(draft, metadata_of(document, reply_to))
    books.enter_sent(document, manifest.envelope_id, sha256_hex(content), files, 0.1)
    for unit in document.recipients:
        directory = received / unit / manifest.envelope_id
        (directory / "parts").mkdir(parents=True)
        (directory / "manifest.json").write_bytes(content)
        for place, part_content in enumerate(contents):
            (directory / "parts" / str(place)).write_bytes(part_content)
        signed = (document.key, unit) not in books.workday.refusals
        books.enter_concluded(
            Concluded(document.key, unit, manifest.envelope_id, directory, signed, 0.2)
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    books = Books(workday.plan(city.load(), documents=20, seed=3), seconds=2.0)
    for document in books.workday.documents:
        send(document, books, tmp_path)
    books.tests[TEST] = UNITS[0]
    matter = a_matter()
    books.matters.append(matter)
    states = {
        (outcome.envelope_id, outcome.unit): "SIGNED_FOR" if outcome.signed_for else "REFUSED"
        for outcome in books.concluded.values()
    } | {(TEST, UNITS[0]): "SIGNED_FOR"}
    histories: dict[tuple[str, str], tuple[str, ...]] = {
        delivery: ("DELIVERED", state) for delivery, state in states.items()
    }
    for delivery, expected in matter.deliveries.items():
        states[delivery] = expected.state
        histories[delivery] = HISTORIES[delivery[1]]
    ledger = Ledger(
        envelopes=[
            (each.envelope_id, each.document.sender, each.document.doc_id, each.manifest_sha256)
            for each in books.sent.values()
        ]
        + [(TEST, UNITS[0], "test", "0" * 64), (MATTER, UNITS[0], "matter", "1" * 64)],
        deliveries=states,
        histories=histories,
        parts=Counter(
            (each.envelope_id, size, sha256)
            for each in books.sent.values()
            for size, sha256 in each.parts
        ),
        tokens=Counter(UNITS),
    )
    return Scene(books, ledger)


def test_books_of_a_good_day_balance(scene: Scene) -> None:
    found = scene.balance()

    assert found.is_even, found.problems
    assert found.files_checked == sum(
        len(document.parts) * len(document.recipients) for document in scene.books.workday.documents
    )
    assert found.bytes_checked == scene.books.bytes_down
    assert scene.books.is_complete
    assert found.enrolled == len(UNITS)


def lose_envelope(scene: Scene) -> None:
    scene.ledger = replace(scene.ledger, envelopes=scene.ledger.envelopes[1:])


def double_envelope(scene: Scene) -> None:
    _, sender, doc_id, digest = scene.ledger.envelopes[0]
    twin = (codes.new_id(AT), sender, doc_id, digest)
    scene.ledger = replace(scene.ledger, envelopes=[*scene.ledger.envelopes, twin])


def lose_delivery(scene: Scene) -> None:
    deliveries = dict(scene.ledger.deliveries)
    del deliveries[next(iter(deliveries))]
    scene.ledger = replace(scene.ledger, deliveries=deliveries)


def add_delivery(scene: Scene) -> None:
    envelope_id = scene.ledger.envelopes[0][0]
    more = {**scene.ledger.deliveries, (envelope_id, "qd-nobody"): "PENDING"}
    scene.ledger = replace(scene.ledger, deliveries=more)


def leave_pending(scene: Scene) -> None:
    delivery = next(iter(scene.ledger.deliveries))
    changed = {**scene.ledger.deliveries, delivery: "DELIVERED"}
    scene.ledger = replace(scene.ledger, deliveries=changed)


def sign_twice(scene: Scene) -> None:
    delivery, steps = next(iter(scene.ledger.histories.items()))
    changed = {**scene.ledger.histories, delivery: (*steps, steps[-1])}
    scene.ledger = replace(scene.ledger, histories=changed)


def change_part_in_ledger(scene: Scene) -> None:
    del scene.ledger.parts[next(iter(scene.ledger.parts))]


def change_manifest_digest(scene: Scene) -> None:
    envelope_id, sender, doc_id, _ = scene.ledger.envelopes[0]
    first = (envelope_id, sender, doc_id, "0" * 64)
    scene.ledger = replace(scene.ledger, envelopes=[first, *scene.ledger.envelopes[1:]])


def refuse_the_test(scene: Scene) -> None:
    changed = {**scene.ledger.deliveries, (TEST, UNITS[0]): "REFUSED"}
    scene.ledger = replace(scene.ledger, deliveries=changed)


def send_another_test(scene: Scene) -> None:
    another = (codes.new_id(AT), UNITS[0], "test", "0" * 64)
    scene.ledger = replace(scene.ledger, envelopes=[*scene.ledger.envelopes, another])


def change_history(scene: Scene, unit: str, *steps: str) -> None:
    changed = {**scene.ledger.histories, (MATTER, unit): steps}
    scene.ledger = replace(scene.ledger, histories=changed)


def swap_steps_of_a_matter(scene: Scene) -> None:
    change_history(scene, ENDED, "DELIVERED", "RETURNED", "SIGNED_FOR")


def say_overdue_without_deadline(scene: Scene) -> None:
    change_history(scene, ENDED, *HISTORIES[ENDED], "OVERDUE")


def forget_overdue(scene: Scene) -> None:
    change_history(scene, SILENT, "REMINDED")


def say_overdue_twice(scene: Scene) -> None:
    change_history(scene, SILENT, *HISTORIES[SILENT], "OVERDUE")


def remind_twice(scene: Scene) -> None:
    change_history(scene, QUICK, "REMINDED", "REMINDED", "DELIVERED", "SIGNED_FOR")


def change_state_in_a_matter(scene: Scene) -> None:
    changed = {**scene.ledger.deliveries, (MATTER, ENDED): "SIGNED_FOR"}
    scene.ledger = replace(scene.ledger, deliveries=changed)


def lose_a_delivery_of_a_matter(scene: Scene) -> None:
    changed = dict(scene.ledger.deliveries)
    del changed[MATTER, ENDED]
    scene.ledger = replace(scene.ledger, deliveries=changed)


def change_manifest_of_a_matter(scene: Scene) -> None:
    last = (MATTER, UNITS[0], "matter", "2" * 64)
    scene.ledger = replace(scene.ledger, envelopes=[*scene.ledger.envelopes[:-1], last])


def tell_the_sender_something_else(scene: Scene) -> None:
    matter = scene.books.matters[0]
    assert matter.view is not None
    matter.view = replace(matter.view, entries=matter.view.entries[:-1])


def share_a_token(scene: Scene) -> None:
    del scene.ledger.tokens[UNITS[-1]]


def use_a_second_token(scene: Scene) -> None:
    scene.ledger.tokens[UNITS[0]] += 1


def forget_to_conclude(scene: Scene) -> None:
    scene.books.concluded.popitem()


def offer_again(scene: Scene) -> None:
    scene.books.again.append(next(iter(scene.books.concluded)))


def some_directory(scene: Scene) -> Path:
    return next(iter(scene.books.concluded.values())).directory


def alter_file(scene: Scene) -> None:
    path = some_directory(scene) / "parts" / "0"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def remove_file(scene: Scene) -> None:
    (some_directory(scene) / "parts" / "0").unlink()


def add_file(scene: Scene) -> None:
    (some_directory(scene) / "parts" / "more").write_bytes(b"more")


def alter_manifest(scene: Scene) -> None:
    path = some_directory(scene) / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")


def remove_directory(scene: Scene) -> None:
    (some_directory(scene) / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "lost", "duplicated"),
    [
        (lose_envelope, True, False),
        (double_envelope, False, True),
        (lose_delivery, True, False),
        (add_delivery, False, True),
        (leave_pending, False, False),
        (sign_twice, False, False),
        (change_part_in_ledger, False, False),
        (change_manifest_digest, False, False),
        (refuse_the_test, True, False),
        (send_another_test, False, False),
        (swap_steps_of_a_matter, False, False),
        (say_overdue_without_deadline, False, False),
        (forget_overdue, False, False),
        (say_overdue_twice, False, False),
        (remind_twice, False, False),
        (change_state_in_a_matter, False, False),
        (lose_a_delivery_of_a_matter, True, False),
        (change_manifest_of_a_matter, False, False),
        (tell_the_sender_something_else, False, False),
        (share_a_token, False, False),
        (use_a_second_token, False, False),
        (forget_to_conclude, True, False),
        (offer_again, False, True),
        (alter_file, True, False),
        (remove_file, True, False),
        (add_file, True, False),
        (alter_manifest, True, False),
        (remove_directory, True, False),
    ],
)
def test_every_fault_is_found(
    scene: Scene, harm: Callable[[Scene], None], lost: bool, duplicated: bool
) -> None:
    harm(scene)

    found = scene.balance()

    assert not found.is_even
    assert found.problems
    assert bool(found.lost) is lost
    assert bool(found.duplicated) is duplicated


def test_summary_says_whether_the_books_balance(scene: Scene) -> None:
    people = city.load()
    for harm, verdict in ((None, "账目相符"), (alter_file, "账目不符")):
        if harm:
            harm(scene)
        console = Console(width=160, record=True, file=io.StringIO())
        found = scene.balance()
        summary.show(console, people, scene.books, found)
        assert verdict in console.export_text()
        line = json.loads(summary.result_line(people, scene.books, found))
        assert line["documents"] == 20
        assert line["deliveries"] == line["signed_for"] + line["refused"]
        assert line["lost"] == bool(harm)
        assert line["matters"] == {
            "returned": 1, "withdrawn": 0, "joint": 0, "circulated": 3, "answered": 0, "overdue": 1
        }  # fmt: skip


# -- what is removed before a run


def test_a_run_removes_what_an_earlier_one_left_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    clear(out)
    (out / "state").mkdir()
    (out / "state" / "postgres").touch()
    (out / "evidence.zip").touch()
    (out / "notes.txt").write_text("mine")

    clear(out)

    assert sorted(path.name for path in out.iterdir()) == [MARKER, "notes.txt"]


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    with pytest.raises(click.ClickException, match="choose another --out"):
        clear(tmp_path)

    assert (tmp_path / "state").is_dir()


def test_a_running_centre_is_left_alone(tmp_path: Path) -> None:
    clear(tmp_path)
    (tmp_path / "state").mkdir()
    description = tmp_path / "state" / "dev.json"
    command = [sys.executable, "-c", "print(flush=True); input()", "exchange-server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before exec is over, the kernel has no command line of it
        description.write_text(json.dumps({"pid": process.pid}))
        assert running_centre(description) == process.pid
        with pytest.raises(click.ClickException, match=f"kill {process.pid}"):
            clear(tmp_path)
        process.communicate(b"\n")
    assert running_centre(description) is None
    clear(tmp_path)
    assert not description.exists()
