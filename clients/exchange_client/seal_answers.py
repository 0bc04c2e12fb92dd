"""Joint issue through the centre, as the unit that drafted it: take the seals that have come."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from document_exchange import codes, countersign
from document_exchange.errors import SignatureRefused, StateConflict, VerificationFailed
from document_exchange.receipt import State
from exchange_client import boxes
from exchange_client.delivery import AsyncDelivery
from exchange_client.drafts import JointDraft, add_signature, open_draft
from exchange_client.seal_requests import (
    ANSWERABLE,
    IssuerStanding,
    standing_of,
    tracked_requests,
)
from exchange_client.session import Session
from exchange_client.threads import in_thread
from exchange_client.tracking import Tracking

_SLOWEST_CLOCK = timedelta(days=1)
"""How far the clock of whoever answers may be behind."""
_MAX_ANSWER_BYTES = 1024 * 1024
_MAX_ANSWERS = 200
"""Looked at of one unit each time, the newest, its own requests among them: a flood must end."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """An answer whose seal was not taken."""

    envelope_id: str
    sender: str
    why: str


@dataclass(frozen=True, slots=True)
class LapsedRequest:
    """A request that was answered with a seal, and then withdrawn, refused or returned.

    The seal is valid all the same; whether its unit stands by it a person must ask.
    """

    unit: str
    envelope_id: str
    """The request's."""
    state: State


@dataclass(frozen=True, slots=True)
class Collected:
    """A draft with the seals that have come."""

    draft: JointDraft
    taken: tuple[str, ...]
    """The units whose seals are new."""
    not_taken: tuple[NotTaken, ...]
    standing: tuple[IssuerStanding, ...]
    lapsed: tuple[LapsedRequest, ...] = ()
    """To which the seals in ``taken`` answered, though they do not stand any more."""


async def collect(session: Session, draft: JointDraft) -> Collected:
    """Take the seals out of the answers that have come, and sign for those.

    1. The answer verifies as any envelope, and replies to a request of this draft that went to
       the unit that sent it.
    2. It carries one seal: of that unit, an issuer, over exactly the draft's bytes.
    3. The seal is kept in the draft; only then is the answer signed for.

    Safe to repeat, and beside others that do the same. What fails in 1 or 2, or is withdrawn
    while it is read, is named in ``not_taken`` and stays as it is. A seal counts though its
    request was withdrawn or returned: that is named in ``lapsed``.
    """
    tracked = await tracked_requests(session, draft)
    requests = {each.envelope.envelope_id: each for each in tracked}
    taken: list[str] = []
    not_taken: list[NotTaken] = []
    lapsed: list[LapsedRequest] = []
    for delivery in await _answers(session, draft, tracked):
        try:
            found = await _take(session, draft, requests, delivery)
        except (VerificationFailed, StateConflict) as error:
            not_taken.append(NotTaken(delivery.envelope_id, delivery.sender, error.message))
            continue
        if found is None:
            continue
        if found.unit not in draft.signatures:
            draft, kept = await in_thread(_keep, session, draft, found)
            if kept:
                taken.append(found.unit)
                lapsed.extend(_lapsed(found))
        await _sign_for(session, delivery)
    standing = standing_of(draft, tracked)
    return Collected(draft, tuple(taken), tuple(not_taken), standing, tuple(lapsed))


@dataclass(frozen=True, slots=True)
class _Found:
    """A seal that an answer brought, verified."""

    unit: str
    signature: bytes
    request: Tracking


def _keep(session: Session, draft: JointDraft, found: _Found) -> tuple[JointDraft, bool]:
    """The draft with this seal, and whether it was us who added it: others may collect, too."""
    try:
        return add_signature(draft, found.unit, found.signature), True
    except SignatureRefused:
        return open_draft(draft.directory, session.profile.trust, session.now()), False


def _lapsed(found: _Found) -> list[LapsedRequest]:
    return [
        LapsedRequest(found.unit, found.request.envelope.envelope_id, each.state)
        for each in found.request.deliveries
        if each.recipient == found.unit and each.state not in ANSWERABLE
    ]


async def _answers(
    session: Session, draft: JointDraft, tracked: Sequence[Tracking]
) -> list[AsyncDelivery]:
    """What may be answers, whoever has downloaded them before: what was made since the first
    request. (The inbox is in the order of envelope ids, so of the senders' clocks.)

    Of units that have sealed only what still waits, which a collecting that broke off has left.
    """
    if not tracked:
        return []
    since = min(each.envelope.accepted_at for each in tracked)
    found: dict[str, list[AsyncDelivery]] = {unit: [] for unit in draft.issuers}
    async with aclosing(boxes.inbox(session, ANSWERABLE)) as deliveries:
        async for delivery in deliveries:
            if codes.uuid7_time(delivery.envelope_id) < since - _SLOWEST_CLOCK:
                break
            ours = delivery.business == countersign.BUSINESS and delivery.sender in found
            waits = delivery.state in (State.PENDING, State.DELIVERED)
            if ours and (waits or delivery.sender in draft.missing):
                found[delivery.sender].append(delivery)
    return [delivery for several in found.values() for delivery in several[:_MAX_ANSWERS]]


async def _take(
    session: Session,
    draft: JointDraft,
    requests: Mapping[str, Tracking],
    delivery: AsyncDelivery,
) -> _Found | None:
    """The seal in an answer; None if it is no answer to a request of this draft.

    Raises:
        VerificationFailed: it is no answer that counts.
        StateConflict: it was withdrawn since it was listed, or refused by another program.
    """
    # 1. The answer.
    envelope = await delivery.fetch()
    sender = envelope.manifest.sender
    asked = requests.get(envelope.manifest.document.reply_to or "")
    if asked is None:
        return None
    if sender not in (each.recipient for each in asked.deliveries):
        raise VerificationFailed(f"{sender} was not asked", step="countersign.answer")
    part = countersign.read_answer(envelope.manifest)
    size = sum(each.size for each in envelope.manifest.parts)
    if size > _MAX_ANSWER_BYTES:
        why = f"it has {size} bytes, an answer has at most {_MAX_ANSWER_BYTES}"
        raise VerificationFailed(why, step="countersign.answer")
    # 2. The seal.
    signature = (await delivery.read()).parts[part.part_id]
    countersign.verify_answer(
        sender, draft.manifest, draft.manifest_bytes, signature, envelope.trust, at=session.now()
    )
    return _Found(sender, signature, asked)


async def _sign_for(session: Session, delivery: AsyncDelivery) -> None:
    """Sign for an answer; another system of the unit may do so at the same moment."""
    if delivery.state is State.DELIVERED and session.profile.seal is not None:
        with contextlib.suppress(StateConflict):
            await delivery.sign_for()
