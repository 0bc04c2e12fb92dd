"""Five matters after the workday: return, withdrawal, joint issue, circulation, missed deadline.

Everything goes through the SDK. What each step must have led to is entered into the books at once,
for the balance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange_client import AsyncClient, AsyncDelivery, Circulation, PartSource, Submission

from demo import documents
from demo import matters_table as table
from demo.books import Deadline, Matter
from demo.city import City
from demo.offices import metadata_of
from demo.plan import PlannedDocument
from document_exchange.receipt import ReasonCode, ReceiptType, State

DEADLINES = {
    "EXCHANGE_SERVER_DEADLINES__REPLY_EXTRA_URGENT": "10 s",
    "EXCHANGE_SERVER_DEADLINES__INTERVAL_S": "0.5",
}
"""How the centre must be set: no document of a workday has so little time to be answered."""
TIMEOUT_S = 120.0
LOOK_AGAIN_S = 0.25

R = ReceiptType
SIGNED = (R.DELIVERED, R.SIGNED_FOR)


async def play(
    city: City, clients: Mapping[str, AsyncClient], out: Path, seed: int
) -> list[Matter]:
    """All five, beside one another; returns what their offices saw.

    Raises:
        TimeoutError: something that had to come did not come in time; names the matters.
        ExceptionGroup: of an ExchangeError for each matter in which an office met an error.
    """
    desk = Desk(city, clients, out, seed)
    courses = (play_return, play_withdrawals, play_joint_issue, play_circulation, play_overdue)
    tasks: list[asyncio.Task[Matter]] = []
    try:
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
            for course in courses:
                tasks.append(group.create_task(course(desk), name=course.__name__))
    except TimeoutError:
        late = ", ".join(task.get_name() for task in tasks if task.cancelled())
        raise TimeoutError(f"not done within {TIMEOUT_S:g} s: {late}") from None
    return [task.result() for task in tasks]


@dataclass
class Desk:
    """What every matter needs: clients by unit, files, and folders."""

    city: City
    clients: Mapping[str, AsyncClient]
    out: Path
    seed: int

    def __post_init__(self) -> None:
        self._drawing = asyncio.Lock()

    async def body(self, document: PlannedDocument) -> PartSource:
        """The body's file; one at a time, since the fonts are shared."""
        folder = self.out / "outgoing" / str(document.key)
        async with self._drawing:
            [made] = await asyncio.to_thread(
                documents.make_document, document, self.city, folder, seed=self.seed
            )
        return PartSource(made.path, made.role, made.filename, made.media_type)

    async def send(
        self, matter: Matter, document: PlannedDocument, *, reply_to: str | None = None,
        circulates: bool = False,
    ) -> Submission:  # fmt: skip
        """Send a document of a matter; ``circulates``: answers are wanted, all see them."""
        metadata = metadata_of(document, reply_to)
        if circulates:
            metadata["reply_required"] = metadata["open_circulation"] = True
        submission = await self.clients[document.sender].send(
            title=document.title,
            recipients=document.to,
            files=[await self.body(document)],
            doc_id=document.doc_id,
            **metadata,
        )
        enter(matter, document.sender, submission)
        return submission

    async def take(self, unit: str, envelope_id: str) -> AsyncDelivery:
        """Download what came to a unit."""
        delivery = await self.clients[unit].delivery(envelope_id)
        await delivery.download(self.out / "received" / unit)
        return delivery

    async def sign_for(
        self, matter: Matter, unit: str, envelope_id: str, *, deadline: Deadline = Deadline.NONE
    ) -> AsyncDelivery:
        """Download and sign for it."""
        delivery = await self.take(unit, envelope_id)
        await delivery.sign_for()
        matter.expect(envelope_id, unit, State.SIGNED_FOR, *SIGNED, deadline=deadline)
        return delivery


def enter(matter: Matter, sender: str, submission: Submission) -> None:
    """What the centre accepted."""
    matter.enter_sent(submission.envelope_id, sender, submission.manifest_sha256)


def begin(name: str, document: PlannedDocument) -> Matter:
    """The books of one matter, still empty."""
    return Matter(name, document.title, (document.sender, *document.to))


async def play_return(desk: Desk) -> Matter:
    """退文: a letter is signed for, then sent back by whoever it does not concern."""
    document = table.planned(table.RETURNED, desk.city, 1)
    matter = begin("returned", document)
    sent = await desk.send(matter, document)
    (unit,) = document.to
    delivery = await desk.sign_for(matter, unit, sent.envelope_id)
    await delivery.send_back(ReasonCode.NOT_OUR_REMIT, table.RETURN_REASON)
    matter.expect(sent.envelope_id, unit, State.RETURNED, *SIGNED, R.RETURNED)
    matter.what_en = "signed for, then returned: not our remit"
    matter.what_zh = "签收后退文：非本单位职责"
    return matter


async def play_withdrawals(desk: Desk) -> Matter:
    """撤回: one before it was signed for; another after that, granted by one, declined by one."""
    early = table.planned(table.WITHDRAWN_EARLY, desk.city, 2)
    late = table.planned(table.WITHDRAWN_LATE, desk.city, 3)
    matter = begin("withdrawn", late)
    matter.units += (early.sender, *early.to)
    asked = await desk.send(matter, late)
    sent = await desk.send(matter, early)
    (unit,) = early.to
    await (await desk.clients[early.sender].sent(sent.envelope_id)).withdraw(
        unit, table.WITHDRAWAL_REASON
    )
    matter.expect(sent.envelope_id, unit, State.WITHDRAWN, R.WITHDRAWN)

    own = await desk.clients[late.sender].sent(asked.envelope_id)
    granting, declining = late.to
    for unit in late.to:
        delivery = await desk.sign_for(matter, unit, asked.envelope_id)
        await own.request_withdrawal(unit, table.REQUEST_REASON)
        if unit == granting:
            await delivery.grant_withdrawal()
        else:
            await delivery.decline_withdrawal(table.DECLINED_BECAUSE)
    steps = (*SIGNED, R.WITHDRAWAL_REQUESTED)
    envelope_id = asked.envelope_id
    matter.expect(envelope_id, granting, State.WITHDRAWN, *steps, R.WITHDRAWAL_GRANTED)
    matter.expect(envelope_id, declining, State.SIGNED_FOR, *steps, R.WITHDRAWAL_DECLINED)
    matter.what_en = "one withdrawn unsigned; of two signed, one request granted, one declined"
    matter.what_zh = "签收前撤回一件；签收后申请撤回，同意一家，不同意一家"
    return matter


async def play_joint_issue(desk: Desk) -> Matter:
    """联合行文: one unit drafts, two more seal through the centre, then it is sent."""
    document = table.planned(table.JOINT, desk.city, 4)
    matter = begin("joint", document)
    matter.units = (*document.issuers, *document.to)
    lead = desk.clients[document.sender]
    folder = desk.out / "drafts" / "joint"
    await lead.joint.draft(
        folder,
        title=document.title,
        recipients=document.to,
        files=[await desk.body(document)],
        doc_id=document.doc_id,
        **metadata_of(document, None),
    )
    standing = await lead.joint.request(folder)
    asked = [each for each in standing if not each.sealed]
    request = await lead.sent(asked[0].request_id)
    matter.enter_sent(request.envelope_id, lead.unit_id, request.envelope.manifest_sha256)
    await asyncio.gather(
        *(_countersign(desk, matter, each.unit, each.request_id, lead) for each in asked)
    )
    await lead.joint.collect(folder)
    sent = await lead.joint.send(folder)
    enter(matter, lead.unit_id, sent)
    matter.main = sent.envelope_id
    await asyncio.gather(*(desk.sign_for(matter, unit, sent.envelope_id) for unit in document.to))
    matter.what_en = f"sealed by {len(document.issuers)} units through the centre, then sent"
    matter.what_zh = f"{len(document.issuers)}家会签用印后印发"
    return matter


async def _countersign(
    desk: Desk, matter: Matter, unit: str, request_id: str, lead: AsyncClient
) -> None:
    """Look at the draft, seal it and answer; the drafting unit signs for the answer."""
    joint = desk.clients[unit].joint
    request = await joint.received(request_id, desk.out / "received" / unit)
    answer = await joint.countersign(request)
    matter.expect(request_id, unit, State.SIGNED_FOR, *SIGNED)
    enter(matter, unit, answer)
    matter.expect(answer.envelope_id, lead.unit_id, State.SIGNED_FOR, *SIGNED)


async def play_circulation(desk: Desk) -> Matter:
    """会签: 18 departments are asked; most sign, half of them answer, the rest are late."""
    document = table.planned(table.CIRCULATED, desk.city, 5)
    matter = begin("circulated", document)
    sent = await desk.send(matter, document, circulates=True)
    signing, silent = document.to[: table.SIGNING], document.to[table.SIGNING :]
    answering = signing[: table.ANSWERING]

    async def take_part(place: int, unit: str) -> None:
        answers = unit in answering
        deadline = Deadline.KEPT if answers else Deadline.MISSED
        delivery = await desk.sign_for(matter, unit, sent.envelope_id, deadline=deadline)
        if answers:
            await _answer(desk, matter, table.answer(unit, desk.city, 100 + place), delivery)

    await asyncio.gather(*(take_part(place, unit) for place, unit in enumerate(signing)))
    for unit in silent:
        matter.expect(sent.envelope_id, unit, State.PENDING, deadline=Deadline.MISSED)
    view = await _wait_until_late(desk, matter)
    matter.what_en = (
        f"{len(view.entries)} asked: {view.signed} signed, {view.answered} answered,"
        f" {view.late} late"
    )
    matter.what_zh = (
        f"会签{len(view.entries)}家：签收{view.signed}，答复{view.answered}，逾期{view.late}"
    )
    return matter


async def _answer(
    desk: Desk, matter: Matter, answer: PlannedDocument, delivery: AsyncDelivery
) -> None:
    """A department's answer, which the sender signs for."""
    fields = delivery.reply_fields
    sent = await desk.send(matter, answer, reply_to=fields["reply_to"])
    await desk.sign_for(matter, delivery.sender, sent.envelope_id)


async def play_overdue(desk: Desk) -> Matter:
    """逾期: two districts let the time to report pass; urged, one of them acts at last."""
    document = table.planned(table.OVERDUE, desk.city, 6, business="EMERGENCY")
    matter = begin("overdue", document)
    sent = await desk.send(matter, document, circulates=True)
    acting, silent = document.to
    for unit in document.to:
        matter.expect(sent.envelope_id, unit, State.PENDING, deadline=Deadline.MISSED)
    await _wait_until_late(desk, matter)
    own = await desk.clients[document.sender].sent(sent.envelope_id)
    for unit in document.to:
        await own.urge(unit, table.URGING)
    matter.expect(sent.envelope_id, silent, State.PENDING, R.URGED, deadline=Deadline.MISSED)
    await desk.sign_for(matter, acting, sent.envelope_id)
    await _look(desk, matter)
    steps = (R.URGED, *SIGNED)
    matter.expect(sent.envelope_id, acting, State.SIGNED_FOR, *steps, deadline=Deadline.MISSED)
    matter.what_en = "reminded, overdue, urged; then one signed for it"
    matter.what_zh = "到期提醒、逾期、催办后，一家签收，一家未办"
    return matter


async def _wait_until_late(desk: Desk, matter: Matter) -> Circulation:
    """The joint view once the centre has said OVERDUE of each deadline that was missed."""
    while True:
        view = await _look(desk, matter)
        if view.late >= matter.overdue:
            return view
        await asyncio.sleep(LOOK_AGAIN_S)


async def _look(desk: Desk, matter: Matter) -> Circulation:
    """The joint view of all recipients, as the sender has it; the last one is in the books."""
    matter.view = await desk.clients[matter.units[0]].circulation(matter.main)
    return matter.view
