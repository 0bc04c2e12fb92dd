"""The one table of legal steps of a delivery: which receipt leads from which state to which.

The ledger repeats it as a guard. A step that is not here can't be recorded by anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from document_exchange.errors import StateConflict
from document_exchange.receipt import ReasonCode, ReceiptType, State


class Transition(NamedTuple):
    """Where a receipt leads, and for which reasons only, if not for any."""

    state_after: State
    only_for: frozenset[ReasonCode] | None = None


_UNVERIFIABLE = frozenset({ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH})
"""Who can't verify what it received can't confirm it either, so these may come first."""

TRANSITIONS: Mapping[tuple[State | None, ReceiptType], Transition] = MappingProxyType(
    {
        (None, ReceiptType.ACCEPTED): Transition(State.PENDING),
        (State.PENDING, ReceiptType.DELIVERED): Transition(State.DELIVERED),
        (State.PENDING, ReceiptType.REFUSED): Transition(State.REFUSED, _UNVERIFIABLE),
        (State.DELIVERED, ReceiptType.REFUSED): Transition(State.REFUSED),
        (State.DELIVERED, ReceiptType.SIGNED_FOR): Transition(State.SIGNED_FOR),
    }
)
"""By (state before, receipt type); the state before ACCEPTED is None."""


def after(
    state_before: State | None, receipt_type: ReceiptType, reason_code: ReasonCode | None
) -> State:
    """The state of a delivery after this receipt.

    Raises:
        StateConflict: the receipt has no place in this state, or not for this reason;
            attributes ``state``, ``type`` and, where it matters, ``reason_code``.
    """
    transition = TRANSITIONS.get((state_before, receipt_type))
    state = state_before.value if state_before else "not accepted yet"
    if transition is None:
        possible = [kind.value for before, kind in TRANSITIONS if before is state_before]
        raise StateConflict(
            f"a delivery that is {state} does not take {receipt_type.value}; "
            f"possible now: {', '.join(possible) or 'nothing'}",
            state=state,
            type=receipt_type.value,
        )
    if transition.only_for is not None and reason_code not in transition.only_for:
        reason = reason_code.value if reason_code else "no reason"
        raise StateConflict(
            f"a delivery that is {state} does not take {receipt_type.value} for {reason}, only "
            f"for {', '.join(sorted(transition.only_for))}; confirm the delivery first",
            state=state,
            type=receipt_type.value,
            reason_code=reason,
        )
    return transition.state_after
