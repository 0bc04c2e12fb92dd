"""Expiry: what waits for a unit that was closed without a successor will never be delivered."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from document_exchange.errors import Unavailable
from document_exchange.receipt import ReceiptType
from exchange_server.reminders import CentreRecorder
from exchange_server.values import DeliveryPosition

log = structlog.get_logger(__name__)

AT_ONCE = 50

_FIRST_REST_S = 10.0
_LONGEST_REST_S = 3600.0
_MOST_RESTING = 10_000
"""Beyond these, those that failed first are tried again too early."""


class ExpiryLedger(Protocol):
    """What expiry asks of the ledger."""

    async def undeliverable(
        self, after: DeliveryPosition | None, limit: int
    ) -> list[DeliveryPosition]:
        """Deliveries, in order, that are PENDING to a closed unit without a successor."""
        ...


@dataclass(frozen=True, slots=True)
class _Rest:
    failures: int
    until: float


@dataclass(frozen=True, slots=True)
class Expiry:
    """Lets deliveries expire whenever it is told to look; several processes may at once."""

    ledger: ExpiryLedger
    recorder: CentreRecorder
    monotonic: Callable[[], float] = time.monotonic
    resting: OrderedDict[tuple[str, str], _Rest] = field(default_factory=OrderedDict, init=False)
    """What could not be recorded by this process, and is left alone for a while."""

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
        key = (position.envelope_id, position.recipient)
        rest = self.resting.get(key)
        if rest is not None and self.monotonic() < rest.until:
            return False
        try:
            # None: it has moved on, so the next look decides.
            expired = await self.recorder.own(position, ReceiptType.EXPIRED, None) is not None
        except Exception as error:
            failures = rest.failures + 1 if rest else 1
            self._rest(key, failures)
            log.error(
                "delivery_not_expired",
                envelope_id=position.envelope_id,
                recipient=position.recipient,
                failures=failures,
                error=repr(error),
                exc_info=failures == 1 and not isinstance(error, Unavailable),
            )
            if isinstance(error, Unavailable):
                raise  # the next look goes past it, wherever the fault is
            return False
        self.resting.pop(key, None)
        return expired

    def _rest(self, key: tuple[str, str], failures: int) -> None:
        rest_s = min(_FIRST_REST_S * 2.0 ** min(failures - 1, 20), _LONGEST_REST_S)
        self.resting.pop(key, None)
        self.resting[key] = _Rest(failures, self.monotonic() + rest_s)
        if len(self.resting) > _MOST_RESTING:
            self.resting.popitem(last=False)
