"""Remembers where deliveries stood when they were last read, which saves reading it again.

Such a position is a guess: steps may be tried upon it, since the ledger writes only while it
holds, but nothing is ever refused upon it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from document_exchange import transitions
from document_exchange.errors import StateConflict
from document_exchange.receipt import ReasonCode, ReceiptType
from document_exchange.transitions import Standing
from exchange_server.values import DeliveryPosition

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions read last, by envelope and recipient."""

    _known: OrderedDict[tuple[str, str], DeliveryPosition] = field(default_factory=OrderedDict)

    def remember(self, position: DeliveryPosition) -> None:
        """Keep it until it is used, or is the oldest of too many."""
        key = position.envelope_id, position.recipient
        self._known[key] = position
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def take(
        self, envelope_id: str, recipient: str, step: ReceiptType, reason: ReasonCode | None
    ) -> DeliveryPosition | None:
        """The remembered position, once, if ``step`` is possible from it."""
        position = self._known.pop((envelope_id, recipient), None)
        if position is None:
            return None
        try:
            transitions.step(Standing(position.state, position.withdrawal_requested), step, reason)
        except StateConflict:
            return None
        return position
