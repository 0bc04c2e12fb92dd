"""What happens at once happens once: repeated submissions, confirmations, contrary receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from document_exchange import codes, manifest, receipt, times
from document_exchange.errors import ExchangeError, ReceiptRefused, StateConflict
from document_exchange.receipt import ReasonCode, Receipt, ReceiptType
from document_exchange.v1 import envelope_pb2, exchange_pb2
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    sealed,
    typed,
)

BODY = b"%PDF-1.7"
AT_ONCE = 8


def upload_of(inside: CentreInside, content: bytes) -> Upload:
    """Signed anew each time, as a client may that tries again."""
    return Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", BODY),))


async def outcome(call: Any) -> Any:
    """The response, or the typed error."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return typed(error)


async def accepted(inside: CentreInside) -> manifest.Manifest:
    made = envelope([part(BODY)])
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload_of(inside, manifest.encode(made)).messages(), timeout=30)
    return made


def answer(
    inside: CentreInside, about: manifest.Manifest, kind: ReceiptType, receipt_id: str = ""
) -> exchange_pb2.RecordReceiptRequest:
    refused = kind is ReceiptType.REFUSED
    content = receipt.encode(
        Receipt(
            schema=receipt.RECEIPT_SCHEMA,
            receipt_id=receipt_id or codes.new_id(now()),
            type=kind,
            envelope_id=about.envelope_id,
            recipient=RECIPIENT,
            manifest_sha256=manifest.sha256_hex(manifest.encode(about)),
            by=f"spiffe://exchange.example/unit/{RECIPIENT}/seal/main",
            at=times.format_time(now()),
            reason_code=ReasonCode.DUPLICATE if refused else None,
        )
    )
    (made,) = sealed(content, inside.unit(RECIPIENT, "seal"))
    signed = envelope_pb2.SignedBytes(content=content, signature=made)
    return exchange_pb2.RecordReceiptRequest(receipt=signed)


def confirmation(about: manifest.Manifest) -> exchange_pb2.ConfirmDeliveryRequest:
    return exchange_pb2.ConfirmDeliveryRequest(
        envelope_id=about.envelope_id,
        manifest_sha256=manifest.sha256_hex(manifest.encode(about)),
    )


async def statements(inside: CentreInside, about: manifest.Manifest) -> list[tuple[int, str]]:
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select seq, type from exchange.statements where envelope_id = $1 order by seq",
            about.envelope_id,
        )
    return [tuple(row) for row in rows]


def split(found: Sequence[Any]) -> tuple[list[Any], list[ExchangeError]]:
    errors = [each for each in found if isinstance(each, ExchangeError)]
    return [each for each in found if not isinstance(each, ExchangeError)], errors


async def test_the_same_submission_many_times_at_once_is_accepted_once(
    inside: CentreInside,
) -> None:
    content = manifest.encode(envelope([part(BODY)]))
    async with inside.stub(inside.unit(SENDER)) as stub:
        found = await asyncio.gather(
            *(
                outcome(stub.Submit(upload_of(inside, content).messages(), timeout=30))
                for _ in range(AT_ONCE)
            )
        )
    answers, errors = split(found)
    assert errors == []
    assert len({each.accepted.SerializeToString() for each in answers}) == 1
    assert [each.repeated_submission for each in answers].count(False) == 1


async def test_two_documents_race_for_one_identifier_and_one_gets_it(inside: CentreInside) -> None:
    made = envelope([part(BODY)])
    contents = [manifest.encode(made)]
    contents.append(manifest.encode(envelope([part(BODY)], envelope_id=made.envelope_id)))
    async with inside.stub(inside.unit(SENDER)) as stub:
        found = await asyncio.gather(
            *(outcome(stub.Submit(upload_of(inside, c).messages(), timeout=30)) for c in contents)
        )
    answers, errors = split(found)
    assert [each.code for each in errors] == ["ENVELOPE_CONFLICT"]
    won = contents[found.index(answers[0])]
    async with inside.ledger() as ledger:
        kept = await ledger.fetchval(
            "select manifest from exchange.envelopes where envelope_id = $1", made.envelope_id
        )
    assert kept == won


async def test_many_confirmations_give_one_receipt(inside: CentreInside) -> None:
    about = await accepted(inside)
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        found = await asyncio.gather(
            *(outcome(stub.ConfirmDelivery(confirmation(about))) for _ in range(AT_ONCE))
        )
    answers, errors = split(found)
    assert errors == []
    assert len({each.delivered.SerializeToString() for each in answers}) == 1
    assert await statements(inside, about) == [(1, "DELIVERED")]


async def test_of_contrary_receipts_one_is_admitted_and_shown_to_the_others(
    inside: CentreInside,
) -> None:
    about = await accepted(inside)
    kinds = [ReceiptType.SIGNED_FOR, ReceiptType.REFUSED] * (AT_ONCE // 2)
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        await stub.ConfirmDelivery(confirmation(about))
        found = await asyncio.gather(
            *(outcome(stub.RecordReceipt(answer(inside, about, kind))) for kind in kinds)
        )
    (won,), errors = split(found)
    assert len(errors) == AT_ONCE - 1
    for error in errors:
        assert isinstance(error, StateConflict)
        assert error.winning is not None
        receipt_, _, admission, _ = error.winning
        assert (receipt_, admission) == (
            won.statement.receipt.content,
            won.statement.admission.content,
        )
    kind = receipt.decode_receipt(won.statement.receipt.content).type
    assert await statements(inside, about) == [(1, "DELIVERED"), (2, kind.value)]


async def test_the_same_receipt_many_times_at_once_is_recorded_once(inside: CentreInside) -> None:
    about = await accepted(inside)
    request = answer(inside, about, ReceiptType.SIGNED_FOR)
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        await stub.ConfirmDelivery(confirmation(about))
        found = await asyncio.gather(
            *(outcome(stub.RecordReceipt(request)) for _ in range(AT_ONCE))
        )
        answers, errors = split(found)
        assert errors == []
        assert len({each.statement.SerializeToString() for each in answers}) == 1
        # The same identifier with other bytes is no repetition.
        used = receipt.decode_receipt(request.receipt.content).receipt_id
        other = answer(inside, about, ReceiptType.REFUSED, used)
        assert isinstance(await outcome(stub.RecordReceipt(other)), ReceiptRefused)
        again = await stub.RecordReceipt(request)
        confirmed = await stub.ConfirmDelivery(confirmation(about))
    assert again.statement.SerializeToString() == answers[0].statement.SerializeToString()
    made = receipt.decode_receipt(confirmed.delivered.receipt.content)
    assert (made.type, made.seq) == (ReceiptType.DELIVERED, 1)
    assert await statements(inside, about) == [(1, "DELIVERED"), (2, "SIGNED_FOR")]
