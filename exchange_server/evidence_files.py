"""The files of a bundle of evidence, in the order of their paths, page by page from the ledger."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from document_exchange import evidence
from document_exchange.evidence import StatementName
from exchange_server.evidence_ledger import EvidenceLedger
from exchange_server.evidence_plan import Plan, files_of_envelope
from exchange_server.evidence_sealing import IndexFiles
from exchange_server.values import StatementRecord


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """Reads what a plan names."""

    ledger: EvidenceLedger
    texts: Mapping[str, bytes]
    """verify.sh and VERIFY.md."""

    def size_bytes(self, plan: Plan, index: IndexFiles) -> int:
        """Of all that ``in_order`` gives."""
        return plan.size_bytes + index.size_bytes + sum(map(len, self.texts.values()))

    async def in_order(
        self, plan: Plan, index: IndexFiles
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Path and bytes of every file but the parts; a file may come in several pieces.

        Nothing that may be large is held longer than needed.
        """
        envelope = dict(files_of_envelope(plan.envelope))
        yield evidence.VERIFY_TEXT, self.texts[evidence.VERIFY_TEXT]
        for path in sorted(path for path in envelope if path.startswith(evidence.ACCEPTED)):
            yield path, envelope.pop(path)
        for path, der in sorted(plan.certificates.items()):
            yield path, der
        for path, issuer, number in sorted((evidence.crl_path(*each), *each) for each in plan.crls):
            yield path, await self.ledger.evidence_crl(issuer, number)
        async for path, data in self._statements(plan):
            yield path, data
        for piece in index.pieces():
            yield evidence.INDEX, piece
        yield evidence.INDEX_SIGNATURE, index.signature
        yield evidence.INDEX_SUMS, index.sums
        for path in sorted(envelope):
            yield path, envelope[path]
        for batch in plan.batches:
            lines, response = evidence.timestamp_paths(batch)
            stamped, token = await self.ledger.evidence_stamp(batch)
            yield response, token
            yield lines, stamped
        yield evidence.VERIFY_SCRIPT, self.texts[evidence.VERIFY_SCRIPT]

    async def _statements(self, plan: Plan) -> AsyncIterator[tuple[str, bytes]]:
        for page in plan.pages():
            found = await self.ledger.evidence_statements(plan.envelope.envelope_id, page)
            by_unit: dict[str, list[tuple[str, bytes]]] = {unit: [] for unit, _ in page}
            for name, record in found:
                by_unit[name.unit].extend(_statement_files(name, record))
            for made in by_unit.values():  # in the order of the page
                for path, data in made:
                    yield path, data


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
