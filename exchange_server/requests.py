"""What all steps check and answer alike about envelopes: identifiers, "not found"."""

from __future__ import annotations

from document_exchange import codes
from document_exchange.errors import InvalidRequest, NotFound


def check_identifier(envelope_id: str) -> None:
    """Raise InvalidRequest unless this has the shape of an envelope_id."""
    if not codes.is_uuid7(envelope_id):
        raise InvalidRequest(
            f"{envelope_id[:64]!r} is not an envelope_id (a UUIDv7 in lower case)",
            field="envelope_id",
        )


def envelope_not_found(envelope_id: str) -> NotFound:
    """The same answer for what does not exist and for what is not the caller's to see."""
    return NotFound(f"there is no envelope {envelope_id} that you may see", envelope_id=envelope_id)
