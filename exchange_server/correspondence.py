"""Correspondence: which envelopes belong together, and where all recipients of one stand.

A unit sees what it is a party to, as sender or recipient. A thread is followed only through such
envelopes: two of them that hang together through a third, which the unit neither sent nor got, are
two threads to it. So nothing about the third can be learnt from what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from document_exchange import manifest
from document_exchange.errors import NotPermitted
from document_exchange.manifest import LinkKind
from document_exchange.receipt import State
from exchange_runtime.values import Principal
from exchange_server.requests import check_identifier, envelope_not_found
from exchange_server.values import DeliveryStatus

MOST_IN_THREAD = 500
"""Envelopes in one answer: what one message and one screen can hold."""
MOST_STATUSES = 5000
"""Deliveries in one answer, of all its envelopes together: some 800 KB."""


@dataclass(frozen=True, slots=True)
class Link:
    """What an envelope says about an earlier one."""

    kind: LinkKind
    earlier: str


@dataclass(frozen=True, slots=True)
class ThreadEnvelope:
    """An envelope as threads show it."""

    envelope_id: str
    sender: str
    business: str
    genre: str
    title: str
    doc_id: str
    number: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class ThreadItem:
    """One envelope of a thread, with what its unit may see of it."""

    envelope: ThreadEnvelope
    links: tuple[Link, ...]
    standing: Mapping[State, int]
    """How many deliveries are in which state."""
    deliveries: tuple[DeliveryStatus, ...]
    """Empty where they are too many for the answer."""


@dataclass(frozen=True, slots=True)
class CirculationEntry:
    """Where one recipient of an envelope stands."""

    status: DeliveryStatus
    kind: str
    """TO or CC."""
    signed_for_at: datetime | None
    answered_by: str
    """Its first answer to the sender that stands; "" if there is none."""
    answered_at: datetime | None
    is_party: bool
    """Whether the unit that asks has sent or got that answer."""


@dataclass(frozen=True, slots=True)
class Circulation:
    """All recipients of one envelope, in the order of its manifest."""

    envelope_id: str
    sender: str
    title: str
    entries: tuple[CirculationEntry, ...]


class CorrespondenceLedger(Protocol):
    """What correspondence asks of the ledger."""

    async def thread_ids(self, unit: str, envelope_id: str, limit: int) -> list[str]:
        """The unit's envelopes that hang together with this one, the nearest first.

        Empty if the unit is no party to it.
        """
        ...

    async def thread_envelopes(self, envelope_ids: Sequence[str]) -> list[ThreadEnvelope]:
        """These envelopes by time of acceptance."""
        ...

    async def links_of(self, envelope_ids: Sequence[str]) -> Mapping[str, list[Link]]: ...

    async def standing_of(
        self, unit: str, envelope_ids: Sequence[str]
    ) -> Mapping[str, Mapping[State, int]]:
        """How many of the deliveries that the unit may see are in which state."""
        ...

    async def statuses_for(
        self, unit: str, envelope_ids: Sequence[str]
    ) -> Mapping[str, list[DeliveryStatus]]:
        """The deliveries that the unit may see."""
        ...

    async def circulated(self, unit: str, envelope_id: str) -> tuple[str, bytes] | None:
        """Sender and manifest, if the unit is a party to it."""
        ...

    async def circulation(self, unit: str, envelope_id: str) -> list[CirculationEntry]:
        """All recipients in any order, each with its first answer that stands."""
        ...


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Answers how envelopes hang together."""

    ledger: CorrespondenceLedger

    async def thread(
        self, principal: Principal, envelope_id: str
    ) -> tuple[tuple[ThreadItem, ...], bool]:
        """The thread of an envelope by time of acceptance, and whether there is more of it.

        Raises:
            NotFound: it does not exist, or the caller's unit is no party to it.
            InvalidRequest: this is no envelope_id.
        """
        check_identifier(envelope_id)
        unit = principal.unit
        found = await self.ledger.thread_ids(unit, envelope_id, MOST_IN_THREAD + 1)
        if not found:
            raise envelope_not_found(envelope_id)
        shown = found[:MOST_IN_THREAD]
        envelopes = await self.ledger.thread_envelopes(shown)
        links = await self.ledger.links_of(shown)
        standing = await self.ledger.standing_of(unit, shown)
        statuses = await self.ledger.statuses_for(unit, _fitting(shown, standing))
        items = tuple(
            ThreadItem(
                envelope,
                tuple(links.get(envelope.envelope_id, ())),
                standing[envelope.envelope_id],
                tuple(statuses.get(envelope.envelope_id, ())),
            )
            for envelope in envelopes
        )
        return items, len(found) > MOST_IN_THREAD

    async def circulation(self, principal: Principal, envelope_id: str) -> Circulation:
        """Where each recipient stands and what it answered.

        Raises:
            NotFound: it does not exist, or the caller's unit is no party to it.
            NotPermitted: the caller is a recipient, and the circulation is not an open one.
            InvalidRequest: this is no envelope_id.
        """
        check_identifier(envelope_id)
        unit = principal.unit
        found = await self.ledger.circulated(unit, envelope_id)
        if found is None:
            raise envelope_not_found(envelope_id)
        sender, content = found
        circulated = manifest.decode(content)
        if unit != sender and not circulated.document.open_circulation:
            raise NotPermitted(
                f"envelope {envelope_id} is not of open circulation: only its sender {sender} sees "
                "where all recipients stand",
                envelope_id=envelope_id,
            )
        place = {recipient.unit: n for n, recipient in enumerate(circulated.recipients)}
        entries = await self.ledger.circulation(unit, envelope_id)
        return Circulation(
            envelope_id,
            sender,
            circulated.document.title,
            tuple(
                # Which envelope it is, is for its parties to know; that there is one, for all.
                entry if entry.is_party else replace(entry, answered_by="")
                for entry in sorted(entries, key=lambda each: place[each.status.recipient])
            ),
        )


def _fitting(envelope_ids: Sequence[str], standing: Mapping[str, Mapping[State, int]]) -> list[str]:
    """The envelopes whose deliveries have room in one answer, the nearest ones first."""
    room = MOST_STATUSES
    fitting = []
    for envelope_id in envelope_ids:
        needed = sum(standing[envelope_id].values())
        if needed <= room:
            fitting.append(envelope_id)
            room -= needed
    return fitting
