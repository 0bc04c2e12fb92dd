"""The calls of a client that send documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Unpack

from document_exchange import manifest as manifests
from document_exchange.manifest import Manifest, Recipient
from document_exchange.signature import Signer
from exchange_client import outgoing, parts, submit
from exchange_client.compose import Metadata, seal
from exchange_client.parts import Source
from exchange_client.serials import Serials
from exchange_client.session import HasSession
from exchange_client.submit import Submission


class SendingCalls(HasSession):
    """What ``AsyncClient`` does to send."""

    def __init__(self) -> None:
        self._serials = Serials()

    async def send(
        self,
        *,
        title: str,
        recipients: str | Recipient | Iterable[str | Recipient] | None = None,
        files: Source | Iterable[Source],
        cc: str | Recipient | Iterable[str | Recipient] = (),
        doc_id: str | None = None,
        signers: Sequence[Signer] = (),
        **metadata: Unpack[Metadata],
    ) -> Submission:
        """Seal a document and hand it to the centre; returns when it is durable there.

        Tried again by itself for the retry budget; the envelope_id is chosen before the first
        try, so nothing is sent twice.

        Args:
            title: of the document.
            recipients: unit ids (TO), or ``Recipient``s with kind and copies; one or several.
                ``group:ID`` stands for the group's members: it is replaced by them before the
                document is sealed. By default everybody who got what this one ``supersedes`` or
                ``voids``, else the sender of what it is a ``reply_to``.
            files: one or several; the first is the body, the others are attachments;
                ``PartSource`` says more.
            cc: unit ids that receive a copy (CC).
            doc_id: document identifier; by default that of what it ``supersedes`` or ``refers_to``,
                else made from the leading issuer's code, the year and a serial from the clock.
            signers: seals of other issuers, for a joint issue or on behalf of another unit.
            **metadata: see ``Metadata``.

        Raises:
            InvalidRequest: a file can't be read, a value is none of its choices, or there are no
                recipients.
            NotFound: there is no such earlier envelope that the own unit may see.
            ManifestRefused, RecipientsRefused, SignatureRefused, ...: as the centre says.
            Unavailable: no answer within the budget; the outcome is unknown, and sending the
                same document anew may make a second one. Where that matters, keep what
                ``compose`` and ``seal`` made and use ``send_manifest``.
        """
        session = self.session
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
        signatures = seal(made.content, issuers, session.profile.seal, signers, made.at)
        return await submit.submit(session, made.manifest, made.content, signatures, made.parts)

    async def send_manifest(
        self,
        manifest: bytes | Manifest,
        signatures: Sequence[bytes],
        files: Source | Iterable[Source],
    ) -> Submission:
        """Submit a manifest that was made and sealed elsewhere, with its parts in its order.

        Safe to repeat after any failure, in another process, too.

        Raises:
            ManifestRefused: the bytes are no acceptable manifest.
            InvalidRequest: the files are not the parts that the manifest lists.
        """
        content = manifest if isinstance(manifest, bytes) else manifests.encode(manifest)
        decoded = manifests.decode(content)
        matched = parts.match(decoded.parts, await parts.prepare(files))
        return await submit.submit(self.session, decoded, content, signatures, matched)

    async def new_doc_id(self, unit_id: str | None = None) -> str:
        """A document identifier for a unit: its code, this year, and a serial from the clock.

        The serial counts milliseconds since 1970, so that it needs no memory; units that number
        their documents themselves give ``doc_id``.
        """
        return await outgoing.new_doc_id(self.session, self._serials, unit_id or self.session.unit)
