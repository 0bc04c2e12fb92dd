"""The client's side of the document exchange: SDK, command line and test centre.

Names are loaded when they are first used, so that the command line starts fast; the errors,
which cost nothing, at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    ConfigurationError,
    DeadlinePassed,
    EnvelopeConflict,
    EnvelopeIdOutOfRange,
    ExchangeError,
    InternalError,
    InvalidRequest,
    KeyUnusable,
    LimitExceeded,
    ManifestRefused,
    ManifestTooLarge,
    NotCanonical,
    NotFound,
    NotPermitted,
    PartDigestMismatch,
    PartOutOfOrder,
    PartRefused,
    PartSizeMismatch,
    ReceiptRefused,
    RecipientsRefused,
    Refused,
    SealExpired,
    SealNotTrusted,
    SealOfAnotherUnit,
    SealRevoked,
    SecrecyRefused,
    SenderMismatch,
    ShuttingDown,
    SignatureInvalid,
    SignatureMissing,
    SignatureRefused,
    StateConflict,
    TooManyCalls,
    Unauthenticated,
    Unavailable,
    UnitNotActive,
    UnknownCriticalExtension,
    VerificationFailed,
)

if TYPE_CHECKING:
    from document_exchange.manifest import Recipient, RecipientKind
    from document_exchange.receipt import ReasonCode, ReceiptType, State
    from exchange_client.blocking_client import Client, Delivery
    from exchange_client.client import AsyncClient
    from exchange_client.delivery import AsyncDelivery
    from exchange_client.evidence import Envelope, Statement
    from exchange_client.model import DeliveryStatus, DeliverySummary, SubmissionSummary, Unit
    from exchange_client.parts import PartSource
    from exchange_client.profile import Profile
    from exchange_client.receive import Contents
    from exchange_client.store import ReceivedDocument, ReceivedPart
    from exchange_client.submit import Submission
    from exchange_client.timing import Timing
    from exchange_client.tracking import TrackedDelivery, Tracking

__all__ = [
    "AsyncClient",
    "AsyncDelivery",
    "CertificateExpired",
    "CertificateNotAdmitted",
    "CertificateRevoked",
    "Client",
    "ConfigurationError",
    "Contents",
    "DeadlinePassed",
    "Delivery",
    "DeliveryStatus",
    "DeliverySummary",
    "Envelope",
    "EnvelopeConflict",
    "EnvelopeIdOutOfRange",
    "ExchangeError",
    "InternalError",
    "InvalidRequest",
    "KeyUnusable",
    "LimitExceeded",
    "ManifestRefused",
    "ManifestTooLarge",
    "NotCanonical",
    "NotFound",
    "NotPermitted",
    "PartDigestMismatch",
    "PartOutOfOrder",
    "PartRefused",
    "PartSizeMismatch",
    "PartSource",
    "Profile",
    "ReasonCode",
    "ReceiptRefused",
    "ReceiptType",
    "ReceivedDocument",
    "ReceivedPart",
    "Recipient",
    "RecipientKind",
    "RecipientsRefused",
    "Refused",
    "SealExpired",
    "SealNotTrusted",
    "SealOfAnotherUnit",
    "SealRevoked",
    "SecrecyRefused",
    "SenderMismatch",
    "ShuttingDown",
    "SignatureInvalid",
    "SignatureMissing",
    "SignatureRefused",
    "State",
    "StateConflict",
    "Statement",
    "Submission",
    "SubmissionSummary",
    "Timing",
    "TooManyCalls",
    "TrackedDelivery",
    "Tracking",
    "Unauthenticated",
    "Unavailable",
    "Unit",
    "UnitNotActive",
    "UnknownCriticalExtension",
    "VerificationFailed",
]

_HOMES = {
    "AsyncClient": "exchange_client.client",
    "AsyncDelivery": "exchange_client.delivery",
    "Client": "exchange_client.blocking_client",
    "Contents": "exchange_client.receive",
    "Delivery": "exchange_client.blocking_client",
    "DeliveryStatus": "exchange_client.model",
    "DeliverySummary": "exchange_client.model",
    "Envelope": "exchange_client.evidence",
    "PartSource": "exchange_client.parts",
    "Profile": "exchange_client.profile",
    "ReasonCode": "document_exchange.receipt",
    "ReceiptType": "document_exchange.receipt",
    "ReceivedDocument": "exchange_client.store",
    "ReceivedPart": "exchange_client.store",
    "Recipient": "document_exchange.manifest",
    "RecipientKind": "document_exchange.manifest",
    "State": "document_exchange.receipt",
    "Statement": "exchange_client.evidence",
    "Submission": "exchange_client.submit",
    "SubmissionSummary": "exchange_client.model",
    "Timing": "exchange_client.timing",
    "TrackedDelivery": "exchange_client.tracking",
    "Tracking": "exchange_client.tracking",
    "Unit": "exchange_client.model",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
