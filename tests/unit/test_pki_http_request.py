"""The head of an HTTP request: what it says, and that no head keeps the authority busy."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from exchange_pki.service import http_request
from exchange_pki.service.http_request import Request


def head(*headers: bytes) -> bytes:
    return b"\r\n".join((b"POST /tsa HTTP/1.1", *headers)) + b"\r\n\r\n"


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    found = http_request.read(head(b"Content-Type: \t text/plain \t", b"Content-Length:12  "))
    assert found == Request("POST", "/tsa", "text/plain", 12)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t"], ids=["spaces", "tabs", "both"])
def test_a_head_of_blanks_is_refused_in_one_pass(blank: bytes) -> None:
    """A pattern that backtracks takes minutes for it, and stops every other caller meanwhile."""
    assert http_request.read(head(b"X:" + blank * 4000 + b"\x01")) is HTTPStatus.BAD_REQUEST
