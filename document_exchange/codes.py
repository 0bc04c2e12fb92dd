"""The codes and identifiers of the field: their shapes, check characters and times.

Organisation codes (GB 11714), unified social credit codes (GB 32100), document identifiers
(GB/T 19667.1) and envelope ids (UUID version 7, RFC 9562). Every shape is matched as a whole
ASCII string: a trailing newline or a digit of another script never passes.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

ORGANISATION_CODE = r"[0-9A-Z]{9}"
CREDIT_CODE = r"[0-9A-HJ-NPQRTUWXY]{18}"
DOC_ID = r"(?:[0-9A-Z]{9}|[0-9A-HJ-NPQRTUWXY]{18})-[0-9]{4}-[1-9][0-9]{0,17}"
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

_ORGANISATION_CODE = re.compile(ORGANISATION_CODE, re.ASCII)
_CREDIT_CODE = re.compile(CREDIT_CODE, re.ASCII)
_DOC_ID = re.compile(DOC_ID, re.ASCII)
_UUID7 = re.compile(UUID7, re.ASCII)

_ORGANISATION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))

MAX_ENVELOPE_AGE = timedelta(days=45)
"""How long before its submission the time inside an envelope_id may lie."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LAST_UUID7_TIME = "e677d21f-dbff"
"""The first 12 hex digits of 9999-12-31T23:59:59.999Z, the last instant that a datetime holds."""


def organisation_check_character(first8: str) -> str:
    """The ninth character of an organisation code (GB 11714).

    C9 = 11 - (weighted sum mod 11); 10 is written X and 11 is written 0.

    Raises:
        ValueError: ``first8`` is not 8 characters of 0-9 and A-Z.
    """
    if _ORGANISATION_CODE.fullmatch(first8 + "0") is None:
        raise ValueError(f"{first8!r} is not 8 characters of 0-9 and A-Z")
    total = sum(
        _ORGANISATION_ALPHABET.index(character) * weight
        for character, weight in zip(first8, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0X987654321"[total % 11]


def is_organisation_code(code: str) -> bool:
    """Whether this is an organisation code of 9 characters with the right check character."""
    return (
        _ORGANISATION_CODE.fullmatch(code) is not None
        and organisation_check_character(code[:8]) == code[8]
    )


def credit_check_character(first17: str) -> str:
    """The last character of a unified social credit code (GB 32100).

    C18 = 31 - (weighted sum mod 31), where 31 is written 0; weights are 3^(i-1) mod 31.

    Raises:
        ValueError: ``first17`` is not 17 characters of 0-9 and A-Z without I, O, S, V and Z.
    """
    if _CREDIT_CODE.fullmatch(first17 + "0") is None:
        raise ValueError(f"{first17!r} is not 17 characters of 0-9 and A-Z without I O S V Z")
    total = sum(
        _CREDIT_ALPHABET.index(character) * weight
        for character, weight in zip(first17, _CREDIT_WEIGHTS, strict=True)
    )
    return _CREDIT_ALPHABET[-total % 31]


def is_credit_code(code: str) -> bool:
    """Whether this is a credit code of 18 characters with the right check character."""
    return (
        _CREDIT_CODE.fullmatch(code) is not None and credit_check_character(code[:17]) == code[17]
    )


def is_doc_id(text: str) -> bool:
    """Whether this is a document identifier: organisation or credit code, year, serial.

    For example ``005117558-2009-12``. The code's check character must be right.
    """
    if _DOC_ID.fullmatch(text) is None:
        return False
    code = text.partition("-")[0]
    return is_organisation_code(code) if len(code) == 9 else is_credit_code(code)


def uuid7(at: datetime, entropy: bytes) -> str:
    """A UUID version 7 (RFC 9562, section 5.7) for the millisecond of ``at``.

    ``entropy`` is 10 bytes, of which 74 bits are used. The result is in lower case.

    Raises:
        ValueError: ``at`` is naive or before 1970, or ``entropy`` is not 10 bytes.
    """
    if at.tzinfo is None:
        raise ValueError("the time of a UUID version 7 must have a time zone")
    if len(entropy) != 10:
        raise ValueError(f"a UUID version 7 needs 10 bytes of entropy, not {len(entropy)}")
    milliseconds = (at - _EPOCH) // _MILLISECOND
    if milliseconds < 0:
        raise ValueError(f"{at.isoformat()} is before 1970: a UUID version 7 can't hold it")
    random = int.from_bytes(entropy, "big")
    random_a = random >> 68  # 12 bits
    random_b = random & ((1 << 62) - 1)
    value = milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7_time(envelope_id: str) -> datetime:
    """The instant inside a UUID version 7, to the millisecond, in UTC.

    Raises:
        ValueError: it is no UUID version 7 (see ``is_uuid7``).
    """
    if not is_uuid7(envelope_id):
        raise ValueError(f"{envelope_id[:60]!r} is not a UUID version 7 in lower case")
    return _EPOCH + int(envelope_id[:8] + envelope_id[9:13], 16) * _MILLISECOND


def is_uuid7(text: str) -> bool:
    """Whether this is a UUID version 7 in its canonical lower-case form, of a year up to 9999."""
    return _UUID7.fullmatch(text) is not None and text[:13] <= _LAST_UUID7_TIME


def new_id(at: datetime) -> str:
    """A fresh UUID version 7 for the millisecond of ``at``, random otherwise."""
    return uuid7(at, secrets.token_bytes(10))
