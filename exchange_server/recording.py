"""Recording: one statement about a delivery, from a decision to its transaction.

A decision is made upon the delivery's position (state and seq) as it was read, the centre signs
what will be true, and the ledger writes it only if the position is still the same; otherwise it
is read and decided anew. So no lock is held while signing, and of two statements that race one is
recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from document_exchange import codes, transitions
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    InternalError,
    LimitExceeded,
    NotFound,
    SealRevoked,
    StateConflict,
    SystemNotActive,
    Unavailable,
    UnitNotActive,
)
from document_exchange.receipt import (
    SIGNED_BY_RECIPIENT,
    Deadline,
    ReasonCode,
    Receipt,
    ReceiptType,
    State,
)
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.fault_points import reach
from exchange_runtime.values import CENTRE, PreparedEvent, Principal
from exchange_server.registry import RegistryFollower
from exchange_server.statements import CentreSeal, Signed
from exchange_server.values import (
    DeliveryPosition,
    Dues,
    NewStatement,
    Outcome,
    StatementRecord,
)


class RecordingLedger(Protocol):
    """What recording asks of the ledger."""

    async def find_statement(
        self, envelope_id: str, recipient: str, receipt_id: str
    ) -> StatementRecord | None: ...

    async def find_statement_at(
        self, envelope_id: str, recipient: str, seq: int
    ) -> StatementRecord | None: ...

    async def record(self, statement: NewStatement) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class PartyReceipt:
    """A receipt of a party, whose seal has been checked."""

    receipt: Receipt
    signed: Signed
    principal: Principal
    seal: bytes
    """Fingerprint of the sealing certificate."""
    at: datetime
    """The moment at which its seal was checked, and as of which it is admitted."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Signs and writes statements: the admission of a party's receipt, or the centre's own."""

    ledger: RecordingLedger
    registry: RegistryFollower
    seal: CentreSeal
    clock: Clock
    dues: Callable[[DeliveryPosition, datetime], Awaitable[Dues]]
    """The deadlines of a delivery that is offered again at a moment."""
    recorded: Callable[[NewStatement], None]
    """Told of each statement once it is in the ledger: a hint for watches, a count for metrics."""

    def check(self) -> None:
        """Raise Unavailable if the centre could say nothing by itself now."""
        now = self.clock()
        self.seal.check(now)
        self.registry.current().unended_crls(now)

    def moment(self, position: DeliveryPosition) -> datetime:
        """As of when the next statement is dated.

        Another server's clock may be a little ahead; a history never runs backwards.
        """
        return max(self.clock(), position.updated_at)

    async def own(
        self,
        position: DeliveryPosition,
        type_: ReceiptType,
        principal: Principal | None,
        deadline: Deadline | None = None,
    ) -> StatementRecord | None:
        """A statement of the centre: because a recipient's system called, or by itself (None).

        Returns:
            None if the delivery has moved on from ``position``.

        Raises:
            StateConflict: it has no place in this state; carries the statement that decided it.
            Unavailable: the outcome may be unknown; decide again. Or nobody called, and the
                authority's revocation lists have ended.
        """
        after = await self._after(position, type_, None)
        about = {"deadline": deadline.kind.value} if deadline else None
        at = self.moment(position)
        event = self._event(at, principal, position, type_, after, detail=about)
        receipt_id = codes.new_id(event.at)
        registry = self.registry.current()
        find_lists = registry.crls_in_force if principal else registry.unended_crls
        root_crl, seal_crl = find_lists(event.at)
        signed = self.seal.own(type_, receipt_id, position, after, event, deadline)
        reach("receipt.signed")
        record = StatementRecord(
            signed.content, signed.signature, b"", b"", event.content, event.salt
        )
        statement = NewStatement(
            position=position,
            type=type_,
            state_after=after,
            by_side="R" if principal else "C",
            principal=principal,
            seal=None,
            centre_seal=signed.seal,
            receipt_id=receipt_id,
            record=record,
            root_crl=root_crl.number,
            seal_crl=seal_crl.number,
            event=event,
            deadline=deadline.kind if deadline else None,
        )
        return record if await self._write(statement) else None

    async def admit(self, made: PartyReceipt, position: DeliveryPosition) -> StatementRecord | None:
        """The admission of a party's receipt, with its effect.

        Returns:
            None if the delivery has moved on from ``position``.

        Raises:
            StateConflict: the state does not allow it; carries the statement that won.
            LimitExceeded: the party has said this too often of this delivery.
            Unavailable: the outcome may be unknown; hand the same receipt in again.
        """
        said = made.receipt
        after = await self._after(position, said.type, said.reason_code)
        event = self._event(
            made.at,
            made.principal,
            position,
            said.type,
            after,
            receipt_sha256=hashlib.sha256(made.signed.content).hexdigest(),
            certificate_sha256=made.seal.hex(),
            detail={"reason_code": said.reason_code.value} if said.reason_code else None,
        )
        admission = self.seal.admission(made.signed, position, after, event)
        reach("receipt.signed")
        record = StatementRecord(
            made.signed.content,
            made.signed.signature,
            admission.content,
            admission.signature,
            event.content,
            event.salt,
        )
        root_crl, seal_crl = self.registry.current().crls_in_force(event.at)
        offered_again = said.type is ReceiptType.OFFERED_AGAIN
        statement = NewStatement(
            position=position,
            type=said.type,
            state_after=after,
            by_side="R" if said.type in SIGNED_BY_RECIPIENT else "S",
            principal=made.principal,
            seal=made.seal,
            centre_seal=admission.seal,
            receipt_id=said.receipt_id,
            record=record,
            root_crl=root_crl.number,
            seal_crl=seal_crl.number,
            event=event,
            reason_code=said.reason_code,
            dues=await self.dues(position, event.at) if offered_again else None,
        )
        return record if await self._write(statement) else None

    def _event(
        self,
        at: datetime,
        principal: Principal | None,
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
            at,
            principal or CENTRE,
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

    async def _after(
        self, position: DeliveryPosition, type_: ReceiptType, reason: ReasonCode | None
    ) -> State:
        standing = transitions.Standing(position.state, position.withdrawal_requested)
        try:
            after = transitions.step(standing, type_, reason).state
        except StateConflict as conflict:
            # Of the same position: the delivery may have moved on since.
            won = await self.ledger.find_statement_at(
                position.envelope_id, position.recipient, position.decided_seq
            )
            if won is None:
                raise
            raise StateConflict(
                conflict.message,
                winning=(
                    won.receipt, won.receipt_signature, won.admission, won.admission_signature,
                ),
                **conflict.attributes,
            ) from None  # fmt: skip
        if after is None:
            raise InternalError("a step leads to a state")
        return after

    async def _write(self, statement: NewStatement) -> bool:
        """Whether it was recorded; False if the delivery has moved on."""
        position, event = statement.position, statement.event
        try:
            outcome = await self.ledger.record(statement)
            reach("receipt.committed")
        except Unavailable:
            # The transaction may have been committed all the same: look.
            found = await self.ledger.find_statement(
                position.envelope_id, position.recipient, statement.receipt_id
            )
            if found is None:
                raise
            outcome = Outcome("RECORDED" if found.event == event.content else "CHANGED")
        if outcome.code == "CHANGED":
            return False
        if outcome.code != "RECORDED":
            raise _refusal(outcome, statement)
        self.recorded(statement)
        reach("receipt.told")
        return True


def _refusal(outcome: Outcome, statement: NewStatement) -> ExchangeError:
    unit = statement.principal.unit if statement.principal else ""
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
        case "TOO_MANY":
            return LimitExceeded(
                f"{statement.type.value} was said as often of this delivery as it may be",
                type=statement.type.value,
            )
    return InternalError(f"the ledger answered {outcome.code}")
