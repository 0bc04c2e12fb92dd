"""The security procedure: was it signed by those who had to sign it, and at the right time?

In all of it the root of ``trust`` comes from outside, never with what is verified. ``verify_seals``
and ``verify_receipt`` serve both sides and raise the refusal itself, so that the server can answer
with it. The other functions are for whoever received something from the centre: whatever fails
there raises VerificationFailed, with the ``step`` that failed (``envelope.3`` is step 3 of
``verify_envelope``) and the ``code`` of the refusal among its attributes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from document_exchange import event as events
from document_exchange import manifest as manifests
from document_exchange import receipt as receipts
from document_exchange import refusal, signature, times, transitions
from document_exchange.certificates import CrlPair
from document_exchange.errors import (
    ExchangeError,
    ReceiptRefused,
    SealOfAnotherUnit,
    SignatureMissing,
    SignatureRefused,
    VerificationFailed,
)
from document_exchange.event import Event
from document_exchange.identity import Identity, Kind
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import (
    MAX_SIGNATURES,
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    Admission,
    Receipt,
    ReceiptType,
)


class Seals(Protocol):
    """Who knows a seal: a ``SealTrust``, or what chooses one by certificate and moment."""

    def check(
        self, certificate: x509.Certificate, *, at: dt.datetime, crls: CrlPair | None
    ) -> Identity:
        """Whose seal it is, if it was one at ``at``; see ``SealTrust.check``."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """Exact bytes, and the detached signature over them."""

    content: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedEnvelope:
    """What ``verify_envelope`` found: the document, its acceptance, and whose seals it bears."""

    manifest: Manifest
    accepted: Receipt
    accepted_at: dt.datetime
    sealed_by: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What ``verify_recorded`` found. ``admission`` is None for the centre's own receipts."""

    receipt: Receipt
    admission: Admission | None
    recorded_at: dt.datetime


def verify_seals(
    manifest: Manifest,
    content: bytes,
    signatures: Sequence[bytes],
    trust: Seals,
    *,
    at: dt.datetime,
    crls: CrlPair | None,
) -> tuple[tuple[Identity, x509.Certificate], ...]:
    """Every issuer has sealed the manifest, and nobody who has no part in it.

    1. to 4. Those of ``verify_seals_so_far``.
    5. Every issuer's is there.

    What the caller must still do: have decoded ``manifest`` from these very bytes; decide whether
    the sender may act for the issuers; and with ``crls=None``, know that no seal is revoked.

    Args:
        at: the moment that counts: now when accepting, the acceptance for all who come later.

    Returns:
        Identity and certificate of each seal, in the order of ``signatures``.

    Raises:
        SignatureRefused and its kinds: steps 1 to 4.
        SignatureMissing: step 5; ``unit`` is the first issuer without a seal.
    """
    # 1. to 4. Each seal that is there.
    seals = verify_seals_so_far(manifest, content, signatures, trust, at=at, crls=crls)
    # 5. None is missing.
    sealed_by = {whose.unit for whose, _ in seals}
    for unit in manifest.document.issuers:
        if unit not in sealed_by:
            raise SignatureMissing(f"the seal of the issuer {unit} is missing", unit=unit)
    return seals


def verify_seals_so_far(
    manifest: Manifest,
    content: bytes,
    signatures: Sequence[bytes],
    trust: Seals,
    *,
    at: dt.datetime,
    crls: CrlPair | None,
) -> tuple[tuple[Identity, x509.Certificate], ...]:
    """Nobody has sealed the manifest who has no part in it; issuers' seals may yet be missing.

    1. There are at most 32 signatures.
    2. Each is a signature over exactly ``content``, by a certificate that was a seal at ``at``.
    3. Each seal is of an issuer or of the sender, and no two are of one unit.
    4. All seals are of one trust domain.

    Arguments, result and what the caller must still do: as ``verify_seals``.

    Raises:
        SignatureInvalid, SealNotTrusted, SealExpired, SealRevoked: step 2; ``signature`` is the
            index of the signature, counted from 0.
        SealOfAnotherUnit: step 3; ``unit`` and ``signature`` say which.
        SignatureRefused: steps 1 and 4, or two seals of one unit.
    """
    # 1. Bounded before any is looked at.
    if len(signatures) > MAX_SIGNATURES:
        raise SignatureRefused(
            f"there are {len(signatures)} signatures; at most {MAX_SIGNATURES} are accepted"
        )
    parties = {*manifest.document.issuers, manifest.sender}
    seals: dict[str, tuple[Identity, x509.Certificate]] = {}
    for index, each in enumerate(signatures):
        # 2. The signature, and the seal that made it.
        with _naming_signature(index):
            certificate = signature.verify(content, each)
            whose = trust.check(certificate, at=at, crls=crls)
        # 3. Whose seal it is.
        if whose.unit is None or whose.unit not in parties:
            raise SealOfAnotherUnit(
                f"{whose} sealed the manifest, but is neither of an issuer nor of the sender",
                unit=whose.unit or "",
                identity=str(whose),
                signature=str(index),
            )
        if whose.unit in seals:
            raise SignatureRefused(
                f"{whose.unit} sealed the manifest twice; leave one seal out",
                unit=whose.unit,
                signature=str(index),
            )
        seals[whose.unit] = whose, certificate
    # 4. One trust domain.
    domains = {whose.trust_domain for whose, _ in seals.values()}
    if len(domains) > 1:
        raise SignatureRefused(f"the seals are of several trust domains: {sorted(domains)}")
    return tuple(seals.values())


def verify_receipt(
    receipt: Signed,
    manifest: Manifest,
    trust: Seals,
    *,
    at: dt.datetime,
    crls: CrlPair | None,
    expected_by: str | None,
) -> Receipt:
    """The receipt is about this envelope, and sealed by the one that it must come from.

    1. It decodes: canonical, with the fields that its type demands.
    2. It names this envelope, this manifest's digest and one of its recipients.
    3. Its type is one for ``expected_by``, as that recipient, as the sender or as the centre.
    4. Where it states its own effect, as the centre's do, that is a legal step.
    5. It is signed by the seal that it names in ``by``, valid at ``at``, which is a seal of
       ``expected_by``.

    What the caller must still do: a party's receipt counts for others only with the centre's
    admission of it (``verify_recorded`` does both); and with ``crls=None``, know that the seal is
    not revoked.

    Args:
        at: the moment that counts: now when admitting, the admission for all who come later.
        expected_by: a unit, or None for the centre.

    Raises:
        NotCanonical: step 1.
        ReceiptRefused: steps 1, 2 and 3; ``field`` names the place.
        StateConflict: step 4.
        SignatureInvalid, SealNotTrusted, SealExpired, SealRevoked, SealOfAnotherUnit: step 5.
    """
    # 1. What it says.
    statement = receipts.decode_receipt(receipt.content)
    # 2. About this envelope.
    _same("envelope_id", statement.envelope_id, manifest.envelope_id)
    _same("manifest_sha256", statement.manifest_sha256, sha256_hex(manifests.encode(manifest)))
    if statement.recipient is not None:
        _among_recipients(statement.recipient, manifest)
    # 3. From the right party.
    _check_party(statement, manifest, expected_by)
    # 4. Its effect.
    if statement.type in SIGNED_BY_CENTRE:
        after = transitions.after(statement.state_before, statement.type, statement.reason_code)
        _same("state_after", statement.state_after, after)
    # 5. The seal.
    _check_seal(receipt, statement.by, expected_by, trust, at=at, crls=crls)
    return statement


def verify_envelope(
    content: bytes,
    signatures: Sequence[bytes],
    accepted: Signed,
    trust: Seals,
    crls: CrlPair | None,
    *,
    recipient: str | None,
    envelope_id: str | None,
) -> VerifiedEnvelope:
    """An envelope from the centre is what its issuers sealed and what the centre accepted.

    1. The manifest decodes, by the same rules as when it was accepted.
    2. It is the envelope that was asked for, and ``recipient`` is among its recipients.
    3. ``accepted`` is an ACCEPTED receipt about it, signed by a seal of the centre that was valid
       at the moment that it states.
    4. It names the digest of each of ``signatures``, in this order, and no others.
    5. The manifest was sealed by every issuer, with seals valid as of the acceptance.
    6. The centre's seal and theirs are of one trust domain.

    What the caller must still do: have root and CRLs in force at the acceptance; compare each
    part with its size and digest. That the sender may act for the issuers, and that acceptance
    was not dated back, is the centre's word until the transfer log proves the latter.

    Args:
        content: the manifest's bytes.
        recipient: the unit that receives, or None for the sender's and an auditor's view.
        envelope_id: the one that was asked for, or None for any.

    Raises:
        VerificationFailed: any step failed.
    """
    # 1. The document.
    with _step("envelope.1"):
        manifest = manifests.decode(content)
    # 2. The right one.
    with _step("envelope.2"):
        if envelope_id is not None:
            _same("envelope_id", manifest.envelope_id, envelope_id)
        if recipient is not None:
            _among_recipients(recipient, manifest)
    # 3. The centre accepted it.
    with _step("envelope.3"):
        statement = receipts.decode_receipt(accepted.content)
        _same("type", statement.type, ReceiptType.ACCEPTED)
        accepted_at = times.parse_time(statement.at)
        verify_receipt(accepted, manifest, trust, at=accepted_at, crls=crls, expected_by=None)
    # 4. With these signatures.
    with _step("envelope.4"):
        _same("signatures_sha256", statement.signatures_sha256, tuple(map(sha256_hex, signatures)))
    # 5. The issuers sealed it.
    with _step("envelope.5"):
        seals = verify_seals(manifest, content, signatures, trust, at=accepted_at, crls=crls)
    sealed_by = tuple(whose for whose, _ in seals)
    # 6. One exchange.
    with _step("envelope.6"):
        _check_trust_domain(statement, sealed_by)
    return VerifiedEnvelope(manifest, statement, accepted_at, sealed_by)


def verify_admission(
    admission: Signed, receipt: Signed, trust: Seals, *, crls: CrlPair | None
) -> Admission:
    """The centre has recorded exactly this receipt of a party, with this effect.

    1. Admission and receipt decode, and the receipt is a party's.
    2. The admission names the digests of the receipt and of its signature, its envelope and its
       recipient.
    3. From the state before to the state after, the receipt is a legal step.
    4. It is signed by a seal of the centre that was valid at ``recorded_at``.

    What the caller must still do: verify the receipt itself, as of ``recorded_at``
    (``verify_recorded`` does both).

    Raises:
        VerificationFailed: any step failed.
    """
    # 1. What they say.
    with _step("admission.1"):
        recorded = receipts.decode_admission(admission.content)
        statement = receipts.decode_receipt(receipt.content)
        if statement.type in SIGNED_BY_CENTRE:
            raise ReceiptRefused(f"the centre's own {statement.type} has no admission")
    # 2. This receipt.
    with _step("admission.2"):
        _same("receipt_sha256", recorded.receipt_sha256, sha256_hex(receipt.content))
        _same(
            "receipt_signature_sha256",
            recorded.receipt_signature_sha256,
            sha256_hex(receipt.signature),
        )
        _same("envelope_id", recorded.envelope_id, statement.envelope_id)
        _same("recipient", recorded.recipient, statement.recipient)
    # 3. Its effect.
    with _step("admission.3"):
        after = transitions.after(recorded.state_before, statement.type, statement.reason_code)
        _same("state_after", recorded.state_after, after)
    # 4. The seal.
    with _step("admission.4"):
        recorded_at = times.parse_time(recorded.recorded_at)
        _check_seal(admission, recorded.by, None, trust, at=recorded_at, crls=crls)
    return recorded


def verify_recorded(
    receipt: Signed,
    admission: Signed | None,
    manifest: Manifest,
    trust: Seals,
    *,
    crls: CrlPair | None,
    expected_by: str | None,
) -> VerifiedReceipt:
    """A receipt from the centre's books is genuine and was recorded, whoever made it.

    1. A party's receipt comes with an admission that verifies; the centre's own has none.
    2. The receipt verifies as of the moment at which it was recorded: the admission's
       ``recorded_at``, or ``at`` of the centre's own.

    What the caller must still do: have CRLs in force at that moment.

    Args:
        expected_by: a unit, or None for the centre.

    Raises:
        VerificationFailed: any step failed.
    """
    # 1. The admission, and so the moment.
    recorded: Admission | None = None
    with _step("recorded.1"):
        if (admission is None) is not (expected_by is None):
            raise ReceiptRefused("a party's receipt needs an admission, the centre's has none")
        if admission is not None:
            recorded = verify_admission(admission, receipt, trust, crls=crls)
            recorded_at = times.parse_time(recorded.recorded_at)
        else:
            recorded_at = times.parse_time(receipts.decode_receipt(receipt.content).at)
    # 2. The receipt.
    with _step("recorded.2"):
        statement = verify_receipt(
            receipt, manifest, trust, at=recorded_at, crls=crls, expected_by=expected_by
        )
    return VerifiedReceipt(statement, recorded, recorded_at)


def verify_leaf(
    receipt: Receipt, admission: Admission | None, event: bytes, event_salt: bytes
) -> None:
    """The event is the one that the centre's statement commits to, and it is about that statement.

    1. SHA-256(salt || event) is the leaf in the statement: the admission, or the centre's receipt.
    2. The event decodes, and names the envelope, the recipient, the seq, the type and the moment of
       the statement; digests and states, where it names them, are those of the statement.

    Raises:
        VerificationFailed: ``step`` is ``leaf``.
    """
    statement = admission or receipt
    # 1. The commitment.
    try:
        same = events.leaf(event_salt, event) == statement.leaf
        # 2. What it is about.
        found = events.decode(event)
    except (ExchangeError, ValueError) as error:
        raise VerificationFailed(f"the event of a statement: {error}", step="leaf") from error
    if not same or not _is_about(found, receipt, admission):
        raise VerificationFailed(
            "the event that came with a statement is not the one that it commits to",
            step="leaf",
            envelope_id=receipt.envelope_id,
        )


def _is_about(event: Event, receipt: Receipt, admission: Admission | None) -> bool:
    statement = admission or receipt
    type_ = "ENVELOPE_ACCEPTED" if receipt.type is ReceiptType.ACCEPTED else receipt.type.value
    must = (
        (event.envelope_id, receipt.envelope_id),
        (event.recipient, receipt.recipient),
        (event.seq, statement.seq),
        (event.type, type_),
        (event.at, admission.recorded_at if admission else receipt.at),
    )
    may = (
        (event.manifest_sha256, receipt.manifest_sha256),
        (event.receipt_sha256, admission.receipt_sha256 if admission else None),
        (event.state_before, statement.state_before),
        (event.state_after, statement.state_after),
    )
    return all(said == known for said, known in must) and all(
        said in (None, known) for said, known in may
    )


def _check_seal(
    signed: Signed,
    by: str,
    expected_by: str | None,
    trust: Seals,
    *,
    at: dt.datetime,
    crls: CrlPair | None,
) -> None:
    """``signed`` is by the seal ``by``, valid at ``at``: of the unit, or of the centre if None."""
    whose = trust.check(signature.verify(signed.content, signed.signature), at=at, crls=crls)
    if str(whose) != by:
        raise SealOfAnotherUnit(f"it says that {by} made it, but {whose} signed it", identity=by)
    centre = whose.kind is Kind.CENTRE_SEAL
    if whose.unit != expected_by or centre is not (expected_by is None):
        raise SealOfAnotherUnit(
            f"it must be signed by a seal of {expected_by or 'the centre'}, {whose} signed it",
            identity=str(whose),
        )


def _check_party(statement: Receipt, manifest: Manifest, expected_by: str | None) -> None:
    if statement.type in SIGNED_BY_RECIPIENT:
        party = statement.recipient
    else:
        party = manifest.sender if statement.type in SIGNED_BY_SENDER else None
    if party != expected_by:
        raise ReceiptRefused(
            f"{statement.type} is for {party or 'the centre'} to say here, "
            f"not for {expected_by or 'the centre'}",
            field="type",
            value=statement.type.value,
        )


def _check_trust_domain(accepted: Receipt, sealed_by: tuple[Identity, ...]) -> None:
    for whose in sealed_by:
        if not accepted.by.startswith(f"spiffe://{whose.trust_domain}/"):
            raise SealOfAnotherUnit(
                f"{accepted.by} and {whose} are of different trust domains", identity=str(whose)
            )


def _among_recipients(unit: str, manifest: Manifest) -> None:
    if all(unit != each.unit for each in manifest.recipients):
        raise ReceiptRefused(
            f"{unit} is not among the recipients of this envelope", field="recipient", value=unit
        )


def _same(field: str, found: object, expected: object) -> None:
    if found != expected:
        why = f"it must be {refusal.shortened(expected)}"
        raise refusal.of_value(ReceiptRefused, field, found, why)


@contextlib.contextmanager
def _naming_signature(index: int) -> Iterator[None]:
    """Let a refusal say at which signature it happened."""
    try:
        yield
    except SignatureRefused as error:
        attributes = {**error.attributes, "signature": str(index)}
        raise type(error)(error.message, **attributes) from error


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """Turn a refusal into a failure of this step; of nested steps the inner one is named."""
    try:
        yield
    except VerificationFailed:
        raise
    except ExchangeError as error:
        attributes = {**error.attributes, "step": name, "code": error.code}
        raise VerificationFailed(error.message, **attributes) from error
