"""Joint issue through the centre, as a unit that is asked: look at a draft, seal it, answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from document_exchange import countersign
from document_exchange.errors import StateConflict, VerificationFailed
from document_exchange.manifest import LinkKind, Manifest, Part, PartRole, sha256_hex
from document_exchange.receipt import State
from exchange_client import conversation, drafts, outgoing, receive, tracking
from exchange_client.compose import Metadata, seal
from exchange_client.conversation import Link
from exchange_client.delivery import AsyncDelivery
from exchange_client.drafts import check_age, check_sealable
from exchange_client.evidence import Envelope
from exchange_client.parts import PartSource
from exchange_client.seal_requests import ANSWERABLE, titled
from exchange_client.serials import Serials
from exchange_client.session import Session
from exchange_client.store import ReceivedDocument, ReceivedPart
from exchange_client.submit import Submission, submit
from exchange_client.threads import in_thread

_ANSWER_TITLE = "会签答复："


@dataclass(frozen=True, slots=True)
class CountersignRequest:
    """A draft that the own unit is asked to seal, on disk, verified."""

    document: ReceivedDocument
    """The request as any received document."""
    manifest: Manifest
    """The draft's: what would be sealed."""
    manifest_bytes: bytes
    sealed_by: tuple[str, ...]
    """The issuers that have sealed it already."""
    parts: tuple[ReceivedPart, ...]
    """The draft's, in its order."""

    @property
    def envelope_id(self) -> str:
        """The request's."""
        return self.document.envelope.envelope_id

    @property
    def send_by(self) -> datetime:
        """Until when the centre takes the document."""
        return drafts.send_by(self.manifest)

    @property
    def asked_by(self) -> str:
        """The unit that drafted it and will send it."""
        return self.manifest.sender


async def open_request(
    session: Session, delivery: AsyncDelivery, directory: Path
) -> CountersignRequest:
    """Download a request and verify the draft in it; see ``countersign.verify_request``.

    What the caller must still do: show a person what it is before sealing it.

    Raises:
        InvalidRequest: it is a document that asks for no seal.
        StateConflict: the request does not stand any more: withdrawn, refused, returned, expired.
        VerificationFailed: of the envelope, of a part or of the draft; do not seal it.
        SignatureRefused: the own unit has sealed it already.
        EnvelopeIdOutOfRange: the draft is too old to be sent.
    """
    form = countersign.read_request((await delivery.fetch()).manifest)
    _check_stands(delivery)
    document = await delivery.download(directory)
    paths = {each.part.part_id: each.path for each in document.parts}
    now = session.now()
    content = await in_thread(_content, form.manifest, paths)
    signatures = [await in_thread(_content, part, paths) for part in form.signatures]
    manifest, seals = countersign.verify_request(
        document.manifest, content, signatures, session.unit, document.envelope.trust, at=now
    )
    check_sealable(manifest, seals, session.unit, now)
    parts = tuple(
        ReceivedPart(part, paths[carried.part_id])
        for part, carried in zip(manifest.parts, form.parts, strict=True)
    )
    return CountersignRequest(document, manifest, content, tuple(seals), parts)


async def answer(
    session: Session, serials: Serials, delivery: AsyncDelivery, request: CountersignRequest
) -> Submission:
    """Sign for the request, seal the draft, and send the seal to the one who asked.

    Safe to repeat: a request that was answered already is not answered twice; see ``answered``.

    Raises:
        StateConflict: the request does not stand any more: withdrawn, refused, returned, expired.
        EnvelopeIdOutOfRange: the draft is too old to be sent.
        ConfigurationError: the profile has no seal.
        RecipientsRefused and others: as the centre says.
    """
    earlier = await answered(session, request)
    if earlier is not None:
        return earlier
    _check_stands(delivery)
    check_age(request.manifest, session.now())
    signer = session.profile.require_seal()
    if delivery.state is State.DELIVERED:
        await delivery.sign_for()
    unit = session.unit
    (signature,) = seal(request.manifest_bytes, (unit,), signer, (), session.now())
    letter = f"{unit} 已会签 has sealed: {request.manifest.document.title}\n"
    made = await outgoing.prepare(
        session,
        serials,
        Metadata(
            business=countersign.BUSINESS,
            urgency=request.manifest.document.urgency,
            reply_to=request.envelope_id,
        ),
        title=titled(_ANSWER_TITLE, request.manifest),
        recipients=request.asked_by,
        files=[
            PartSource(letter.encode(), PartRole.BODY, "会签答复.txt", "text/plain"),
            PartSource(
                signature, PartRole.SEAL_DATA, f"{unit}.p7s", countersign.SIGNATURE_MEDIA_TYPE
            ),
        ],
    )
    sealed = seal(made.content, (unit,), signer, (), made.at)
    return await submit(session, made.manifest, made.content, sealed, made.parts)


async def answered(session: Session, request: CountersignRequest) -> Submission | None:
    """The answer with which the own unit has sent its seal of the draft already; None: none.

    Only a seal that will be taken counts; and no answer that was withdrawn, or that the asking
    unit refused or returned.
    """
    thread = await conversation.thread(session, request.envelope_id)
    reply = Link(LinkKind.REPLY_TO, request.envelope_id)
    for item in reversed(thread.items):
        ours = (item.sender, item.business) == (session.unit, countersign.BUSINESS)
        if not ours or reply not in item.links:
            continue
        found = await tracking.track(session, item.envelope_id)
        stands = any(each.state in ANSWERABLE for each in found.deliveries)
        if stands and await _brings_seal(session, found.envelope, request):
            return _repeated(found.envelope)
    return None


async def _brings_seal(session: Session, envelope: Envelope, request: CountersignRequest) -> bool:
    """Whether an answer of the own unit is what ``seal_answers.collect`` takes."""
    try:
        part = countersign.read_answer(envelope.manifest)
        signature = await receive.read_part(session, envelope.envelope_id, part, {})
        countersign.verify_answer(
            session.unit,
            request.manifest,
            request.manifest_bytes,
            signature,
            envelope.trust,
            at=session.now(),
        )
    except VerificationFailed:
        return False
    return True


def _repeated(envelope: Envelope) -> Submission:
    accepted = envelope.accepted
    return Submission(
        envelope_id=envelope.envelope_id,
        manifest=envelope.manifest,
        manifest_sha256=envelope.manifest_sha256,
        accepted_at=accepted.recorded_at,
        accepted=accepted,
        repeated=True,
    )


def _check_stands(delivery: AsyncDelivery) -> None:
    if delivery.state not in ANSWERABLE:
        raise StateConflict(
            f"the request {delivery.envelope_id} of {delivery.sender} does not stand any more: it"
            f" is {delivery.state.value}",
            envelope_id=delivery.envelope_id,
            state=delivery.state.value,
        )


def _content(part: Part, paths: Mapping[str, Path]) -> bytes:
    """A small part as it was just written to disk.

    Raises:
        VerificationFailed: somebody changed the file since.
    """
    content = paths[part.part_id].read_bytes()
    if sha256_hex(content) != part.sha256:
        raise VerificationFailed(f"{paths[part.part_id]} was changed", step="part")
    return content
