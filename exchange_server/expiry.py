"""Expiry: what waits for a unit that was closed without a successor will never be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from document_exchange.errors import Unavailable
from document_exchange.receipt import ReceiptType
from exchange_server.reminders import CentreRecorder
from exchange_server.values import DeliveryPosition

log = structlog.get_logger(__name__)

AT_ONCE = 50


class ExpiryLedger(Protocol):
    """What expiry asks of the ledger."""

    async def undeliverable(
        self, after: DeliveryPosition | None, limit: int
    ) -> list[DeliveryPosition]:
        """Deliveries, in order, that are PENDING to a closed unit without a successor."""
        ...


@dataclass(frozen=True, slots=True)
class Expiry:
    """Lets deliveries expire whenever it is told to look; several processes may at once."""

    ledger: ExpiryLedger
    recorder: CentreRecorder

    async def run(self) -> int:
        """Go through all of them once, page by page; returns how many expired by it.

        Raises:
            Unavailable: the ledger does not answer, or the centre can't sign.
        """
        expired = 0
        last: DeliveryPosition | None = None
        while True:
            self.recorder.check()
            found = await self.ledger.undeliverable(last, AT_ONCE)
            for position in found:
                expired += await self._expire_or_log(position)
            if len(found) < AT_ONCE:
                return expired
            last = found[-1]

    async def _expire_or_log(self, position: DeliveryPosition) -> bool:
        try:
            # None: it has moved on, so the next look decides.
            return await self.recorder.own(position, ReceiptType.EXPIRED, None) is not None
        except Unavailable:
            raise
        except Exception:
            log.exception(
                "delivery_not_expired",
                envelope_id=position.envelope_id,
                recipient=position.recipient,
            )
            return False
