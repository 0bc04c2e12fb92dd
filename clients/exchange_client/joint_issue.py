"""Joint issue 联合行文: several units seal one manifest before it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Unpack

from document_exchange.errors import EnvelopeIdOutOfRange, SignatureMissing
from document_exchange.issuing import check_issuing
from document_exchange.manifest import Recipient
from document_exchange.signer import Signer
from exchange_client import (
    boxes,
    countersigning,
    directory,
    draft_writing,
    drafts,
    outgoing,
    parts,
    seal_answers,
    seal_requests,
)
from exchange_client.compose import Metadata, seal, unit_of
from exchange_client.countersigning import CountersignRequest
from exchange_client.drafts import JointDraft
from exchange_client.parts import PartSource, Source
from exchange_client.seal_answers import Collected
from exchange_client.seal_requests import IssuerStanding
from exchange_client.serials import Serials
from exchange_client.session import Session
from exchange_client.submit import Submission, submit
from exchange_client.threads import in_thread

Place = str | os.PathLike[str]
"""The folder of a draft."""


class AsyncJointIssue:
    """Drafts in folders: made, sealed by each issuer, and sent once all have sealed.

    ``AsyncClient.joint`` gives it. Every method reads the folder anew and checks all of it.
    """

    def __init__(self, session: Session, serials: Serials) -> None:
        self._session = session
        self._serials = serials

    # As the unit that drafts and sends it

    async def draft(
        self,
        folder: Place,
        *,
        title: str,
        recipients: str | Recipient | Iterable[str | Recipient] | None = None,
        files: Source | Iterable[Source],
        cc: str | Recipient | Iterable[str | Recipient] = (),
        doc_id: str | None = None,
        signers: Sequence[Signer] = (),
        **metadata: Unpack[Metadata],
    ) -> JointDraft:
        """Compose a document and write it to a new folder, sealed by the own unit if it issues it.

        Args:
            folder: must be empty or not there yet.
            title: and all others as in ``AsyncClient.send``; ``issuers`` names the units that
                are to seal it, the leading one first.
            recipients: of the document.
            files: copied into the folder.
            cc: who receives a copy.
            doc_id: document identifier.
            signers: seals of other issuers that are at hand.
            **metadata: see ``Metadata``.

        Raises:
            InvalidRequest: a value is wrong, or the folder is not empty.
            NotFound: there is no such issuer.
            NotPermitted: the own unit is no issuer and does not act for the leading one, so that
                it could never send what all have sealed.
            ManifestRefused, SecrecyRefused: as the centre would.
        """
        session = self._session
        made = await outgoing.prepare(
            session,
            self._serials,
            metadata,
            title=title,
            recipients=recipients,
            files=files,
            cc=cc,
            doc_id=doc_id,
        )
        issuers = made.manifest.document.issuers
        for unit in issuers:  # a wrong name would only be found when all have sealed
            await directory.unit(session, unit)
        if session.unit not in issuers:  # so would this
            own_unit = await directory.unit(session, session.unit)
            check_issuing(session.unit, issuers, own_unit.acts_for)
        own = session.profile.require_seal() if session.unit in issuers else None
        at_hand = {unit_of(signer) for signer in (*signers, *([own] if own else []))}
        sealing = [unit for unit in issuers if unit in at_hand]
        signatures = seal(made.content, sealing, own, signers, made.at)
        return await draft_writing.write_draft(
            Path(folder),
            made.manifest,
            made.content,
            made.parts,
            dict(zip(sealing, signatures, strict=True)),
        )

    async def open(self, folder: Place) -> JointDraft:
        """Read a draft and check all of it; see ``drafts.open_draft``."""
        trust, now = self._session.profile.trust, self._session.now()
        return await in_thread(drafts.open_draft, Path(folder), trust, now)

    async def request(
        self, folder: Place, reply_due: date | str | None = None
    ) -> tuple[IssuerStanding, ...]:
        """Ask the other issuers for their seals through the centre; see ``seal_requests.request``.

        Args:
            folder: the draft.
            reply_due: by which day an answer is expected.
        """
        draft = await self.open(folder)
        return await seal_requests.request(self._session, self._serials, draft, reply_due)

    async def collect(self, folder: Place) -> Collected:
        """Take the seals that have come into the draft; see ``seal_answers.collect``."""
        return await seal_answers.collect(self._session, await self.open(folder))

    async def standing(self, folder: Place) -> tuple[IssuerStanding, ...]:
        """How far each issuer is, the leading one first."""
        return await seal_requests.standing(self._session, await self.open(folder))

    async def send(self, folder: Place) -> Submission:
        """Send a draft that every issuer has sealed; returns when it is durable at the centre.

        Safe to repeat: it is sent once.

        Raises:
            SignatureMissing: ``missing`` names the issuers that have not sealed it.
            EnvelopeIdOutOfRange: the draft is too old: make a new one.
            RecipientsRefused, SealRevoked and others: as the centre says.
        """
        draft = await self.open(folder)
        if draft.missing:
            raise SignatureMissing(
                f"these issuers have not sealed the draft yet: {', '.join(draft.missing)}",
                unit=draft.missing[0],
                missing=" ".join(draft.missing),
                draft=str(folder),
            )
        sources = [
            PartSource(each.path, each.part.role, each.part.filename, each.part.media_type)
            for each in draft.parts
        ]
        matched = parts.match(draft.manifest.parts, await parts.prepare(sources))
        signatures = tuple(draft.signatures.values())
        session = self._session
        try:
            return await submit(session, draft.manifest, draft.manifest_bytes, signatures, matched)
        except EnvelopeIdOutOfRange:
            # Only now: what was accepted in time may be handed in again for ever.
            drafts.check_age(draft.manifest, session.now())
            raise

    # As another issuer

    async def seal(self, folder: Place) -> JointDraft:
        """Seal a draft that came as a folder; see ``drafts.seal_draft``. Needs no centre."""
        draft, session = await self.open(folder), self._session
        signer = session.profile.require_seal()
        return await in_thread(drafts.seal_draft, draft, signer, session.unit, session.now())

    async def received(self, envelope_id: str, folder: Place) -> CountersignRequest:
        """Download a request to ``folder``/``envelope_id`` and verify the draft in it.

        Raises:
            NotFound: there is no such delivery.
            StateConflict: the request was withdrawn, refused or returned, or has expired.
            InvalidRequest: it is a document that asks for no seal.
            VerificationFailed: it is no proper request, or does not verify: do not seal it.
            SignatureRefused: the own unit has sealed it already.
            EnvelopeIdOutOfRange: the draft is too old to be sent.
        """
        delivery = await boxes.delivery(self._session, envelope_id)
        return await countersigning.open_request(self._session, delivery, Path(folder))

    async def answered(self, request: CountersignRequest) -> Submission | None:
        """How the own unit has answered a request already; see ``countersigning.answered``."""
        return await countersigning.answered(self._session, request)

    async def countersign(self, request: CountersignRequest) -> Submission:
        """Sign for a request, seal the draft in it, and answer; see ``countersigning.answer``."""
        delivery = await boxes.delivery(self._session, request.envelope_id)
        return await countersigning.answer(self._session, self._serials, delivery, request)
