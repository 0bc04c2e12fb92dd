"""The events of issuances and revocations, made once with their salt and kept in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from document_exchange import codes, event, times
from document_exchange.event import Event
from exchange_pki import prepare
from exchange_pki.journal import EventRecord, IssueIntent
from exchange_pki.register import Certified

CERTIFICATE_ISSUED = "CERTIFICATE_ISSUED"
CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"


def issued(
    intent: IssueIntent, fingerprint: str, not_after: datetime, trust_domain: str, at: datetime
) -> EventRecord:
    """The event of an issuance: by which authority, to whom, until when."""
    detail = {
        "identity": intent.identity,
        "profile": intent.profile,
        "serial": intent.serial,
        "not_after": times.format_time(not_after),
    }
    if intent.role is not None:
        detail["role"] = intent.role
    return _record(CERTIFICATE_ISSUED, intent.issuer, fingerprint, detail, trust_domain, at)


def revoked(certified: Certified, reason: str, trust_domain: str, at: datetime) -> EventRecord:
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
    return _record(
        CERTIFICATE_REVOKED, certified.issuer, certified.fingerprint, detail, trust_domain, at
    )


def _record(
    kind: str,
    authority: str,
    fingerprint: str,
    detail: Mapping[str, str],
    trust_domain: str,
    at: datetime,
) -> EventRecord:
    happened = Event(
        schema=event.SCHEMA,
        event_id=codes.new_id(at),
        type=kind,
        at=times.format_time(at),
        actor=prepare.authority_id(trust_domain, authority),
        certificate_sha256=fingerprint,
        detail=dict(detail),
    )
    return EventRecord(
        event_id=happened.event_id, salt=event.new_salt(), event=event.encode(happened)
    )
