"""The types of single fields that manifests, receipts, admissions and events are made of.

Each type carries its bounds as ``msgspec.Meta``: the decoder enforces them, the JSON Schemas show
them, and ``description`` finishes the sentence "expected …" in a refusal. Patterns match whole
strings, from ``\\A`` to ``\\Z``, since ``$`` would let a trailing newline pass.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from document_exchange.codes import DOC_ID, UUID7
from document_exchange.identity import NAME, UNIT_ID
from document_exchange.times import DATE, TIME

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON implementation reads alike (RFC 7493, section 2.2)."""

GIB = 1024**3
MAX_PART_BYTES = 50 * GIB

_LINE_BREAKS_AND_DIRECTIONS = r"\u2028\u2029\u202a-\u202e\u2066-\u2069"
_NOT_IN_A_LINE = rf"\u0000-\u001f\u007f-\u009f{_LINE_BREAKS_AND_DIRECTIONS}"
_NOT_IN_A_TEXT = rf"\u0000-\u0009\u000b-\u001f\u007f-\u009f{_LINE_BREAKS_AND_DIRECTIONS}"


def _shape(pattern: str, description: str, **json_schema: str) -> Meta:
    """A pattern that the whole string must match."""
    return Meta(
        pattern=rf"\A(?:{pattern})\Z", description=description, extra_json_schema=json_schema
    )


def _characters(excluded: str, longest: int, description: str) -> Meta:
    """A text of 1 to ``longest`` characters, none of them one of ``excluded``."""
    return Meta(
        min_length=1,
        max_length=longest,
        pattern=rf"\A[^{excluded}]+\Z",
        description=f"1 to {longest} characters {description}",
    )


def _line(longest: int) -> Meta:
    return _characters(
        _NOT_IN_A_LINE, longest, "without control characters, line breaks and bidi controls"
    )


def _text(longest: int) -> Meta:
    return _characters(
        _NOT_IN_A_TEXT, longest, "without bidi controls and control characters, newlines apart"
    )


UnitId = Annotated[str, _shape(UNIT_ID, "a unit id: 2 to 40 characters of a-z, 0-9 and -")]
SystemName = Annotated[
    str, _shape(NAME, "a name of at most 63 characters of a-z, 0-9, dot, _ and -")
]
SpiffeId = Annotated[str, _shape(r"spiffe://[!-~]{3,400}", "an identity spiffe://<trust domain>/…")]
EnvelopeId = Annotated[
    str, _shape(UUID7, "a UUID version 7 in lower case with hyphens", format="uuid")
]
DocId = Annotated[
    str,
    _shape(DOC_ID, "organisation or credit code, year and serial, as in 005117558-2009-12"),
]
Time = Annotated[
    str, _shape(TIME, "a time in UTC written as YYYY-MM-DDTHH:MM:SS.mmmZ", format="date-time")
]
Date = Annotated[str, _shape(DATE, "a date written as YYYY-MM-DD", format="date")]
Sha256 = Annotated[str, _shape(r"[0-9a-f]{64}", "a SHA-256 as 64 lower-case hex digits")]
BusinessCode = Annotated[
    str, _shape(r"[A-Z][A-Z0-9_]{0,39}", "a business code: at most 40 of A-Z, 0-9 and _")
]
EventType = Annotated[
    str, _shape(r"[A-Z][A-Z_]{0,63}", "an event type: at most 64 characters of A-Z and _")
]
PartId = Annotated[
    str,
    _shape(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "a part id: at most 64 of A-Z, a-z, 0-9, dot, _ and -, a letter or digit first",
    ),
]
MediaType = Annotated[
    str,
    _shape(
        r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}",
        "a media type without parameters (RFC 6838), as in application/pdf",
    ),
]
ExtensionName = Annotated[
    str,
    _shape(
        r"[a-z][a-z0-9._/-]{0,99}",
        "a name of at most 100 characters of a-z, 0-9, dot, _, / and -, a letter first",
    ),
]
DetailName = Annotated[
    str,
    _shape(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "at most 100 of A-Z, a-z, 0-9, dot, _ and -"),
]
LogOrigin = Annotated[
    str, _shape(r"[!-*,-~]{1,255}", "the origin of a log: 1 to 255 ASCII characters, no space or +")
]
EvidencePath = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9-][A-Za-z0-9._-]*){0,7}\Z",
        description="the path of a file in a bundle: at most 200 characters, names of A-Z, a-z, "
        "0-9, dot, _ and - with / between them",
    ),
]

FileName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        description="a file name of 1 to 1024 characters; any, since it is for display only",
    ),
]
ShortLine = Annotated[str, _line(100)]
Line = Annotated[str, _line(200)]
LineOrNothing = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=rf"\A[^{_NOT_IN_A_LINE}]*\Z",
        description="at most 200 characters without control characters, line breaks and bidi "
        "controls",
    ),
]
Title = Annotated[str, _line(500)]
Text = Annotated[str, _text(2000)]
DetailText = Annotated[str, Meta(max_length=4000, description="a text of at most 4000 characters")]

PartSize = Annotated[
    int, Meta(ge=0, le=MAX_PART_BYTES, description="a size in bytes from 0 to 50 GiB")
]
Copies = Annotated[int, Meta(ge=1, le=99_999, description="a number of copies from 1 to 99999")]
Sequence = Annotated[
    int, Meta(ge=0, le=MAX_INTEGER, description="a count from 0 to 9007199254740991")
]
DelaySeconds = Annotated[int, Meta(ge=1, le=86_400, description="seconds, from 1 to 86400")]
