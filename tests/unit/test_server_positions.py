"""Remembered positions: used once, only for steps that are possible, and not without bound."""

from __future__ import annotations

import pytest

from document_exchange.receipt import ReasonCode, ReceiptType, State
from exchange_runtime.clock import system_clock
from exchange_server import positions
from exchange_server.positions import Positions
from exchange_server.values import DeliveryPosition

NOW = system_clock()


def position(envelope_id: str, state: State = State.PENDING, seq: int = 0) -> DeliveryPosition:
    return DeliveryPosition(envelope_id, "r", "s", state, seq, "00" * 32, NOW)


def test_a_position_is_given_once() -> None:
    known = Positions()
    known.remember(position("a"))
    assert known.take("a", "other", ReceiptType.DELIVERED, None) is None
    assert known.take("a", "r", ReceiptType.DELIVERED, None) == position("a")
    assert known.take("a", "r", ReceiptType.DELIVERED, None) is None


def test_the_newest_counts() -> None:
    known = Positions()
    known.remember(position("a"))
    known.remember(position("a", State.DELIVERED, 1))
    assert known.take("a", "r", ReceiptType.SIGNED_FOR, None) == position("a", State.DELIVERED, 1)


@pytest.mark.parametrize(
    ("step", "reason"),
    [(ReceiptType.SIGNED_FOR, None), (ReceiptType.REFUSED, ReasonCode.OTHER)],
)
def test_what_could_only_be_refused_is_read_again(
    step: ReceiptType, reason: ReasonCode | None
) -> None:
    known = Positions()
    known.remember(position("a"))
    assert known.take("a", "r", step, reason) is None


def test_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_MOST", 2)
    known = Positions()
    for envelope_id in "aba":
        known.remember(position(envelope_id))
    known.remember(position("c"))
    assert known.take("b", "r", ReceiptType.DELIVERED, None) is None
    assert known.take("a", "r", ReceiptType.DELIVERED, None) is not None
