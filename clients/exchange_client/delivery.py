"""One delivery to the own unit: look at it, take it, sign for it or refuse it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from document_exchange.errors import VerificationFailed
from document_exchange.receipt import ReasonCode, ReceiptType
from document_exchange.v1 import exchange_pb2
from document_exchange.verification import Signed
from exchange_client import acknowledge, receive, store, tracking
from exchange_client.choices import chosen
from exchange_client.download import store_document
from exchange_client.evidence import Envelope, Statement
from exchange_client.model import DeliverySummary, DeliveryView
from exchange_client.receive import AtHand, Contents
from exchange_client.session import Session
from exchange_client.store import ReceivedDocument
from exchange_client.threads import in_thread
from exchange_client.tracking import Tracking


class AsyncDelivery(DeliveryView):
    """A delivery as lists and watches give it; everything beyond the summary is verified."""

    def __init__(
        self,
        session: Session,
        summary: DeliverySummary,
        response: exchange_pb2.GetEnvelopeResponse | None = None,
    ) -> None:
        self._session = session
        self._summary = summary
        self._response = response
        self._envelope: Envelope | None = None
        self._receipts: dict[tuple[ReceiptType, ReasonCode | None, str | None], Signed] = {}
        self._directory: Path | None = None
        self._at_hand: AtHand = {}

    @property
    def summary(self) -> DeliverySummary:
        """All of it, as last heard from the centre."""
        return self._summary

    async def fetch(self) -> Envelope:
        """The sealed manifest, verified as of its acceptance; asked for once.

        Raises:
            VerificationFailed: do not use it; ``refuse("BAD_SIGNATURE")`` says so to the sender.
        """
        return await self._fetch(enclosed=False)

    async def _fetch(self, *, enclosed: bool) -> Envelope:
        if self._envelope is None:
            response = self._response or await receive.request(
                self._session, self.envelope_id, enclosed=enclosed
            )
            self._response = None
            self._at_hand = {part.part_id: part.data for part in response.enclosed}
            own = response.delivery
            if own.envelope_id == self.envelope_id and own.seq >= self.seq:
                self._summary = DeliverySummary.of(own)
            self._envelope = receive.verified(
                self._session, response, self.envelope_id, recipient=self._session.unit
            )
        return self._envelope

    async def download(self, directory: str | os.PathLike[str]) -> ReceivedDocument:
        """Write the document to ``directory``/``envelope_id``, verified, then confirm it.

        Durable when this returns. Safe to repeat: what is there already is verified again and
        kept. Names are made safe; nothing is overwritten.

        Raises:
            VerificationFailed: of the envelope or of a part; nothing unverified gets a name.
        """
        envelope = await self._fetch(enclosed=True)
        base = Path(directory)
        path, parts = await store_document(self._session, envelope, base, self._take_at_hand())
        self._directory = base
        delivered = await self._confirm(envelope)
        return ReceivedDocument(path, envelope, parts, delivered)

    async def read(self) -> Contents:
        """The document in memory, verified, then confirmed: for programs that store elsewhere.

        MUST only be used by a program that does not lose what it was given: the centre takes it
        as delivered.

        Raises:
            VerificationFailed: of the envelope or of a part.
            LimitExceeded: it has more than 64 MiB.
        """
        envelope = await self._fetch(enclosed=True)
        parts = await receive.read_parts(self._session, envelope, self._take_at_hand())
        return Contents(envelope, parts, await self._confirm(envelope))

    async def sign_for(self) -> Statement:
        """Sign for the document with the unit's seal; returns receipt and admission, verified.

        May be called again after an error whose outcome is unknown: it hands in the same bytes.

        Raises:
            StateConflict: it was not downloaded yet, or is signed for, refused, withdrawn, ...
        """
        envelope = await self.fetch()
        return await self._record(ReceiptType.SIGNED_FOR, envelope.manifest_sha256)

    async def refuse(self, reason_code: ReasonCode | str, text: str | None = None) -> Statement:
        """Refuse the document with a reason; returns receipt and admission, verified.

        Before it was downloaded only BAD_SIGNATURE and DIGEST_MISMATCH are reasons. OTHER needs
        a text.

        Raises:
            StateConflict: the state, or the reason in this state, does not allow it.
        """
        code = chosen(ReasonCode, reason_code, "reason_code")
        try:
            manifest_sha256 = (await self.fetch()).manifest_sha256
        except VerificationFailed as error:
            # Exactly what BAD_SIGNATURE is for; the receipt names the bytes as received.
            manifest_sha256 = error.attributes["manifest_sha256"]
        return await self._record(ReceiptType.REFUSED, manifest_sha256, code, text)

    async def confirm_seen(self) -> None:
        """Tell the centre that all about this delivery was noted, so that watches leave it out."""
        await acknowledge.confirm_seen(
            self._session,
            self.envelope_id,
            self.recipient,
            self.seq,
            exchange_pb2.Party.PARTY_RECIPIENT,
        )

    async def track(self) -> Tracking:
        """Everything recorded about this delivery, verified."""
        return await tracking.track(self._session, self.envelope_id)

    def _take_at_hand(self) -> AtHand:
        """What came with the envelope, once: it is not kept in memory."""
        at_hand, self._at_hand = self._at_hand, {}
        return at_hand

    async def _confirm(self, envelope: Envelope) -> Statement | None:
        if self.state not in acknowledge.CONFIRMABLE:
            return None
        statement = await acknowledge.confirm(self._session, envelope)
        await self._keep(statement)
        return statement

    async def _record(
        self,
        kind: ReceiptType,
        manifest_sha256: str,
        reason_code: ReasonCode | None = None,
        reason: str | None = None,
    ) -> Statement:
        key = (kind, reason_code, reason)
        if key not in self._receipts:
            self._receipts[key] = acknowledge.make_receipt(
                self._session,
                kind,
                self.envelope_id,
                manifest_sha256,
                reason_code=reason_code,
                reason=reason,
            )
        statement = await acknowledge.record(self._session, self._receipts[key], self._envelope)
        await self._keep(statement)
        return statement

    async def _keep(self, statement: Statement) -> None:
        """Bring the summary up to date, and the files if there are any."""
        if statement.seq > self.seq and statement.state_after is not None:
            self._summary = replace(
                self._summary,
                state=statement.state_after,
                seq=statement.seq,
                updated_at=statement.recorded_at,
            )
        if self._directory is not None:
            await in_thread(store.store_statement, self._directory, self.envelope_id, statement)
