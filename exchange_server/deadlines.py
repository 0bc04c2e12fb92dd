"""Deadlines: by when a recipient is to sign for a document, and by when to reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from document_exchange import manifest
from document_exchange.document import Urgency
from document_exchange.manifest import Manifest
from exchange_server.requests import envelope_not_found
from exchange_server.values import AcceptedEnvelope, DeliveryPosition, Due, Dues
from exchange_server.workdays import OfficeHours, Period

_LAST_DAY = date(9998, 12, 31)
"""A day later the calendar may end, in some zone."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long something may take; None: for ever."""

    within: Period | None
    remind_before: Period | None
    """How long before the end it is reminded of; None: not at all."""


@dataclass(frozen=True, slots=True)
class DeadlineRules:
    """The deadlines of documents by their urgency."""

    hours: OfficeHours
    sign: Mapping[Urgency, Allowance]
    reply: Mapping[Urgency, Allowance]
    around_the_clock: bool
    """Hours and minutes run at once; otherwise from the next opening of the offices."""

    def dues(self, accepted: Manifest, accepted_at: datetime) -> Dues:
        """The deadlines of a document that is accepted, or offered again, at this moment.

        None lies before it, and reminders lie between it and the deadline.
        """
        document = accepted.document
        sign = self.sign[document.urgency]
        reply = self.reply[document.urgency]
        reply_end = self._end(accepted_at, reply.within)
        if document.reply_due is not None:
            wanted = min(date.fromisoformat(document.reply_due), _LAST_DAY)
            # Who gets it after that day can't keep to it, so then the urgency decides.
            if wanted >= self.hours.day_of(accepted_at):
                closing = self.hours.closing(wanted)
                reply_end = closing if closing > accepted_at else reply_end
        return Dues(
            sign=self._due(accepted_at, self._end(accepted_at, sign.within), sign.remind_before),
            reply=self._due(accepted_at, reply_end, reply.remind_before)
            if document.reply_required
            else None,
        )

    def _end(self, begin: datetime, within: Period | None) -> datetime | None:
        if within is None:
            return None
        if within.workdays:
            return self.hours.later(begin, within.workdays)
        return (begin if self.around_the_clock else self.hours.open_at(begin)) + within.lapse

    def _due(
        self, begin: datetime, end: datetime | None, remind_before: Period | None
    ) -> Due | None:
        if end is None:
            return None
        if remind_before is None:
            return Due(remind_at=end, due_at=end)
        if remind_before.workdays:
            remind_at = self.hours.earlier(end, remind_before.workdays)
        else:
            remind_at = end - remind_before.lapse
        if remind_at <= begin:
            remind_at = begin + (end - begin) / 2
        return Due(remind_at=remind_at, due_at=end)


class EnvelopeLedger(Protocol):
    """What a further offer asks of the ledger."""

    async def find_envelope(self, envelope_id: str) -> AcceptedEnvelope | None: ...


@dataclass(frozen=True, slots=True)
class FurtherDues:
    """The deadlines of deliveries that are offered again: those of the manifest, from then on."""

    rules: DeadlineRules
    ledger: EnvelopeLedger

    async def __call__(self, position: DeliveryPosition, offered_at: datetime) -> Dues:
        """The deadlines that begin with the offer.

        Raises:
            NotFound: there is no such envelope.
            Unavailable: the ledger does not answer.
        """
        found = await self.ledger.find_envelope(position.envelope_id)
        if found is None:
            raise envelope_not_found(position.envelope_id)
        return self.rules.dues(manifest.decode(found.manifest), offered_at)
