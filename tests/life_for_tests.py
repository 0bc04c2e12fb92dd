"""The parties of a delivery, over the raw calls: what each says, sealed and handed in by itself.

``Parties`` holds their connections; ``verified`` checks the answers as a third party would.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import grpc

from document_exchange import certificates, codes, event, identity, manifest, receipt, times
from document_exchange.certificates import SealTrust
from document_exchange.manifest import Manifest
from document_exchange.receipt import (
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    WITH_REASON_CODE,
    WITH_TEXT,
    ReasonCode,
    Receipt,
    ReceiptType,
)
from document_exchange.revocations import RevocationLists
from document_exchange.v1 import (
    envelope_pb2,
    exchange_pb2,
    exchange_pb2_grpc,
)
from document_exchange.v1.envelope_pb2 import SignedBytes
from document_exchange.verification import Signed, VerifiedReceipt, verify_recorded
from exchange_server import config
from tests.pki_for_tests import Holder
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    recipients,
    sealed,
    typed,
)

T = TypeVar("T")

BODY = b"%PDF-1.7"
AT_ONCE_S = 3.0
"""Shorter than the poll of a watch, so what comes within it came by a hint."""

OF_PARTIES = (*sorted(SIGNED_BY_RECIPIENT), *sorted(SIGNED_BY_SENDER))
R = ReceiptType
HISTORIES: Mapping[str, tuple[ReceiptType, ...]] = {
    "PENDING": (),
    "DELIVERED": (R.DELIVERED,),
    "SIGNED_FOR": (R.DELIVERED, R.SIGNED_FOR),
    "SIGNED_FOR, withdrawal requested": (R.DELIVERED, R.SIGNED_FOR, R.WITHDRAWAL_REQUESTED),
    "COMPLETED": (R.DELIVERED, R.SIGNED_FOR, R.COMPLETED),
    "REFUSED": (R.DELIVERED, R.REFUSED),
    "RETURNED": (R.DELIVERED, R.SIGNED_FOR, R.RETURNED),
    "WITHDRAWN": (R.WITHDRAWN,),
    "EXPIRED": (R.EXPIRED,),
}
"""A way to each place where a delivery can stand."""


class Paper(NamedTuple):
    """A document that was accepted, and of which its parties speak."""

    about: Manifest
    content: bytes

    @property
    def envelope_id(self) -> str:
        return self.about.envelope_id

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


async def answered(call: Awaitable[T]) -> T:
    """What a call gives; raises the typed error."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise typed(error) from None


@dataclass
class Parties:
    """Connections of all systems that take part; an asynchronous context manager."""

    inside: CentreInside
    address: str = ""
    """Of another server than the centre's own."""
    systems: dict[str, Holder] = field(default_factory=dict)
    """Further systems, by a name of the test's own."""
    _seals: dict[str, Holder] = field(default_factory=dict)
    _stubs: dict[str, exchange_pb2_grpc.ExchangeServiceAsyncStub] = field(default_factory=dict)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    async def stub(self, caller: str) -> exchange_pb2_grpc.ExchangeServiceAsyncStub:
        """The service, called by a unit's first system or by one of ``systems``."""
        if caller not in self._stubs:
            holder = self.systems.get(caller) or self.inside.unit(caller)
            channel = await self._closing.enter_async_context(
                self.inside.channel(holder, self.address)
            )
            self._stubs[caller] = exchange_pb2_grpc.ExchangeServiceStub(channel)
        return self._stubs[caller]

    def seal(self, unit: str) -> Holder:
        if unit not in self._seals:
            self._seals[unit] = self.inside.unit(unit, "seal")
        return self._seals[unit]

    async def send(
        self, to: Sequence[str] = (RECIPIENT,), sender: str = SENDER, **changes: Any
    ) -> Paper:
        told = {"recipients": recipients(to)} | changes
        made = envelope([part(BODY)], sender=sender, **told)
        if sender != SENDER and "document" not in changes:
            raise AssertionError("give it a document of this sender")
        content = manifest.encode(made)
        seals = [self.seal(unit) for unit in made.document.issuers]
        upload = Upload(content, sealed(content, *seals), (("part-1", BODY),))
        await answered((await self.stub(sender)).Submit(upload.messages(), timeout=30))
        return Paper(made, content)

    def receipt(self, paper: Paper, recipient: str, kind: ReceiptType, **changes: Any) -> Signed:
        """Sealed by the party that may say so, unless ``sealed_by`` names another unit."""
        unit = recipient if kind in SIGNED_BY_RECIPIENT else paper.about.sender
        seal = self.seal(changes.pop("sealed_by", unit))
        reason_code = ReasonCode.BAD_SIGNATURE if kind in WITH_REASON_CODE else None
        values = {
            "receipt_id": codes.new_id(now()),
            "reason_code": reason_code,
            "reason": "情况说明" if kind in WITH_TEXT else None,
        } | changes
        content = receipt.encode(
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                type=kind,
                envelope_id=paper.envelope_id,
                recipient=recipient,
                manifest_sha256=paper.sha256,
                by=str(identity.of_certificate(seal.certificate)),
                at=times.format_time(now()),
                **values,
            )
        )
        (made,) = sealed(content, seal)
        return Signed(content, made)

    async def hand_in(self, caller: str, signed: Signed) -> envelope_pb2.Statement:
        """Raises the typed error of the centre's refusal."""
        request = exchange_pb2.RecordReceiptRequest(
            receipt=SignedBytes(content=signed.content, signature=signed.signature)
        )
        response = await answered((await self.stub(caller)).RecordReceipt(request, timeout=30))
        return response.statement

    async def confirm(self, paper: Paper, caller: str) -> envelope_pb2.Statement:
        request = exchange_pb2.ConfirmDeliveryRequest(
            envelope_id=paper.envelope_id, manifest_sha256=paper.sha256
        )
        response = await answered((await self.stub(caller)).ConfirmDelivery(request, timeout=30))
        return response.delivered

    async def say(
        self, paper: Paper, kind: ReceiptType, recipient: str = RECIPIENT, **changes: Any
    ) -> envelope_pb2.Statement:
        """By the party that may say it: a receipt, or the call that makes the centre say it."""
        if kind is ReceiptType.DELIVERED:
            return await self.confirm(paper, recipient)
        caller = recipient if kind in SIGNED_BY_RECIPIENT else paper.about.sender
        return await self.hand_in(caller, self.receipt(paper, recipient, kind, **changes))

    async def track(
        self, paper: Paper, caller: str, page_size: int = 0
    ) -> tuple[dict[str, exchange_pb2.TrackedDelivery], list[bytes]]:
        """The deliveries by recipient, their pages joined, and all revocation lists."""
        stub = await self.stub(caller)
        request = exchange_pb2.TrackEnvelopeRequest(
            envelope_id=paper.envelope_id, page_size=page_size
        )
        found: dict[str, exchange_pb2.TrackedDelivery] = {}
        lists: set[bytes] = set()
        while True:
            page = await answered(stub.TrackEnvelope(request, timeout=30))
            lists |= {each.der for each in page.revocation_lists}
            for delivery in page.deliveries:
                held = found.setdefault(delivery.status.recipient, delivery)
                if held is not delivery:
                    held.status.CopyFrom(delivery.status)
                    held.statements.extend(delivery.statements)
            if not page.next_page_token:
                return found, list(lists)
            request.page_token = page.next_page_token

    @asynccontextmanager
    async def watching(self, unit: str, side: str) -> AsyncIterator[Watch]:
        """A watch of the recipient's side (R) or the sender's (S) that has caught up."""
        stub = await self.stub(unit)
        call: Any = (
            stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest())
            if side == "R"
            else stub.WatchSubmissions(exchange_pb2.WatchSubmissionsRequest())
        )
        watch = Watch(call, side)
        try:
            await watch.catch_up()
            yield watch
        finally:
            call.cancel()


Seen = envelope_pb2.Delivery | envelope_pb2.DeliveryStatus


@dataclass
class Watch:
    """What a watch has shown last of each delivery, by (envelope_id, recipient)."""

    call: Any
    side: str
    shown: dict[tuple[str, str], Seen] = field(default_factory=dict)

    async def catch_up(self) -> None:
        async with asyncio.timeout(20):
            while await self._read():
                pass

    async def until(self, envelope_id: str, recipient: str, seq: int) -> Seen:
        """Wait, but not for a poll, until it has shown this delivery with this seq."""
        async with asyncio.timeout(AT_ONCE_S):
            while True:
                seen = self.shown.get((envelope_id, recipient))
                if seen is not None and seen.seq >= seq:
                    return seen
                await self._read()

    async def _read(self) -> bool:
        """False at the mark that it has caught up."""
        message = await answered(self.call.read())
        if message.WhichOneof("event") == "caught_up":
            return False
        if self.side == "R":
            delivery = message.delivery
            self.shown[delivery.envelope_id, delivery.recipient] = delivery
        else:
            (status,) = message.submission.deliveries
            self.shown[message.submission.envelope_id, status.recipient] = status
        return True


def trust_of(inside: CentreInside) -> SealTrust:
    """What statements of this centre must chain to."""
    trust = config.load(Path(inside.description["settings"])).trust
    return SealTrust(
        certificates.load_pem(trust.root.read_bytes()),
        certificates.load_pem(trust.seal_ca.read_bytes()),
    )


def signed(message: SignedBytes) -> Signed:
    return Signed(message.content, message.signature)


def party_of(paper: Paper, said: Receipt) -> str | None:
    """Whose seal must be under it; None: the centre's."""
    if said.type in SIGNED_BY_RECIPIENT:
        return said.recipient
    return paper.about.sender if said.type in SIGNED_BY_SENDER else None


def verified(
    trust: SealTrust,
    paper: Paper,
    statement: envelope_pb2.Statement,
    lists: Iterable[bytes] = (),
) -> VerifiedReceipt:
    """Receipt and admission as a third party checks them, and the leaf of the event."""
    said = receipt.decode_receipt(statement.receipt.content)
    admission = signed(statement.admission) if statement.HasField("admission") else None
    ders = list(lists)
    found = verify_recorded(
        signed(statement.receipt),
        admission,
        paper.about,
        trust,
        crls=RevocationLists(ders).in_force(now(), trust) if ders else None,
        expected_by=party_of(paper, said),
    )
    made = event.decode(statement.event)
    leaf = (found.admission or found.receipt).leaf
    assert leaf == event.leaf(statement.event_salt, statement.event)
    recorded = found.admission or found.receipt
    assert (made.type, made.envelope_id, made.recipient) == (
        said.type.value,
        paper.envelope_id,
        said.recipient,
    )
    assert (made.seq, made.state_before, made.state_after, made.at) == (
        recorded.seq,
        recorded.state_before,
        recorded.state_after,
        times.format_time(found.recorded_at),
    )
    return found
