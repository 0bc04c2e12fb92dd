"""What a document takes from an earlier one that it answers, supersedes or declares void."""

from __future__ import annotations

from collections.abc import Iterable

from document_exchange.errors import InvalidRequest
from document_exchange.manifest import Manifest, Recipient, RecipientKind
from exchange_client import directory, receive
from exchange_client.compose import Metadata, recipients_of
from exchange_client.session import Session


class Earlier:
    """The earlier envelopes that a document names; each is fetched, verified, when first needed."""

    def __init__(self, session: Session, metadata: Metadata) -> None:
        self._session = session
        self._metadata = metadata
        self._fetched: dict[str, Manifest] = {}

    async def doc_id(self) -> str | None:
        """The identifier that stays with what is superseded or referred to; None: a new one.

        Raises:
            NotFound: there is no such envelope that the own unit may see.
        """
        named = self._metadata.get("supersedes") or self._metadata.get("refers_to")
        return (await self._manifest(named)).document.doc_id if named else None

    async def addressed(
        self,
        recipients: str | Recipient | Iterable[str | Recipient] | None,
        cc: str | Recipient | Iterable[str | Recipient],
    ) -> tuple[Recipient, ...]:
        """The recipients as given; for lack of any, whom it concerns, and those in ``cc``.

        It concerns everybody who got what it replaces, else who sent what it answers. Units that
        were closed meanwhile are left out.

        Raises:
            InvalidRequest: it names no earlier envelope, or nobody is left.
            NotFound: there is no such envelope that the own unit may see.
        """
        if recipients is not None:
            return recipients_of(recipients, cc)
        concerned = await self._concerned()
        named = {each.unit for each in concerned}
        return *concerned, *(each for each in recipients_of((), cc) if each.unit not in named)

    async def _concerned(self) -> tuple[Recipient, ...]:
        replaced = self._metadata.get("supersedes") or self._metadata.get("voids")
        if replaced:
            return await self._who_got(replaced)
        answered = self._metadata.get("reply_to")
        if not answered:
            raise InvalidRequest(
                "there are no recipients: name them, or the envelope that this one answers, "
                "supersedes or declares void",
                field="recipients",
            )
        sender = (await self._manifest(answered)).sender
        if sender == self._session.unit:
            raise InvalidRequest(
                f"envelope {answered} was sent by {sender} itself, so an answer to it has no "
                "recipient of its own accord: name one",
                field="recipients",
            )
        return (Recipient(unit=sender, kind=RecipientKind.TO),)

    async def _who_got(self, envelope_id: str) -> tuple[Recipient, ...]:
        listed = (await self._manifest(envelope_id)).recipients
        closed = {
            unit.unit_id
            for unit in await directory.units(self._session)
            if unit.status == directory.CLOSED
        }
        # Copies and their numbers are those of the earlier document.
        left = tuple(
            Recipient(unit=each.unit, kind=each.kind) for each in listed if each.unit not in closed
        )
        if not left:
            raise InvalidRequest(
                f"every unit that envelope {envelope_id} was sent to is closed now",
                field="recipients",
            )
        return left

    async def _manifest(self, envelope_id: str) -> Manifest:
        if envelope_id not in self._fetched:
            response = await receive.request(self._session, envelope_id)
            envelope = receive.verified(self._session, response, envelope_id, recipient=None)
            self._fetched[envelope_id] = envelope.manifest
        return self._fetched[envelope_id]
