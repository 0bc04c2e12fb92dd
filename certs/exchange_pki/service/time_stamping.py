"""The time-stamping service (RFC 3161): answers questions with its key and the service's clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import structlog
from cryptography.x509 import ObjectIdentifier
from prometheus_client import CollectorRegistry, Counter

from document_exchange import timestamp_answer
from document_exchange.errors import ExchangeError, QuotaExceeded, Unavailable
from document_exchange.timestamp_answer import Answer, Failure
from exchange_pki.own_key import OwnKey
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.clock import Clock
from exchange_runtime.pace import Paces

log = structlog.get_logger(__name__)

PATH = "/tsa"
QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
LONGEST_QUERY_BYTES = 4 * 1024

MOST_ADDRESSES = 4096
"""So many are counted, each in some hundred bytes."""
_AT_ONCE_SHARE = 10

_GRANTED, _TOO_MANY = "GRANTED", "TOO_MANY"
_SERIAL_BITS = 128
"""So many random bits never come twice, on whichever process and after whatever restart."""


class TimeStamping:
    """Makes tokens, as long as its certificate counts and its clock can be believed."""

    def __init__(
        self,
        worker: AuthorityWorker,
        key: OwnKey,
        policy: ObjectIdentifier,
        clock: Clock,
        check_clock: Callable[[], object],
        metrics: CollectorRegistry,
        *,
        address_rate: int,
    ) -> None:
        """``check_clock`` raises Unavailable while this process's clock differs from the ledger's,
        or nobody can tell. ``address_rate``: answers a minute for one network address."""
        self._worker = worker
        self._key = key
        self._policy = policy
        self._clock = clock
        self._check_clock = check_clock
        self._paces = Paces(
            address_rate, max(1, address_rate // _AT_ONCE_SHARE), most_names=MOST_ADDRESSES
        )
        self._answers = Counter(
            "exchange_timestamp_answers",
            "Answers of the time-stamping service: GRANTED, or why there was no token.",
            ("outcome",),
            registry=metrics,
        )
        for outcome in (_GRANTED, _TOO_MANY, *(failure.name for failure in Failure)):
            self._answers.labels(outcome)

    async def keep_key(self) -> None:
        """Renew the certificate in time; until that works, the log says why, and the old one is
        used while it counts."""
        before = self._key.signer
        try:
            await self._worker.keep(self._key)
        except ExchangeError as error:
            log.error("timestamping_key_not_kept", error=error.message)
            return
        signer = self._key.signer
        if signer is not None and signer is not before:
            ends = signer.certificate.not_valid_after_utc
            log.info("timestamping_key_taken", not_after=ends.isoformat())

    def admit(self, client: str) -> None:
        """Count a question of this address, before it is read.

        Raises:
            QuotaExceeded: it has had as many answers as it may for now.
        """
        wait_s = self._paces.take(client, time.monotonic())
        if wait_s:
            self._answers.labels(_TOO_MANY).inc()
            raise QuotaExceeded(f"{client} asks for too many time-stamps", retry_after_s=wait_s)

    async def answer(self, query: bytes) -> bytes:
        """A TimeStampResp in DER, whatever the question."""
        answer = self._answered(query)
        self._answers.labels(answer.failure.name if answer.failure is not None else _GRANTED).inc()
        return answer.der

    def _answered(self, query: bytes) -> Answer:
        signer, now = self._key.signer, self._clock()
        if signer is None:
            return timestamp_answer.refuse(Failure.SYSTEM_FAILURE, "no certificate to sign with")
        certificate = signer.certificate
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return timestamp_answer.refuse(Failure.SYSTEM_FAILURE, "the certificate has ended")
        try:
            self._check_clock()
        except Unavailable:
            return timestamp_answer.refuse(
                Failure.TIME_NOT_AVAILABLE, "the clock can't be compared with the ledger's"
            )
        serial = secrets.randbits(_SERIAL_BITS) | 1 << _SERIAL_BITS
        return timestamp_answer.respond(query, signer, at=now, serial=serial, policy=self._policy)
