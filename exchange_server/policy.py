"""May this principal do this? The one place that answers; it raises with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    ManifestRefused,
    NotPermitted,
    RecipientsRefused,
    SealRevoked,
    SenderMismatch,
    UnitNotActive,
)
from document_exchange.identity import Kind
from document_exchange.manifest import Manifest
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server.registry import Registry, RegistryFollower

_EXCHANGE = "/document_exchange.v1.ExchangeService/"
_DIRECTORY = "/document_exchange.v1.DirectoryService/"
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

_UNITS = frozenset({Kind.SYSTEM})
_EVERYBODY = frozenset({Kind.SYSTEM, Kind.STAFF, Kind.CENTRE_SERVER})

ALLOWED: Mapping[str, frozenset[Kind]] = {
    _EXCHANGE + "Submit": _UNITS,
    _EXCHANGE + "ListDeliveries": _UNITS,
    _EXCHANGE + "WatchDeliveries": _UNITS,
    _EXCHANGE + "GetEnvelope": _UNITS,
    _EXCHANGE + "DownloadPart": _UNITS,
    _EXCHANGE + "ConfirmDelivery": _UNITS,
    _EXCHANGE + "RecordReceipt": _UNITS,
    _EXCHANGE + "ConfirmSeen": _UNITS,
    _EXCHANGE + "TrackEnvelope": _UNITS,
    _EXCHANGE + "ListSubmissions": _UNITS,
    _EXCHANGE + "WatchSubmissions": _UNITS,
    _DIRECTORY + "ListUnits": _EVERYBODY,
    _DIRECTORY + "GetUnit": _EVERYBODY,
    _HEALTH + "Check": _EVERYBODY,
    _HEALTH + "Watch": _EVERYBODY,
    _REFLECTION + "ServerReflectionInfo": _EVERYBODY,
}
"""Which kinds of certificate may call which method. What is not listed is denied."""

WATCHES = frozenset(
    {_EXCHANGE + "WatchDeliveries", _EXCHANGE + "WatchSubmissions", _HEALTH + "Watch"}
)
"""The methods whose calls stay open without end."""

NOT_WAITED_FOR = frozenset(
    {_HEALTH + "Check", _HEALTH + "Watch", _REFLECTION + "ServerReflectionInfo"}
)
"""The methods that go on while a server shuts down, and are cut off at its end."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the interceptor asks: the rules below over the registry as it is followed."""

    registry: RegistryFollower
    clock: Clock

    def may_call(self, principal: Principal, method: str) -> None:
        """See ``may_call``."""
        may_call(principal, method)

    def still_admitted(self, principal: Principal) -> None:
        """See ``admit``.

        Raises:
            Unavailable: the registry can't be followed, so nobody is admitted.
        """
        admit(self.registry.current(), principal, self.clock())

    def is_waited_for(self, method: str) -> bool:
        """Whether a server that shuts down waits for the calls of this method."""
        return method not in NOT_WAITED_FOR


def may_call(principal: Principal, method: str) -> None:
    """Raise NotPermitted unless ``method`` is on the allow-list for the caller's kind."""
    if principal.identity.kind not in ALLOWED.get(method, frozenset()):
        raise NotPermitted(
            f"a {principal.identity.kind.value} certificate may not call {method}", method=method
        )


def admit(registry: Registry, principal: Principal, now: datetime) -> None:
    """The certificate alone decides who may call: issued, known here, valid, not revoked.

    Raises:
        CertificateNotAdmitted, CertificateExpired, CertificateRevoked, UnitNotActive
    """
    known = registry.certificates.get(principal.fingerprint)
    if known is None or known.identity != str(principal.identity):
        raise CertificateNotAdmitted(identity=str(principal.identity))
    if known.revoked:
        raise CertificateRevoked(identity=known.identity)
    if not principal.not_before <= now < principal.not_after:
        raise CertificateExpired(
            f"the certificate is valid from {principal.not_before:%Y-%m-%d %H:%M:%S} to "
            f"{principal.not_after:%Y-%m-%d %H:%M:%S} UTC; renew it",
            identity=known.identity,
        )
    unit = principal.identity.unit
    if unit is not None:
        record = registry.units.get(unit)
        if record is None or record.status != "ACTIVE":
            raise UnitNotActive(
                f"unit {unit} is {record.status.lower() if record else 'not registered'}", unit=unit
            )


def check_seal(registry: Registry, fingerprint: bytes, unit: str) -> None:
    """A seal counts only while the authority's registry has it unrevoked.

    Raises:
        SealRevoked: it was revoked, or the registry does not know it.
    """
    known = registry.certificates.get(fingerprint)
    if known is None:
        raise SealRevoked(f"the seal of {unit} is not in the registry of certificates", unit=unit)
    if known.revoked:
        raise SealRevoked(f"the seal of {unit} has been revoked", unit=unit)


def check_sender(principal: Principal, manifest: Manifest) -> None:
    """The sender is who calls, down to the system.

    Raises:
        SenderMismatch
    """
    if (manifest.sender, manifest.sender_system) != (principal.unit, principal.identity.name):
        raise SenderMismatch(
            f"the manifest names {manifest.sender}/{manifest.sender_system} as its sender, "
            f"the certificate {principal.unit}/{principal.identity.name}",
            field="sender",
        )


def check_submission(registry: Registry, principal: Principal, manifest: Manifest) -> str:
    """Whether the sender may send this document to every one of its recipients.

    Returns the lead issuer if the sender acts for it, else an empty string.

    Raises:
        ManifestRefused: the line of business is not in the registry, an issuer not or not active.
        NotPermitted: the sender is no issuer and does not act for the lead issuer.
        RecipientsRefused: names each recipient that can't receive it, and why. A recipient that
            is suspended does not refuse the document: its delivery waits.
    """
    document = manifest.document
    if document.business not in registry.businesses:
        raise ManifestRefused(
            f"business {document.business!r} is not in the registry",
            field="document.business",
            value=document.business,
        )
    for issuer in document.issuers:
        known = registry.units.get(issuer)
        if known is None or known.status != "ACTIVE":
            raise issuer_refused(issuer, known.status.lower() if known else "not in the registry")
    acts_for = ""
    if principal.unit not in document.issuers:
        acts_for = document.issuers[0]
        if acts_for not in registry.units[principal.unit].acts_for:
            raise NotPermitted(
                f"{principal.unit} is no issuer of this document and does not act for {acts_for}",
                field="document.issuers",
            )
    faults: dict[str, str] = {}
    for recipient in manifest.recipients:
        unit = registry.units.get(recipient.unit)
        if unit is None:
            faults[recipient.unit] = "there is no such unit"
        elif unit.status == "CLOSED":
            faults[recipient.unit] = "the unit is closed"
    if faults:
        raise recipients_refused(faults)
    return acts_for


def issuer_refused(issuer: str, why: str) -> ManifestRefused:
    """The error for a document in the name of a unit that can't issue any."""
    return ManifestRefused(f"issuer {issuer!r} is {why}", field="document.issuers", value=issuer)


def recipients_refused(faults: Mapping[str, str]) -> RecipientsRefused:
    """The error that names each recipient and its fault."""
    named = "; ".join(f"{unit}: {fault}" for unit, fault in list(faults.items())[:10])
    more = f" and {len(faults) - 10} more" if len(faults) > 10 else ""
    return RecipientsRefused(f"{len(faults)} recipient(s) refused: {named}{more}", **faults)
