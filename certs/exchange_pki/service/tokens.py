"""One-use tokens: issued to be given away, kept only as their SHA-256, withdrawn while unused."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from document_exchange import codes, fields, times
from document_exchange.errors import InvalidRequest, NotFound, Refused, TokenUnknown
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.requests import check_shape, read_page
from exchange_runtime.values import Caller

TOKEN_BYTES = 25
"""200 random bits, which are 40 characters: nobody guesses one, so a plain hash is enough."""
DEFAULT_LIFETIME = timedelta(days=1)
LONGEST_LIFETIME = timedelta(days=30)

_TOKEN = re.compile(r"[a-z2-7]{40}", re.ASCII)


def new_token() -> str:
    """A token: 40 characters of a-z and 2-7 (base32, RFC 4648, in lower case)."""
    return base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().lower()


def digest(token: str) -> bytes:
    """Under what a token is known here: SHA-256 of its 40 characters.

    Blanks around it and capitals are forgiven: it may have come by telephone or on paper.

    Raises:
        TokenUnknown: no token looks like this.
    """
    # Of other scripts, some capitals become Latin letters.
    plain = token.strip().lower() if token.isascii() else ""
    if _TOKEN.fullmatch(plain) is None:
        raise TokenUnknown(
            "this is no enrolment token: one has 40 characters of a-z and 2-7", field="token"
        )
    return hashlib.sha256(plain.encode()).digest()


@dataclass(frozen=True)
class Holder:
    """For whom a token is: a system of a unit, with or without a seal, or a member of staff."""

    unit: str = ""
    system: str = ""
    seal: str = ""
    staff: str = ""

    def check(self) -> None:
        """Raise InvalidRequest unless this is one of the two, in names that can exist."""
        if self.staff:
            if self.unit or self.system or self.seal:
                raise InvalidRequest(
                    "a token is for staff or for a system of a unit, not for both", field="staff"
                )
            check_shape(self.staff, fields.SystemName, "staff")
            return
        check_shape(self.unit, fields.UnitId, "unit")
        check_shape(self.system, fields.SystemName, "system")
        if self.seal:
            check_shape(self.seal, fields.SystemName, "seal")

    def detail(self) -> dict[str, str]:
        """What events say of it."""
        named = {"unit": self.unit, "system": self.system, "seal": self.seal, "staff": self.staff}
        return {name: value for name, value in named.items() if value}

    def __str__(self) -> str:
        if self.staff:
            return f"staff {self.staff}"
        return f"system {self.system} of unit {self.unit}"


@dataclass(frozen=True)
class NewToken:
    """A token that was just issued: the only time that its secret is seen."""

    token: str = field(repr=False)
    token_id: str
    expires_at: datetime


@dataclass(frozen=True)
class Token:
    """One token without its secret; see ``Token`` in authority.proto."""

    token_id: str
    holder: Holder
    standing: str
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None


class Tokens:
    """The tokens of the ledger. Errors besides those named: see ``Database``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def issue(self, caller: Caller, holder: Holder, lifetime_s: int = 0) -> NewToken:
        """Issue a token; its secret is returned and kept nowhere.

        Args:
            caller: the operator who issues it.
            holder: for whom.
            lifetime_s: how long it may be used; 0 means a day, more than 30 days is refused.

        Raises:
            InvalidRequest: a name or the lifetime is wrong.
            NotFound: there is no such unit or member of staff.
            Refused: the unit, system or member of staff is not ACTIVE.
        """
        holder.check()
        lifetime = _lifetime(lifetime_s)
        now = self._clock()
        token, token_id, expires_at = new_token(), codes.new_id(now), now + lifetime
        happened = events.prepare(
            "TOKEN_ISSUED",
            now,
            caller,
            detail={
                "token_id": token_id,
                "expires_at": times.format_time(expires_at),
                **holder.detail(),
            },
        )
        row = await self._database.row(
            "issue_token",
            token_id,
            digest(token),
            holder.unit or None,
            holder.system or None,
            holder.seal or None,
            holder.staff or None,
            str(caller.identity),
            now,
            expires_at,
            happened.event.event_id,
            happened.salt,
            happened.content,
        )
        assert row is not None
        _check_issued(row["outcome"], row["detail"], holder)
        return NewToken(token, token_id, expires_at)

    async def listed(
        self, unit: str = "", standing: str = "", page_size: int = 0, page_token: str = ""
    ) -> tuple[Sequence[Token], str]:
        """(one page of tokens, newest first; the token of the next page or "").

        Raises:
            InvalidRequest: a filter or the page is malformed.
        """
        if unit:
            check_shape(unit, fields.UnitId, "unit")
        limit, before = read_page(page_size, page_token)
        rows = await self._database.rows(
            "list_tokens", unit or None, standing or None, self._clock(), before, limit + 1
        )
        found = [
            Token(
                token_id=row["token_id"],
                holder=Holder(row["unit"], row["system"], row["seal"], row["staff"]),
                standing=row["standing"],
                issued_by=row["issued_by"],
                issued_at=row["issued_at"],
                expires_at=row["expires_at"],
                used_at=row["used_at"],
            )
            for row in rows[:limit]
        ]
        return found, found[-1].token_id if len(rows) > limit else ""

    async def withdraw(self, caller: Caller, token_id: str) -> None:
        """Make a token useless that nobody used. Again, it changes nothing.

        Raises:
            InvalidRequest: this is no token_id.
            NotFound: there is no such token.
            Refused: it was used: what it gave is a certificate, which can be revoked.
        """
        check_shape(token_id, fields.EnvelopeId, "token_id")
        now = self._clock()
        happened = events.prepare("TOKEN_WITHDRAWN", now, caller, detail={"token_id": token_id})
        outcome = await self._database.value(
            "withdraw_token",
            token_id,
            str(caller.identity),
            now,
            happened.event.event_id,
            happened.salt,
            happened.content,
        )
        if outcome == "UNKNOWN":
            raise NotFound(f"there is no token {token_id}", token_id=token_id)
        if outcome == "USED":
            raise Refused(
                f"the token {token_id} was used already: revoke the certificate that it gave, or "
                "reject the seal that it asks for",
                token_id=token_id,
            )


def _lifetime(lifetime_s: int) -> timedelta:
    longest = int(LONGEST_LIFETIME.total_seconds())
    if not 0 <= lifetime_s <= longest:
        raise InvalidRequest(
            f"a token may be used for 1 to {longest} seconds (30 days), not for {lifetime_s}; "
            "0 means 24 hours",
            field="lifetime_s",
            value=str(lifetime_s),
        )
    return timedelta(seconds=lifetime_s) or DEFAULT_LIFETIME


def _check_issued(outcome: str, detail: str | None, holder: Holder) -> None:
    match outcome:
        case "ISSUED":
            return
        case "UNIT_UNKNOWN":
            raise NotFound(f"there is no unit {holder.unit}", unit=holder.unit)
        case "STAFF_UNKNOWN":
            raise NotFound(
                f"no member of staff is registered as {holder.staff}: register them first",
                staff=holder.staff,
            )
        case _:
            who = f"unit {holder.unit}" if outcome == "UNIT_NOT_ACTIVE" else str(holder)
            raise Refused(
                f"the {who} is {detail}: who is not ACTIVE gets no token", **holder.detail()
            )
