"""The one table of legal steps of a delivery: which receipt leads from which state to which.

The ledger repeats it as a guard. A step that is not here can't be recorded by anybody. Besides its
state, a delivery has one thing to remember: whether its sender has asked, after it was signed for,
to withdraw it, and the recipient has not answered yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from document_exchange.errors import StateConflict
from document_exchange.receipt import (
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    ReasonCode,
    ReceiptType,
    State,
)


class Standing(NamedTuple):
    """Where a delivery stands. Before its acceptance ``state`` is None."""

    state: State | None
    withdrawal_requested: bool = False
    """A request for withdrawal is open: asked for, neither granted nor declined."""


class Transition(NamedTuple):
    """Where a receipt leads, and under which conditions only, if there are any."""

    state_after: State
    only_for: frozenset[ReasonCode] | None = None
    if_requested: bool | None = None
    """Only while a request for withdrawal is open, or only while none is."""


OPEN = frozenset({State.PENDING, State.DELIVERED, State.SIGNED_FOR})
"""The recipient still has something to do."""

_UNVERIFIABLE = frozenset({ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH})
"""Who can't verify what it received can't confirm it either, so these may come first."""

_BY_RECIPIENT = SIGNED_BY_RECIPIENT | {ReceiptType.DELIVERED}
"""Its steps; DELIVERED is the centre's statement about its call."""
_REMARKS = (ReceiptType.URGED, ReceiptType.REMINDED, ReceiptType.OVERDUE)
"""What may be said meanwhile, and changes nothing."""

TRANSITIONS: Mapping[tuple[State | None, ReceiptType], Transition] = MappingProxyType(
    {
        (None, ReceiptType.ACCEPTED): Transition(State.PENDING),
        (State.PENDING, ReceiptType.DELIVERED): Transition(State.DELIVERED),
        (State.PENDING, ReceiptType.REFUSED): Transition(State.REFUSED, only_for=_UNVERIFIABLE),
        (State.PENDING, ReceiptType.WITHDRAWN): Transition(State.WITHDRAWN),
        (State.PENDING, ReceiptType.EXPIRED): Transition(State.EXPIRED),
        (State.DELIVERED, ReceiptType.REFUSED): Transition(State.REFUSED),
        (State.DELIVERED, ReceiptType.SIGNED_FOR): Transition(State.SIGNED_FOR),
        (State.DELIVERED, ReceiptType.WITHDRAWN): Transition(State.WITHDRAWN),
        (State.SIGNED_FOR, ReceiptType.PROGRESS): Transition(State.SIGNED_FOR),
        (State.SIGNED_FOR, ReceiptType.COMPLETED): Transition(State.COMPLETED),
        (State.SIGNED_FOR, ReceiptType.RETURNED): Transition(State.RETURNED),
        (State.SIGNED_FOR, ReceiptType.WITHDRAWAL_REQUESTED): Transition(
            State.SIGNED_FOR, if_requested=False
        ),
        (State.SIGNED_FOR, ReceiptType.WITHDRAWAL_GRANTED): Transition(
            State.WITHDRAWN, if_requested=True
        ),
        (State.SIGNED_FOR, ReceiptType.WITHDRAWAL_DECLINED): Transition(
            State.SIGNED_FOR, if_requested=True
        ),
        (State.REFUSED, ReceiptType.OFFERED_AGAIN): Transition(State.PENDING),
        **{(state, remark): Transition(state) for state in OPEN for remark in _REMARKS},
    }
)
"""By (state before, receipt type); the state before ACCEPTED is None."""


def after(
    state_before: State | None, receipt_type: ReceiptType, reason_code: ReasonCode | None
) -> State:
    """The state of a delivery after this receipt, as far as one statement alone can show.

    Raises:
        StateConflict: the receipt has no place in this state, or not for this reason;
            attributes ``state``, ``type`` and, where it matters, ``reason_code``.
    """
    return _transition(state_before, receipt_type, reason_code).state_after


def step(standing: Standing, receipt_type: ReceiptType, reason_code: ReasonCode | None) -> Standing:
    """Where a delivery stands after this receipt, which comes next in its history.

    Raises:
        StateConflict: as ``after``; or it answers a request for withdrawal and none is open, or
            asks for one while one is.
    """
    state, requested = standing
    transition = _transition(state, receipt_type, reason_code)
    if transition.if_requested is not None and transition.if_requested is not requested:
        why = "a request for withdrawal is open already" if requested else "none was requested"
        raise StateConflict(
            f"the delivery does not take {receipt_type.value}: {why}",
            state=state.value if state else "",
            type=receipt_type.value,
        )
    if transition.if_requested is not None:
        requested = not requested
    return Standing(
        transition.state_after, requested and transition.state_after is State.SIGNED_FOR
    )


def _transition(
    state_before: State | None, receipt_type: ReceiptType, reason_code: ReasonCode | None
) -> Transition:
    transition = TRANSITIONS.get((state_before, receipt_type))
    state = state_before.value if state_before else "not accepted yet"
    if transition is None:
        possible = [
            kind.value
            for before, kind in TRANSITIONS
            if before is state_before
            and (kind in _BY_RECIPIENT, kind in SIGNED_BY_SENDER)
            == (receipt_type in _BY_RECIPIENT, receipt_type in SIGNED_BY_SENDER)
        ]
        raise StateConflict(
            f"a delivery that is {state} does not take {receipt_type.value}; "
            f"possible now: {', '.join(possible) or 'nothing of that party'}",
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
    return transition
