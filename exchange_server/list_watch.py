"""Says, once for each, when a revocation list ends before the authority has signed a newer one.

Documents flow on without a list in force, but nobody will be able to verify what is accepted
meanwhile. So it stands in the log and, as an event, in the ledger.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from document_exchange import times
from document_exchange.errors import Unavailable
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.events import EventLedger
from exchange_runtime.values import CENTRE
from exchange_server.registry import Crl, RegistryFollower

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 10.0
_SOON = timedelta(days=2)


class ListWatch:
    """Looks at the lists that count, in one server process; each process says it for itself."""

    def __init__(self, registry: RegistryFollower, ledger: EventLedger, clock: Clock) -> None:
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        self._told: set[tuple[str, int]] = set()
        self._warned: set[tuple[str, int]] = set()

    async def look(self) -> None:
        """Log and record what has ended since the last look; warn of what will soon.

        Raises:
            Unavailable: the ledger does not take it; the next look tries again.
        """
        now = self._clock()
        try:
            lists = self._registry.current().crls_in_force(now)
        except Unavailable:
            return  # nobody is admitted then, or nothing was published yet
        for issuer, crl in zip(("root", "seal-ca"), lists, strict=True):
            key = (issuer, crl.number)
            if crl.next_update <= now:
                if key not in self._told:
                    await self._tell(issuer, crl)
                    self._told.add(key)
            elif crl.next_update - now <= _SOON and key not in self._warned:
                log.warning("crl_ends", issuer=issuer, next_update=crl.next_update.isoformat())
                self._warned.add(key)

    async def _tell(self, issuer: str, crl: Crl) -> None:
        log.error("crl_expired", issuer=issuer, next_update=crl.next_update.isoformat())
        detail = {
            "issuer": issuer,
            "number": str(crl.number),
            "next_update": times.format_time(crl.next_update),
        }
        await self._ledger.record_event(
            events.prepare("REVOCATION_LIST_EXPIRED", self._clock(), CENTRE, detail=detail)
        )
