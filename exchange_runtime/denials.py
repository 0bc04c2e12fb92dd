"""Denials and refusals as events: the first of a kind at once, its repeats counted by the minute.

So every kind of refusal is in the ledger within the moment, and nobody can fill the ledger with
refusals. A kind is (caller, method, code), and whatever else sets it apart.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from document_exchange import codes
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    RecipientsRefused,
    Refused,
    TooManyCalls,
    Unauthenticated,
)
from exchange_runtime import events
from exchange_runtime.background import every
from exchange_runtime.clock import Clock
from exchange_runtime.events import EventLedger
from exchange_runtime.values import Caller

log = structlog.get_logger(__name__)

DENIALS = (
    Unauthenticated,
    NotPermitted,
    NotFound,
    InvalidRequest,
    LimitExceeded,
    TooManyCalls,
    QuotaExceeded,
    Refused,
)
"""The errors that are events: every "no" that is the caller's own doing.

NOT_FOUND is among them because it is also the answer to whoever asks for what is another's. The
rest (unavailable, too late, a fault of ours) decides nothing about the document.
"""

OVERUSE = (TooManyCalls, QuotaExceeded)
"""Those that come by the thousand, since they are what a flood is answered with."""

_MOST_KINDS = 10_000
_MOST_ENVELOPES = 20
_MOST_RECIPIENTS = 50

_TRACEABLE = ("field", "part_id", "unit", "identity", "seal", "signature", "resource")
_IDENTIFIER = re.compile(r"[A-Za-z0-9$._:/\[\]-]{1,200}", re.ASCII)

_Kind = tuple[str, ...]
_NOTHING: Mapping[str, str] = {}


def traceable(error: ExchangeError) -> dict[str, str]:
    """What may be written down about a refusal besides its code: the place, and identifiers.

    Never its message or its values: both quote what was sent, which may be the secret itself.
    """
    found = {
        name: error.attributes[name]
        for name in _TRACEABLE
        if _IDENTIFIER.fullmatch(error.attributes.get(name, ""))
    }
    if isinstance(error, RecipientsRefused):
        units = [unit for unit in error.attributes if _IDENTIFIER.fullmatch(unit)]
        found["recipients"] = " ".join(units[:_MOST_RECIPIENTS])
    return found


@dataclass(slots=True)
class _Repeats:
    caller: Caller
    method: str
    code: str
    apart: Mapping[str, str]
    several_callers: bool = False
    count: int = 0
    envelope_ids: list[str] = field(default_factory=list)

    def add(self, envelope_id: str | None) -> None:
        self.count += 1
        if envelope_id is not None and len(self.envelope_ids) < _MOST_ENVELOPES:
            self.envelope_ids.append(envelope_id)


class Denials:
    """Writes events of refusals: DENIED, or what the service calls its own."""

    def __init__(
        self,
        ledger: EventLedger,
        clock: Clock,
        *,
        interval_s: float = 60.0,
        most_kinds: int = _MOST_KINDS,
        event_type: str = "DENIED",
    ) -> None:
        self._event_type = event_type
        self._ledger = ledger
        self._clock = clock
        self._interval_s = interval_s
        self._most_kinds = most_kinds
        self._repeats: OrderedDict[_Kind, _Repeats] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        counting = every(self._interval_s, "denials_not_counted", self.flush)
        self._task = asyncio.create_task(counting, name="denials")

    async def stop(self) -> None:
        """Write what is still to be written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._writing)
        await self.flush()

    async def record(
        self,
        caller: Caller,
        method: str,
        error: ExchangeError,
        envelope_id: str | None = None,
        *,
        apart: Mapping[str, str] = _NOTHING,
    ) -> bool:
        """Record that ``error`` was the answer. Never fails: the answer must go out anyway.

        When this returns, the first denial of a kind is in the ledger, unless the ledger did not
        take it; then it is counted with the repeats. ``apart`` makes a kind of its own, and is
        told in the event: identifiers only. Returns whether it was the first.
        """
        envelope_id = envelope_id or error.attributes.get("envelope_id")
        if envelope_id is not None and not codes.is_uuid7(envelope_id):
            envelope_id = None
        kind = (caller.counted_as, method, error.code, *apart.values())
        repeats = self._repeats.get(kind)
        if repeats is not None:
            repeats.add(envelope_id)
            return False
        if len(self._repeats) >= self._most_kinds:
            # So many kinds at once are an attack; what is new is counted over all callers.
            made = _Repeats(caller, method, error.code, _NOTHING, several_callers=True)
            self._repeats.setdefault(("", method, error.code), made).add(envelope_id)
            return False
        first = _Repeats(caller, method, error.code, apart)
        self._repeats[kind] = first
        writing = asyncio.create_task(self._write_first(kind, first, error, envelope_id))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        # A caller that hangs up must not thereby erase its trace.
        await asyncio.shield(writing)
        return True

    async def flush(self) -> None:
        """Write the counts of what repeated since the last time, and begin anew."""
        counted, self._repeats = self._repeats, OrderedDict()
        for kind, repeats in counted.items():
            if not repeats.count:
                continue
            detail = {
                "method": repeats.method,
                "code": repeats.code,
                "repeats": str(repeats.count),
                **repeats.apart,
            }
            if repeats.several_callers:
                detail["callers"] = "several"
            if repeats.envelope_ids:
                detail["envelope_ids"] = " ".join(repeats.envelope_ids)
            if not await self._write(repeats.caller, None, detail):
                self._count_again(kind, repeats)

    async def _write_first(
        self, kind: _Kind, first: _Repeats, error: ExchangeError, envelope_id: str | None
    ) -> None:
        detail = {"method": first.method, "code": first.code, **traceable(error), **first.apart}
        if not await self._write(first.caller, envelope_id, detail):
            missed = _Repeats(first.caller, first.method, first.code, first.apart)
            missed.add(envelope_id)
            self._count_again(kind, missed)

    def _count_again(self, kind: _Kind, missed: _Repeats) -> None:
        """Let the next flush try what the ledger did not take."""
        repeats = self._repeats.setdefault(kind, missed)
        if repeats is not missed:
            repeats.count += missed.count
            room = _MOST_ENVELOPES - len(repeats.envelope_ids)
            repeats.envelope_ids.extend(missed.envelope_ids[:room])

    async def _write(self, caller: Caller, envelope_id: str | None, detail: dict[str, str]) -> bool:
        """Whether the ledger has it."""
        try:
            await self._ledger.record_event(
                events.prepare(
                    self._event_type, self._clock(), caller, envelope_id=envelope_id, detail=detail
                )
            )
        except Exception as error:
            log.error("denial_not_recorded", error=str(error), **detail)
            return False
        return True
