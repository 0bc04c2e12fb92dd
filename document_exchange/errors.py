"""Every error that crosses the wire or leaves the SDK, as one tree with stable codes.

    ExchangeError
    ├── ConfigurationError              the caller's own set-up: profile, file, key
    │   └── KeyUnusable                   a private key can't be read or opened
    ├── Unauthenticated                 the certificate does not open the door
    │   ├── CertificateNotAdmitted        not in the registry of certificates
    │   ├── CertificateExpired
    │   ├── CertificateRevoked
    │   ├── UnitNotActive                 the unit is suspended or closed
    │   ├── SystemNotActive               the system of the unit is
    │   └── StaffNotActive                the member of staff is, or has another role now
    ├── NotPermitted                    authenticated, but this may not be done
    │   ├── SenderMismatch                the manifest names another sender than the caller
    │   ├── RoleConflict                  nobody holds two roles
    │   └── SecondPersonNeeded            who proposed something may not approve it
    ├── NotFound                        does not exist, or is not the caller's to see
    ├── InvalidRequest                  a field of the request itself is wrong
    ├── LimitExceeded                   too large for what was asked; it stays so
    ├── Refused                         understood, and not accepted; trying again does not help
    │   ├── ManifestRefused               the manifest's bytes or fields
    │   │   ├── NotCanonical                other bytes than RFC 8785 gives
    │   │   ├── ManifestTooLarge
    │   │   ├── UnknownCriticalExtension
    │   │   └── EnvelopeIdOutOfRange        the time inside envelope_id is too old or ahead
    │   ├── SecrecyRefused                this is not a classified network
    │   ├── SignatureRefused              a signature, or the seal that made it
    │   │   ├── SignatureMissing
    │   │   ├── SignatureInvalid            these bytes were not signed so
    │   │   ├── SealNotTrusted              chain, issuing CA or purpose
    │   │   ├── SealExpired
    │   │   ├── SealRevoked
    │   │   ├── SealOfAnotherUnit
    │   │   └── RevocationListNotInForce    the list that should clear the seal does not count then
    │   ├── TimestampRefused              a time-stamp token, or the service that made it
    │   ├── TokenRefused                  an enrolment token that is of no use
    │   │   ├── TokenUnknown                never issued, or withdrawn
    │   │   ├── TokenExpired
    │   │   ├── TokenUsed                   it belongs to another pair of keys
    │   │   └── TokenOfAnotherUnit
    │   ├── RequestRefused                a signing request: its form, key or signature
    │   │   ├── IdentityMismatch            it asks for another identity than its holder's
    │   │   └── KeyReused                   the key was certified for something else, or is lost
    │   ├── RecipientsRefused             names each recipient and why
    │   ├── PartRefused                   the bytes of a part are not as the manifest says
    │   │   ├── PartDigestMismatch
    │   │   ├── PartSizeMismatch            too few or too many bytes
    │   │   └── PartOutOfOrder              repeated, unknown or out of the manifest's order
    │   ├── EnvelopeConflict              envelope_id or doc_id was used for something else
    │   ├── ReceiptRefused                the receipt's bytes or fields
    │   ├── EvidenceRefused               a bundle of evidence: its files or its index
    │   ├── EntriesChanged                the registry is not what the changes were decided upon
    │   └── StateConflict                 the state does not allow it; carries what won
    ├── VerificationFailed              what the other side sent does not verify (client side)
    ├── Unavailable                     try again later; nothing is known to be wrong
    │   ├── ShuttingDown
    │   ├── StatusUnknown                 the server can't tell who was revoked, and admits nobody
    │   ├── TooManyCalls                  the caller has its share of calls open
    │   ├── QuotaExceeded                 the unit has used what it may; says when to come again
    │   └── DeadlinePassed
    └── InternalError                   a fault of ours; the log has it under the same time

Each class has a stable ``code`` (for programs), a gRPC status name, an exit code for the CLI and
says whether the same call may be tried again. The docstring of a class is its default message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ExchangeError(Exception):
    """The exchange failed."""

    code: ClassVar[str] = "EXCHANGE_ERROR"
    grpc_status: ClassVar[str] = "UNKNOWN"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, /, **attributes: str) -> None:
        """``attributes`` say which value was wrong: ``field=…, value=…, unit=…``; strings only."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.attributes: Mapping[str, str] = attributes
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class ConfigurationError(ExchangeError):
    """The configuration is wrong."""

    code = "CONFIGURATION"
    grpc_status = "FAILED_PRECONDITION"
    exit_code = 3


class KeyUnusable(ConfigurationError):
    """The private key can't be read."""

    code = "KEY_UNUSABLE"


class Unauthenticated(ExchangeError):
    """The certificate does not admit its holder."""

    code = "UNAUTHENTICATED"
    grpc_status = "UNAUTHENTICATED"
    exit_code = 3


class CertificateNotAdmitted(Unauthenticated):
    """The certificate is not in the centre's registry of certificates."""

    code = "CERTIFICATE_NOT_ADMITTED"


class CertificateExpired(Unauthenticated):
    """The certificate has expired or is not valid yet."""

    code = "CERTIFICATE_EXPIRED"


class CertificateRevoked(Unauthenticated):
    """The certificate has been revoked."""

    code = "CERTIFICATE_REVOKED"


class UnitNotActive(Unauthenticated):
    """The unit is suspended or closed."""

    code = "UNIT_NOT_ACTIVE"


class SystemNotActive(Unauthenticated):
    """The system is suspended or closed."""

    code = "SYSTEM_NOT_ACTIVE"


class StaffNotActive(Unauthenticated):
    """This member of staff is not registered, suspended or closed, or has another role now."""

    code = "STAFF_NOT_ACTIVE"


class NotPermitted(ExchangeError):
    """The caller may not do this."""

    code = "NOT_PERMITTED"
    grpc_status = "PERMISSION_DENIED"
    exit_code = 4


class SenderMismatch(NotPermitted):
    """The manifest names another sender than the caller."""

    code = "SENDER_MISMATCH"


class RoleConflict(NotPermitted):
    """This person holds another role; nobody holds two."""

    code = "ROLE_CONFLICT"


class SecondPersonNeeded(NotPermitted):
    """Another person than the one who proposed this must decide about it."""

    code = "SECOND_PERSON_NEEDED"


class NotFound(ExchangeError):
    """There is no such thing that the caller may see."""

    code = "NOT_FOUND"
    grpc_status = "NOT_FOUND"
    exit_code = 6


class InvalidRequest(ExchangeError):
    """The request is malformed."""

    code = "INVALID_REQUEST"
    grpc_status = "INVALID_ARGUMENT"
    exit_code = 2


class LimitExceeded(ExchangeError):
    """A fixed limit was passed; the same call will pass it again."""

    # What is short only for the moment is Unavailable; limits of the manifest are ManifestRefused.
    code = "LIMIT_EXCEEDED"
    grpc_status = "RESOURCE_EXHAUSTED"
    exit_code = 6


class Refused(ExchangeError):
    """The centre refused it; the same call will be refused again."""

    code = "REFUSED"
    grpc_status = "FAILED_PRECONDITION"
    exit_code = 6


class ManifestRefused(Refused):
    """The manifest is not acceptable."""

    code = "MANIFEST_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class NotCanonical(ManifestRefused):
    """The bytes are not canonical JSON (RFC 8785)."""

    code = "NOT_CANONICAL"


class ManifestTooLarge(ManifestRefused):
    """The manifest is larger than 1 MiB."""

    code = "MANIFEST_TOO_LARGE"


class UnknownCriticalExtension(ManifestRefused):
    """The manifest carries a critical extension that is not known here."""

    code = "UNKNOWN_CRITICAL_EXTENSION"


class EnvelopeIdOutOfRange(ManifestRefused):
    """The time inside envelope_id is too old or in the future."""

    code = "ENVELOPE_ID_OUT_OF_RANGE"


class SecrecyRefused(Refused):
    """Only documents of secrecy NONE may pass: this is not a classified network."""

    code = "SECRECY_REFUSED"


class SignatureRefused(Refused):
    """The signature is not acceptable."""

    code = "SIGNATURE_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class SignatureMissing(SignatureRefused):
    """A required signature is missing."""

    code = "SIGNATURE_MISSING"


class SignatureInvalid(SignatureRefused):
    """The signature does not verify over these bytes."""

    code = "SIGNATURE_INVALID"


class SealNotTrusted(SignatureRefused):
    """The signing certificate is not a seal under the root."""

    code = "SEAL_NOT_TRUSTED"


class SealExpired(SignatureRefused):
    """The seal was not valid at that time."""

    code = "SEAL_EXPIRED"


class SealRevoked(SignatureRefused):
    """The seal has been revoked."""

    code = "SEAL_REVOKED"


class SealOfAnotherUnit(SignatureRefused):
    """The seal belongs to a unit that has no part in this statement."""

    code = "SEAL_OF_ANOTHER_UNIT"


class RevocationListNotInForce(SignatureRefused):
    """The revocation list was not in force at that time, so it clears nobody."""

    code = "REVOCATION_LIST_NOT_IN_FORCE"


class TimestampRefused(Refused):
    """The time-stamp is not acceptable."""

    code = "TIMESTAMP_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class TokenRefused(Refused):
    """The enrolment token is of no use."""

    code = "TOKEN_REFUSED"
    grpc_status = "PERMISSION_DENIED"


class TokenUnknown(TokenRefused):
    """This enrolment token was never issued, or was withdrawn; ask the operator for a new one."""

    code = "TOKEN_UNKNOWN"


class TokenExpired(TokenRefused):
    """The time of this enrolment token is over; ask the operator for a new one."""

    code = "TOKEN_EXPIRED"


class TokenUsed(TokenRefused):
    """This enrolment token was used with another pair of keys; ask the operator for a new one."""

    code = "TOKEN_USED"


class TokenOfAnotherUnit(TokenRefused):
    """This enrolment token was issued for another unit."""

    code = "TOKEN_OF_ANOTHER_UNIT"


class RequestRefused(Refused):
    """The signing request is not acceptable."""

    code = "REQUEST_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class IdentityMismatch(RequestRefused):
    """The signing request asks for another identity than the one that its holder has."""

    code = "IDENTITY_MISMATCH"


class KeyReused(RequestRefused):
    """This key can't be certified: it serves something else, or was revoked as compromised."""

    code = "KEY_REUSED"


class RecipientsRefused(Refused):
    """Some recipients can't receive this document.

    ``attributes`` map each refused unit_id to the reason.
    """

    code = "RECIPIENTS_REFUSED"


class PartRefused(Refused):
    """The bytes of a part are not as the manifest says."""

    code = "PART_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class PartDigestMismatch(PartRefused):
    """The SHA-256 of a part differs from the manifest's."""

    code = "PART_DIGEST_MISMATCH"


class PartSizeMismatch(PartRefused):
    """A part has too few or too many bytes."""

    code = "PART_SIZE_MISMATCH"


class PartOutOfOrder(PartRefused):
    """Parts must come once each, in the manifest's order."""

    code = "PART_OUT_OF_ORDER"


class EnvelopeConflict(Refused):
    """This identifier was already used for another document."""

    code = "ENVELOPE_CONFLICT"
    grpc_status = "ALREADY_EXISTS"


class ReceiptRefused(Refused):
    """The receipt is not acceptable."""

    code = "RECEIPT_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class EvidenceRefused(Refused):
    """The bundle of evidence is not acceptable."""

    code = "EVIDENCE_REFUSED"
    grpc_status = "INVALID_ARGUMENT"


class EntriesChanged(Refused):
    """The registry has changed since you looked at it: look again, and decide again."""

    code = "ENTRIES_CHANGED"


class StateConflict(Refused):
    """The delivery's state does not allow this step.

    ``winning`` holds what was recorded instead, where the caller may see it:
    (receipt, receipt signature, admission, admission signature), the last two empty for
    statements of the centre itself. It is None where it is too large for an error; then the
    envelope's tracking shows it.
    """

    code = "STATE_CONFLICT"

    def __init__(
        self,
        message: str | None = None,
        /,
        winning: tuple[bytes, bytes, bytes, bytes] | None = None,
        **attributes: str,
    ) -> None:
        super().__init__(message, **attributes)
        self.winning = winning


class VerificationFailed(ExchangeError):
    """What was received does not verify; do not use it."""

    code = "VERIFICATION_FAILED"
    grpc_status = "DATA_LOSS"
    exit_code = 6


class Unavailable(ExchangeError):
    """The centre can't answer now; try again later."""

    code = "UNAVAILABLE"
    grpc_status = "UNAVAILABLE"
    exit_code = 5
    retryable = True


class ShuttingDown(Unavailable):
    """This server is shutting down; try again."""

    code = "SHUTTING_DOWN"


class StatusUnknown(Unavailable):
    """The status of certificates can't be followed at the moment, so nobody is admitted."""

    code = "STATUS_UNKNOWN"


class TooManyCalls(Unavailable):
    """The caller has as many calls open as it may; try again when some have ended."""

    code = "TOO_MANY_CALLS"
    grpc_status = "RESOURCE_EXHAUSTED"


class QuotaExceeded(Unavailable):
    """The unit has used what it may of this for now.

    ``retry_after_s`` says after how many seconds there is something again; it crosses the wire as
    google.rpc.RetryInfo.
    """

    code = "QUOTA_EXCEEDED"
    grpc_status = "RESOURCE_EXHAUSTED"

    def __init__(
        self, message: str | None = None, /, retry_after_s: float = 1.0, **attributes: str
    ) -> None:
        super().__init__(message, **attributes)
        self.retry_after_s = retry_after_s


class DeadlinePassed(Unavailable):
    """The call did not finish within its deadline; its outcome is unknown."""

    code = "DEADLINE_PASSED"
    grpc_status = "DEADLINE_EXCEEDED"


class InternalError(ExchangeError):
    """The centre failed in a way that is its own fault."""

    code = "INTERNAL"
    grpc_status = "INTERNAL"
    exit_code = 5
    retryable = True


def _leaves(cls: type[ExchangeError]) -> list[type[ExchangeError]]:
    found = [cls]
    for child in cls.__subclasses__():
        found.extend(_leaves(child))
    return found


BY_CODE: Mapping[str, type[ExchangeError]] = {cls.code: cls for cls in _leaves(ExchangeError)}
"""Each class by its stable code."""
