"""What a person should hear of while a client is open, and that no call would ever say."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

from document_exchange.errors import ExchangeError
from exchange_client.authority_model import CertificateRecord

_LOG = logging.getLogger("exchange_client.alerts")


class AlertKind(enum.StrEnum):
    """What happened."""

    RENEWAL_FAILED = "RENEWAL_FAILED"
    """A certificate could not be renewed; it is tried again, and everything goes on meanwhile."""
    CERTIFICATE_UNKNOWN = "CERTIFICATE_UNKNOWN"
    """A certificate was issued to the own unit that this profile did not ask for."""
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    """A certificate of the own unit was revoked."""
    WATCH_ENDED = "WATCH_ENDED"
    """The own unit's certificates are no longer watched, and trying again can't mend it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to hear of."""

    kind: AlertKind
    message: str
    certificate: CertificateRecord | None = None
    """The certificate that was issued or revoked."""
    error: ExchangeError | None = None
    """Why a renewal failed."""


AlertHook = Callable[[Alert], None]
"""Called in the event loop of the client; must not block."""


def sound(hook: AlertHook | None, alert: Alert) -> None:
    """Log an alert as a warning, and hand it to the program's hook, whose faults stay its own."""
    _LOG.warning("%s: %s", alert.kind.value, alert.message)
    if hook is None:
        return
    try:
        hook(alert)
    except Exception:
        _LOG.exception("the hook for alerts failed")
