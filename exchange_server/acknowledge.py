"""Acknowledge: what the parties say of a delivery - one receipt, one admission, one transaction.

Of two receipts that race one is admitted, and the other is shown what won; ``recording`` has how.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog
from cryptography.hazmat.primitives import hashes

from document_exchange import fields, receipt, signature
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    ReceiptRefused,
    SealOfAnotherUnit,
    Unavailable,
)
from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    Receipt,
    ReceiptType,
    State,
)
from exchange_runtime.fault_points import reach
from exchange_runtime.requests import check_shape
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.positions import Positions
from exchange_server.recording import PartyReceipt, Recorder, RecordingLedger
from exchange_server.registry import RegistryFollower
from exchange_server.requests import check_identifier, envelope_not_found
from exchange_server.statements import Signed
from exchange_server.values import DeliveryPosition, StatementRecord

log = structlog.get_logger(__name__)

_TRIES = 8
"""How often a decision is made anew because the delivery moved on meanwhile."""


class StatementLedger(RecordingLedger, Protocol):
    """What acknowledging asks of the ledger."""

    async def find_position(
        self, envelope_id: str, recipient: str, receipt_id: str | None = None
    ) -> DeliveryPosition | None: ...

    async def find_delivered(self, envelope_id: str, recipient: str) -> StatementRecord | None:
        """DELIVERED since it was last offered."""
        ...

    async def confirm_seen(
        self, unit: str, side: str, envelope_id: str, recipient: str, seq: int
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Acknowledger:
    """Takes what recipients and senders say about deliveries."""

    ledger: StatementLedger
    registry: RegistryFollower
    trust: SealTrust
    recorder: Recorder
    positions: Positions

    async def confirm_delivery(
        self, principal: Principal, envelope_id: str, manifest_sha256: str
    ) -> StatementRecord:
        """The recipient holds everything and verified it: the centre signs DELIVERED, once.

        Raises:
            NotFound: the caller is no recipient of such an envelope.
            ReceiptRefused: the digest is not that of the envelope's manifest.
            StateConflict: the delivery is beyond that.
        """
        check_identifier(envelope_id)
        reach("receipt.read")

        async def decide(position: DeliveryPosition) -> StatementRecord | None:
            return await self._confirm(principal, position, manifest_sha256)

        record = await self._decided(
            envelope_id, principal.unit, ReceiptType.DELIVERED, None, None, decide
        )
        reach("receipt.answered")
        return record

    async def record_receipt(
        self, principal: Principal, content: bytes, signature_der: bytes
    ) -> StatementRecord:
        """Admit a receipt of the caller's unit. When this returns, it MUST be durable.

        Raises:
            ReceiptRefused, NotCanonical: the receipt itself.
            SignatureRefused and its kinds: its signature or seal.
            NotFound: the caller is not the party of this delivery that may say so.
            StateConflict: the state does not allow it; carries the statement that won.
            LimitExceeded: it was said too often.
        """
        # 1. The receipt: canonical bytes, schema, and a type that a party may hand in.
        made = receipt.decode_receipt(content)
        structlog.contextvars.bind_contextvars(envelope_id=made.envelope_id)
        if made.type in SIGNED_BY_CENTRE or made.recipient is None:
            raise ReceiptRefused(
                f"a receipt of type {made.type} is the centre's own, it can't be handed in",
                field="type",
                value=made.type,
            )
        reach("receipt.read")
        signed = Signed(content, signature_der)

        async def decide(position: DeliveryPosition) -> StatementRecord | None:
            # 2. The party that says so is who calls.
            recipients = made.type in SIGNED_BY_RECIPIENT
            if principal.unit != (position.recipient if recipients else position.sender):
                raise envelope_not_found(made.envelope_id)
            # 3. Recorded before? Then the first answer again. (Upon a guess the ledger says it.)
            if position.recorded:
                return await self._recorded_before(made, signed)
            # 4. The seal: exact bytes, chain, purpose, unit, valid and unrevoked now.
            at = self.recorder.moment(position)
            seal = self._check_seal(principal, made, signed, at)
            if made.manifest_sha256 != position.manifest_sha256:
                raise ReceiptRefused(
                    "the receipt is for another manifest than the envelope has",
                    field="manifest_sha256",
                )
            reach("receipt.sealed")
            # 5. The transition, the admission, one transaction.
            party = PartyReceipt(made, signed, principal, seal, at)
            record = await self.recorder.admit(party, position)
            if record is not None:
                log.info("receipt_recorded", type=made.type, recipient=made.recipient)
            return record

        record = await self._decided(
            made.envelope_id, made.recipient, made.type, made.reason_code, made.receipt_id, decide
        )
        reach("receipt.answered")
        return record

    async def confirm_seen(
        self, principal: Principal, envelope_id: str, recipient: str, seq: int, side: str
    ) -> None:
        """Take note of a delivery's statements up to ``seq``; repeats and old seqs do nothing.

        Raises:
            NotFound: the caller is not that party of such a delivery.
            InvalidRequest: ``recipient`` is no unit id, or ``seq`` is negative.
        """
        check_identifier(envelope_id)
        check_shape(recipient, fields.UnitId, "recipient")
        if seq < 0:
            raise InvalidRequest("seq must not be negative", field="seq")
        position = await self.ledger.find_position(envelope_id, recipient)
        party = None
        if position is not None:
            party = position.recipient if side == "R" else position.sender
        if party != principal.unit:
            raise envelope_not_found(envelope_id)
        await self.ledger.confirm_seen(principal.unit, side, envelope_id, recipient, seq)

    async def _decided(
        self,
        envelope_id: str,
        recipient: str,
        step: ReceiptType,
        reason: receipt.ReasonCode | None,
        receipt_id: str | None,
        decide: Callable[[DeliveryPosition], Awaitable[StatementRecord | None]],
    ) -> StatementRecord:
        """What was decided: upon the position remembered, or else upon the one in the ledger.

        ``decide`` returns None if the delivery has moved on from the position it was given.
        """
        guess = self.positions.take(envelope_id, recipient, step, reason)
        if guess is not None:
            with suppress(ExchangeError):  # nothing is refused upon a guess
                if record := await decide(guess):
                    return record
        for _ in range(_TRIES):
            position = await self.ledger.find_position(envelope_id, recipient, receipt_id)
            if position is None:
                raise envelope_not_found(envelope_id)
            if record := await decide(position):
                return record
        raise Unavailable("the delivery keeps changing; try again")

    async def _confirm(
        self, principal: Principal, position: DeliveryPosition, manifest_sha256: str
    ) -> StatementRecord | None:
        if manifest_sha256 != position.manifest_sha256:
            raise ReceiptRefused(
                "the confirmation is for another manifest", field="manifest_sha256"
            )
        if position.state is not State.PENDING:
            earlier = await self.ledger.find_delivered(position.envelope_id, position.recipient)
            if earlier is not None:
                return earlier
        record = await self.recorder.own(position, ReceiptType.DELIVERED, principal)
        if record is not None:
            # The next step is not far.
            remembered = replace(position, state=State.DELIVERED, seq=position.seq + 1)
            self.positions.remember(remembered)
        return record

    def _check_seal(
        self, principal: Principal, made: Receipt, signed: Signed, at: datetime
    ) -> bytes:
        certificate = signature.verify(signed.content, signed.signature)
        seal = self.trust.check(certificate, at=at, crls=None)
        if seal.unit != principal.unit:
            raise SealOfAnotherUnit(
                f"the receipt is sealed by {seal}, the caller is {principal.unit}", seal=str(seal)
            )
        if str(seal) != made.by:
            raise ReceiptRefused(
                f"the receipt says that it is by {made.by}, its seal is of {seal}", field="by"
            )
        fingerprint = certificate.fingerprint(hashes.SHA256())
        policy.check_seal(self.registry.current(), fingerprint, principal.unit)
        return fingerprint

    async def _recorded_before(self, made: Receipt, signed: Signed) -> StatementRecord:
        earlier = await self.ledger.find_statement(
            made.envelope_id, made.recipient or "", made.receipt_id
        )
        if earlier is None or earlier.receipt != signed.content:
            raise ReceiptRefused(
                f"receipt_id {made.receipt_id} was already used for another receipt",
                field="receipt_id",
            )
        return earlier
