"""Nothing that the centre sends is believed: envelopes and statements, verified on arrival.

The procedure itself is ``document_exchange.verification``; here it meets the messages on the
wire, the profile's root and the leaf of each statement's event.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from document_exchange import receipt as receipts
from document_exchange import times, verification
from document_exchange.certificates import CrlPair, SealTrust, fingerprint
from document_exchange.errors import ExchangeError, VerificationFailed
from document_exchange.identity import Identity
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    Admission,
    Receipt,
    ReceiptType,
    State,
)
from document_exchange.revocations import RevocationLists
from document_exchange.v1 import envelope_pb2
from document_exchange.verification import Signed, VerifiedReceipt

_REMEMBERED_CHAINS = 16


@dataclass(frozen=True, slots=True)
class Statement:
    """One recorded step, verified: the receipt, and the centre's admission of it.

    ``admission`` is None for the centre's own receipts, which carry their effect themselves.
    ``event`` and ``event_salt`` open the leaf that the statement commits to.
    """

    receipt: Receipt
    signed_receipt: Signed
    admission: Admission | None
    signed_admission: Signed | None
    recorded_at: datetime
    event: bytes
    event_salt: bytes

    @property
    def type(self) -> ReceiptType:
        """What happened."""
        return self.receipt.type

    @property
    def seq(self) -> int:
        """Its number among the statements of its delivery; ACCEPTED is 0."""
        found = self.admission.seq if self.admission is not None else self.receipt.seq
        return found or 0

    @property
    def by(self) -> str:
        """The SPIFFE ID of the seal that made the receipt."""
        return self.receipt.by

    @property
    def state_before(self) -> State | None:
        """The delivery's state before this step."""
        return (self.admission or self.receipt).state_before

    @property
    def state_after(self) -> State | None:
        """The delivery's state after this step."""
        return (self.admission or self.receipt).state_after


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed document as the centre accepted it, verified; its parts are not in it."""

    manifest: Manifest
    manifest_bytes: bytes
    """What the issuers sealed, to the byte."""
    manifest_sha256: str
    signatures: tuple[bytes, ...]
    """Detached CMS over ``manifest_bytes``, one of each seal."""
    sealed_by: tuple[Identity, ...]
    accepted: Statement
    accepted_at: datetime
    chain: tuple[bytes, ...]
    """The certificates above the seals, DER, as the centre sent them."""
    revocation_lists: tuple[bytes, ...]
    """The CRLs of root and seal CA in force at the acceptance, DER."""
    trust: SealTrust

    @property
    def envelope_id(self) -> str:
        """UUIDv7."""
        return self.manifest.envelope_id

    @property
    def issuing(self) -> tuple[x509.Certificate, ...]:
        """The certificates between the seals and the root."""
        above = map(x509.load_der_x509_certificate, self.chain)
        return tuple(each for each in above if each != self.trust.root) or (self.trust.seal_ca,)


class Verifier:
    """Verifies under one root, whose fingerprint came from outside."""

    def __init__(self, root_fingerprint: str, trust: SealTrust) -> None:
        self._root_fingerprint = root_fingerprint
        self._trust = trust
        self._known_ca = fingerprint(trust.seal_ca)
        self._by_chain = functools.lru_cache(_REMEMBERED_CHAINS)(self._from_chain)

    def trust_for(self, chain: Sequence[bytes]) -> SealTrust:
        """The profile's own seal CA, or after a change of CA the one in ``chain``, under the root.

        Raises:
            VerificationFailed: the chain does not lead to the root.
        """
        return self._by_chain(tuple(chain)) if chain else self._trust

    def _from_chain(self, chain: tuple[bytes, ...]) -> SealTrust:
        try:
            loaded = [x509.load_der_x509_certificate(der) for der in chain]
            if any(fingerprint(certificate) == self._known_ca for certificate in loaded):
                return self._trust
            return SealTrust.from_chain(self._root_fingerprint, [*loaded, self._trust.root])
        except (ExchangeError, ValueError, x509.InvalidVersion) as error:
            raise VerificationFailed(
                f"the certificates that came with the envelope do not lead to the root: {error}",
                step="chain",
            ) from error

    def envelope(
        self, message: envelope_pb2.Envelope, *, recipient: str | None, envelope_id: str
    ) -> Envelope:
        """Verify an envelope as of its acceptance.

        Args:
            message: as it came.
            recipient: the own unit when it receives, None when it sent.
            envelope_id: the one that was asked for.

        Raises:
            VerificationFailed: ``step`` and ``code`` say what is wrong.
        """
        trust = self.trust_for(message.chain)
        signatures = tuple(message.signatures)
        signed = _signed(message.accepted.receipt)
        found = verification.verify_envelope(
            message.manifest,
            signatures,
            signed,
            trust,
            _crls(message, trust),
            recipient=recipient,
            envelope_id=envelope_id,
        )
        accepted = Statement(
            receipt=found.accepted,
            signed_receipt=signed,
            admission=None,
            signed_admission=None,
            recorded_at=found.accepted_at,
            event=message.accepted.event,
            event_salt=message.accepted.event_salt,
        )
        _check_leaf(accepted)
        return Envelope(
            manifest=found.manifest,
            manifest_bytes=message.manifest,
            manifest_sha256=found.accepted.manifest_sha256,
            signatures=signatures,
            sealed_by=found.sealed_by,
            accepted=accepted,
            accepted_at=found.accepted_at,
            chain=tuple(message.chain),
            revocation_lists=tuple(crl.der for crl in message.revocation_lists),
            trust=trust,
        )

    def statement(
        self,
        message: envelope_pb2.Statement,
        manifest: Manifest,
        trust: SealTrust | None = None,
        lists: RevocationLists | None = None,
    ) -> Statement:
        """Verify a statement about an envelope whose manifest is known, as of its recording.

        Args:
            message: as it came.
            manifest: the envelope's, verified.
            trust: the envelope's; by default the profile's own.
            lists: the revocation lists that came with it. None in the answer to a call of our
                own, which brings none: that the centre's seal is not revoked right now is then
                its word, until the envelope is tracked.

        Raises:
            VerificationFailed: ``step`` and ``code`` say what is wrong.
        """
        signed = _signed(message.receipt)
        admission = _signed(message.admission) if message.HasField("admission") else None
        found = self._recorded(signed, admission, manifest, trust or self._trust, lists)
        statement = Statement(
            receipt=found.receipt,
            signed_receipt=signed,
            admission=found.admission,
            signed_admission=admission,
            recorded_at=found.recorded_at,
            event=message.event,
            event_salt=message.event_salt,
        )
        _check_leaf(statement)
        return statement

    @staticmethod
    def _recorded(
        receipt: Signed,
        admission: Signed | None,
        manifest: Manifest,
        trust: SealTrust,
        lists: RevocationLists | None,
    ) -> VerifiedReceipt:
        expected_by, recorded_at = _expected(receipt, admission, manifest)
        return verification.verify_recorded(
            receipt,
            admission,
            manifest,
            trust,
            crls=lists.in_force(recorded_at, trust) if lists is not None else None,
            expected_by=expected_by,
        )

    def winning(
        self, winning: tuple[bytes, bytes, bytes, bytes], envelope: Envelope, recipient: str
    ) -> VerifiedReceipt:
        """Verify the statement that came with a ``StateConflict`` about one delivery.

        Its event does not come along: ``track`` shows that.

        Raises:
            VerificationFailed: it does not verify, or is about another delivery.
        """
        receipt, receipt_signature, admission, admission_signature = winning
        found = self._recorded(
            Signed(receipt, receipt_signature),
            Signed(admission, admission_signature) if admission else None,
            envelope.manifest,
            envelope.trust,
            lists=None,
        )
        if found.receipt.recipient != recipient:
            raise VerificationFailed(
                f"the centre shows what decided another delivery, to {found.receipt.recipient}",
                step="winning",
                envelope_id=envelope.envelope_id,
                recipient=recipient,
            )
        return found

    def own_statement(
        self, message: envelope_pb2.Statement, own: Signed, trust: SealTrust | None = None
    ) -> Statement:
        """Verify that the centre recorded exactly the receipt ``own``, which we sealed ourselves.

        Needs no manifest, so that what does not verify can be refused, too.

        Raises:
            VerificationFailed: another receipt, or the admission does not verify.
        """
        signed = _signed(message.receipt)
        if signed != own:
            raise VerificationFailed(
                "the centre returned another receipt than the one that was handed in",
                step="recorded",
            )
        admission = _signed(message.admission)
        recorded = verification.verify_admission(admission, own, trust or self._trust, crls=None)
        statement = Statement(
            receipt=receipts.decode_receipt(own.content),
            signed_receipt=own,
            admission=recorded,
            signed_admission=admission,
            recorded_at=times.parse_time(recorded.recorded_at),
            event=message.event,
            event_salt=message.event_salt,
        )
        _check_leaf(statement)
        return statement


def check_signatures_named(accepted: Statement, signatures: Sequence[bytes]) -> bool:
    """Whether the ACCEPTED receipt names the digests of exactly these signatures."""
    return accepted.receipt.signatures_sha256 == tuple(sha256_hex(each) for each in signatures)


def _signed(message: envelope_pb2.SignedBytes) -> Signed:
    return Signed(message.content, message.signature)


def _crls(message: envelope_pb2.Envelope, trust: SealTrust) -> CrlPair:
    """The lists of the moment that the ACCEPTED receipt states, which is yet to be verified."""
    at = _expected(_signed(message.accepted.receipt), None, None)[1]
    return RevocationLists(crl.der for crl in message.revocation_lists).in_force(at, trust)


def _expected(
    receipt: Signed, admission: Signed | None, manifest: Manifest | None
) -> tuple[str | None, datetime]:
    """By whom (None: the centre) and as of when a statement must verify, from what it says."""
    try:
        statement = receipts.decode_receipt(receipt.content)
        at = statement.at
        if admission is not None:
            at = receipts.decode_admission(admission.content).recorded_at
    except ExchangeError as error:
        raise VerificationFailed(error.message, step="recorded", code=error.code) from error
    party = None
    if statement.type in SIGNED_BY_RECIPIENT:
        party = statement.recipient
    elif statement.type not in SIGNED_BY_CENTRE and manifest is not None:
        party = manifest.sender
    return party, times.parse_time(at)


def _check_leaf(statement: Statement) -> None:
    verification.verify_leaf(
        statement.receipt, statement.admission, statement.event, statement.event_salt
    )
