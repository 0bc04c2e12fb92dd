"""A document on its way out: from what an application says to a manifest ready to be sealed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from document_exchange import codes
from document_exchange.manifest import Manifest, Recipient
from exchange_client import directory, parts
from exchange_client.choices import one_or_more
from exchange_client.compose import Draft, Metadata, compose
from exchange_client.earlier import Earlier
from exchange_client.parts import OutgoingPart, Source
from exchange_client.serials import Serials
from exchange_client.session import Session


@dataclass(frozen=True, slots=True)
class OutgoingDocument:
    """A manifest that nobody has sealed yet, with the bytes of its parts at hand."""

    manifest: Manifest
    content: bytes
    """The manifest's exact bytes."""
    parts: tuple[OutgoingPart, ...]
    at: datetime
    """When it was made: the signing time of those who seal it at once."""


async def prepare(
    session: Session,
    serials: Serials,
    metadata: Metadata,
    *,
    title: str,
    recipients: str | Recipient | Iterable[str | Recipient] | None = None,
    files: Source | Iterable[Source],
    cc: str | Recipient | Iterable[str | Recipient] = (),
    doc_id: str | None = None,
) -> OutgoingDocument:
    """Hash the parts, expand groups, and compose the manifest; arguments as ``AsyncClient.send``.

    Raises:
        InvalidRequest: a file can't be read, a value is none of its choices, or there are no
            recipients.
        NotFound: there is no such earlier envelope that the own unit may see.
        ManifestRefused, SecrecyRefused: as the centre would.
    """
    now = session.now()
    outgoing = await parts.prepare(files)
    issuers: tuple[str, ...] = one_or_more(
        metadata.get("issuers", (session.unit,)), (str,), "issuers"
    )
    metadata["issuers"] = issuers
    leading = issuers[0] if issuers else session.unit
    earlier = Earlier(session, metadata)
    draft = Draft(
        envelope_id=codes.new_id(now),
        at=now,
        sender=session.profile.system,
        title=title,
        doc_id=doc_id or await earlier.doc_id() or await new_doc_id(session, serials, leading),
        recipients=await directory.expanded(session, await earlier.addressed(recipients, cc)),
        parts=tuple(each.part for each in outgoing),
    )
    manifest, content = compose(draft, metadata)
    return OutgoingDocument(manifest, content, outgoing, now)


async def new_doc_id(session: Session, serials: Serials, unit_id: str) -> str:
    """A document identifier for a unit: its code, this year, and a serial from the clock.

    Raises:
        NotFound: there is no such unit.
        InvalidRequest: it has no code.
    """
    code = serials.code_of(unit_id)
    if code is None:
        unit = await directory.unit(session, unit_id)
        code = serials.learn(unit_id, unit.organisation_code or unit.credit_code)
    return serials.next(code, session.now())
