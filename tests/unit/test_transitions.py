"""The table of transitions: each pair of state and receipt, legal or not."""

from __future__ import annotations

import itertools

import pytest

from document_exchange.errors import StateConflict
from document_exchange.receipt import ReasonCode, ReceiptType, State
from document_exchange.transitions import TRANSITIONS, Standing, after, step

LEGAL = {
    ("-", "ACCEPTED"): "PENDING",
    ("PENDING", "DELIVERED"): "DELIVERED",
    ("PENDING", "REFUSED"): "REFUSED",
    ("PENDING", "WITHDRAWN"): "WITHDRAWN",
    ("PENDING", "EXPIRED"): "EXPIRED",
    ("PENDING", "URGED"): "PENDING",
    ("PENDING", "REMINDED"): "PENDING",
    ("PENDING", "OVERDUE"): "PENDING",
    ("DELIVERED", "SIGNED_FOR"): "SIGNED_FOR",
    ("DELIVERED", "REFUSED"): "REFUSED",
    ("DELIVERED", "WITHDRAWN"): "WITHDRAWN",
    ("DELIVERED", "URGED"): "DELIVERED",
    ("DELIVERED", "REMINDED"): "DELIVERED",
    ("DELIVERED", "OVERDUE"): "DELIVERED",
    ("SIGNED_FOR", "PROGRESS"): "SIGNED_FOR",
    ("SIGNED_FOR", "COMPLETED"): "COMPLETED",
    ("SIGNED_FOR", "RETURNED"): "RETURNED",
    ("SIGNED_FOR", "WITHDRAWAL_REQUESTED"): "SIGNED_FOR",
    ("SIGNED_FOR", "WITHDRAWAL_GRANTED"): "WITHDRAWN",
    ("SIGNED_FOR", "WITHDRAWAL_DECLINED"): "SIGNED_FOR",
    ("SIGNED_FOR", "URGED"): "SIGNED_FOR",
    ("SIGNED_FOR", "REMINDED"): "SIGNED_FOR",
    ("SIGNED_FOR", "OVERDUE"): "SIGNED_FOR",
    ("REFUSED", "OFFERED_AGAIN"): "PENDING",
}
"""Written out here once more, so that a slip in the table is a difference."""
UNVERIFIABLE = {ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH}
REASONED = {ReceiptType.REFUSED, ReceiptType.RETURNED}


@pytest.mark.parametrize(("before", "kind"), list(itertools.product([None, *State], ReceiptType)))
def test_each_pair_of_state_and_receipt(before: State | None, kind: ReceiptType) -> None:
    reason = ReasonCode.BAD_SIGNATURE if kind in REASONED else None
    expected = LEGAL.get((before.value if before else "-", kind.value))
    if expected is not None:
        assert after(before, kind, reason) is State(expected)
        assert TRANSITIONS[before, kind].state_after is State(expected)
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


SIGNED = Standing(State.SIGNED_FOR)
ASKED = Standing(State.SIGNED_FOR, withdrawal_requested=True)


def test_a_withdrawal_after_signing_is_asked_for_and_answered() -> None:
    assert step(SIGNED, ReceiptType.WITHDRAWAL_REQUESTED, None) == ASKED
    assert step(ASKED, ReceiptType.WITHDRAWAL_GRANTED, None) == Standing(State.WITHDRAWN)
    assert step(ASKED, ReceiptType.WITHDRAWAL_DECLINED, None) == SIGNED


@pytest.mark.parametrize(
    ("standing", "kind"),
    [
        (SIGNED, ReceiptType.WITHDRAWAL_GRANTED),
        (SIGNED, ReceiptType.WITHDRAWAL_DECLINED),
        (ASKED, ReceiptType.WITHDRAWAL_REQUESTED),
    ],
)
def test_nothing_is_answered_that_nobody_asked(standing: Standing, kind: ReceiptType) -> None:
    with pytest.raises(StateConflict, match=r"requested|open already"):
        step(standing, kind, None)


@pytest.mark.parametrize("kind", [ReceiptType.PROGRESS, ReceiptType.URGED, ReceiptType.OVERDUE])
def test_a_remark_leaves_the_request_open(kind: ReceiptType) -> None:
    assert step(ASKED, kind, None) == ASKED


def test_who_completes_or_returns_it_has_answered_the_request() -> None:
    assert step(ASKED, ReceiptType.COMPLETED, None) == Standing(State.COMPLETED)
    reason = ReasonCode.NOT_OUR_REMIT
    assert step(ASKED, ReceiptType.RETURNED, reason) == Standing(State.RETURNED)


def test_the_message_says_what_is_possible() -> None:
    with pytest.raises(StateConflict, match=r"possible now: REFUSED, SIGNED_FOR$"):
        after(State.DELIVERED, ReceiptType.DELIVERED, None)
    with pytest.raises(StateConflict, match=r"possible now: WITHDRAWN, URGED$"):
        after(State.DELIVERED, ReceiptType.OFFERED_AGAIN, None)
    with pytest.raises(StateConflict, match="possible now: nothing"):
        after(State.COMPLETED, ReceiptType.SIGNED_FOR, None)
