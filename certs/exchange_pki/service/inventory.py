"""Who holds what, until when: the certificates as the ledger has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from document_exchange import fields
from document_exchange.errors import InvalidRequest
from exchange_pki import profile as profiles
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.requests import check_shape, page_limit
from exchange_runtime.values import CertificateRecord

_LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class Wanted:
    """Which certificates; what is empty or 0 matches all."""

    unit: str = ""
    profile: str = ""
    valid_only: bool = False
    ending_within: timedelta = timedelta(0)
    """Only those that count now, end within that time and have no successor."""

    def check(self) -> None:
        """Raise InvalidRequest unless every filter can match something."""
        if self.unit:
            check_shape(self.unit, fields.UnitId, "unit")
        if self.profile:
            profiles.get(self.profile)
        if self.ending_within < timedelta(0):
            raise InvalidRequest("ending_within_s must not be negative", field="ending_within_s")


def ending_within(seconds: int) -> timedelta:
    """So many seconds, at most ten years; what is negative stays so, for ``check`` to refuse."""
    return timedelta(seconds=max(-1, min(seconds, int(_LONGEST.total_seconds()))))


class Inventory:
    """Reads the ledger. Errors besides those named: see ``Database``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def certificate(self, fingerprint: bytes) -> CertificateRecord | None:
        """One certificate, if the ledger has it."""
        row = await self._database.row("certificate", fingerprint)
        return None if row is None else CertificateRecord(**row)

    async def listed(
        self, wanted: Wanted, page_size: int = 0, page_token: str = ""
    ) -> tuple[Sequence[CertificateRecord], str]:
        """(one page, by identity and then newest first; the token of the next page or "").

        Raises:
            InvalidRequest: a filter or the page is malformed.
        """
        wanted.check()
        limit = page_limit(page_size)
        now = self._clock()
        rows = await self._database.rows(
            "certificates",
            wanted.unit,
            wanted.profile,
            wanted.valid_only,
            now + wanted.ending_within if wanted.ending_within else None,
            now,
            _fingerprint(page_token) if page_token else None,
            limit + 1,
        )
        found = [CertificateRecord(**row) for row in rows[:limit]]
        return found, found[-1].fingerprint.hex() if len(rows) > limit else ""


def _fingerprint(page_token: str) -> bytes:
    try:
        found = bytes.fromhex(page_token)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidRequest("page_token is not one that this service gave", field="page_token")
    return found
