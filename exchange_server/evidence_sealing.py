"""The index of a bundle of evidence: sealed once for the same content, rebuilt for each request.

The ledger keeps only what can't be rebuilt: when it was sealed and by which seal, the lists in
force then, and the signature. All else follows from the plan, byte by byte, so the same evidence
has the same bytes ever after, also when the seal has been replaced since.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from document_exchange import canonical, evidence, signature, times
from document_exchange.errors import InternalError, LimitExceeded, SignatureInvalid, Unavailable
from document_exchange.evidence import Index
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal
from exchange_server.evidence_ledger import MOST_A_DAY, EvidenceLedger, NewIndex, SealedIndex
from exchange_server.evidence_plan import Plan
from exchange_server.registry import RegistryFollower
from exchange_server.statements import CentreSeal

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The index, its signature, and the sums of both."""

    packed: bytes
    """The index in gzip: it waits for readers, who may be slow, and may have some MiB."""
    signature: bytes
    sums: bytes
    size_bytes: int

    @classmethod
    def of(cls, index: bytes, made: bytes) -> IndexFiles:
        digests = (hashlib.sha256(each).hexdigest() for each in (index, made))
        sums = evidence.index_sums(*digests)
        size_bytes = len(index) + len(made) + len(sums)
        return cls(gzip.compress(index, 1, mtime=0), made, sums, size_bytes)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the index, one after the other."""
        with gzip.GzipFile(fileobj=io.BytesIO(self.packed)) as unpacking:
            while piece := unpacking.read(_PIECE_BYTES):
                yield piece


@dataclass(frozen=True, slots=True)
class IndexSealer:
    """Has the centre seal what a plan says."""

    ledger: EvidenceLedger
    registry: RegistryFollower
    seal: CentreSeal
    clock: Clock

    async def sealed(self, principal: Principal, plan: Plan) -> IndexFiles:
        """The index that was sealed for exactly this content, or a new one.

        The lists in force when it was sealed become part of the plan.

        Raises:
            LimitExceeded: too many were sealed for this unit about this envelope today.
            Unavailable: the centre can't seal now.
            InternalError: what is rebuilt is not what was sealed.
        """
        content_sha256 = await asyncio.to_thread(_content_sha256, plan)
        sealed = await self.ledger.evidence_index(content_sha256)
        if sealed is None:
            sealed = await self._seal_now(principal, plan, content_sha256)
        lists = plan.add_crls(
            await self.ledger.evidence_crl_digests(
                {("root", sealed.root_crl), ("seal-ca", sealed.seal_crl)}
            )
        )
        return await asyncio.to_thread(_rebuilt, plan, sealed, lists)

    async def _seal_now(
        self, principal: Principal, plan: Plan, content_sha256: bytes
    ) -> SealedIndex:
        """Seal an index and keep it, unless another call was faster: then that one's."""
        # Another server's clock may be a little ahead; no index is older than what is in it.
        now = max(self.clock(), plan.last_at)
        root_crl, seal_crl = self.registry.current().unended_crls(now)
        lists = {
            evidence.crl_path(issuer, crl.number): hashlib.sha256(crl.der).hexdigest()
            for issuer, crl in (("root", root_crl), ("seal-ca", seal_crl))
        }
        made = await asyncio.to_thread(
            self.seal.index, lambda by: _index(plan, now, by, lists), now
        )
        event = events.prepare(
            "EVIDENCE_SEALED",
            now,
            principal,
            envelope_id=plan.envelope.envelope_id,
            manifest_sha256=plan.envelope.manifest_sha256.hex(),
            detail={"content": plan.content.value, "content_sha256": content_sha256.hex()},
        )
        kept = await self.ledger.keep_sealed_index(
            NewIndex(
                content_sha256,
                plan.envelope.envelope_id,
                principal.unit,
                SealedIndex(now, made.by, root_crl.number, seal_crl.number, made.signature),
                made.seal,
                event,
            )
        )
        if isinstance(kept, str):
            _refuse(kept)
        return kept


def _content_sha256(plan: Plan) -> bytes:
    """What an index is known by: the digest of all that it says but when and by whom."""
    about = {
        "schema": evidence.SCHEMA,
        "envelope_id": plan.envelope.envelope_id,
        "manifest_sha256": plan.envelope.manifest_sha256.hex(),
        "content": plan.content.value,
        "recipients": plan.recipients,
        "files": plan.files,
    }
    return hashlib.sha256(canonical.encode(about)).digest()


def _index(plan: Plan, made_at: datetime, by: str, lists: Mapping[str, str]) -> bytes:
    return evidence.encode(
        Index(
            schema=evidence.SCHEMA,
            envelope_id=plan.envelope.envelope_id,
            manifest_sha256=plan.envelope.manifest_sha256.hex(),
            content=plan.content,
            recipients=plan.recipients,
            made_at=times.format_time(made_at),
            by=by,
            files=plan.files | dict(lists),
        )
    )


def _rebuilt(plan: Plan, sealed: SealedIndex, lists: Mapping[str, str]) -> IndexFiles:
    index = _index(plan, sealed.made_at, sealed.by, lists)
    try:
        signature.verify(index, sealed.signature)
    except SignatureInvalid as error:
        raise InternalError(
            f"an index about {plan.envelope.envelope_id} is not what was sealed; call an operator"
        ) from error
    return IndexFiles.of(index, sealed.signature)


def _refuse(outcome: str) -> NoReturn:
    match outcome:
        case "CENTRE_SEAL_REVOKED":
            raise Unavailable("the centre's seal has just been revoked; try again later")
        case "TOO_MANY":
            raise LimitExceeded(
                f"your unit has had {MOST_A_DAY} different bundles about this envelope made within "
                "a day: ask for one of them again, or for another one tomorrow",
                limit=str(MOST_A_DAY),
            )
    raise InternalError(f"the ledger answered {outcome}")
