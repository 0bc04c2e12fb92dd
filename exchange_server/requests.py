"""What all steps check and answer alike in requests: pages, identifiers, "not found"."""

from __future__ import annotations

from typing import Any

import msgspec

from document_exchange import codes
from document_exchange.errors import InvalidRequest, NotFound

LARGEST_PAGE = 1000
DEFAULT_PAGE = 100


def page_limit(page_size: int, largest: int = LARGEST_PAGE) -> int:
    """How many entries a page gets.

    Raises:
        InvalidRequest: ``page_size`` is negative.
    """
    if page_size < 0:
        raise InvalidRequest("page_size must not be negative", field="page_size")
    return min(page_size or DEFAULT_PAGE, largest)


def read_page(
    page_size: int, page_token: str, largest: int = LARGEST_PAGE
) -> tuple[int, str | None]:
    """(limit, envelope_id to continue before) of a paged request.

    Raises:
        InvalidRequest: ``page_size`` is negative, or the token is not one of ours.
    """
    if page_token and not codes.is_uuid7(page_token):
        raise InvalidRequest("page_token is not one that this service gave", field="page_token")
    return page_limit(page_size, largest), page_token or None


def check_identifier(envelope_id: str) -> None:
    """Raise InvalidRequest unless this has the shape of an envelope_id."""
    if not codes.is_uuid7(envelope_id):
        raise InvalidRequest(
            f"{envelope_id[:64]!r} is not an envelope_id (a UUIDv7 in lower case)",
            field="envelope_id",
        )


def check_shape(value: str, shape: Any, field: str) -> None:
    """Raise InvalidRequest unless this has the shape of such a field, one of ``fields``."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        (meta,) = shape.__metadata__
        raise InvalidRequest(f"{field} is not {meta.description}", field=field) from None


def envelope_not_found(envelope_id: str) -> NotFound:
    """The same answer for what does not exist and for what is not the caller's to see."""
    return NotFound(f"there is no envelope {envelope_id} that you may see", envelope_id=envelope_id)
