"""What a bundle of evidence will hold: digest and size of each file, before any of them goes out.

What is recorded while a bundle is made is not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from document_exchange import evidence
from document_exchange import manifest as manifests
from document_exchange.errors import LimitExceeded, NotFound
from document_exchange.evidence import Content
from exchange_runtime.values import Principal
from exchange_server.evidence_ledger import (
    Crls,
    EnvelopeFinder,
    EvidenceLedger,
    FileDigest,
    StatementDigests,
)
from exchange_server.requests import envelope_not_found, is_withdrawn, withdrawn
from exchange_server.values import AcceptedEnvelope

STATEMENTS_AT_ONCE = 200
"""Statements in memory at once, each of some KiB."""


@dataclass(slots=True)
class Plan:
    """What a bundle will hold."""

    envelope: AcceptedEnvelope
    content: Content
    seqs: list[tuple[str, int]]
    """Recipients in the order of their paths, and their last statements."""
    certificates: dict[str, bytes] = field(default_factory=dict)
    """DER by path."""
    crls: Crls = field(default_factory=set)
    batches: list[int] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 in hex by path, of all that the index lists but the lists in force when sealed."""
    size_bytes: int = 0
    """Of all that goes out but the parts, the index and the texts."""
    last_at: datetime = field(init=False)
    """When the last of it was recorded."""

    def __post_init__(self) -> None:
        self.last_at = self.envelope.accepted_at

    @property
    def recipients(self) -> tuple[str, ...]:
        """As an index names them: sorted."""
        return tuple(sorted(recipient for recipient, _ in self.seqs))

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

    def add_file(self, path: str, data: bytes) -> None:
        """A file that is at hand."""
        self.files[path] = hashlib.sha256(data).hexdigest()
        self.size_bytes += len(data)

    def add_crls(self, found: Mapping[tuple[str, int], FileDigest]) -> dict[str, str]:
        """Have these lists go out, once each; returns their digests by path, for an index."""
        for each, digest in found.items():
            if each not in self.crls:
                self.crls.add(each)
                self.size_bytes += digest.size_bytes
        return {evidence.crl_path(*each): digest.sha256.hex() for each, digest in found.items()}


def files_of_envelope(envelope: AcceptedEnvelope) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of the acceptance, the manifest and its signatures."""
    accepted = envelope.accepted
    yield evidence.ACCEPTED + evidence.EVENT_SUFFIX, accepted.event
    yield evidence.ACCEPTED + evidence.RECEIPT_SUFFIX, accepted.receipt
    yield evidence.ACCEPTED + evidence.RECEIPT_SIGNATURE_SUFFIX, accepted.receipt_signature
    yield evidence.ACCEPTED + evidence.SALT_SUFFIX, accepted.event_salt
    yield evidence.MANIFEST, envelope.manifest
    for number, made in enumerate(envelope.signatures, 1):
        yield evidence.signature_path(number), made


@dataclass(frozen=True, slots=True)
class EvidencePlanner:
    """Finds out what a bundle will hold."""

    envelopes: EnvelopeFinder
    ledger: EvidenceLedger
    certificates: dict[str, bytes]
    """DER by path: the root and the CA of the seals."""
    tsa_certificates: dict[str, bytes]
    """DER by path, of a time-stamping service outside of the exchange."""

    async def plan(
        self, principal: Principal, envelope_id: str, wanted: frozenset[str], content: Content
    ) -> Plan:
        """``wanted``: only these recipients; empty means all that the caller may see.

        Raises:
            NotFound: there is no such envelope for the caller, or no such recipient.
            StateConflict: the parts are asked for, and the document was withdrawn from the caller.
            LimitExceeded: more files than one bundle holds.
        """
        unit = principal.unit
        found = await self.envelopes.find_envelope_and_delivery(unit, envelope_id)
        if found is None:
            raise envelope_not_found(envelope_id)
        envelope, own = found
        seqs = await self.ledger.evidence_seqs(envelope_id)
        if envelope.sender != unit:
            seqs = [each for each in seqs if each[0] == unit]
        if others := sorted(wanted - {recipient for recipient, _ in seqs}):
            raise NotFound(
                f"envelope {envelope_id} went to no {', '.join(others)} that you may see",
                envelope_id=envelope_id,
                recipient=others[0],
            )
        if content is Content.PARTS and own is not None and is_withdrawn(unit, own):
            raise withdrawn(envelope_id, "ask for the evidence without its content")
        chosen = [each for each in seqs if not wanted or each[0] in wanted]
        # "a-b/" sorts before "a/", as paths do.
        plan = Plan(envelope, content, sorted(chosen, key=lambda each: f"{each[0]}/"))
        least = sum(seq for _, seq in chosen) * len(evidence.STATEMENT_SUFFIXES)
        _check_count(least)
        await self._list_files(plan)
        _check_count(len(plan.files))
        return plan

    async def _list_files(self, plan: Plan) -> None:
        """Every file that the index lists, but for the lists in force when it is sealed."""
        for path, data in files_of_envelope(plan.envelope):
            plan.add_file(path, data)
        if plan.content is Content.PARTS:
            parts = manifests.decode(plan.envelope.manifest).parts
            for number, part in enumerate(parts, 1):
                plan.files[evidence.part_path(number, part)] = part.sha256
        root_crl, seal_crl = await self.ledger.evidence_acceptance(plan.envelope.envelope_id)
        crls = {("root", root_crl), ("seal-ca", seal_crl)}
        crls |= await self._list_statements(plan)
        crls |= await self._list_stamps(plan)
        plan.certificates = self.certificates | (self.tsa_certificates if plan.batches else {})
        for path, der in plan.certificates.items():
            plan.add_file(path, der)
        plan.files |= plan.add_crls(await self.ledger.evidence_crl_digests(crls))

    async def _list_statements(self, plan: Plan) -> Crls:
        """Returns the lists that were in force when they were recorded."""
        crls: Crls = set()
        for page in plan.pages():
            for found in await self.ledger.evidence_digests(plan.envelope.envelope_id, page):
                crls |= {("root", found.root_crl), ("seal-ca", found.seal_crl)}
                plan.last_at = max(plan.last_at, found.recorded_at)
                plan.files.update(_statement_digests(found))
                plan.size_bytes += found.size_bytes
        return crls

    async def _list_stamps(self, plan: Plan) -> Crls:
        """Returns the lists that clear the exchange's own service."""
        crls: Crls = set()
        for stamp in await self.ledger.evidence_stamps(plan.envelope.envelope_id, plan.seqs):
            plan.batches.append(stamp.batch)
            if stamp.root_crl is not None and stamp.seal_crl is not None:
                crls |= {("root", stamp.root_crl), ("seal-ca", stamp.seal_crl)}
            lines, response = evidence.timestamp_paths(stamp.batch)
            plan.files[lines], plan.files[response] = stamp.lines.hex(), stamp.response.hex()
            plan.size_bytes += stamp.size_bytes
        return crls


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
