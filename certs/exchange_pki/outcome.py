"""The events of issuances and revocations, made once with their salt and kept in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from document_exchange import codes, event, times
from document_exchange.event import Event
from exchange_pki import prepare
from exchange_pki.journal import EventRecord, IssueIntent
from exchange_pki.register import Certified

CERTIFICATE_ISSUED = "CERTIFICATE_ISSUED"
CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"


@dataclass(frozen=True)
class Cause:
    """Who caused an act, as its event says. ``actor`` empty: the authority by itself.

    ``detail`` is added to the event's own, which it can't replace.
    """

    actor: str = ""
    address: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


BY_ITSELF = Cause()
"""What is done by the authority's own command line."""


def issued(
    intent: IssueIntent,
    fingerprint: str,
    not_after: datetime,
    trust_domain: str,
    at: datetime,
    cause: Cause,
) -> EventRecord:
    """The event of an issuance: on whose behalf, to whom, until when."""
    detail = {
        "identity": intent.identity,
        "profile": intent.profile,
        "serial": intent.serial,
        "not_after": times.format_time(not_after),
    }
    if intent.role is not None:
        detail["role"] = intent.role
    actor = cause.actor or prepare.authority_id(trust_domain, intent.issuer)
    return _record(CERTIFICATE_ISSUED, actor, fingerprint, detail, cause, at)


def revoked(
    certified: Certified, reason: str, trust_domain: str, at: datetime, cause: Cause
) -> EventRecord:
    """The event of a revocation."""
    detail = {
        "identity": certified.identity,
        "profile": certified.profile,
        "serial": certified.serial,
        "not_after": times.format_time(certified.certificate.not_valid_after_utc),
        "reason": reason,
    }
    if certified.role is not None:
        detail["role"] = certified.role
    actor = cause.actor or prepare.authority_id(trust_domain, certified.issuer)
    return _record(CERTIFICATE_REVOKED, actor, certified.fingerprint, detail, cause, at)


def _record(
    kind: str,
    actor: str,
    fingerprint: str,
    detail: Mapping[str, str],
    cause: Cause,
    at: datetime,
) -> EventRecord:
    happened = Event(
        schema=event.SCHEMA,
        event_id=codes.new_id(at),
        type=kind,
        at=times.format_time(at),
        actor=actor,
        address=cause.address,
        certificate_sha256=fingerprint,
        detail={**cause.detail, **detail},
    )
    return EventRecord(
        event_id=happened.event_id, salt=event.new_salt(), event=event.encode(happened)
    )
