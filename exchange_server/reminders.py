"""Reminders: of each deadline the centre says once that it comes near, and once that it has passed.

Every server process looks, and whichever comes first claims what is due for a while. The statement
marks its deadline in its own transaction, so each is made once even if two processes had the same
one, or one died in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from document_exchange import times
from document_exchange.errors import StateConflict, Unavailable
from document_exchange.receipt import Deadline, DeadlineKind, ReceiptType
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server.values import DeliveryPosition, StatementRecord

log = structlog.get_logger(__name__)

AT_ONCE = 50
"""How many are claimed at once: few enough to be done long before the claim ends."""
_CLAIM = timedelta(seconds=30)
_TRIES = 4
"""How often one is decided anew because its delivery moved on; then its claim has to end first."""


@dataclass(frozen=True, slots=True)
class DueDeadline:
    """A deadline that has passed, or of which it is time to remind."""

    envelope_id: str
    recipient: str
    kind: DeadlineKind
    due_at: datetime


class DeadlineLedger(Protocol):
    """What reminding asks of the ledger."""

    async def claim_deadlines(
        self, now: datetime, claim: timedelta, limit: int
    ) -> list[DueDeadline]:
        """Those due longest that nobody has claimed; nobody else gets them until the claim ends."""
        ...

    async def find_due(self, deadline: DueDeadline, now: datetime) -> DeliveryPosition | None:
        """Where its delivery stands; None if by now there is nothing to be said of it."""
        ...

    async def rest_deadline(self, deadline: DueDeadline, now: datetime, claim: timedelta) -> int:
        """Let one rest that is due and could not be said: twice ``claim`` at first, then twice as
        long each time, an hour at most. Returns how often in a row it was so; 0: it is gone."""
        ...

    async def drop_deadlines(self, envelope_id: str, recipient: str) -> None:
        """Remove those of a delivery of which nothing is expected any more."""
        ...


class CentreRecorder(Protocol):
    """What the centre needs to say something by itself."""

    def check(self) -> None:
        """Raise Unavailable if nothing could be said now that anybody could check."""
        ...

    async def own(
        self,
        position: DeliveryPosition,
        type_: ReceiptType,
        principal: Principal | None,
        deadline: Deadline | None = None,
    ) -> StatementRecord | None: ...


@dataclass(frozen=True, slots=True)
class Reminders:
    """Says what is due whenever it is told to look."""

    ledger: DeadlineLedger
    recorder: CentreRecorder
    clock: Clock
    """What deadlines are compared with."""

    async def run(self) -> int:
        """Say all that is due, batch by batch; returns how many statements were recorded.

        Raises:
            Unavailable: the ledger does not answer, or the centre can't sign; what is left is due
                still, for any process.
        """
        said = 0
        while True:
            # What can't be signed here is left to the others.
            self.recorder.check()
            now = self.clock()
            claimed = await self.ledger.claim_deadlines(now, _CLAIM, AT_ONCE)
            for deadline in claimed:
                said += await self._say_or_log(deadline, now)
            if len(claimed) < AT_ONCE:
                return said

    async def _say_or_log(self, deadline: DueDeadline, now: datetime) -> bool:
        try:
            return await self._say(deadline, now)
        except Exception as error:
            # What keeps this process from saying anything is no fault of this one.
            self.recorder.check()
            # It must not keep the others from being said; after its rest it is tried again. If the
            # ledger is away it raises here, too.
            failures = await self.ledger.rest_deadline(deadline, now, _CLAIM)
            log.error(
                "deadline_not_recorded",
                envelope_id=deadline.envelope_id,
                recipient=deadline.recipient,
                kind=deadline.kind.value,
                failures=failures,
                error=repr(error),
                exc_info=failures <= 1 and not isinstance(error, Unavailable),
            )
            return False

    async def _say(self, deadline: DueDeadline, now: datetime) -> bool:
        # After a standstill it is too late for a reminder.
        passed = deadline.due_at <= now
        type_ = ReceiptType.OVERDUE if passed else ReceiptType.REMINDED
        about = Deadline(kind=deadline.kind, due_at=times.format_time(deadline.due_at))
        for _ in range(_TRIES):
            position = await self.ledger.find_due(deadline, now)
            if position is None:
                return False
            try:
                if await self.recorder.own(position, type_, None, about):
                    return True
            except StateConflict as conflict:
                # The step that ended the delivery should have taken its deadlines along.
                await self.ledger.drop_deadlines(deadline.envelope_id, deadline.recipient)
                log.error(
                    "deadline_dropped",
                    envelope_id=deadline.envelope_id,
                    recipient=deadline.recipient,
                    kind=deadline.kind.value,
                    fault=str(conflict),
                )
                return False
        return False
