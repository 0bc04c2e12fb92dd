"""Trusted time for the centre's signatures: batches of their digests, each with a time-stamp.

A document never waits for it. Its signatures are queued in the transaction that records them; every
few seconds what has gathered becomes a batch, and a batch gets its token from a time-stamping
service whenever that answers. Each process does both: only one at a time makes a batch, and whose
process died leaves its batch to the others.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from cryptography import x509

from document_exchange import timestamp
from document_exchange.certificates import CrlPair, SealTrust
from document_exchange.errors import ExchangeError, TimestampRefused, Unavailable
from document_exchange.timestamp import Stamp
from exchange_runtime.clock import Clock
from exchange_server.registry import RegistryFollower

log = structlog.get_logger(__name__)

MOST_OPEN = 16
"""Batches without a token; while there are so many, the queue grows instead, and they get full."""

_LONGEST_REST_S = 60.0
_NONCE_BITS = 128


@dataclass(frozen=True)
class Batch:
    """A batch that awaits its token: what is stamped, and how often one was asked for."""

    batch: int
    lines: bytes
    attempts: int


@dataclass(frozen=True)
class KeptStamp:
    """A verified TimeStampResp in DER, its time, and the numbers of the lists in force then.

    The lists are None where the service is not the exchange's own.
    """

    response: bytes
    stamped_at: datetime
    root_crl: int | None
    seal_crl: int | None


@dataclass(frozen=True)
class StampsStanding:
    """How much is without a stamp: signatures in no batch yet, batches, and since when the first
    of them waits. ``stamped_at`` is the time of the last stamp."""

    queued: int
    open_batches: int
    waiting_since: datetime | None
    stamped_at: datetime | None


class StampLedger(Protocol):
    """Where queue, batches and tokens are. Each method raises Unavailable if it does not answer."""

    async def make_batch(self, made_at: datetime, most: int, most_open: int) -> int:
        """Move up to ``most`` signatures from the queue into a batch; returns how many.

        0: there are none, or ``most_open`` batches have no token yet, or another process is at it.
        """

    async def claim_batch(self, hold: timedelta) -> Batch | None:
        """A batch without token, for this process alone until ``hold`` is over."""

    async def rest_batch(self, batch: int, rest: timedelta) -> None:
        """Nobody is to claim this batch for so long."""

    async def keep_stamp(self, batch: int, stamp: KeptStamp) -> bool:
        """Store a token, unless the batch has one; whether it was stored."""


class TimeStampingService(Protocol):
    """Somebody who makes tokens."""

    async def ask(self, query: bytes) -> bytes:
        """Its TimeStampResp to a TimeStampReq.

        Raises:
            Unavailable: it can't be reached, or answers something else.
        """


Judge = Callable[[bytes, bytes, int], KeptStamp]
"""What to keep for (response, lines, nonce); raises TimestampRefused, or Unavailable."""


def own_judge(trust: SealTrust, registry: RegistryFollower) -> Judge:
    """Accepts tokens of the exchange's own service, by the lists in force at their time."""

    def judge(response: bytes, lines: bytes, nonce: int) -> KeptStamp:
        at = timestamp.verify(response, lines, trust, None, nonce=nonce).at
        root_crl, seal_crl = registry.current().crls_in_force(at)
        timestamp.verify(response, lines, trust, CrlPair.from_der(root_crl.der, seal_crl.der))
        return KeptStamp(response, at, root_crl.number, seal_crl.number)

    return judge


def external_judge(chain: Sequence[x509.Certificate], root_fingerprint: str) -> Judge:
    """Accepts tokens of a service under that root."""

    def judge(response: bytes, lines: bytes, nonce: int) -> KeptStamp:
        stamp: Stamp = timestamp.verify_external(
            response, lines, chain, root_fingerprint, nonce=nonce
        )
        return KeptStamp(response, stamp.at, None, None)

    return judge


class Stamper:
    """One process's part in it."""

    def __init__(
        self,
        ledger: StampLedger,
        service: TimeStampingService,
        judge: Judge,
        clock: Clock,
        *,
        batch_size: int,
        interval_s: float,
        timeout_s: float,
        clock_tolerance_s: float,
        failed: Callable[[], None],
    ) -> None:
        """``failed`` is told of each batch that was asked for and got no token."""
        self._ledger = ledger
        self._service = service
        self._judge = judge
        self._clock = clock
        self._batch_size = batch_size
        self._interval_s = interval_s
        # Longer than asking may take, so that nobody else asks meanwhile.
        self._hold = timedelta(seconds=2 * timeout_s + interval_s)
        self._clock_tolerance = timedelta(seconds=clock_tolerance_s)
        self._failed = failed
        self._unanswered = 0
        self._resting_until = 0.0

    async def run(self) -> None:
        """One round: make batches of what has gathered, then ask for tokens.

        Raises:
            Unavailable: the ledger does not answer.
        """
        while await self._ledger.make_batch(self._clock(), self._batch_size, MOST_OPEN):
            pass
        if time.monotonic() < self._resting_until:
            return
        while (batch := await self._ledger.claim_batch(self._hold)) is not None:
            if not await self._stamped(batch):
                return

    async def _stamped(self, batch: Batch) -> bool:
        """Ask for one batch's token and store it; whether the service is worth asking again."""
        nonce = secrets.randbits(_NONCE_BITS) | 1 << _NONCE_BITS
        query = timestamp.query(hashlib.sha256(batch.lines).digest(), nonce)
        try:
            response = await self._service.ask(query)
        except Unavailable as error:
            await self._rest_all(batch, error)
            return False
        self._answered()
        try:
            stamp = self._judge(response, batch.lines, nonce)
            self._check_time(stamp.stamped_at)
        except ExchangeError as error:
            # What is wrong may be so with this batch only; the others have their turn.
            rest_s = self._rest_s(batch.attempts)
            self._failed()
            log.error("stamp_refused", batch=batch.batch, error=error.message, again_s=rest_s)
            await self._ledger.rest_batch(batch.batch, timedelta(seconds=rest_s))
            return True
        await self._ledger.keep_stamp(batch.batch, stamp)
        return True

    def _check_time(self, stamped_at: datetime) -> None:
        """A stamp with a wrong time would be evidence of something that was not so."""
        differs = abs(stamped_at - self._clock())
        if differs > self._clock_tolerance:
            raise TimestampRefused(
                f"the time-stamp is {differs.total_seconds():.0f} s away from the centre's clock"
            )

    async def _rest_all(self, batch: Batch, error: Unavailable) -> None:
        """The service is away, for every batch: come back later, and later each time."""
        self._failed()
        self._unanswered += 1
        rest_s = self._rest_s(self._unanswered)
        self._resting_until = time.monotonic() + rest_s
        if self._unanswered == 1:
            log.warning("time_stamping_fails", error=error.message)
        await self._ledger.rest_batch(batch.batch, timedelta(0))

    def _answered(self) -> None:
        if self._unanswered:
            log.info("time_stamping_works_again", attempts=self._unanswered)
        self._unanswered = 0

    def _rest_s(self, attempts: int) -> float:
        longest = max(_LONGEST_REST_S, self._interval_s)
        return min(longest, self._interval_s * 2.0 ** min(attempts, 20))
