"""Seals that units enrolled for: security staff compares the key and approves, or rejects.

A decision is in the ledger before anything is signed. So what a crash leaves is a seal that is
approved and not issued, and whoever asks next, unit or staff, completes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import asyncpg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import fields
from document_exchange.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    Refused,
    SecondPersonNeeded,
)
from exchange_pki.prepare import Order
from exchange_pki.register import Certified
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.requests import check_shape, read_page
from exchange_runtime.values import Caller

PENDING, ISSUED, REJECTED = "PENDING", "ISSUED", "REJECTED"

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Issuer(Protocol):
    """What signs: ``AuthorityWorker``."""

    async def issue(
        self,
        order: Order,
        public_key: ec.EllipticCurvePublicKey,
        *,
        actor: str,
        address: str | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> Certified:
        """The same key gets the same certificate again; see ``AuthorityWorker.issue``."""
        ...


@dataclass(frozen=True)
class SealRequest:
    """A seal that a unit enrolled for; see ``SealRequest`` in authority.proto."""

    request_id: str
    unit: str
    seal: str
    key_sha256: str
    standing: str
    requested_at: datetime
    decided_by: str
    decided_at: datetime | None
    reason: str
    approved: bool
    """Also while it is not issued yet, and so still PENDING."""
    public_key: bytes = field(repr=False)
    """SubjectPublicKeyInfo, DER."""
    certificate: bytes = field(repr=False)
    """DER; empty unless issued."""


class Seals:
    """The requests for seals in the ledger. Errors besides those named: see ``Database``."""

    def __init__(self, database: Database, issuer: Issuer, clock: Clock) -> None:
        self._database = database
        self._issuer = issuer
        self._clock = clock

    async def listed(
        self, unit: str = "", standing: str = "", page_size: int = 0, page_token: str = ""
    ) -> tuple[Sequence[SealRequest], str]:
        """(one page of requests, newest first; the token of the next page or "").

        Raises:
            InvalidRequest: a filter or the page is malformed.
        """
        if unit:
            check_shape(unit, fields.UnitId, "unit")
        limit, before = read_page(page_size, page_token)
        rows = await self._database.rows(
            "list_seal_requests", unit or None, standing or None, before, limit + 1
        )
        found = [_request(row) for row in rows[:limit]]
        return found, found[-1].request_id if len(rows) > limit else ""

    async def find(self, request_id: str) -> SealRequest:
        """One request.

        Raises:
            InvalidRequest: this is no request_id.
            NotFound: there is none.
        """
        check_shape(request_id, fields.EnvelopeId, "request_id")
        row = await self._database.row("find_seal_request", request_id)
        if row is None:
            raise _unknown(request_id)
        return _request(row)

    async def decide(
        self,
        caller: Caller,
        request_id: str,
        key_sha256: str,
        *,
        reject: bool = False,
        reason: str = "",
    ) -> SealRequest:
        """Approve a seal, which issues it, or reject it. Again, it changes nothing.

        Args:
            caller: who decides: never who issued the token.
            request_id: the request.
            key_sha256: the key that the decision is about, hex: it must be that of the request.
            reject: reject it instead.
            reason: why; needed to reject.

        Raises:
            InvalidRequest: a field is malformed, the key is not that of the request, or a
                rejection has no reason.
            NotFound: there is no such request.
            SecondPersonNeeded: the caller issued the token.
            Refused: it was decided otherwise before; or the unit or the system is not ACTIVE, or
                the system's certificate that came of the same token was revoked.
            KeyReused: the key was certified for something else meanwhile, or revoked.
            Unavailable: the seal is approved and may be issued; ask again.
        """
        check_shape(request_id, fields.EnvelopeId, "request_id")
        if _SHA256.fullmatch(key_sha256) is None:
            raise InvalidRequest(
                "key_sha256 is not the SHA-256 of a key as 64 lower-case hex digits",
                field="key_sha256",
            )
        if reason or reject:
            check_shape(reason, fields.Line, "reason")
        now = self._clock()
        request = await self.find(request_id)
        detail = {
            "request_id": request_id,
            "unit": request.unit,
            "seal": request.seal,
            "key_sha256": key_sha256,
        }
        if reason:
            detail["reason"] = reason
        kind = "SEAL_REJECTED" if reject else "SEAL_APPROVED"
        happened = events.prepare(kind, now, caller, detail=detail)
        row = await self._database.row(
            "decide_seal",
            request_id,
            bytes.fromhex(key_sha256),
            not reject,
            str(caller.identity),
            reason,
            now,
            happened.event.event_id,
            happened.salt,
            happened.content,
        )
        assert row is not None
        _check_decided(row["outcome"], row["detail"], request)
        return await self.completed(request_id)

    async def completed(self, request_id: str) -> SealRequest:
        """The request as it stands, and issued if it was approved.

        The certificate MUST be durable in journal and ledger when this returns one.

        Raises:
            NotFound: there is none.
            Refused: what speaks against approving it came up after that.
            KeyReused: the key was certified for something else meanwhile, or revoked.
            Unavailable: it may be issued; ask again.
        """
        request = await self.find(request_id)
        if not request.approved or request.certificate:
            return request
        public_key = serialization.load_der_public_key(request.public_key)
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise InternalError("the ledger holds a seal's key that is on no elliptic curve")
        # A crash may lie between the approval and this.
        row = await self._database.row("standing_of_seal_request", request_id)
        assert row is not None
        _check_may_be_issued(row["outcome"], row["detail"], request)
        certified = await self._issuer.issue(
            Order("seal", request.seal, unit=request.unit),
            public_key,
            actor=request.decided_by,
            detail={"request_id": request_id},
        )
        await self._database.value(
            "note_seal_certificate", request_id, bytes.fromhex(certified.fingerprint)
        )
        return await self.find(request_id)


def _request(row: asyncpg.Record) -> SealRequest:
    return SealRequest(
        request_id=str(row["request_id"]),
        unit=row["unit"],
        seal=row["seal"],
        key_sha256=row["key_sha256"].hex(),
        standing=row["standing"],
        requested_at=row["requested_at"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        reason=row["reason"],
        approved=row["approved"],
        public_key=row["public_key"],
        certificate=row["certificate"] or b"",
    )


def _unknown(request_id: str) -> NotFound:
    return NotFound(f"there is no request for a seal {request_id}", request_id=request_id)


def _check_decided(outcome: str, detail: str | None, request: SealRequest) -> None:
    match outcome:
        case "DECIDED" | "SAME":
            return
        case "UNKNOWN":
            raise _unknown(request.request_id)
        case "OTHER_KEY":
            raise InvalidRequest(
                "the request is for another key: compare again with what the unit tells you; "
                "if it stays so, reject the request",
                field="key_sha256",
                seal=request.seal,
                unit=request.unit,
            )
        case "SAME_PERSON":
            raise SecondPersonNeeded(
                "who issued the token may not decide about the seal that it asks for"
            )
        case "OTHERWISE":
            meanwhile = "an issued seal can be revoked" if detail == "APPROVED" else "enrol again"
            raise Refused(
                f"this was {detail} before, by {request.decided_by}: {meanwhile}",
                request_id=request.request_id,
            )
        case _:
            _check_may_be_issued(outcome, detail, request)


def _check_may_be_issued(outcome: str, detail: str | None, request: SealRequest) -> None:
    match outcome:
        case "ACTIVE":
            return
        case "CERTIFICATE_REVOKED":
            raise Refused(
                "the certificate that the same token gave was revoked: the unit has to enrol again",
                request_id=request.request_id,
            )
        case _:
            who = "unit" if outcome == "UNIT_NOT_ACTIVE" else "system that asks for it, of the unit"
            raise Refused(f"the {who} {request.unit} is {detail}: no seal", unit=request.unit)
