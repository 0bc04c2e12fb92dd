"""Prepares events in the form that the transfer log indexes."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from document_exchange import codes, event, times
from document_exchange.receipt import State
from exchange_runtime.values import Caller, PreparedEvent


class EventLedger(Protocol):
    """Where events go that describe no other change."""

    async def record_event(self, prepared: PreparedEvent) -> None: ...


def prepare(
    type_: str,
    at: datetime,
    caller: Caller,
    *,
    envelope_id: str | None = None,
    recipient: str | None = None,
    seq: int | None = None,
    state_before: State | None = None,
    state_after: State | None = None,
    manifest_sha256: str | None = None,
    receipt_sha256: str | None = None,
    certificate_sha256: str | None = None,
    detail: dict[str, str] | None = None,
) -> PreparedEvent:
    """An event by ``caller``, with its salt and leaf.

    Never give it the digest of a statement of the centre: that statement carries the leaf.
    """
    made = event.Event(
        schema=event.SCHEMA,
        event_id=codes.new_id(at),
        type=type_,
        at=times.format_time(at),
        actor=str(caller.identity),
        address=caller.address or None,
        envelope_id=envelope_id,
        recipient=recipient,
        seq=seq,
        state_before=state_before,
        state_after=state_after,
        manifest_sha256=manifest_sha256,
        receipt_sha256=receipt_sha256,
        certificate_sha256=certificate_sha256,
        detail=detail,
    )
    content = event.encode(made)
    salt = event.new_salt()
    return PreparedEvent(made, at, content, salt, event.leaf(salt, content))
