"""The head of an HTTP request, read as strictly as the few requests here allow (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

_REQUEST_LINE = re.compile(
    rb"(?P<method>GET|HEAD|POST) (?P<path>/[A-Za-z0-9._/-]{0,100})(?:\?[!-~]*)? HTTP/1\.[01]"
)
_SOME_REQUEST_LINE = re.compile(rb"(?P<method>[!-~]+) [!-~]+ HTTP/[0-9]\.[0-9]")
# Without blanks around the value: patterns that could take them in two ways try all of them.
_HEADER = re.compile(rb"([A-Za-z0-9-]{1,100}):([ -~\t]*)")
_LENGTH = re.compile(rb"[0-9]{1,9}")


@dataclass(frozen=True)
class Request:
    """What is asked for. ``length`` is that of the content; None where the client says none."""

    method: str
    path: str
    media_type: str
    length: int | None


def read(head: bytes) -> Request | HTTPStatus:
    """The request with this head, its empty last line included, or what it is refused with."""
    line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    asked = _REQUEST_LINE.fullmatch(line)
    if asked is None:
        some = _SOME_REQUEST_LINE.fullmatch(line)
        if some is None:
            return HTTPStatus.BAD_REQUEST
        known = some["method"] in (b"GET", b"HEAD", b"POST")
        return HTTPStatus.NOT_FOUND if known else HTTPStatus.METHOD_NOT_ALLOWED
    method, path = asked["method"].decode(), asked["path"].decode()
    if method != "POST":
        # Whatever else they say makes no difference, and content that follows is not looked at.
        return Request(method, path, "", None)
    found = _headers(headers)
    if found is None:
        return HTTPStatus.BAD_REQUEST
    if b"transfer-encoding" in found:
        return HTTPStatus.NOT_IMPLEMENTED
    length = found.get(b"content-length")
    if length is not None and _LENGTH.fullmatch(length) is None:
        return HTTPStatus.BAD_REQUEST
    media_type = found.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return Request(method, path, media_type.decode(), None if length is None else int(length))


def _headers(lines: list[bytes]) -> Mapping[bytes, bytes] | None:
    """By name in lower case; None where one is malformed or what counts here is said twice."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name = header[1].lower()
        if name in found and name in (b"content-length", b"content-type", b"transfer-encoding"):
            return None
        found[name] = header[2].strip(b" \t")
    return found
