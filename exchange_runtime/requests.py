"""What every service checks alike in requests: pages and the shapes of identifiers."""

from __future__ import annotations

from typing import Any

import msgspec

from document_exchange import codes
from document_exchange.errors import InvalidRequest

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
    """(limit, UUIDv7 to continue before) of a request for a page, newest first.

    Raises:
        InvalidRequest: ``page_size`` is negative, or the token is not one of ours.
    """
    if page_token and not codes.is_uuid7(page_token):
        raise InvalidRequest("page_token is not one that this service gave", field="page_token")
    return page_limit(page_size, largest), page_token or None


def check_shape(value: str, shape: Any, field: str) -> None:
    """Raise InvalidRequest unless this has the shape of such a field, one of ``fields``."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        (meta,) = shape.__metadata__
        raise InvalidRequest(f"{field} is not {meta.description}", field=field) from None
