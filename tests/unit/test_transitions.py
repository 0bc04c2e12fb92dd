"""The table of transitions: each pair of state and receipt, legal or not."""

from __future__ import annotations

import itertools

import pytest

from document_exchange.errors import StateConflict
from document_exchange.receipt import ReasonCode, ReceiptType, State
from document_exchange.transitions import TRANSITIONS, after

LEGAL = {
    (None, ReceiptType.ACCEPTED): State.PENDING,
    (State.PENDING, ReceiptType.DELIVERED): State.DELIVERED,
    (State.PENDING, ReceiptType.REFUSED): State.REFUSED,
    (State.DELIVERED, ReceiptType.REFUSED): State.REFUSED,
    (State.DELIVERED, ReceiptType.SIGNED_FOR): State.SIGNED_FOR,
}
UNVERIFIABLE = {ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH}


@pytest.mark.parametrize(("before", "kind"), list(itertools.product([None, *State], ReceiptType)))
def test_each_pair_of_state_and_receipt(before: State | None, kind: ReceiptType) -> None:
    reason = ReasonCode.BAD_SIGNATURE if kind is ReceiptType.REFUSED else None
    if (before, kind) in LEGAL:
        assert after(before, kind, reason) is LEGAL[before, kind]
        assert TRANSITIONS[before, kind].state_after is LEGAL[before, kind]
        return
    with pytest.raises(StateConflict) as caught:
        after(before, kind, reason)
    assert caught.value.attributes["type"] == kind.value
    if before is not None:
        assert caught.value.attributes["state"] == before.value
        assert before.value in caught.value.message


@pytest.mark.parametrize("reason", [None, *ReasonCode])
def test_before_delivery_only_what_fails_to_verify_is_refused(reason: ReasonCode | None) -> None:
    if reason in UNVERIFIABLE:
        assert after(State.PENDING, ReceiptType.REFUSED, reason) is State.REFUSED
    else:
        with pytest.raises(StateConflict, match="only for BAD_SIGNATURE, DIGEST_MISMATCH"):
            after(State.PENDING, ReceiptType.REFUSED, reason)


@pytest.mark.parametrize("reason", list(ReasonCode))
def test_after_delivery_any_reason_will_do(reason: ReasonCode) -> None:
    assert after(State.DELIVERED, ReceiptType.REFUSED, reason) is State.REFUSED


def test_the_message_says_what_is_possible() -> None:
    with pytest.raises(StateConflict, match="possible now: REFUSED, SIGNED_FOR"):
        after(State.DELIVERED, ReceiptType.DELIVERED, None)
    with pytest.raises(StateConflict, match="possible now: nothing"):
        after(State.SIGNED_FOR, ReceiptType.SIGNED_FOR, None)
