"""Submit: from a sealed manifest and a stream of bytes to a durable, accepted envelope.

The steps, in this order (docs/life-of-a-document.md has them with their reasons):

1. the manifest: size, canonical bytes, schema and the rules of the domain;
2. the sender is who calls;
3. accepted before? then the first receipt again, without reading a byte of the parts;
4. the identifier's time, the seals, and policy for every recipient;
5. the bytes, if the sender's quota has room for all that are declared: bounded, hashed, stored
   block by block;
6. what may have changed meanwhile again, as of the moment that the receipt will name; then one
   transaction writes all of it, and only then is the receipt given out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, manifest, verification
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    CertificateRevoked,
    EnvelopeConflict,
    EnvelopeIdOutOfRange,
    ExchangeError,
    InternalError,
    ManifestRefused,
    SealRevoked,
    Unavailable,
)
from document_exchange.identity import Identity
from document_exchange.manifest import Manifest
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.budget import Budgets
from exchange_server.quotas import Quotas, Transfer
from exchange_server.receive import BlobWriter, PartReceiver, Received, RecentParts
from exchange_server.registry import Crl, RegistryFollower
from exchange_server.statements import CentreSeal
from exchange_server.values import (
    Acceptance,
    AcceptedEnvelope,
    Dues,
    Outcome,
    StatementRecord,
)

log = structlog.get_logger(__name__)

AHEAD = timedelta(minutes=10)
"""How far ahead of our clock the time inside an envelope_id may be."""
_DECISIONS = 4
"""How often it is decided whether a document may be sent, the directory changing each time."""
_REACH_TIMEOUT_S = 5.0
"""How long a decision waits for the directory that the ledger has by now."""


class SubmissionLedger(Protocol):
    """What submitting asks of the ledger."""

    async def find_envelope(self, envelope_id: str) -> AcceptedEnvelope | None: ...

    async def find_fault(self, submitted: Manifest) -> str:
        """What stands against it already; "" if nothing does.

        EXISTS, DOC_ID_TAKEN, EARLIER_UNKNOWN, VOIDS_UNKNOWN or REPLY_TO_UNKNOWN, as ``accept``.
        """
        ...

    async def accept(self, acceptance: Acceptance, accepted: Manifest) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ACCEPTED statement, and whether it is of an earlier call."""

    statement: StatementRecord
    repeated: bool


_Sealed = tuple[tuple[Identity, x509.Certificate], ...]
"""Whose seals verify, with their certificates."""


@dataclass(frozen=True, slots=True)
class _Permitted:
    """What holds at the moment that was asked about."""

    directory: int
    """The version of the directory that it holds upon."""
    seals: tuple[bytes, ...]
    root_crl: Crl
    seal_crl: Crl


@dataclass(frozen=True, slots=True)
class Submitter:
    """Carries out submissions."""

    ledger: SubmissionLedger
    blobs: BlobWriter
    registry: RegistryFollower
    trust: SealTrust
    seal: CentreSeal
    budgets: Budgets
    recent: RecentParts
    quotas: Quotas
    clock: Clock
    idle_timeout_s: float
    dues: Callable[[Manifest, datetime], Dues]
    """The deadlines of a document that is accepted at a moment."""
    accepted: Callable[[str, Sequence[str]], None]
    """Told (envelope_id, recipients) after each acceptance; a hint for those who watch."""

    async def submit(
        self,
        principal: Principal,
        manifest_bytes: bytes,
        signatures: Sequence[bytes],
        chunks: AsyncIterator[tuple[str, bytes]],
    ) -> Submitted:
        """Accept an envelope. When this returns, the envelope MUST be durable in ledger and store.

        Raises:
            Refused and its kinds, NotPermitted, SenderMismatch, QuotaExceeded: nothing of it
                remains but objects that the sweep removes.
            Unavailable: the outcome may be unknown; send the same again.
        """
        # 1. The manifest.
        document = manifest.decode(manifest_bytes)
        structlog.contextvars.bind_contextvars(envelope_id=document.envelope_id)
        # 2. The sender.
        policy.check_sender(principal, document)
        # 3. Accepted before?
        known = await self.ledger.find_fault(document)
        if known == "EXISTS":
            earlier = await self._accepted_before(document.envelope_id, principal, manifest_bytes)
            if earlier is not None:
                return earlier
        # 4. Identifier, seals, policy, and what else the ledger knew.
        now = self.clock()
        self.seal.check(now)
        check_envelope_id(document.envelope_id, now)
        sealed = verification.verify_seals(
            document, manifest_bytes, signatures, self.trust, at=now, crls=None
        )
        self._permit(principal, document, sealed, now)
        if known:
            raise _refusal(Outcome(known), document)
        # 5. The bytes. Only for a document that may be sent; what does not come is given back.
        size_bytes = sum(part.size for part in document.parts)
        with self.quotas.transfer(principal.unit, size_bytes) as transfer:
            received = await PartReceiver(
                envelope_id=document.envelope_id,
                unit=principal.unit,
                parts=document.parts,
                blobs=self.blobs,
                budgets=self.budgets,
                recent=self.recent,
                clock=self.clock,
                idle_timeout_s=self.idle_timeout_s,
            ).receive(_counted(chunks, transfer))
            # 6. One transaction.
            return await self._accept(
                principal, document, manifest_bytes, signatures, sealed, received
            )

    async def _accepted_before(
        self, envelope_id: str, principal: Principal, manifest_bytes: bytes
    ) -> Submitted | None:
        found = await self.ledger.find_envelope(envelope_id)
        if found is None:
            return None
        if found.sender != principal.unit or found.manifest != manifest_bytes:
            raise EnvelopeConflict(
                f"envelope_id {envelope_id} was already used for another document: "
                "make a new one for each document",
                envelope_id=envelope_id,
            )
        return Submitted(found.accepted, repeated=True)

    def _permit(
        self, principal: Principal, document: Manifest, sealed: _Sealed, now: datetime
    ) -> _Permitted:
        """Everything that time, authority and registry may change, as of ``now``."""
        registry = self.registry.current()
        policy.admit(registry, principal, now)
        seals = []
        for seal, certificate in sealed:
            self.trust.check(certificate, at=now, crls=None)
            fingerprint = certificate.fingerprint(hashes.SHA256())
            policy.check_seal(registry, fingerprint, seal.unit or "")
            seals.append(fingerprint)
        policy.check_submission(registry, principal, document)
        root_crl, seal_crl = registry.crls_in_force(now)
        return _Permitted(registry.directory, tuple(seals), root_crl, seal_crl)

    async def _accept(
        self,
        principal: Principal,
        document: Manifest,
        manifest_bytes: bytes,
        signatures: Sequence[bytes],
        sealed: _Sealed,
        received: Received,
    ) -> Submitted:
        for _ in range(_DECISIONS):
            now = self.clock()
            permitted = self._permit(principal, document, sealed, now)
            acceptance = self._prepare(
                principal, document, manifest_bytes, signatures, permitted, received, now
            )
            outcome = await self._commit(acceptance, document)
            if outcome.code != "DIRECTORY_CHANGED":
                break
            # Decided upon what has been withdrawn meanwhile, perhaps: decide again upon the new.
            await self.registry.reach(int(outcome.detail), timeout_s=_REACH_TIMEOUT_S)
        else:
            raise Unavailable("the directory keeps changing; send again")
        if outcome.code == "ACCEPTED":
            return self._accepted(acceptance, document)
        if outcome.code == "EXISTS":
            earlier = await self._accepted_before(document.envelope_id, principal, manifest_bytes)
            if earlier is not None:
                return earlier
        raise _refusal(outcome, document)

    def _prepare(
        self,
        principal: Principal,
        document: Manifest,
        manifest_bytes: bytes,
        signatures: Sequence[bytes],
        permitted: _Permitted,
        received: Received,
        now: datetime,
    ) -> Acceptance:
        """Everything that the transaction will make true, signed already."""
        manifest_sha256 = manifest.sha256_hex(manifest_bytes)
        event = events.prepare(
            "ENVELOPE_ACCEPTED",
            now,
            principal,
            envelope_id=document.envelope_id,
            seq=0,
            manifest_sha256=manifest_sha256,
        )
        signed = self.seal.accepted(document.envelope_id, manifest_sha256, signatures, event)
        return Acceptance(
            principal=principal,
            directory=permitted.directory,
            seals=permitted.seals,
            centre_seal=signed.seal,
            signatures=tuple(signatures),
            manifest=manifest_bytes,
            blocks=received.blocks,
            oldest_block_at=received.oldest_block_at,
            accepted_at=now,
            receipt=signed.content,
            receipt_signature=signed.signature,
            event=event,
            root_crl=permitted.root_crl.number,
            seal_crl=permitted.seal_crl.number,
            dues=self.dues(document, now),
        )

    def _accepted(self, acceptance: Acceptance, document: Manifest) -> Submitted:
        """Tell those who wait for it, and give out the receipt."""
        recipients = [recipient.unit for recipient in document.recipients]
        self.recent.accepted(
            document.envelope_id, [acceptance.principal.unit, *recipients], document.parts
        )
        self.accepted(document.envelope_id, recipients)
        log.info(
            "envelope_accepted",
            recipients=len(recipients),
            parts=len(document.parts),
            size_bytes=sum(part.size for part in document.parts),
        )
        return Submitted(
            StatementRecord(
                acceptance.receipt,
                acceptance.receipt_signature,
                b"",
                b"",
                acceptance.event.content,
                acceptance.event.salt,
            ),
            repeated=False,
        )

    async def _commit(self, acceptance: Acceptance, document: Manifest) -> Outcome:
        try:
            return await self.ledger.accept(acceptance, document)
        except Unavailable:
            # The transaction may have been committed all the same: look, and delete nothing.
            if await self.ledger.find_envelope(document.envelope_id) is None:
                raise
            return Outcome("EXISTS")


async def _counted(
    chunks: AsyncIterator[tuple[str, bytes]], transfer: Transfer
) -> AsyncIterator[tuple[str, bytes]]:
    async for part_id, data in chunks:
        transfer.flow(len(data))
        yield part_id, data


def check_envelope_id(envelope_id: str, now: datetime) -> None:
    """The time inside a UUIDv7 must be near: ids are the ledger's order and its partitions.

    Raises:
        EnvelopeIdOutOfRange
    """
    made_at = codes.uuid7_time(envelope_id)
    if not now - codes.MAX_ENVELOPE_AGE <= made_at <= now + AHEAD:
        raise EnvelopeIdOutOfRange(
            f"envelope_id {envelope_id} is of {made_at:%Y-%m-%d %H:%M} UTC: it must be of the last "
            f"{codes.MAX_ENVELOPE_AGE.days} days; check the clock and make a new one",
            field="envelope_id",
            value=envelope_id,
        )


def _refusal(outcome: Outcome, document: Manifest) -> ExchangeError:
    """The error for what the ledger found when it looked again."""
    doc_id = document.document.doc_id
    match outcome.code:
        case "DOC_ID_TAKEN":
            return EnvelopeConflict(
                f"doc_id {doc_id} was already used by {document.sender}; a further envelope with "
                "it must say which earlier one it supersedes or refers to",
                field="document.doc_id",
                value=doc_id,
            )
        case "EARLIER_UNKNOWN":
            return ManifestRefused(
                "supersedes and refers_to must name an earlier envelope of the same sender with "
                f"doc_id {doc_id}",
                field="supersedes" if document.supersedes else "refers_to",
            )
        case "REPLY_TO_UNKNOWN":
            return ManifestRefused(
                "reply_to must name an envelope that the sender or an issuer has sent or got",
                field="document.reply_to",
                value=document.document.reply_to or "",
            )
        case "VOIDS_UNKNOWN":
            return ManifestRefused(
                "voids must name an earlier envelope of the same sender",
                field="voids",
                value=document.voids or "",
            )
        case "CERTIFICATE_REVOKED":
            return CertificateRevoked()
        case "SEAL_REVOKED":
            return SealRevoked("a seal on this manifest has been revoked", seal=outcome.detail)
        case "CENTRE_SEAL_REVOKED":
            return Unavailable("the centre's seal has just been revoked; try again later")
        case "TOO_SLOW":
            return Unavailable("the upload took too long; send again")
    return InternalError(f"the ledger answered {outcome.code}")
