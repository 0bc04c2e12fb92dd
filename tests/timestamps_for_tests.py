"""Time-stamping services for tests: certificates as they should be, and as they should not."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.x509 import ObjectIdentifier

from document_exchange import timestamp, timestamp_answer
from document_exchange.timestamp_answer import Answer
from tests.pki_for_tests import DAY, NOW, TIME_STAMPING, TRUST_DOMAIN, Holder, Pki, make_leaf

TSA_ID = f"spiffe://{TRUST_DOMAIN}/centre/tsa/tsa-1"
POLICY = ObjectIdentifier("2.25.314043831943295556770861917017317933526")
NONCE = 2**127 + 5
SERIAL = 2**128 + 7


def make_tsa(
    pki: Pki,
    identity: str = TSA_ID,
    *,
    issuer: Holder | None = None,
    purposes: Sequence[ObjectIdentifier] = TIME_STAMPING,
    critical: bool = True,
    **more: Any,
) -> Holder:
    """A time-stamping service's certificate, unless the arguments make it something else."""
    return make_leaf(
        identity,
        issuer=issuer or pki.seal_ca,
        purposes=(),
        further_extensions=[(x509.ExtendedKeyUsage(purposes), critical)],
        **more,
    )


def tsa_of_now(pki: Pki) -> Holder:
    """One that counts by the clock of this machine."""
    now = dt.datetime.now(dt.UTC)
    return make_tsa(pki, not_before=now - DAY, not_after=now + DAY)


def stamped(
    data: bytes, tsa: Holder, *, at: dt.datetime = NOW, nonce: int = NONCE, **changes: Any
) -> bytes:
    """The service's response to a question about these bytes."""
    query = timestamp.query(hashlib.sha256(data).digest(), nonce)
    return answered(query, tsa, at=at, **changes).der


def answered(query: bytes, tsa: Holder, *, at: dt.datetime = NOW, serial: int = SERIAL) -> Answer:
    return timestamp_answer.respond(query, tsa.signer, at=at, serial=serial, policy=POLICY)
