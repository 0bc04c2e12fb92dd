"""Joint issue through the centre, as the unit that drafted it: ask the others for their seals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from document_exchange import countersign
from document_exchange.errors import (
    LimitExceeded,
    NotFound,
)
from document_exchange.manifest import MAX_PARTS, Document, Manifest, PartRole
from document_exchange.receipt import State
from exchange_client import outgoing, parts, tracking
from exchange_client.compose import Metadata, seal
from exchange_client.draft_requests import KeptRequest, keep_request, kept_requests
from exchange_client.drafts import JointDraft, check_age
from exchange_client.parts import OutgoingPart, PartSource
from exchange_client.serials import Serials
from exchange_client.session import Session
from exchange_client.submit import submit
from exchange_client.threads import in_thread
from exchange_client.tracking import TrackedDelivery, Tracking

LONGEST_TITLE = 500
_REQUEST_TITLE = "会签："
ANSWERABLE = (State.PENDING, State.DELIVERED, State.SIGNED_FOR, State.COMPLETED)
"""Of a request: it still stands; of an answer: it may be taken."""


@dataclass(frozen=True, slots=True)
class IssuerStanding:
    """How far one issuer is. Beside ``sealed``, all is about the last request that went to it."""

    unit: str
    sealed: bool
    request_id: str = ""
    """The request's envelope; empty if it was not asked through the centre."""
    state: State | None = None
    """Of the request's delivery to it."""
    reason_code: str = ""
    """Why it refused or returned the request."""
    reason: str = ""


async def request(
    session: Session, serials: Serials, draft: JointDraft, reply_due: date | str | None
) -> tuple[IssuerStanding, ...]:
    """Ask every other issuer that has not sealed and has no request before it.

    Safe to repeat: a request is kept in the draft before it is sent, so a repetition sends the
    same one. A unit that refused or returned one is asked anew.

    Raises:
        EnvelopeIdOutOfRange: the draft is too old to be sent.
        LimitExceeded: with all of it a request has more parts than an envelope may.
        RecipientsRefused and others: as the centre says.
    """
    check_age(draft.manifest, session.now())
    for kept in await in_thread(kept_requests, draft, session.unit):
        await _hand_in_again(session, draft, kept)
    standing = standing_of(draft, await tracked_requests(session, draft))
    asked = [
        each.unit
        for each in standing
        if not each.sealed and each.unit != session.unit and each.state not in ANSWERABLE
    ]
    if not asked:
        return standing
    metadata = _metadata(draft.manifest.document, reply_due)
    made = await outgoing.prepare(
        session,
        serials,
        metadata,
        title=titled(_REQUEST_TITLE, draft.manifest),
        recipients=asked,
        files=_sources(draft),
    )
    # What those who are asked will check: the draft's files may have changed since it was opened.
    trust, seals = session.profile.trust, tuple(draft.signatures.values())
    countersign.verify_request(
        made.manifest, draft.manifest_bytes, seals, asked[0], trust, at=made.at
    )
    (signature,) = seal(made.content, (session.unit,), session.profile.require_seal(), (), made.at)
    await in_thread(keep_request, draft, KeptRequest(made.manifest, made.content, signature))
    await submit(session, made.manifest, made.content, (signature,), made.parts)
    return standing_of(draft, await tracked_requests(session, draft))


async def standing(session: Session, draft: JointDraft) -> tuple[IssuerStanding, ...]:
    """How far each issuer is, the leading one first."""
    return standing_of(draft, await tracked_requests(session, draft))


def titled(prefix: str, manifest: Manifest) -> str:
    """The title of an envelope about a draft."""
    return (prefix + manifest.document.title)[:LONGEST_TITLE]


def _metadata(document: Document, reply_due: date | str | None) -> Metadata:
    metadata = Metadata(
        business=countersign.BUSINESS,
        urgency=document.urgency,
        reply_required=True,
        open_circulation=True,
    )
    if reply_due is not None:
        metadata["reply_due"] = reply_due
    return metadata


def _sources(draft: JointDraft) -> list[PartSource]:
    """The parts of a request, made from the draft alone, so that they can be made again."""
    sources = [
        PartSource(_letter(draft.manifest).encode(), PartRole.BODY, "会签函.txt", "text/plain"),
        PartSource(
            draft.manifest_bytes,
            PartRole.DATA,
            "manifest.json",
            countersign.MANIFEST_MEDIA_TYPE,
        ),
        *(
            PartSource(
                signature, PartRole.SEAL_DATA, f"{unit}.p7s", countersign.SIGNATURE_MEDIA_TYPE
            )
            for unit, signature in draft.signatures.items()
        ),
        *(
            PartSource(each.path, PartRole.ATTACHMENT, each.part.filename, each.part.media_type)
            for each in draft.parts
        ),
    ]
    if len(sources) > MAX_PARTS:
        raise LimitExceeded(
            f"a request with all of this draft has {len(sources)} parts, an envelope at most"
            f" {MAX_PARTS}: have it sealed by file",
            size=str(len(sources)),
        )
    return sources


def _letter(manifest: Manifest) -> str:
    """What a person reads who has no program for such requests."""
    document = manifest.document
    files = "\n".join(
        f"  {part.filename}  {part.size}  SHA-256 {part.sha256}" for part in manifest.parts
    )
    return (
        f"请会签：{document.title}\n"
        f"Please seal this draft of a joint issue: exchange countersign --envelope ...\n\n"
        f"公文标识 document: {document.doc_id}\n"
        f"发文字号 number: {document.number or '-'}\n"
        f"发文单位 issuers: {', '.join(document.issuers)}\n"
        f"收文单位 recipients: {', '.join(each.unit for each in manifest.recipients)}\n"
        f"附件 files:\n{files}\n"
    )


async def _hand_in_again(session: Session, draft: JointDraft, kept: KeptRequest) -> None:
    """Submit a kept request of which the centre does not know; with the others nothing is due."""
    try:
        await tracking.track(session, kept.envelope_id)
    except NotFound:
        prepared = {each.part.sha256: each for each in await parts.prepare(_sources(draft))}
        wanted = [prepared.get(part.sha256) for part in kept.manifest.parts]
        found: Sequence[OutgoingPart] = [each for each in wanted if each is not None]
        if len(found) == len(wanted):  # else a seal was replaced since: a new request is made
            matched = parts.match(kept.manifest.parts, found)
            await submit(session, kept.manifest, kept.manifest_bytes, (kept.signature,), matched)


async def tracked_requests(session: Session, draft: JointDraft) -> list[Tracking]:
    """The draft's requests that the centre has accepted, oldest first."""
    found = []
    for kept in await in_thread(kept_requests, draft, session.unit):
        with contextlib.suppress(NotFound):
            found.append(await tracking.track(session, kept.envelope_id))
    return found


def standing_of(draft: JointDraft, tracked: Iterable[Tracking]) -> tuple[IssuerStanding, ...]:
    """How far each issuer is, by requests of which the oldest comes first."""
    by_unit = {unit: IssuerStanding(unit, unit in draft.signatures) for unit in draft.issuers}
    for each in tracked:  # a later request replaces an earlier one
        for delivery in each.deliveries:
            unit = delivery.recipient
            if unit in by_unit:
                by_unit[unit] = _asked(unit, unit in draft.signatures, each, delivery)
    return tuple(by_unit.values())


def _asked(unit: str, sealed: bool, tracked: Tracking, delivery: TrackedDelivery) -> IssuerStanding:
    code, reason = "", ""
    if delivery.state in (State.REFUSED, State.RETURNED):
        for statement in delivery.statements:
            if statement.receipt.reason_code is not None:
                code, reason = statement.receipt.reason_code.value, statement.receipt.reason or ""
    return IssuerStanding(unit, sealed, tracked.envelope.envelope_id, delivery.state, code, reason)
