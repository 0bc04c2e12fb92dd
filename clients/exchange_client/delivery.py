"""One delivery to the own unit: look at it, take it, and say what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path

from document_exchange.errors import VerificationFailed
from document_exchange.receipt import ReasonCode, ReceiptType
from document_exchange.v1 import exchange_pb2
from exchange_client import acknowledge, receive, store, tracking
from exchange_client.choices import chosen
from exchange_client.delivery_view import DeliveryView
from exchange_client.download import store_document
from exchange_client.evidence import Envelope, Statement
from exchange_client.kept_receipts import Saying
from exchange_client.model import DeliverySummary
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

    # Each of these returns receipt and admission, verified, and may be called again after an error
    # whose outcome is unknown: it hands in the same bytes.

    async def sign_for(self) -> Statement:
        """Sign for the document 签收 with the unit's seal.

        Raises:
            StateConflict: it was not downloaded yet, or is signed for, refused, withdrawn, ...;
                mostly a ``Decided``, whose ``won`` shows by what.
        """
        return await self._say(ReceiptType.SIGNED_FOR)

    async def refuse(self, reason_code: ReasonCode | str, text: str | None = None) -> Statement:
        """Refuse the document 拒收 with a reason.

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
        return await self._record(manifest_sha256, ReceiptType.REFUSED, code, text)

    async def progress(self, text: str) -> Statement:
        """Tell the sender how it is getting on 办理进展, after it was signed for.

        Raises:
            StateConflict: it is not signed for, or done with.
            LimitExceeded: the sender was told 50 times.
        """
        return await self._say(ReceiptType.PROGRESS, None, text)

    async def complete(self, text: str | None = None) -> Statement:
        """Say that the matter is dealt with 办结, after it was signed for.

        Raises:
            StateConflict: it is not signed for, or done with.
        """
        return await self._say(ReceiptType.COMPLETED, None, text)

    async def send_back(self, reason_code: ReasonCode | str, text: str | None = None) -> Statement:
        """Return the document 退文 with a reason, after it was signed for. OTHER needs a text.

        Raises:
            StateConflict: it is not signed for (then ``refuse`` it), or done with.
        """
        code = chosen(ReasonCode, reason_code, "reason_code")
        return await self._say(ReceiptType.RETURNED, code, text)

    async def grant_withdrawal(self, text: str | None = None) -> Statement:
        """Grant the sender's request 同意撤回: the document is withdrawn.

        Raises:
            StateConflict: no request is open.
        """
        return await self._say(ReceiptType.WITHDRAWAL_GRANTED, None, text)

    async def decline_withdrawal(self, text: str | None = None) -> Statement:
        """Decline the sender's request 不同意撤回: all stays as it is.

        Raises:
            StateConflict: no request is open.
        """
        return await self._say(ReceiptType.WITHDRAWAL_DECLINED, None, text)

    async def confirm_seen(self, seq: int | None = None) -> None:
        """Tell the centre that all about this delivery was noted, so that watches leave it out.

        Args:
            seq: up to which statement; default: the last one that this delivery knows of.
        """
        await acknowledge.confirm_seen(
            self._session,
            self.envelope_id,
            self.recipient,
            self.seq if seq is None else seq,
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

    async def _say(
        self, kind: ReceiptType, reason_code: ReasonCode | None = None, text: str | None = None
    ) -> Statement:
        envelope = await self.fetch()
        return await self._record(envelope.manifest_sha256, kind, reason_code, text)

    async def _record(
        self,
        manifest_sha256: str,
        kind: ReceiptType,
        reason_code: ReasonCode | None,
        text: str | None,
    ) -> Statement:
        saying = Saying(
            kind, self.envelope_id, self._session.unit, manifest_sha256, reason_code, text
        )
        statement = await acknowledge.say(self._session, saying, self._envelope)
        await self._keep(statement)
        return statement

    async def _keep(self, statement: Statement) -> None:
        """Bring the summary up to date, and the files if there are any."""
        if statement.seq > self.seq:
            self._summary = self._summary.after(statement)
        if self._directory is not None:
            await in_thread(store.store_statement, self._directory, self.envelope_id, statement)
