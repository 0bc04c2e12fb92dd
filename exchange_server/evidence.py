"""Evidence: everything that proves what became of an envelope, under an index by the centre.

In two passes over what is recorded, since a bundle may be large: first the digests of all files,
which the index lists, then the files themselves, page by page in the order of their paths. What is
recorded meanwhile is not part of it. An index is sealed once: the same evidence has the same bytes
whenever it is asked for, also when the seal has been replaced since.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from document_exchange import canonical, evidence, fields, times
from document_exchange import manifest as manifests
from document_exchange.errors import InvalidRequest, LimitExceeded, Unavailable
from document_exchange.evidence import Content, Index, StatementName
from document_exchange.manifest import MAX_RECIPIENTS
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.requests import check_shape
from exchange_runtime.values import Principal
from exchange_server.evidence_ledger import (
    Crls,
    EnvelopeFinder,
    EvidenceLedger,
    SealedIndex,
    StatementDigests,
)
from exchange_server.registry import Crl, RegistryFollower
from exchange_server.requests import check_identifier, envelope_not_found
from exchange_server.statements import CentreSeal, SignedByCentre
from exchange_server.values import AcceptedEnvelope, StatementRecord

STATEMENTS_AT_ONCE = 200
"""Statements in memory at once, each of some KiB."""
COLLECTED_AT_ONCE = 4
"""Bundles whose digests are in memory at once, in one process."""


@dataclass(slots=True)
class _Plan:
    """What a bundle will hold."""

    envelope: AcceptedEnvelope
    content: Content
    seqs: list[tuple[str, int]]
    """Recipients in the order of their paths, and their last statements."""
    crls: Crls = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    last_at: datetime = field(init=False)
    """When the last of it was recorded."""

    def __post_init__(self) -> None:
        self.last_at = self.envelope.accepted_at

    def pages(self) -> Iterator[list[tuple[str, int]]]:
        """Deliveries in order, each page with no more statements than fit, or with one delivery."""
        page: list[tuple[str, int]] = []
        room = STATEMENTS_AT_ONCE
        for recipient, seq in self.seqs:
            if page and seq > room:
                yield page
                page, room = [], STATEMENTS_AT_ONCE
            page.append((recipient, seq))
            room -= seq
        if page:
            yield page


@dataclass(frozen=True, slots=True)
class EvidenceCollector:
    """Collects the evidence about an envelope for one of its parties."""

    envelopes: EnvelopeFinder
    ledger: EvidenceLedger
    registry: RegistryFollower
    seal: CentreSeal
    clock: Clock
    certificates: dict[str, bytes]
    """DER by path: the root and the CA of the seals."""
    tsa_certificates: dict[str, bytes]
    """DER by path, of a time-stamping service outside of the exchange."""
    texts: dict[str, bytes]
    """verify.sh and VERIFY.md."""
    collecting: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(COLLECTED_AT_ONCE)
    )

    async def files(
        self,
        principal: Principal,
        envelope_id: str,
        recipients: Sequence[str],
        content: Content,
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Path and bytes of each file but the parts, in the order of the paths.

        Args:
            recipients: only about these; none means all that the caller may see: its own if it is
                a recipient, every one if it is the sender.

        Raises:
            NotFound: there is no such envelope for the caller, or no such recipient.
            InvalidRequest: an argument is malformed.
            LimitExceeded: more files than one bundle holds; ask for fewer recipients at a time.
            Unavailable: the centre can't seal the index now.
        """
        check_identifier(envelope_id)
        if len(recipients) > MAX_RECIPIENTS:
            why = f"an envelope has at most {MAX_RECIPIENTS} recipients"
            raise InvalidRequest(why, field="recipients")
        for each in recipients:
            check_shape(each, fields.UnitId, "recipients")
        async with self.collecting:
            plan = await self._plan(principal, envelope_id, frozenset(recipients), content)
            content_sha256, sealed = await self._sealed(principal, plan)
            plan.files.clear()  # the index has them
        crls = plan.crls | {("root", sealed.root_crl), ("seal-ca", sealed.seal_crl)}
        del sealed
        async with aclosing(self._in_order(plan, crls, content_sha256)) as made:
            async for path, data in made:
                yield path, data

    # ---------------------------------------------------------------- what is in it

    async def _plan(
        self, principal: Principal, envelope_id: str, wanted: frozenset[str], content: Content
    ) -> _Plan:
        unit = principal.unit
        envelope = await self.envelopes.find_envelope_for(unit, envelope_id)
        if envelope is None:
            raise envelope_not_found(envelope_id)
        seqs = await self.ledger.evidence_seqs(envelope_id)
        if envelope.sender != unit:
            seqs = [each for each in seqs if each[0] == unit]
        if not wanted <= {recipient for recipient, _ in seqs}:
            raise envelope_not_found(envelope_id)
        chosen = [each for each in seqs if not wanted or each[0] in wanted]
        # "a-b/" sorts before "a/", as paths do.
        plan = _Plan(envelope, content, sorted(chosen, key=lambda each: f"{each[0]}/"))
        least = sum(seq for _, seq in chosen) * len(evidence.STATEMENT_SUFFIXES)
        _check_count(least)
        await self._list_files(plan)
        _check_count(len(plan.files))
        return plan

    async def _list_files(self, plan: _Plan) -> None:
        """Every file that the index lists, but for the lists in force when it is sealed."""
        envelope, files = plan.envelope, plan.files
        for path, data in self._of_envelope(envelope):
            files[path] = hashlib.sha256(data).hexdigest()
        if plan.content is Content.PARTS:
            parts = manifests.decode(envelope.manifest).parts
            for number, part in enumerate(parts, 1):
                files[evidence.part_path(number, part)] = part.sha256
        root_crl, seal_crl = await self.ledger.evidence_acceptance(envelope.envelope_id)
        plan.crls |= {("root", root_crl), ("seal-ca", seal_crl)}
        for page in plan.pages():
            for found in await self.ledger.evidence_digests(envelope.envelope_id, page):
                plan.crls |= {("root", found.root_crl), ("seal-ca", found.seal_crl)}
                plan.last_at = max(plan.last_at, found.recorded_at)
                files.update(_statement_digests(found))
        for stamp in await self.ledger.evidence_stamps(envelope.envelope_id, plan.seqs):
            plan.batches.append(stamp.batch)
            if stamp.root_crl is not None and stamp.seal_crl is not None:
                plan.crls |= {("root", stamp.root_crl), ("seal-ca", stamp.seal_crl)}
            lines, response = evidence.timestamp_paths(stamp.batch)
            files[lines], files[response] = stamp.lines.hex(), stamp.response.hex()
        certificates = self._certificates(plan)
        files |= {path: hashlib.sha256(der).hexdigest() for path, der in certificates.items()}
        for (issuer, number), digest in (await self.ledger.evidence_crl_digests(plan.crls)).items():
            files[evidence.crl_path(issuer, number)] = digest.hex()

    def _certificates(self, plan: _Plan) -> dict[str, bytes]:
        return self.certificates | (self.tsa_certificates if plan.batches else {})

    @staticmethod
    def _of_envelope(envelope: AcceptedEnvelope) -> Iterator[tuple[str, bytes]]:
        accepted = envelope.accepted
        yield evidence.ACCEPTED + evidence.EVENT_SUFFIX, accepted.event
        yield evidence.ACCEPTED + evidence.RECEIPT_SUFFIX, accepted.receipt
        yield evidence.ACCEPTED + evidence.RECEIPT_SIGNATURE_SUFFIX, accepted.receipt_signature
        yield evidence.ACCEPTED + evidence.SALT_SUFFIX, accepted.event_salt
        yield evidence.MANIFEST, envelope.manifest
        for number, made in enumerate(envelope.signatures, 1):
            yield evidence.signature_path(number), made

    # ---------------------------------------------------------------- its index

    async def _sealed(self, principal: Principal, plan: _Plan) -> tuple[bytes, SealedIndex]:
        """The index that was sealed for exactly this content, or a new one; and its key."""
        about = {
            "schema": evidence.SCHEMA,
            "envelope_id": plan.envelope.envelope_id,
            "manifest_sha256": plan.envelope.manifest_sha256.hex(),
            "content": plan.content.value,
            "recipients": sorted(recipient for recipient, _ in plan.seqs),
            "files": plan.files,
        }
        encoded = await asyncio.to_thread(canonical.encode, about)
        content_sha256 = hashlib.sha256(encoded).digest()
        kept = await self.ledger.evidence_index(content_sha256)
        if kept is not None:
            return content_sha256, kept
        # Another server's clock may be a little ahead; no index is older than what is in it.
        now = max(self.clock(), plan.last_at)
        root_crl, seal_crl = self._lists_in_force(now)
        made = await asyncio.to_thread(self._seal, plan, root_crl, seal_crl, now)
        event = events.prepare(
            "EVIDENCE_SEALED",
            now,
            principal,
            envelope_id=plan.envelope.envelope_id,
            manifest_sha256=plan.envelope.manifest_sha256.hex(),
            detail={"content": plan.content.value, "content_sha256": content_sha256.hex()},
        )
        kept = await self.ledger.keep_sealed_index(
            content_sha256,
            plan.envelope.envelope_id,
            SealedIndex(made.content, made.signature, root_crl.number, seal_crl.number),
            made.seal,
            event,
        )
        if kept is None:
            raise Unavailable("the centre's seal has just been revoked; try again later")
        return content_sha256, kept

    def _lists_in_force(self, now: datetime) -> tuple[Crl, Crl]:
        lists = self.registry.current().crls_in_force(now)
        if any(now >= crl.next_update for crl in lists):
            # Documents flow on without them; a seal that nobody could ever check is not made.
            raise Unavailable("the authority's revocation lists have ended; try again later")
        return lists

    def _seal(self, plan: _Plan, root_crl: Crl, seal_crl: Crl, now: datetime) -> SignedByCentre:
        lists = {
            evidence.crl_path(issuer, crl.number): hashlib.sha256(crl.der).hexdigest()
            for issuer, crl in (("root", root_crl), ("seal-ca", seal_crl))
        }

        def index(by: str) -> bytes:
            return evidence.encode(
                Index(
                    schema=evidence.SCHEMA,
                    envelope_id=plan.envelope.envelope_id,
                    manifest_sha256=plan.envelope.manifest_sha256.hex(),
                    content=plan.content,
                    recipients=tuple(sorted(recipient for recipient, _ in plan.seqs)),
                    made_at=times.format_time(now),
                    by=by,
                    files=plan.files | lists,
                )
            )

        return self.seal.index(index, now)

    # ---------------------------------------------------------------- its files

    async def _in_order(
        self, plan: _Plan, crls: Crls, content_sha256: bytes
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Every file, as the paths sort. Nothing that may be large is held longer than needed."""
        envelope = dict(self._of_envelope(plan.envelope))
        yield evidence.VERIFY_TEXT, self.texts[evidence.VERIFY_TEXT]
        for path in sorted(path for path in envelope if path.startswith(evidence.ACCEPTED)):
            yield path, envelope.pop(path)
        for path, der in sorted(self._certificates(plan).items()):
            yield path, der
        for path, issuer, number in sorted((evidence.crl_path(*each), *each) for each in crls):
            yield path, await self.ledger.evidence_crl(issuer, number)
        async for path, data in self._statements(plan):
            yield path, data
        async for path, data in self._index(content_sha256):
            yield path, data
        for path in sorted(envelope):
            yield path, envelope[path]
        for batch in plan.batches:
            lines, response = evidence.timestamp_paths(batch)
            stamped, token = await self.ledger.evidence_stamp(batch)
            yield response, token
            yield lines, stamped
        yield evidence.VERIFY_SCRIPT, self.texts[evidence.VERIFY_SCRIPT]

    async def _statements(self, plan: _Plan) -> AsyncIterator[tuple[str, bytes]]:
        for page in plan.pages():
            found = await self.ledger.evidence_statements(plan.envelope.envelope_id, page)
            by_unit: dict[str, list[tuple[str, bytes]]] = {unit: [] for unit, _ in page}
            for name, record in found:
                by_unit[name.unit].extend(_statement_files(name, record))
            for made in by_unit.values():  # in the order of the page
                for path, data in made:
                    yield path, data

    async def _index(self, content_sha256: bytes) -> AsyncIterator[tuple[str, bytes]]:
        sealed = await self.ledger.evidence_index(content_sha256)
        if sealed is None:
            raise Unavailable("the index is not there yet on this copy of the ledger; try again")
        yield evidence.INDEX, sealed.index
        yield evidence.INDEX_SIGNATURE, sealed.signature
        digests = (hashlib.sha256(each).hexdigest() for each in (sealed.index, sealed.signature))
        yield evidence.INDEX_SUMS, evidence.index_sums(*digests)


def _statement_files(name: StatementName, record: StatementRecord) -> list[tuple[str, bytes]]:
    """The files of a statement, in the order of their paths."""
    files = [
        (evidence.ADMISSION_SUFFIX, record.admission),
        (evidence.ADMISSION_SIGNATURE_SUFFIX, record.admission_signature),
        (evidence.EVENT_SUFFIX, record.event),
        (evidence.RECEIPT_SUFFIX, record.receipt),
        (evidence.RECEIPT_SIGNATURE_SUFFIX, record.receipt_signature),
        (evidence.SALT_SUFFIX, record.event_salt),
    ]
    return [(name.stem + suffix, data) for suffix, data in files if data]


def _statement_digests(found: StatementDigests) -> dict[str, str]:
    digests = {
        evidence.RECEIPT_SUFFIX: found.receipt,
        evidence.RECEIPT_SIGNATURE_SUFFIX: found.receipt_signature,
        evidence.ADMISSION_SUFFIX: found.admission,
        evidence.ADMISSION_SIGNATURE_SUFFIX: found.admission_signature,
        evidence.EVENT_SUFFIX: found.event,
        evidence.SALT_SUFFIX: found.event_salt,
    }
    stem = found.name.stem
    return {stem + suffix: digest.hex() for suffix, digest in digests.items() if digest is not None}


def _check_count(files: int) -> None:
    most = evidence.MAX_FILES - 2  # the lists in force when the index is sealed
    if files > most:
        raise LimitExceeded(
            f"this evidence has {files} files or more, and a bundle holds {most}: "
            "ask for fewer recipients at a time",
            limit=str(most),
        )
