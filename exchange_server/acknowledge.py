"""Acknowledge: delivered, signed for, refused - one receipt, one admission, one transaction each.

A decision is made upon the delivery's position (state and seq) as it was read, the centre signs
what will be true, and the ledger writes it only if the position is still the same; otherwise it
is read and decided anew. So no lock is held while signing, and of two receipts that race one is
admitted and the other is shown what won.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, fields, receipt, signature, transitions
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    InternalError,
    InvalidRequest,
    NotFound,
    ReceiptRefused,
    SealOfAnotherUnit,
    SealRevoked,
    StateConflict,
    SystemNotActive,
    Unavailable,
    UnitNotActive,
)
from document_exchange.receipt import Receipt, ReceiptType, State
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.requests import check_shape
from exchange_runtime.values import PreparedEvent, Principal
from exchange_server import policy
from exchange_server.positions import Positions
from exchange_server.registry import RegistryFollower
from exchange_server.requests import check_identifier, envelope_not_found
from exchange_server.statements import CentreSeal, Signed
from exchange_server.values import (
    DeliveryPosition,
    NewStatement,
    Outcome,
    StatementRecord,
)

log = structlog.get_logger(__name__)

_TRIES = 8
"""How often a decision is made anew because the delivery moved on meanwhile."""

TAKEN_FROM_RECIPIENTS = frozenset({ReceiptType.SIGNED_FOR, ReceiptType.REFUSED})
"""The receipts that a recipient may hand in."""


class StatementLedger(Protocol):
    """What acknowledging asks of the ledger."""

    async def find_position(
        self, envelope_id: str, recipient: str, receipt_id: str | None = None
    ) -> DeliveryPosition | None: ...

    async def find_statement(
        self, envelope_id: str, recipient: str, receipt_id: str
    ) -> StatementRecord | None: ...

    async def find_statement_of_type(
        self, envelope_id: str, recipient: str, type_: ReceiptType
    ) -> StatementRecord | None: ...

    async def find_last_statement(
        self, envelope_id: str, recipient: str
    ) -> StatementRecord | None: ...

    async def record(self, statement: NewStatement) -> Outcome: ...

    async def confirm_seen(
        self, unit: str, side: str, envelope_id: str, recipient: str, seq: int
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Acknowledger:
    """Records what recipients say about deliveries."""

    ledger: StatementLedger
    registry: RegistryFollower
    trust: SealTrust
    seal: CentreSeal
    clock: Clock
    positions: Positions
    recorded: Callable[[NewStatement], None]
    """Told of each statement once it is in the ledger: a hint for watches, a count for metrics."""

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

        async def decide(position: DeliveryPosition) -> StatementRecord | None:
            return await self._confirm(principal, position, manifest_sha256)

        return await self._decided(
            envelope_id, principal.unit, ReceiptType.DELIVERED, None, None, decide
        )

    async def record_receipt(
        self, principal: Principal, content: bytes, signature_der: bytes
    ) -> StatementRecord:
        """Admit a receipt of the caller's unit. When this returns, it MUST be durable.

        Raises:
            ReceiptRefused, NotCanonical: the receipt itself.
            SignatureRefused and its kinds: its signature or seal.
            NotFound: the caller is no party of this delivery.
            StateConflict: the state does not allow it; carries the statement that won.
        """
        # 1. The receipt: canonical bytes, schema, and a type that a recipient may hand in.
        made = receipt.decode_receipt(content)
        structlog.contextvars.bind_contextvars(envelope_id=made.envelope_id)
        if made.type not in TAKEN_FROM_RECIPIENTS:
            raise ReceiptRefused(
                f"a receipt of type {made.type} can't be handed in; these can: "
                + ", ".join(sorted(TAKEN_FROM_RECIPIENTS)),
                field="type",
                value=made.type,
            )
        # 2. The recipient is who calls.
        if made.recipient != principal.unit:
            raise envelope_not_found(made.envelope_id)
        signed = Signed(content, signature_der)

        async def decide(position: DeliveryPosition) -> StatementRecord | None:
            # 3. Recorded before? Then the first answer again. (Upon a guess the ledger says it.)
            if position.recorded:
                return await self._recorded_before(made, signed)
            # 4. The seal: exact bytes, chain, purpose, unit, valid and unrevoked now.
            seal = self._check_seal(principal, made, signed)
            # 5. The position, the transition, the admission, one transaction.
            return await self._admit(principal, made, signed, position, seal)

        return await self._decided(
            made.envelope_id, principal.unit, made.type, made.reason_code, made.receipt_id, decide
        )

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
            earlier = await self.ledger.find_statement_of_type(
                position.envelope_id, position.recipient, ReceiptType.DELIVERED
            )
            if earlier is not None:
                return earlier
        after = await self._after(position, ReceiptType.DELIVERED, None)
        event = self._event(principal, position, ReceiptType.DELIVERED, after)
        receipt_id = codes.new_id(event.at)
        signed = self.seal.delivered(receipt_id, position, after, event)
        record = StatementRecord(
            signed.content, signed.signature, b"", b"", event.content, event.salt
        )
        kind = ReceiptType.DELIVERED
        if not await self._record(
            principal, position, kind, after, receipt_id, record, event, signed.seal
        ):
            return None
        # The next step is not far.
        self.positions.remember(replace(position, state=after, seq=position.seq + 1))
        return record

    def _check_seal(self, principal: Principal, made: Receipt, signed: Signed) -> bytes:
        certificate = signature.verify(signed.content, signed.signature)
        seal = self.trust.check(certificate, at=self.clock(), crls=None)
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

    async def _admit(
        self,
        principal: Principal,
        made: Receipt,
        signed: Signed,
        position: DeliveryPosition,
        seal: bytes,
    ) -> StatementRecord | None:
        if made.manifest_sha256 != position.manifest_sha256:
            raise ReceiptRefused(
                "the receipt is for another manifest than the envelope has",
                field="manifest_sha256",
            )
        after = await self._after(position, made.type, made.reason_code)
        event = self._event(
            principal,
            position,
            made.type,
            after,
            receipt_sha256=hashlib.sha256(signed.content).hexdigest(),
            certificate_sha256=seal.hex(),
            detail={"reason_code": made.reason_code.value} if made.reason_code else None,
        )
        admission = self.seal.admission(signed, position, after, event)
        record = StatementRecord(
            signed.content,
            signed.signature,
            admission.content,
            admission.signature,
            event.content,
            event.salt,
        )
        if not await self._record(
            principal,
            position,
            made.type,
            after,
            made.receipt_id,
            record,
            event,
            admission.seal,
            seal,
        ):
            return None
        log.info("receipt_recorded", type=made.type, recipient=principal.unit)
        return record

    def _event(
        self,
        principal: Principal,
        position: DeliveryPosition,
        type_: ReceiptType,
        after: State,
        *,
        receipt_sha256: str | None = None,
        certificate_sha256: str | None = None,
        detail: dict[str, str] | None = None,
    ) -> PreparedEvent:
        return events.prepare(
            type_.value,
            self.clock(),
            principal,
            envelope_id=position.envelope_id,
            recipient=position.recipient,
            seq=position.seq + 1,
            state_before=position.state,
            state_after=after,
            manifest_sha256=position.manifest_sha256,
            receipt_sha256=receipt_sha256,
            certificate_sha256=certificate_sha256,
            detail=detail,
        )

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

    async def _after(
        self, position: DeliveryPosition, type_: ReceiptType, reason: receipt.ReasonCode | None
    ) -> State:
        try:
            return transitions.after(position.state, type_, reason)
        except StateConflict as conflict:
            won = await self.ledger.find_last_statement(position.envelope_id, position.recipient)
            if won is None:
                raise
            raise StateConflict(
                conflict.message,
                winning=(
                    won.receipt, won.receipt_signature, won.admission, won.admission_signature,
                ),
                **conflict.attributes,
            ) from None  # fmt: skip

    async def _record(
        self,
        principal: Principal,
        position: DeliveryPosition,
        type_: ReceiptType,
        after: State,
        receipt_id: str,
        record: StatementRecord,
        event: PreparedEvent,
        centre_seal: bytes,
        seal: bytes | None = None,
    ) -> bool:
        """Whether it was recorded; False if the delivery has moved on."""
        root_crl, seal_crl = self.registry.current().crls_in_force(event.at)
        statement = NewStatement(
            position=position,
            type=type_,
            state_after=after,
            by_side="R",
            principal=principal,
            seal=seal,
            centre_seal=centre_seal,
            receipt_id=receipt_id,
            record=record,
            root_crl=root_crl.number,
            seal_crl=seal_crl.number,
            event=event,
        )
        try:
            outcome = await self.ledger.record(statement)
        except Unavailable:
            # The transaction may have been committed all the same: look.
            found = await self.ledger.find_statement(
                position.envelope_id, position.recipient, receipt_id
            )
            if found is None:
                raise
            outcome = Outcome("RECORDED" if found.event == event.content else "CHANGED")
        if outcome.code == "CHANGED":
            return False
        if outcome.code != "RECORDED":
            raise _refusal(outcome, principal.unit)
        self.recorded(statement)
        return True


def _refusal(outcome: Outcome, unit: str) -> ExchangeError:
    match outcome.code:
        case "NOT_FOUND":
            return NotFound()
        case "UNIT_NOT_ACTIVE":
            return UnitNotActive(f"unit {unit} is not active", unit=unit)
        case "SYSTEM_NOT_ACTIVE":
            return SystemNotActive()
        case "CERTIFICATE_REVOKED":
            return CertificateRevoked()
        case "SEAL_REVOKED":
            return SealRevoked(f"the seal of {unit} has been revoked", unit=unit)
        case "CENTRE_SEAL_REVOKED":
            return Unavailable("the centre's seal has just been revoked; try again later")
    return InternalError(f"the ledger answered {outcome.code}")
