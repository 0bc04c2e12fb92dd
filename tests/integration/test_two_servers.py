"""Two servers over one ledger: what one remembers of a delivery may be long out of date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes, identity, manifest, receipt, times
from document_exchange.manifest import sha256_hex
from document_exchange.receipt import RECEIPT_SCHEMA, ReasonCode, Receipt, ReceiptType
from document_exchange.v1 import envelope_pb2, exchange_pb2, exchange_pb2_grpc
from tests.real_centre import RECIPIENT, SENDER, CentreInside, Upload, envelope, now, part, sealed

Stub: TypeAlias = "exchange_pb2_grpc.ExchangeServiceAsyncStub"


@pytest.fixture
async def servers(local_centre: LocalCentre, tmp_path: Path) -> AsyncIterator[tuple[Stub, Stub]]:
    """The recipient's calls to the one and to the other."""
    first, second = CentreInside(local_centre), CentreInside(local_centre)
    async with (
        second.second_server(tmp_path / "second.log"),
        first.stub(first.unit(RECIPIENT)) as one,
        second.stub(second.unit(RECIPIENT)) as other,
    ):
        yield one, other


@pytest.fixture
async def sent(local_centre: LocalCentre) -> exchange_pb2.ConfirmDeliveryRequest:
    """A document on its way, named as a confirmation does."""
    inside = CentreInside(local_centre)
    made = envelope([part(b"x")])
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", b"x"),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=10)
    return exchange_pb2.ConfirmDeliveryRequest(
        envelope_id=made.envelope_id, manifest_sha256=sha256_hex(content)
    )


def signed(
    local_centre: LocalCentre,
    sent: exchange_pb2.ConfirmDeliveryRequest,
    kind: ReceiptType,
    reason: ReasonCode | None = None,
) -> exchange_pb2.RecordReceiptRequest:
    seal = CentreInside(local_centre).unit(RECIPIENT, "seal")
    content = receipt.encode(
        Receipt(
            schema=RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now()),
            type=kind,
            envelope_id=sent.envelope_id,
            recipient=RECIPIENT,
            manifest_sha256=sent.manifest_sha256,
            by=str(identity.of_certificate(seal.certificate)),
            at=times.format_time(now()),
            reason_code=reason,
        )
    )
    (signature,) = sealed(content, seal)
    return exchange_pb2.RecordReceiptRequest(
        receipt=envelope_pb2.SignedBytes(content=content, signature=signature)
    )


async def fetch(stub: Stub, sent: exchange_pb2.ConfirmDeliveryRequest) -> None:
    """Lets a server see where the delivery stands."""
    await stub.GetEnvelope(
        exchange_pb2.GetEnvelopeRequest(envelope_id=sent.envelope_id), timeout=10
    )


async def test_a_step_is_decided_upon_where_the_delivery_stands_now(
    local_centre: LocalCentre,
    servers: tuple[Stub, Stub],
    sent: exchange_pb2.ConfirmDeliveryRequest,
) -> None:
    """PENDING, as the one remembers it, would take this refusal too, with other numbers."""
    one, other = servers
    await fetch(one, sent)
    await other.ConfirmDelivery(sent, timeout=10)
    request = signed(local_centre, sent, ReceiptType.REFUSED, ReasonCode.DIGEST_MISMATCH)
    answer = (await one.RecordReceipt(request, timeout=10)).statement
    admission = receipt.decode_admission(answer.admission.content)
    assert (admission.seq, admission.state_before) == (2, "DELIVERED")


async def test_a_confirmation_is_given_once_by_both(
    servers: tuple[Stub, Stub], sent: exchange_pb2.ConfirmDeliveryRequest
) -> None:
    one, other = servers
    await fetch(one, sent)
    await fetch(other, sent)
    first = await one.ConfirmDelivery(sent, timeout=10)
    assert await other.ConfirmDelivery(sent, timeout=10) == first
    assert await one.ConfirmDelivery(sent, timeout=10) == first


async def test_a_receipt_is_recorded_once_by_both(
    local_centre: LocalCentre,
    servers: tuple[Stub, Stub],
    sent: exchange_pb2.ConfirmDeliveryRequest,
) -> None:
    one, other = servers
    await one.ConfirmDelivery(sent, timeout=10)
    await fetch(other, sent)
    request = signed(local_centre, sent, ReceiptType.SIGNED_FOR)
    first = await other.RecordReceipt(request, timeout=10)
    assert await one.RecordReceipt(request, timeout=10) == first
    assert await other.RecordReceipt(request, timeout=10) == first
