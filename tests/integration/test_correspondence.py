"""Conversations at a real centre: threads among four units, a circulation to eighteen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import msgspec
import pytest
from exchange_client import (
    AsyncClient,
    CirculationEntry,
    LinkKind,
    PartSource,
    RecipientKind,
    Submission,
    Thread,
)
from exchange_client.testing import LocalCentre
from rich.cells import cell_len

from document_exchange import codes, manifest
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    ManifestRefused,
    NotFound,
    NotPermitted,
    PartRefused,
)
from tests.real_centre import CentreInside, Upload, envelope, now, part, recipients, sealed, typed
from tests.real_centre import document as a_document
from tests.shell_for_tests import Shell

LEAD, OUTSIDER = "office", "outsider"
DEPARTMENTS = tuple(f"department-{number:02}" for number in range(1, 19))
FIRST, SECOND, THIRD = DEPARTMENTS[:3]
PDF = b"%PDF-1.7"
LETTER = PartSource(PDF, filename="函.pdf")

Opens = Callable[[str], Awaitable[AsyncClient]]


def registry() -> str:
    """Twenty units that may all write to one another."""
    text = '[[business]]\ncode = "DOCUMENT"\nname_zh = "公文"\nname_en = "documents"\n'
    text += '[[route]]\nroute_id = "all"\neffect = "ALLOW"\nsender = "*"\nrecipient = "*"\n'
    for number, unit in enumerate((LEAD, OUTSIDER, *DEPARTMENTS)):
        first8 = f"9{number:07}"
        text += (
            f'[[unit]]\nunit_id = "{unit}"\nname_zh = "单位{number}"\nname_en = "Unit {number}"\n'
            'short_zh = "单位"\n'
            'kind = "DEPARTMENT"\n'
            f'organisation_code = "{first8}{codes.organisation_check_character(first8)}"\n'
        )
    # The outsider writes for the last department.
    text += f'[[acts_for]]\nunit = "{OUTSIDER}"\nissuer = "{DEPARTMENTS[-1]}"\n'
    return text


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCentre]:
    path = tmp_path_factory.mktemp("registry") / "twenty.toml"
    path.write_text(registry())
    with LocalCentre(registry=path) as centre:
        yield centre


@pytest.fixture
async def opens(city: LocalCentre) -> AsyncIterator[Opens]:
    """Gives the open client of a unit, one for each."""
    opened: dict[str, AsyncClient] = {}
    async with AsyncExitStack() as stack:

        async def open_(unit: str) -> AsyncClient:
            if unit not in opened:
                opened[unit] = await stack.enter_async_context(city.async_client(unit))
            return opened[unit]

        yield open_


def shape(thread: Thread) -> dict[str, tuple[str, list[str]]]:
    """Each envelope's sender, and the recipients whose deliveries are shown."""
    return {
        item.envelope_id: (item.sender, [each.recipient for each in item.deliveries])
        for item in thread.items
    }


async def signed(client: AsyncClient, envelope_id: str) -> None:
    delivery = await client.delivery(envelope_id)
    await delivery.read()
    await delivery.sign_for()


async def test_each_unit_sees_its_own_part_of_a_thread(opens: Opens) -> None:
    lead, first, second, third = [await opens(unit) for unit in (LEAD, FIRST, SECOND, THIRD)]
    asked = await lead.send(
        title="征求意见的函", recipients=[FIRST], cc=[SECOND], files=LETTER, reply_due="2031-12-01"
    )
    delivery = await first.delivery(asked.envelope_id)
    answer = await first.send(title="复函", files=LETTER, **delivery.reply_fields)
    better = await lead.send(
        title="征求意见的函（更正）", files=LETTER, supersedes=asked.envelope_id
    )
    void = await lead.send(title="作废通知", files=LETTER, voids=better.envelope_id)
    aside = await second.send(
        title="转请研究", recipients=[THIRD], files=LETTER, reply_to=asked.envelope_id
    )
    beyond = await third.send(
        title="研究意见", recipients=[LEAD], files=LETTER, reply_to=aside.envelope_id
    )

    # By default it goes to whom it concerns, and keeps the identifier that it replaces.
    assert answer.manifest.recipients == recipients([LEAD])
    assert asked.manifest.document.reply_required
    for later in (better, void):
        assert [(r.unit, r.kind.value) for r in later.manifest.recipients] == [
            (FIRST, "TO"),
            (SECOND, "CC"),
        ]
    assert better.manifest.document.doc_id == asked.manifest.document.doc_id
    assert void.manifest.document.doc_id != asked.manifest.document.doc_id

    seen = await lead.thread(void.envelope_id)
    assert not seen.truncated
    assert [item.envelope_id for item in seen.items] == [
        each.envelope_id for each in (asked, answer, better, void)
    ]
    assert shape(seen) == {
        asked.envelope_id: (LEAD, [FIRST, SECOND]),
        answer.envelope_id: (FIRST, [LEAD]),
        better.envelope_id: (LEAD, [FIRST, SECOND]),
        void.envelope_id: (LEAD, [FIRST, SECOND]),
    }
    assert [[(link.kind, link.envelope_id) for link in item.links] for item in seen.items] == [
        [],
        [(LinkKind.REPLY_TO, asked.envelope_id)],
        [(LinkKind.SUPERSEDES, asked.envelope_id)],
        [(LinkKind.VOIDS, better.envelope_id)],
    ]
    assert seen.items[0].deliveries[0].replaced_by == better.envelope_id
    assert await lead.thread(asked.envelope_id) == seen

    assert shape(await first.thread(answer.envelope_id)) == {
        asked.envelope_id: (LEAD, [FIRST]),
        answer.envelope_id: (FIRST, [LEAD]),
        better.envelope_id: (LEAD, [FIRST]),
        void.envelope_id: (LEAD, [FIRST]),
    }
    assert shape(await second.thread(better.envelope_id)) == {
        asked.envelope_id: (LEAD, [SECOND]),
        better.envelope_id: (LEAD, [SECOND]),
        void.envelope_id: (LEAD, [SECOND]),
        aside.envelope_id: (SECOND, [THIRD]),
    }
    # What hangs together only through an envelope of others stays apart.
    assert set(shape(await third.thread(aside.envelope_id))) == {
        aside.envelope_id,
        beyond.envelope_id,
    }
    assert set(shape(await lead.thread(beyond.envelope_id))) == {beyond.envelope_id}

    outsider = await opens(OUTSIDER)
    for hidden in (asked, aside):
        with pytest.raises(NotFound):
            await outsider.thread(hidden.envelope_id)
    with pytest.raises(NotFound):
        await third.thread(asked.envelope_id)


async def circulated(opens: Opens, *, open_: bool) -> Submission:
    lead = await opens(LEAD)
    return await lead.send(
        title="关于公交线路的会签件",
        recipients=DEPARTMENTS[:16],
        cc=DEPARTMENTS[16:],
        files=LETTER,
        reply_due="2031-12-01",
        open_circulation=open_,
    )


async def answered(client: AsyncClient, envelope_id: str, *more: str) -> Submission:
    return await client.send(
        title="会签意见", recipients=[LEAD, *more], files=LETTER, reply_to=envelope_id
    )


async def test_a_circulation_to_eighteen(opens: Opens, city: LocalCentre, tmp_path: Path) -> None:
    lead = await opens(LEAD)
    document = await circulated(opens, open_=False)
    envelope_id = document.envelope_id
    clients = [await opens(unit) for unit in DEPARTMENTS]
    await asyncio.gather(*(signed(client, envelope_id) for client in clients[:15]))
    answers = [await answered(client, envelope_id) for client in clients[:10]]
    # The sixteenth answers somebody else, which is no answer to the circulation's sender.
    await clients[15].send(
        title="内部征求意见", recipients=[FIRST], files=LETTER, reply_to=envelope_id
    )
    # The tenth's is refused, the ninth's returned; the ninth answers again, twice.
    tenth, ninth = [await lead.delivery(answers[place].envelope_id) for place in (9, 8)]
    for delivery in (tenth, ninth):
        await delivery.read()
    await tenth.refuse("GENRE_OR_FORMAT")
    await ninth.sign_for()
    await ninth.send_back("NOT_CONSULTED")
    again = await answered(clients[8], envelope_id)
    await answered(clients[8], envelope_id)
    # The eighth declares its own void.
    await clients[7].send(title="作废", files=LETTER, voids=answers[7].envelope_id)
    async with CentreInside(city).ledger() as ledger:
        await ledger.execute(
            "update exchange.deliveries set overdue = true"
            " where envelope_id = $1::uuid and recipient = any ($2)",
            envelope_id,
            [DEPARTMENTS[9], DEPARTMENTS[15]],
        )

    found = await lead.circulation(envelope_id)
    assert [(e.recipient, e.recipient_kind) for e in found.entries] == [
        (unit, "TO" if place < 16 else "CC") for place, unit in enumerate(DEPARTMENTS)
    ]
    assert (found.sender, found.title) == (LEAD, "关于公交线路的会签件")
    assert (found.signed, found.answered, found.late) == (15, 8, 2)
    by = [entry.answered_by for entry in found.entries]
    assert by == [each.envelope_id for each in answers[:7]] + ["", again.envelope_id] + [""] * 9
    assert found.entries[8].answered_at == again.accepted_at
    tracked = (await lead.track(envelope_id)).deliveries[0]
    assert found.entries[0].signed_for_at == tracked.statements[-1].recorded_at
    assert [entry.recipient for entry in found.entries if entry.late] == [
        DEPARTMENTS[9],
        DEPARTMENTS[15],
    ]

    with pytest.raises(NotPermitted, match=f"only its sender {LEAD} sees"):
        await clients[0].circulation(envelope_id)
    outsider = await opens(OUTSIDER)
    with pytest.raises(NotFound):
        await outsider.circulation(envelope_id)
    await asyncio.to_thread(check_commands, Shell(city.config_dir, tmp_path), envelope_id)


async def test_who_writes_for_a_unit_answers_for_it(opens: Opens, city: LocalCentre) -> None:
    lead, office, unit = [await opens(each) for each in (LEAD, OUTSIDER, DEPARTMENTS[-1])]
    asked = await lead.send(
        title="征求意见", recipients=DEPARTMENTS[-1], files=LETTER, reply_due="2031-12-01"
    )
    await signed(unit, asked.envelope_id)
    answer = await office.send(
        title="复函",
        recipients=LEAD,
        files=LETTER,
        issuers=DEPARTMENTS[-1],
        signers=[unit.profile.require_seal()],
        reply_to=asked.envelope_id,
    )
    [entry] = (await lead.circulation(asked.envelope_id)).entries
    assert entry.answered_by == answer.envelope_id
    async with CentreInside(city).ledger() as ledger:
        owed = "select answered_by::text from exchange.deadlines where envelope_id = $1::uuid"
        assert await ledger.fetchval(owed, asked.envelope_id) == answer.envelope_id
    with pytest.raises(ManifestRefused, match="sender or an issuer"):
        await office.send(title="复函", recipients=LEAD, files=LETTER, reply_to=asked.envelope_id)


def check_commands(shell: Shell, envelope_id: str) -> None:
    """The command line shows the same, in both languages and as JSON."""
    table = shell.run("--profile", LEAD, "circulation", envelope_id).stdout
    assert "signed 15 of 18, answered 8, late 2" in table
    (line,) = [line for line in table.splitlines() if DEPARTMENTS[9] in line]
    assert line.rstrip().endswith("late")
    table = shell.run("--profile", LEAD, "--lang", "zh", "circulation", envelope_id).stdout
    assert "已签收 15/18，已答复 8，逾期 2" in table
    (line,) = [line for line in table.splitlines() if DEPARTMENTS[17] in line]
    assert "抄送" in line
    (row,) = shell.rows("--profile", LEAD, "circulation", envelope_id)
    assert (row["signed"], row["answered"], row["late"]) == (15, 8, 2)
    assert [each["recipient"] for each in row["recipients"]] == list(DEPARTMENTS)
    assert "answered_by" in row["recipients"][0]
    assert "answered_by" not in row["recipients"][9]
    refused = shell.run("--json", "--profile", FIRST, "circulation", envelope_id, code=4).stderr
    assert json.loads(refused)["error"] == "NOT_PERMITTED"


async def test_an_open_circulation_shows_when_others_answered_but_not_with_what(
    opens: Opens,
) -> None:
    document = await circulated(opens, open_=True)
    envelope_id = document.envelope_id
    first, second, third = [await opens(unit) for unit in (FIRST, SECOND, THIRD)]
    own = await answered(first, envelope_id)
    shared = await answered(second, envelope_id, FIRST)
    secret = await answered(third, envelope_id)

    def of(entries: tuple[CirculationEntry, ...]) -> list[tuple[str, bool]]:
        return [(entry.answered_by, entry.answered_at is not None) for entry in entries[:4]]

    seen = await first.circulation(envelope_id)
    assert len(seen.entries) == 18
    assert of(seen.entries) == [
        (own.envelope_id, True),
        (shared.envelope_id, True),
        ("", True),
        ("", False),
    ]
    lead = await (await opens(LEAD)).circulation(envelope_id)
    assert of(lead.entries)[2] == (secret.envelope_id, True)
    assert lead.entries[2].answered_at == seen.entries[2].answered_at == secret.accepted_at
    outsider = await opens(OUTSIDER)
    with pytest.raises(NotFound):
        await outsider.circulation(envelope_id)


def test_a_thread_on_the_command_line(city: LocalCentre, tmp_path: Path) -> None:
    shell = Shell(city.config_dir, tmp_path)
    (tmp_path / "letter.pdf").write_bytes(PDF)

    def send(profile: str, title: str, *more: str) -> str:
        command = ("--profile", profile, "send", "letter.pdf", "--title", title, *more)
        (row,) = shell.rows(*command)
        return str(row["envelope_id"])

    to = f"{FIRST},{SECOND}"
    asked = send(LEAD, "请示事项", "--to", to, "--reply-required", "--open-circulation")
    answer = send(FIRST, "复函", "--reply-to", asked)
    better = send(LEAD, "请示事项（更正）", "--supersedes", asked)
    void = send(LEAD, "作废通知", "--voids", better)
    lines = shell.run("--profile", LEAD, "--lang", "zh", "thread", asked).stdout.splitlines()
    tree = [line for line in lines if "->" in line][1:]
    assert [line.split()[-1] for line in tree] == [asked, answer, better, void]
    assert ["├─ 复函" in tree[1], "└─ 请示" in tree[2], "   └─ 作废" in tree[3]] == [True] * 3
    assert ["答复 1" in tree[1], "代替 1" in tree[2], "废止 3" in tree[3]] == [True] * 3
    assert f"{FIRST} -> {LEAD}" in tree[1]
    # Wide characters count twice, so that what follows the titles stands in one column.
    assert len({cell_len(line[: line.index("-> ")]) for line in (tree[0], tree[2], tree[3])}) == 1
    rows = shell.rows("--profile", SECOND, "thread", void)
    assert [row["envelope_id"] for row in rows] == [asked, better, void]
    assert rows[1]["links"] == [{"kind": "SUPERSEDES", "envelope_id": asked}]
    (shown,) = shell.rows("--profile", SECOND, "circulation", asked)
    assert shown["answered"] == 1
    usage = shell.run("--profile", LEAD, "send", "letter.pdf", "--title", "x", code=2).stderr
    assert "--to is needed" in usage


async def submitted_without_bytes(
    inside: CentreInside,
    lead: AsyncClient,
    *,
    reply_to: str | None = None,
    voids: str | None = None,
) -> ExchangeError:
    """The refusal of a manifest whose part's bytes never come."""
    about = a_document((LEAD,))
    doc_id = await lead.new_doc_id()
    made = envelope(
        [part(PDF)],
        sender=LEAD,
        sender_system=lead.profile.system.name,
        recipients=recipients([FIRST]),
        document=msgspec.structs.replace(about, doc_id=doc_id, reply_to=reply_to),
        voids=voids,
    )
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(LEAD, "seal")), ())
    async with inside.stub(inside.unit(LEAD)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Submit(upload.messages(), timeout=10)
    return typed(raised.value)


async def test_earlier_envelopes_are_checked_before_any_byte(
    opens: Opens, city: LocalCentre
) -> None:
    """And what belongs to others is answered exactly as what does not exist."""
    inside = CentreInside(city)
    lead, first = await opens(LEAD), await opens(FIRST)
    foreign = (await first.send(title="与他人无关", recipients=SECOND, files=LETTER)).envelope_id
    got = (await first.send(title="发给我的", recipients=LEAD, files=LETTER)).envelope_id
    unknown = codes.new_id(now())

    for earlier in (unknown, foreign):
        refused = await submitted_without_bytes(inside, lead, reply_to=earlier)
        assert type(refused) is ManifestRefused
        assert refused.attributes == {"field": "document.reply_to", "value": earlier}
        assert refused.message == (
            "reply_to must name an envelope that the sender or an issuer has sent or got"
        )
    # To answer it is enough to have got it; to declare it void it must be one's own.
    for earlier in (unknown, foreign, got):
        refused = await submitted_without_bytes(inside, lead, voids=earlier)
        assert type(refused) is ManifestRefused
        assert refused.attributes == {"field": "voids", "value": earlier}
        assert refused.message == "voids must name an earlier envelope of the same sender"
    missing = await submitted_without_bytes(inside, lead, reply_to=got)
    assert isinstance(missing, PartRefused), missing


async def test_whom_a_document_is_for_must_be_known(opens: Opens) -> None:
    lead, second = await opens(LEAD), await opens(SECOND)
    own = await lead.send(title="通知", recipients=FIRST, files=LETTER)
    with pytest.raises(InvalidRequest, match="there are no recipients"):
        await lead.send(title="无收文单位", files=LETTER)
    with pytest.raises(InvalidRequest, match="was sent by office itself"):
        await lead.send(title="自复", files=LETTER, reply_to=own.envelope_id)
    with pytest.raises(NotFound):
        await second.send(title="复他人之函", files=LETTER, reply_to=own.envelope_id)
    copied = await lead.send(title="作废", cc=[FIRST, SECOND], files=LETTER, voids=own.envelope_id)
    assert [(r.unit, r.kind) for r in copied.manifest.recipients] == [
        (FIRST, RecipientKind.TO),
        (SECOND, RecipientKind.CC),
    ]
