"""Handing an envelope to the centre: life of a document, steps 1 and 2, on the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import ExchangeError, InvalidRequest, Unavailable, VerificationFailed
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import ReceiptType
from document_exchange.v1 import exchange_pb2
from exchange_client import receive
from exchange_client.answer import answer_of
from exchange_client.evidence import Statement, check_signatures_named
from exchange_client.parts import OutgoingPart
from exchange_client.retry import with_retries
from exchange_client.session import Session


@dataclass(frozen=True, slots=True)
class Submission:
    """The centre's promise: this envelope is durable and will be delivered."""

    envelope_id: str
    manifest: Manifest
    manifest_sha256: str
    accepted_at: datetime
    """The centre's time."""
    accepted: Statement
    """The ACCEPTED receipt, verified."""
    repeated: bool
    """Whether the envelope had been accepted before, so that this is the first receipt again."""


async def submit(
    session: Session,
    manifest: Manifest,
    content: bytes,
    signatures: Sequence[bytes],
    parts: Sequence[OutgoingPart],
) -> Submission:
    """Submit until the centre has answered, and verify its receipt before returning.

    Safe to repeat with the same ``content``, in another process or year, too.

    Raises:
        InvalidRequest: ``parts`` are not those that the manifest lists.
        ExchangeError: the refusal that the centre gave, as its own type; a retryable one when the
            outcome is unknown after the retry budget: call again with the same arguments.
        VerificationFailed: the receipt does not verify; the centre may hold the document.
    """
    described = tuple(part.part for part in parts)
    if described != manifest.parts:
        raise InvalidRequest(
            "the parts given are not those that the manifest lists, in its order", field="parts"
        )
    header = exchange_pb2.SubmitRequest(
        header=exchange_pb2.SubmitHeader(manifest=content, signatures=signatures)
    )
    transfer_s = session.timing.transfer_deadline_s(sum(part.size for part in described))
    response = await with_retries(
        lambda: _once(session, header, parts, transfer_s),
        _budget_s(session, transfer_s),
    )
    accepted = session.verifier.statement(response.accepted, manifest)
    if accepted.type is not ReceiptType.ACCEPTED:
        raise VerificationFailed(
            f"the centre answered a submission with {accepted.type}", step="submit"
        )
    if not check_signatures_named(accepted, signatures):
        await _check_stored_signatures(session, accepted, manifest, response.repeated_submission)
    return Submission(
        envelope_id=manifest.envelope_id,
        manifest=manifest,
        manifest_sha256=sha256_hex(content),
        accepted_at=accepted.recorded_at,
        accepted=accepted,
        repeated=response.repeated_submission,
    )


def _budget_s(session: Session, transfer_s: float) -> float:
    """A repetition sends everything again, so it must be allowed the time for that."""
    budget_s = session.timing.retry_budget_s
    if budget_s == 0:
        return 0
    return budget_s + transfer_s - session.timing.transfer_base_s


async def _once(
    session: Session,
    header: exchange_pb2.SubmitRequest,
    parts: Sequence[OutgoingPart],
    deadline_s: float,
) -> exchange_pb2.SubmitResponse:
    """One try.

    The requests are handed over as an iterator: when the centre answers early (a refusal, a
    repetition), gRPC then stops sending by itself. In turn it swallows what the iterator raises,
    so that is kept and raised here.
    """
    failed: list[Exception] = []

    async def requests() -> AsyncIterator[exchange_pb2.SubmitRequest]:
        yield header
        try:
            for part in parts:
                part_id = part.part.part_id
                async for data in part.chunks():
                    yield exchange_pb2.SubmitRequest(
                        chunk=exchange_pb2.PartChunk(part_id=part_id, data=data)
                    )
        except (ExchangeError, OSError) as error:
            failed.append(error)
            raise

    try:
        with session.connection.typed_errors():
            submit = session.connection.exchange.Submit
            return await answer_of(submit(requests(), timeout=deadline_s))
    except (asyncio.CancelledError, Unavailable):
        if failed:
            raise failed[0] from None
        raise


async def _check_stored_signatures(
    session: Session, accepted: Statement, manifest: Manifest, repeated: bool
) -> None:
    """The first accepted signatures stay: after a repetition others than ours may be stored."""
    if repeated:
        envelope_id = manifest.envelope_id
        response = await receive.request(session, envelope_id)
        stored = receive.verified(session, response, envelope_id, recipient=None)
        if stored.accepted.signed_receipt == accepted.signed_receipt:
            return
    raise VerificationFailed(
        "the ACCEPTED receipt names other signatures than those that were handed in",
        step="submit",
        envelope_id=manifest.envelope_id,
    )
