"""One envelope that the own unit sent: withdraw it, urge its recipients, offer it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from document_exchange.errors import ExchangeError, LimitExceeded, NotFound, StateConflict
from document_exchange.receipt import ReceiptType, State
from document_exchange.transitions import OPEN
from document_exchange.v1 import exchange_pb2
from exchange_client import acknowledge, receive, tracking
from exchange_client.choices import one_or_more
from exchange_client.evidence import Envelope, Statement
from exchange_client.kept_receipts import Saying
from exchange_client.session import Session
from exchange_client.tracking import Tracking

WITHDRAWABLE = OPEN | {State.COMPLETED}
"""Where the document is with its recipient, or may come to it; a refusal is worth knowing."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What became of withdrawing an envelope from one recipient: one of the two is there."""

    recipient: str
    statement: Statement | None
    """WITHDRAWN, or WITHDRAWAL_REQUESTED."""
    error: ExchangeError | None
    """Why not; mostly a ``Decided``, whose ``won`` shows what came first."""

    def recorded(self) -> Statement:
        """The statement.

        Raises:
            ExchangeError: ``error``, if there is none.
        """
        if self.statement is None:
            assert self.error is not None
            raise self.error
        return self.statement


class SentView:
    """What an envelope that was sent says of itself, verified."""

    @property
    def envelope(self) -> Envelope:
        """The sealed manifest as the centre accepted it."""
        raise NotImplementedError

    @property
    def envelope_id(self) -> str:
        """The envelope (UUIDv7)."""
        return self.envelope.envelope_id

    @property
    def recipients(self) -> tuple[str, ...]:
        """The units that it went to, in the manifest's order."""
        return tuple(each.unit for each in self.envelope.manifest.recipients)

    def __repr__(self) -> str:
        document = self.envelope.manifest.document
        return f"<{type(self).__name__} {self.envelope_id}: {document.title}>"


class AsyncSent(SentView):
    """An envelope of the own unit, whenever and by whichever process it was sent.

    What its methods have recorded they return as receipt and admission, verified. Each may be
    called again after an error whose outcome is unknown: it hands in the same bytes.
    """

    def __init__(self, session: Session, envelope: Envelope) -> None:
        self._session = session
        self._envelope = envelope

    @property
    def envelope(self) -> Envelope:
        """The sealed manifest as the centre accepted it, verified."""
        return self._envelope

    async def withdraw(self, recipient: str, text: str | None = None) -> Statement:
        """Withdraw it 撤回 from a recipient that has not signed for it.

        Raises:
            NotFound: it did not go to this unit.
            StateConflict: it was signed for (then ask with ``request_withdrawal``), or is done
                with; mostly a ``Decided``, whose ``won`` shows by what.
        """
        return await self._say(ReceiptType.WITHDRAWN, recipient, text)

    async def withdraw_from(
        self,
        recipients: str | Iterable[str] | None = None,
        text: str | None = None,
        request: str | None = None,
    ) -> tuple[Withdrawal, ...]:
        """Withdraw it 撤回 from several recipients, from each for itself.

        A ``StateConflict`` or ``LimitExceeded`` of one lets the next follow. Any other error would
        meet the next one, too: it comes last in what is returned, and the rest is not tried.

        Args:
            recipients: None: all with whom it is, or to whom it may come yet (PENDING, DELIVERED,
                SIGNED_FOR, COMPLETED); whoever is named is always tried.
            text: why.
            request: where it was signed for, ask with this text (``request_withdrawal``) instead.

        Raises:
            NotFound: it did not go to one of these units; then it is withdrawn from none.
            StateConflict: there is nobody left to withdraw it from.
        """
        if recipients is None:
            chosen = await self.standing_at(WITHDRAWABLE)
        else:
            chosen = tuple(dict.fromkeys(one_or_more(recipients, (str,), "recipients")))
        for recipient in chosen:
            self._check(recipient)
        withdrawals = []
        for recipient in chosen:
            withdrawals.append(await self._withdrawal(recipient, text, request))
            if not isinstance(withdrawals[-1].error, StateConflict | LimitExceeded | None):
                break
        return tuple(withdrawals)

    async def request_withdrawal(self, recipient: str, text: str) -> Statement:
        """Ask a recipient that has signed for it to let it be withdrawn 申请撤回, and say why.

        Raises:
            NotFound: it did not go to this unit.
            StateConflict: it is not signed for (then ``withdraw`` it), or was asked already.
            LimitExceeded: the recipient was asked 50 times.
        """
        return await self._say(ReceiptType.WITHDRAWAL_REQUESTED, recipient, text)

    async def urge(self, recipient: str, text: str | None = None) -> Statement:
        """Urge a recipient 催办 that has not done with it.

        Raises:
            NotFound: it did not go to this unit.
            StateConflict: the recipient has nothing to do any more.
            LimitExceeded: the recipient was urged 50 times.
        """
        return await self._say(ReceiptType.URGED, recipient, text)

    async def offer_again(self, recipient: str, text: str | None = None) -> Statement:
        """Offer it again 补发 to a recipient that has refused it.

        Raises:
            NotFound: it did not go to this unit.
            StateConflict: the recipient has not refused it.
            LimitExceeded: it was offered again 50 times.
        """
        return await self._say(ReceiptType.OFFERED_AGAIN, recipient, text)

    async def confirm_seen(self, recipient: str, seq: int) -> None:
        """All about one delivery up to ``seq`` was noted; watches leave it out from now on."""
        await acknowledge.confirm_seen(
            self._session, self.envelope_id, recipient, seq, exchange_pb2.Party.PARTY_SENDER
        )

    async def track(self) -> Tracking:
        """Everything recorded about it, verified."""
        return await tracking.track(self._session, self.envelope_id)

    async def standing_at(self, states: Collection[State]) -> tuple[str, ...]:
        """The recipients with whom it is in one of these states, in the manifest's order.

        An only recipient is given whatever the state: a refusal then says what came first.

        Raises:
            StateConflict: there is none of them.
        """
        if len(self.recipients) == 1:
            return self.recipients
        found = {each.recipient: each.state for each in (await self.track()).deliveries}
        standing = tuple(unit for unit in self.recipients if found.get(unit) in states)
        if not standing:
            counts = Counter(state.value for state in found.values()).items()
            raise StateConflict(
                f"no recipient of envelope {self.envelope_id} is left for that: "
                + ", ".join(f"{count} {state}" for state, count in counts),
                envelope_id=self.envelope_id,
            )
        return standing

    async def _withdrawal(
        self, recipient: str, text: str | None, request: str | None
    ) -> Withdrawal:
        try:
            try:
                statement = await self.withdraw(recipient, text)
            except StateConflict as conflict:
                if request is None or conflict.attributes.get("state") != State.SIGNED_FOR.value:
                    raise
                statement = await self.request_withdrawal(recipient, request)
        except ExchangeError as error:
            return Withdrawal(recipient, None, error)
        return Withdrawal(recipient, statement, None)

    async def _say(self, kind: ReceiptType, recipient: str, text: str | None) -> Statement:
        self._check(recipient)
        saying = Saying(
            kind, self.envelope_id, recipient, self._envelope.manifest_sha256, reason=text
        )
        return await acknowledge.say(self._session, saying, self._envelope)

    def _check(self, recipient: str) -> None:
        if recipient not in self.recipients:
            raise NotFound(
                f"{recipient} is no recipient of envelope {self.envelope_id}; they are"
                f" {', '.join(self.recipients)}",
                envelope_id=self.envelope_id,
                recipient=recipient,
            )


async def find(session: Session, envelope_id: str) -> AsyncSent:
    """An envelope that the own unit sent, verified.

    Raises:
        NotFound: there is none.
        VerificationFailed: what the centre gives as this envelope does not verify.
    """
    response = await receive.request(session, envelope_id)
    envelope = receive.verified(session, response, envelope_id, recipient=None)
    if envelope.manifest.sender != session.unit:
        raise NotFound(
            f"envelope {envelope_id} was sent to {session.unit}, not by it",
            envelope_id=envelope_id,
            sender=envelope.manifest.sender,
        )
    return AsyncSent(session, envelope)
