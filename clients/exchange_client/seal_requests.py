"""Joint issue through the centre, as the unit that drafted it: ask the others for their seals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from document_exchange import countersign
from document_exchange.errors import (
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    Refused,
)
from document_exchange.manifest import MAX_PARTS, Document, Manifest, PartRole
from document_exchange.receipt import State
from document_exchange.transitions import OPEN
from exchange_client import outgoing, parts, tracking
from exchange_client.compose import Metadata, seal
from exchange_client.draft_requests import (
    KeptRequest,
    drop_request,
    keep_request,
    kept_requests,
)
from exchange_client.drafts import JointDraft, check_age
from exchange_client.parts import OutgoingPart, PartSource
from exchange_client.serials import Serials
from exchange_client.session import Session
from exchange_client.submit import submit
from exchange_client.threads import in_thread
from exchange_client.tracking import TrackedDelivery, Tracking

LONGEST_TITLE = 500
_REQUEST_TITLE = "会签："
ANSWERABLE = OPEN | {State.COMPLETED}
"""Of a request: it still stands; of an answer: it may be taken."""
_FINAL = (Refused, LimitExceeded, NotPermitted, InvalidRequest)
"""Errors upon which the centre does not have a request, and will not take it another time."""


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
    same one. One that the centre refuses is not kept. A unit that refused or returned one is
    asked anew.

    Raises:
        EnvelopeIdOutOfRange: the draft is too old to be sent.
        LimitExceeded: with all of it a request has more parts than an envelope may.
        RecipientsRefused and others: as the centre says.
    """
    check_age(draft.manifest, session.now())
    tracked = []
    for kept in await in_thread(kept_requests, draft, session.unit):
        found = await _known(session, kept) or await _hand_in_again(session, draft, kept)
        if found is not None:
            tracked.append(found)
    standing = standing_of(draft, tracked)
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
    new = KeptRequest(made.manifest, made.content, signature)
    await in_thread(keep_request, draft, new)
    tracked.append(await _hand_in(session, draft, new, made.parts))
    return standing_of(draft, tracked)


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


async def _hand_in(
    session: Session, draft: JointDraft, kept: KeptRequest, outgoing_parts: Sequence[OutgoingPart]
) -> Tracking:
    """Submit a kept request; one that is refused for good is not kept, or it would come up again
    each time.
    """
    try:
        await submit(session, kept.manifest, kept.manifest_bytes, (kept.signature,), outgoing_parts)
    except _FINAL:
        await in_thread(drop_request, draft, kept)
        raise
    return await tracking.track(session, kept.envelope_id)


async def _hand_in_again(session: Session, draft: JointDraft, kept: KeptRequest) -> Tracking | None:
    """Submit a kept request of which the centre does not know.

    None, and it is not kept any longer, if it makes no sense now: somebody whom it asks has sealed
    meanwhile, its seals are not those of the draft, or it is refused. Then a new one is made.
    """
    sealed = any(each.unit in draft.signatures for each in kept.manifest.recipients)
    made = [] if sealed else await parts.prepare(_sources(draft))
    prepared = {each.part.sha256: each for each in made}
    found = [prepared[part.sha256] for part in kept.manifest.parts if part.sha256 in prepared]
    if len(found) < len(kept.manifest.parts):
        await in_thread(drop_request, draft, kept)
        return None
    try:
        return await _hand_in(session, draft, kept, parts.match(kept.manifest.parts, found))
    except _FINAL:
        return None


async def _known(session: Session, kept: KeptRequest) -> Tracking | None:
    """The history of a kept request; None if the centre does not have it."""
    try:
        return await tracking.track(session, kept.envelope_id)
    except NotFound:
        return None


async def tracked_requests(session: Session, draft: JointDraft) -> list[Tracking]:
    """The draft's requests that the centre has accepted, oldest first."""
    kept = await in_thread(kept_requests, draft, session.unit)
    known = [await _known(session, each) for each in kept]
    return [each for each in known if each is not None]


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
