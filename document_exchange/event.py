"""The event: one line of what happened, as canonical JSON, and the leaf that commits to it.

Every state change, issuance, revocation, administrative act and refusal is an event. Its leaf
SHA-256(salt || event) enters the transfer log; who holds salt and event can recompute it, who
sees only the leaf learns nothing. An event never holds the digest of a statement of the centre,
because that statement holds the event's leaf.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from document_exchange import canonical, codes, refusal, times
from document_exchange.errors import NotCanonical, VerificationFailed
from document_exchange.fields import (
    DetailName,
    DetailText,
    EnvelopeId,
    EventType,
    Line,
    Sequence,
    Sha256,
    Time,
    UnitId,
)
from document_exchange.receipt import State

SCHEMA: Literal["document-exchange/event/1"] = "document-exchange/event/1"
MAX_BYTES = 64 * 1024
SALT_BYTES = 32


class Event(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One thing that happened, when, and by whom."""

    schema: Literal["document-exchange/event/1"]
    event_id: EnvelopeId
    type: EventType
    at: Time
    actor: Line
    """The SPIFFE ID of who did it, or ``centre`` where the centre acts by itself."""
    address: Line | None = None
    """The network address from which it was done."""
    envelope_id: EnvelopeId | None = None
    recipient: UnitId | None = None
    seq: Sequence | None = None
    state_before: State | None = None
    state_after: State | None = None
    manifest_sha256: Sha256 | None = None
    receipt_sha256: Sha256 | None = None
    certificate_sha256: Sha256 | None = None
    detail: (
        Annotated[
            dict[DetailName, DetailText],
            Meta(min_length=1, max_length=1000, description="an object of 1 to 1000 members"),
        ]
        | None
    ) = None


def encode(event: Event) -> bytes:
    """The canonical bytes of an event.

    Raises:
        NotCanonical: a value has no canonical form; ``field`` says which.
    """
    return canonical.encode(event)


def decode(data: bytes) -> Event:
    """Read an event of which somebody else says that it happened.

    Raises:
        NotCanonical: the bytes are not canonical JSON, or more than 64 KiB.
        VerificationFailed: a field is unknown, missing or wrong; ``field`` names it.
    """
    if len(data) > MAX_BYTES:
        raise NotCanonical(
            f"the event has {len(data)} bytes; at most {MAX_BYTES} are read",
            field="$",
            size=str(len(data)),
            limit=str(MAX_BYTES),
        )
    event = canonical.decode(Event, data, VerificationFailed)
    for name, identifier in (("event_id", event.event_id), ("envelope_id", event.envelope_id)):
        if identifier is not None and not codes.is_uuid7(identifier):
            why = "its time lies after the year 9999"
            raise refusal.of_value(VerificationFailed, name, identifier, why)
    if not times.is_time(event.at):
        why = "there is no such instant in the calendar"
        raise refusal.of_value(VerificationFailed, "at", event.at, why)
    return event


def new_salt() -> bytes:
    """32 random bytes that keep a leaf from being guessed."""
    return secrets.token_bytes(SALT_BYTES)


def leaf(salt: bytes, event_bytes: bytes) -> str:
    """SHA-256(salt || event) in hex: the commitment that enters the transfer log.

    Raises:
        ValueError: the salt is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt of a leaf has {SALT_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(salt + event_bytes).hexdigest()
