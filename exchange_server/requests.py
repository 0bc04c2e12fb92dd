"""What all steps check and answer alike in requests: pages, identifiers, "not found"."""

from __future__ import annotations

from document_exchange import codes
from document_exchange.errors import InvalidRequest, NotFound
from exchange_runtime.requests import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    check_shape,
    page_limit,
    read_page,
)

__all__ = [
    "DEFAULT_PAGE",
    "LARGEST_PAGE",
    "check_identifier",
    "check_shape",
    "envelope_not_found",
    "page_limit",
    "read_page",
]


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
