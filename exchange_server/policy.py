"""May this principal do this? The one place that answers; it raises with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from document_exchange.errors import (
    ManifestRefused,
    RecipientsRefused,
    SealRevoked,
    SenderMismatch,
)
from document_exchange.identity import Kind
from document_exchange.issuing import check_issuing
from document_exchange.manifest import Manifest
from exchange_runtime import allow_list, standing
from exchange_runtime.allow_list import OPERATOR, ROLES, SECURITY, Allowed
from exchange_runtime.clock import Clock
from exchange_runtime.standing import Standing
from exchange_runtime.values import Principal
from exchange_server.registry import Registry, RegistryFollower, Unit

_ADMIN = "/document_exchange.v1.AdminService/"
_EXCHANGE = "/document_exchange.v1.ExchangeService/"
_CORRESPONDENCE = "/document_exchange.v1.CorrespondenceService/"
_EVIDENCE = "/document_exchange.v1.EvidenceService/"
_DIRECTORY = "/document_exchange.v1.DirectoryService/"
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"


_UNITS = Allowed(frozenset({Kind.SYSTEM}))
_HOLDERS = Allowed(frozenset({Kind.SYSTEM}), ROLES)
_EVERYBODY = Allowed(frozenset({Kind.SYSTEM, Kind.CENTRE_SERVER}), ROLES)
_STAFF = Allowed(roles=ROLES)

ALLOWED: Mapping[str, Allowed] = {
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
    _CORRESPONDENCE + "GetThread": _UNITS,
    _CORRESPONDENCE + "GetCirculation": _UNITS,
    _EVIDENCE + "GetEvidence": _UNITS,
    _DIRECTORY + "ListUnits": _EVERYBODY,
    _DIRECTORY + "GetUnit": _EVERYBODY,
    _DIRECTORY + "ListGroups": _EVERYBODY,
    _DIRECTORY + "WhoAmI": _EVERYBODY,
    _DIRECTORY + "CheckRoute": _HOLDERS,
    _DIRECTORY + "ListOwnCertificates": _HOLDERS,
    _DIRECTORY + "WatchOwnCertificates": _HOLDERS,
    _ADMIN + "ListEntries": _STAFF,
    _ADMIN + "ListProposals": _STAFF,
    _ADMIN + "GetProposal": _STAFF,
    _ADMIN + "ApplyChanges": Allowed(roles=frozenset({OPERATOR, SECURITY})),
    _ADMIN + "DecideProposal": Allowed(roles=frozenset({SECURITY})),
    _HEALTH + "Check": _EVERYBODY,
    _HEALTH + "Watch": _EVERYBODY,
    _REFLECTION + "ServerReflectionInfo": _EVERYBODY,
}
"""Who may call which method. What is not listed is denied."""

WATCHES = frozenset(
    {
        _EXCHANGE + "WatchDeliveries",
        _EXCHANGE + "WatchSubmissions",
        _DIRECTORY + "WatchOwnCertificates",
        _HEALTH + "Watch",
    }
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
        """Raise NotPermitted unless ``ALLOWED`` has the method for this caller.

        Raises:
            Unavailable: the registry can't be followed, so nobody is admitted.
        """
        known = self.registry.current().certificates.get(principal.fingerprint)
        allow_list.check(ALLOWED, principal, method, known.role if known is not None else "")

    def still_admitted(self, principal: Principal) -> None:
        """See ``admit``.

        Raises:
            Unavailable: the registry can't be followed, so nobody is admitted.
        """
        admit(self.registry.current(), principal, self.clock())

    def is_waited_for(self, method: str) -> bool:
        """Whether a server that shuts down waits for the calls of this method."""
        return method not in NOT_WAITED_FOR


def admit(registry: Registry, principal: Principal, now: datetime) -> None:
    """Whether the holder of this certificate may call at all; see ``exchange_runtime.standing``.

    Raises:
        CertificateNotAdmitted, CertificateExpired, CertificateRevoked, UnitNotActive,
        SystemNotActive, StaffNotActive
    """
    unit = registry.units.get(principal.unit)
    system = registry.systems.get((principal.unit, principal.identity.name))
    found = Standing(
        certificate=registry.certificates.get(principal.fingerprint),
        unit_status=unit.status if unit else None,
        system_status=system.status if system else None,
        staff=registry.staff.get(principal.identity.name),
    )
    standing.admit(principal, found, now)


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


def check_submission(registry: Registry, principal: Principal, manifest: Manifest) -> None:
    """Whether the sender may send this document to every one of its recipients.

    Raises:
        ManifestRefused: the line of business is not in the registry, an issuer not or not active.
        NotPermitted: the sender is no issuer and does not act for the lead issuer.
        RecipientsRefused: names each recipient that can't receive it, and why: the rule that
            denies it, or its successor where it is closed. A recipient that is suspended does not
            refuse the document: its delivery waits.
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
            raise _issuer_refused(issuer, known.status.lower() if known else "not in the registry")
    sender = registry.units[principal.unit]
    check_issuing(principal.unit, document.issuers, sender.acts_for)
    kind = (document.business, document.genre.value, document.direction.value)
    faults = {
        recipient.unit: fault
        for recipient in manifest.recipients
        if (fault := _recipient_fault(registry, sender, recipient.unit, *kind))
    }
    if faults:
        raise _recipients_refused(faults)


def address_fault(registry: Registry, unit_id: str) -> str:
    """Why nothing can be addressed to this unit; empty if something can."""
    unit = registry.units.get(unit_id)
    if unit is None:
        return "there is no such unit"
    if unit.status == "CLOSED":
        successor = f"; write to its successor {unit.successor}" if unit.successor else ""
        return f"the unit is closed{successor}"
    return ""


def _recipient_fault(
    registry: Registry, sender: Unit, recipient: str, business: str, genre: str, direction: str
) -> str:
    if fault := address_fault(registry, recipient):
        return fault
    decision = registry.route_table.decide(
        sender.party, registry.units[recipient].party, business, genre, direction
    )
    return "" if decision.allowed else decision.reason


def _issuer_refused(issuer: str, why: str) -> ManifestRefused:
    return ManifestRefused(f"issuer {issuer!r} is {why}", field="document.issuers", value=issuer)


def _recipients_refused(faults: Mapping[str, str]) -> RecipientsRefused:
    named = "; ".join(f"{unit}: {fault}" for unit, fault in list(faults.items())[:10])
    more = f" and {len(faults) - 10} more" if len(faults) > 10 else ""
    return RecipientsRefused(f"{len(faults)} recipient(s) refused: {named}{more}", **faults)
