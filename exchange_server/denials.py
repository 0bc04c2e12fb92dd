"""Denials and refusals as events: the first of a kind at once, its repeats counted by the minute.

So every kind of refusal is in the ledger within the moment, and nobody can fill the ledger with
refusals.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog

from document_exchange.errors import (
    ExchangeError,
    LimitExceeded,
    NotPermitted,
    Refused,
    Unauthenticated,
)
from exchange_server import events
from exchange_server.clock import Clock
from exchange_server.events import EventLedger
from exchange_server.values import Principal

log = structlog.get_logger(__name__)

DENIALS = (Unauthenticated, NotPermitted, Refused, LimitExceeded)
"""The errors that are events."""

_MOST_KINDS = 10_000
_MOST_ENVELOPES = 20


@dataclass(slots=True)
class _Repeats:
    principal: Principal
    method: str
    code: str
    count: int = 0
    envelope_ids: list[str] = field(default_factory=list)


class Denials:
    """Writes DENIED events."""

    def __init__(self, ledger: EventLedger, clock: Clock, *, interval_s: float = 60.0) -> None:
        self._ledger = ledger
        self._clock = clock
        self._interval_s = interval_s
        self._repeats: OrderedDict[tuple[str, str, str], _Repeats] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._count_by_interval(), name="denials")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def record(
        self, principal: Principal, method: str, error: ExchangeError, envelope_id: str | None
    ) -> None:
        """Record that ``error`` was the answer. Never raises: the answer must go out anyway."""
        key = (str(principal.identity), method, error.code)
        repeats = self._repeats.get(key)
        if repeats is not None or len(self._repeats) >= _MOST_KINDS:
            if repeats is None:
                # So many kinds at once are an attack; its kinds are counted together.
                key = ("", method, error.code)
                repeats = self._repeats.setdefault(key, _Repeats(principal, method, error.code))
            repeats.count += 1
            if envelope_id and len(repeats.envelope_ids) < _MOST_ENVELOPES:
                repeats.envelope_ids.append(envelope_id)
            return
        self._repeats[key] = _Repeats(principal, method, error.code)
        detail = {"method": method, "code": error.code, "message": error.message[:500]}
        if "field" in error.attributes:
            detail["field"] = error.attributes["field"][:200]
        await self._write(principal, envelope_id, detail)

    async def flush(self) -> None:
        """Write the counts of what repeated since the last time, and begin anew."""
        counted, self._repeats = self._repeats, OrderedDict()
        for repeats in counted.values():
            if repeats.count:
                detail = {
                    "method": repeats.method,
                    "code": repeats.code,
                    "repeats": str(repeats.count),
                }
                if repeats.envelope_ids:
                    detail["envelope_ids"] = " ".join(repeats.envelope_ids)
                await self._write(repeats.principal, None, detail)

    async def _write(
        self, principal: Principal, envelope_id: str | None, detail: dict[str, str]
    ) -> None:
        try:
            await self._ledger.record_event(
                events.prepare(
                    "DENIED", self._clock(), principal, envelope_id=envelope_id, detail=detail
                )
            )
        except ExchangeError as error:
            log.error("denial_not_recorded", error=str(error), **detail)

    async def _count_by_interval(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()
