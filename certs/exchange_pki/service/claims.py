"""Claiming a token: it becomes the property of the pair of keys that came first, or is refused.

The ledger decides, in one transaction; see ``exchange.claim_token``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from document_exchange import codes
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    InternalError,
    StaffNotActive,
    SystemNotActive,
    TokenExpired,
    TokenUnknown,
    TokenUsed,
    UnitNotActive,
)
from exchange_pki.service.proved_request import ProvedRequest
from exchange_pki.service.tokens import Holder
from exchange_runtime import events
from exchange_runtime.database import Database
from exchange_runtime.values import Caller, PreparedEvent


@dataclass(frozen=True)
class Claim:
    """A token, and the pair of proved keys that shall own it."""

    token_sha256: bytes
    token_id: str
    holder: Holder
    system: ProvedRequest
    seal: ProvedRequest | None
    collectable: timedelta
    """How long the pair may collect where no certificate says so, as after a crash."""


async def claim(database: Database, claim: Claim, caller: Caller, now: datetime) -> None:
    """Make the token the property of this pair, with its events, or find that it is already.

    Raises:
        TokenUnknown: it was withdrawn. TokenUsed: it belongs to another pair.
        TokenExpired: its time, or that of what it gave, is over.
        CertificateRevoked: what it gave was revoked.
        UnitNotActive, SystemNotActive, StaffNotActive: whom it is for is shut out.
        Unavailable: the outcome is unknown; claim it again.
    """
    request_id = codes.new_id(now)
    used, asked = _events(claim, request_id, caller, now)
    row = await database.row(
        "claim_token",
        claim.token_sha256,
        bytes.fromhex(claim.system.key_sha256),
        claim.seal.key_der if claim.seal is not None else None,
        now,
        claim.collectable,
        used.event.event_id,
        used.salt,
        used.content,
        request_id,
        asked.event.event_id,
        asked.salt,
        asked.content,
    )
    assert row is not None
    if row["outcome"] not in ("CLAIMED", "SAME"):
        raise refusal(row["outcome"], claim.token_id, row["detail"] or "")


def _events(
    claim: Claim, request_id: str, caller: Caller, now: datetime
) -> tuple[PreparedEvent, PreparedEvent]:
    """TOKEN_USED and SEAL_REQUESTED; the second is written if there is a seal only."""
    detail = {"token_id": claim.token_id, **claim.holder.detail()}
    used = {**detail, "key_sha256": claim.system.key_sha256}
    asked = {**detail, "request_id": request_id}
    if claim.seal is not None:
        used["seal_key_sha256"] = asked["key_sha256"] = claim.seal.key_sha256
    return (
        events.prepare("TOKEN_USED", now, caller, detail=used),
        events.prepare("SEAL_REQUESTED", now, caller, detail=asked),
    )


_NOT_CLAIMED: Mapping[str, tuple[type[ExchangeError], str]] = {
    "UNKNOWN": (TokenUnknown, ""),
    "WITHDRAWN": (
        TokenUnknown,
        "this enrolment token was withdrawn; ask the operator for a new one",
    ),
    "OTHER_KEY": (
        TokenUsed,
        "this enrolment token was used with another pair of keys; ask the operator for a new one, "
        "and if it was not you who used it, have revoked at once what it gave",
    ),
    "EXPIRED": (TokenExpired, ""),
    "CERTIFICATE_REVOKED": (
        CertificateRevoked,
        "the certificate that this enrolment token gave was revoked; ask the operator for a new "
        "token, and make new keys",
    ),
    "UNIT_NOT_ACTIVE": (UnitNotActive, "the unit of this enrolment token is {detail}"),
    "SYSTEM_NOT_ACTIVE": (SystemNotActive, "the system of this enrolment token is {detail}"),
    "STAFF_NOT_ACTIVE": (StaffNotActive, "whom this enrolment token is for is {detail}"),
}


def refusal(outcome: str, token_id: str, detail: str = "") -> ExchangeError:
    """The error for a token that can't be claimed; it does not say for whom the token is.

    ``outcome`` and ``detail`` are those of ``exchange.claim_token``.
    """
    if outcome not in _NOT_CLAIMED:
        return InternalError(f"the ledger answered a claim with {outcome}")
    error, message = _NOT_CLAIMED[outcome]
    return error(message.format(detail=detail) or None, token_id=token_id)
