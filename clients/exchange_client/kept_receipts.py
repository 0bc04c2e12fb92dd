"""Receipts that must be handed in again to the byte: a repetition is then the same statement."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from document_exchange.receipt import ReasonCode, ReceiptType
from document_exchange.verification import Signed

ONCE = frozenset(
    {
        ReceiptType.SIGNED_FOR,
        ReceiptType.COMPLETED,
        ReceiptType.RETURNED,
        ReceiptType.WITHDRAWN,
        ReceiptType.WITHDRAWAL_GRANTED,
    }
)
"""What can be recorded of a delivery once at most; everything else may be meant a second time."""

_MOST = 1024


@dataclass(frozen=True, slots=True)
class Saying:
    """What a party wants to have recorded of one delivery."""

    type: ReceiptType
    envelope_id: str
    recipient: str
    manifest_sha256: str
    reason_code: ReasonCode | None = None
    reason: str | None = None


@dataclass(slots=True)
class KeptReceipts:
    """The receipts of an open client, in memory: the newest 1,024 that a repetition may need."""

    _receipts: OrderedDict[Saying, Signed] = field(default_factory=OrderedDict)

    def get(self, saying: Saying, make: Callable[[Saying], Signed]) -> Signed:
        """The receipt that says so: the one that is kept, or else a new one."""
        receipt = self._receipts.get(saying)
        if receipt is None:
            receipt = self._receipts[saying] = make(saying)
            if len(self._receipts) > _MOST:
                self._receipts.popitem(last=False)
        return receipt

    def recorded(self, saying: Saying) -> None:
        """It is in the centre's books: said again, it is another statement, if it can be one."""
        if saying.type not in ONCE:
            self.forget(saying)

    def forget(self, saying: Saying) -> None:
        """Said again, it is another receipt: the centre has answered this one for good."""
        self._receipts.pop(saying, None)
