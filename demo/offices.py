"""The offices at work: all send in the order of the plan, and each takes what comes to it.

Everything goes through the SDK, as in a department's own program. A recipient downloads (which
verifies and confirms), then signs for the document or refuses it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import date
from pathlib import Path

from exchange_client import AsyncClient, AsyncDelivery, PartSource, Timing
from exchange_client.client import AWAITING
from exchange_client.compose import Metadata
from exchange_client.testing import LocalCentre

from demo.books import Books, Concluded
from demo.plan import PlannedDocument, Workday
from demo.preparing import Files

CONNECTING_AT_ONCE = 8
SENDING_AT_ONCE = 6
RECEIVING_AT_ONCE = 12
TIMING = Timing(call_deadline_s=30, retry_budget_s=60)
"""One small machine plays the whole city, so calls may queue longer than in an office."""


@asynccontextmanager
async def open_offices(centre: LocalCentre) -> AsyncIterator[dict[str, AsyncClient]]:
    """A client of each unit, by unit id, all connected: the morning before the first document.

    Connecting goes by a few at a time, since so many handshakes at once on one small machine
    would run into their time limit.
    """
    async with AsyncExitStack() as stack:
        clients = {}
        for unit in centre.units:
            client = centre.async_client(unit.unit_id, TIMING)
            clients[unit.unit_id] = await stack.enter_async_context(client)
        waiting = iter(clients.items())

        async def look_oneself_up() -> None:
            for unit_id, client in waiting:
                await client.unit(unit_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTING_AT_ONCE):
                group.create_task(look_oneself_up())
        yield clients


class Offices:
    """Sends and receives one workday."""

    def __init__(
        self,
        workday: Workday,
        clients: Mapping[str, AsyncClient],
        files: Files,
        received: Path,
        progress: Callable[[Books], None],
    ) -> None:
        self.books = Books(workday)
        self._workday = workday
        self._clients = clients
        self._files = files
        self._received = received
        self._progress = progress
        self._by_doc_id = {(each.sender, each.doc_id): each for each in workday.documents}
        self._signed_for = {
            (each.answer.key, each.answer.signed_for_by): asyncio.Event()
            for each in workday.documents
            if each.answer
        }
        self._complete = asyncio.Event()
        self._receiving = asyncio.Semaphore(RECEIVING_AT_ONCE)

    async def work(self, timeout_s: float) -> Books:
        """Run the day to its end: every delivery signed for or refused.

        Raises:
            TimeoutError: it did not end within ``timeout_s``.
            ExceptionGroup: an office met an error that it could not mend.
        """
        start = time.monotonic()
        queue = iter(self._workday.documents)
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            watching = [
                group.create_task(self._receive(unit, group), name=f"receive {unit}")
                for unit in self._clients
            ]
            for number in range(SENDING_AT_ONCE):
                group.create_task(self._send_from(queue), name=f"send {number}")
            await self._complete.wait()
            self.books.seconds = time.monotonic() - start
            for task in watching:
                task.cancel()
        return self.books

    # -- sending

    async def _send_from(self, queue: Iterator[PlannedDocument]) -> None:
        for document in queue:
            await self._send(document)

    async def _send(self, document: PlannedDocument) -> None:
        files = await self._files.of(document)
        if document.answer:
            # An original comes earlier in the queue, so some sender has taken it already.
            await self._signed_for[document.answer.key, document.answer.signed_for_by].wait()
        client = self._clients[document.sender]
        start = time.monotonic()
        submission = await client.send(
            title=self._files.title_of(document, files),
            recipients=document.to,
            cc=document.copies,
            files=[PartSource(each.path, each.role, each.filename, each.media_type)
                   for each in files],
            doc_id=document.doc_id,
            signers=[self._clients[unit].profile.require_seal()
                     for unit in document.issuers if unit != document.sender],
            **self._metadata(document),
        )  # fmt: skip
        self.books.enter_sent(
            document, submission.envelope_id, submission.manifest_sha256, files,
            time.monotonic() - start,
        )  # fmt: skip
        self._files.done_with(document, files)
        self._note_progress()

    def _metadata(self, document: PlannedDocument) -> Metadata:
        answer = document.answer
        if answer is None:
            return metadata_of(document, None)
        original = self.books.concluded[answer.key, answer.signed_for_by]
        return metadata_of(document, original.envelope_id)

    # -- receiving

    async def _receive(self, unit: str, group: asyncio.TaskGroup) -> None:
        """Take everything that comes to one unit, until cancelled."""
        taken: set[str] = set()
        async with aclosing(self._clients[unit].watch()) as deliveries:
            async for delivery in deliveries:
                if delivery.state not in AWAITING or delivery.envelope_id in taken:
                    continue
                taken.add(delivery.envelope_id)
                await self._receiving.acquire()
                group.create_task(self._take(unit, delivery))

    async def _take(self, unit: str, delivery: AsyncDelivery) -> None:
        """Download one document, then sign for it or refuse it."""
        try:
            document = self._by_doc_id[delivery.sender, delivery.doc_id]
            received = await delivery.download(self._received / unit)
            refusal = self._workday.refusals.get((document.key, unit))
            if refusal is None:
                statement = await delivery.sign_for()
            else:
                statement = await delivery.refuse(refusal.reason_code, refusal.text)
        finally:
            self._receiving.release()
        if (document.key, unit) in self.books.concluded:
            self.books.again.append((document.key, unit))
        seconds = (statement.recorded_at - delivery.accepted_at).total_seconds()
        outcome = Concluded(
            document.key, unit, delivery.envelope_id, received.directory, refusal is None, seconds
        )
        self.books.enter_concluded(outcome)
        if (waiting := self._signed_for.get((document.key, unit))) is not None:
            waiting.set()
        self._note_progress()

    def _note_progress(self) -> None:
        self._progress(self.books)
        if self.books.is_complete and len(self.books.sent) == len(self._workday.documents):
            self._complete.set()


def metadata_of(document: PlannedDocument, reply_to: str | None) -> Metadata:
    """What the SDK is told about a document; ``reply_to`` is the envelope that it answers."""
    attachments = "；".join(part.title for part in document.attachments)
    given = {
        "business": document.business,
        "genre": document.genre,
        "category": document.category,
        "direction": document.direction,
        "number": document.number,
        "issuer_mark": document.issuer_mark,
        "issuers": document.issuers,
        "signatory": document.signatory,
        "signed_date": document.signed_date,
        "urgency": document.urgency,
        "disclosure": document.disclosure,
        "attachment_note": attachments or None,
        "contact": document.contact or None,
        "reply_required": document.reply_due is not None,
        "reply_due": _ahead(document),
        "reply_to": reply_to,
        "answers": document.answers,
    }
    # The keys are those of Metadata; what a document does not have must be absent.
    return {name: value for name, value in given.items() if value is not None}  # type: ignore[return-value]


def _ahead(document: PlannedDocument) -> date | None:
    """When an answer is due, as long from today as planned: by a day long past nobody could go."""
    if document.reply_due is None:
        return None
    return date.today() + (document.reply_due - document.signed_date)
