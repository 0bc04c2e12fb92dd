"""AsyncClient: what a unit's office system does at the exchange."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from document_exchange.errors import ConfigurationError
from document_exchange.evidence import Content
from document_exchange.receipt import State
from document_exchange.v1 import exchange_pb2
from exchange_client import (
    acknowledge,
    boxes,
    circulation,
    conversation,
    evidence_bundle,
    sent,
    tracking,
)
from exchange_client.admin import AsyncAdminClient
from exchange_client.alerts import AlertHook
from exchange_client.certificate_alarm import CertificateAlarm
from exchange_client.choices import one_or_more
from exchange_client.circulation import Circulation
from exchange_client.client_directory import DirectoryCalls
from exchange_client.client_sending import SendingCalls
from exchange_client.conversation import Thread
from exchange_client.delivery import AsyncDelivery
from exchange_client.evidence_bundle import SavedEvidence
from exchange_client.joint_issue import AsyncJointIssue
from exchange_client.model import SubmissionSummary
from exchange_client.own_certificates import OwnCertificate, watch_own
from exchange_client.profile import Profile
from exchange_client.renewal import newest
from exchange_client.sent import AsyncSent
from exchange_client.session import Session, open_session
from exchange_client.timing import Timing
from exchange_client.tracking import Tracking
from exchange_client.upkeep import Upkeep

AWAITING = (State.PENDING, State.DELIVERED)
"""The states in which a delivery waits for its recipient."""


class AsyncClient(SendingCalls, DirectoryCalls):
    """The exchange centre, as one unit's system sees it.

    An asynchronous context manager. All clients of a process must live in one event loop
    (grpc.aio has one poller); so do the blocking ``Client``'s, in a loop of their own thread.

    For as long as it is open it renews the profile's certificates, if the profile says where the
    authority is.
    """

    def __init__(
        self,
        profile: Profile,
        timing: Timing | None = None,
        alerts: AlertHook | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            profile: for whom it speaks.
            timing: deadlines and the retry budget.
            alerts: called when a certificate can't be renewed, when one was issued to the own
                unit that this profile did not ask for, and when one was revoked. Without it the
                own unit's certificates are not watched, and failed renewals are logged only.
        """
        super().__init__()
        self._profile = profile
        self._timing = timing or Timing()
        self._alerts = alerts
        self._opened: Session | None = None
        self._closing = AsyncExitStack()

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        config_dir: str | os.PathLike[str] | None = None,
        timing: Timing | None = None,
        alerts: AlertHook | None = None,
    ) -> Self:
        """A client for a profile on this machine.

        Args:
            name: default: EXCHANGE_PROFILE, or the only profile that there is.
            config_dir: default: EXCHANGE_CONFIG, or ~/.config/document-exchange.
            timing: deadlines and the retry budget.
            alerts: see ``AsyncClient``.

        Raises:
            ConfigurationError: there is no such profile, or something in it is wrong.
        """
        profile = Profile.load(name, Path(config_dir) if config_dir else None)
        return cls(profile, timing, alerts)

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise ConfigurationError("this client is open already")
        session = open_session(await newest(self._profile), self._timing)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(session.connection.close)
            upkeep = Upkeep(session, self._alerts)
            upkeep.start()
            stack.push_async_callback(upkeep.stop)
            if self._alerts is not None:
                alarm = CertificateAlarm(session, self._alerts)
                alarm.start()
                stack.push_async_callback(alarm.stop)
            self._closing = stack.pop_all()
        self._opened = session
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self._profile = opened.profile
            await self._closing.aclose()

    @property
    def profile(self) -> Profile:
        """The profile that it speaks for, as last renewed."""
        return self._profile if self._opened is None else self._opened.profile

    @property
    def timing(self) -> Timing:
        """Its deadlines and budgets."""
        return self._timing

    @property
    def unit_id(self) -> str:
        """The own unit."""
        return self._profile.unit

    @property
    def session(self) -> Session:
        """The open session, for the steps' own modules.

        Raises:
            ConfigurationError: the client is not open.
        """
        if self._opened is None:
            raise ConfigurationError("the client is not open: use it inside its with block")
        return self._opened

    @property
    def joint(self) -> AsyncJointIssue:
        """Documents that several units seal before they are sent 联合行文.

        Raises:
            ConfigurationError: the client is not open.
        """
        return AsyncJointIssue(self.session, self._serials)

    @property
    def admin(self) -> AsyncAdminClient:
        """The registry, for staff.

        Raises:
            ConfigurationError: the client is not open.
        """
        return AsyncAdminClient(self.session.connection)

    # Receiving

    async def inbox(
        self, states: State | str | Iterable[State | str] | None = AWAITING
    ) -> AsyncGenerator[AsyncDelivery, None]:
        """Deliveries to the own unit, newest first; pages are turned as needed.

        Args:
            states: by default those that wait for the unit (PENDING, DELIVERED); None: all.
        """
        async with aclosing(boxes.inbox(self.session, states)) as found:
            async for delivery in found:
                yield delivery

    async def delivery(self, envelope_id: str) -> AsyncDelivery:
        """The delivery of one envelope to the own unit.

        Raises:
            NotFound: there is none.
        """
        return await boxes.delivery(self.session, envelope_id)

    async def watch(self, *, follow: bool = True) -> AsyncGenerator[AsyncDelivery, None]:
        """What awaits the own unit, then what comes and changes, each change once.

        Broken streams are opened again for ever. Nothing is skipped: what was not acted upon, nor
        confirmed with ``confirm_seen``, comes again with the next watch.

        Args:
            follow: False ends the watch when all that was waiting has been shown.

        Raises:
            Unauthenticated: the certificate no longer opens the door.
        """
        async with aclosing(boxes.watch_deliveries(self.session, follow=follow)) as changes:
            async for delivery in changes:
                yield delivery

    # What became of what was sent

    async def sent(self, envelope_id: str) -> AsyncSent:
        """An envelope that the own unit sent, to withdraw it, urge its recipients, and so on.

        Raises:
            NotFound: there is none.
        """
        return await sent.find(self.session, envelope_id)

    async def track(self, envelope_id: str) -> Tracking:
        """Everything recorded about an envelope, every statement verified.

        Raises:
            NotFound: there is none that the own unit may see.
            VerificationFailed: something does not verify, is missing or contradictory.
        """
        return await tracking.track(self.session, envelope_id)

    async def evidence(
        self,
        envelope_id: str,
        recipients: str | Iterable[str] = (),
        content: bool = True,
        *,
        to: str | os.PathLike[str],
    ) -> SavedEvidence:
        """Everything that proves what became of an envelope, as one zip that stands alone.

        It is verified before it gets its name; ``verify_evidence`` or the script in it does so
        again, years later and without the centre. What stands at ``to`` is replaced.

        Args:
            envelope_id: one that the own unit sent or got.
            recipients: only about these, one or several, 20 at most; by default all of them for
                its sender, the own unit else.
            content: with the parts; otherwise with their digests only.
            to: the file to be written.

        Raises:
            NotFound: there is none that the own unit may see, or no such recipient.
            LimitExceeded: too many files for one bundle, or too many recipients named: ask for
                fewer at a time; or too many different bundles about this envelope today.
            StateConflict: the document was withdrawn from the own unit: ask without ``content``.
            VerificationFailed: what the centre sent does not verify.
            OSError: it can't be written.
        """
        chosen_content = Content.PARTS if content else Content.DIGESTS
        return await evidence_bundle.save(
            self.session,
            envelope_id,
            one_or_more(recipients, (str,), "recipients"),
            chosen_content,
            Path(to),
        )

    async def thread(self, envelope_id: str) -> Thread:
        """The envelopes that answer, supersede, void or refer to one another, around this one.

        Only what the own unit sent or got; the centre's word, as in lists.

        Raises:
            NotFound: there is none that the own unit may see.
        """
        return await conversation.thread(self.session, envelope_id)

    async def circulation(self, envelope_id: str) -> Circulation:
        """Where all recipients of a document stand: who has signed, answered, is late.

        For its sender, and for its recipients if it was sent with ``open_circulation``; the
        centre's word, as in lists.

        Raises:
            NotFound: there is none that the own unit may see.
            NotPermitted: only its sender may know.
        """
        return await circulation.circulation(self.session, envelope_id)

    async def submissions(
        self, states: State | str | Iterable[State | str] | None = None
    ) -> AsyncGenerator[SubmissionSummary, None]:
        """Envelopes that the own unit sent, newest first; pages are turned as needed.

        Args:
            states: only those with a delivery in one of these states; None: all.
        """
        async with aclosing(boxes.submissions(self.session, states)) as found:
            async for submission in found:
                yield submission

    async def watch_submissions(
        self, states: State | str | Iterable[State | str] | None = None, *, follow: bool = True
    ) -> AsyncGenerator[SubmissionSummary, None]:
        """Deliveries of the own envelopes with something new, then each one as it changes.

        As ``watch``; what was not confirmed with ``confirm_seen`` comes again with the next one.

        Args:
            states: only of deliveries that are now in one of these states; None: all.
            follow: False ends the watch when all that was waiting has been shown.
        """
        watched = boxes.watch_submissions(self.session, states, follow=follow)
        async with aclosing(watched) as changes:
            async for submission in changes:
                yield submission

    async def confirm_seen(self, envelope_id: str, recipient: str, seq: int) -> None:
        """As the sender: all about one delivery up to ``seq`` was noted; watches leave it out."""
        await acknowledge.confirm_seen(
            self.session, envelope_id, recipient, seq, exchange_pb2.Party.PARTY_SENDER
        )

    async def certificates(self, *, follow: bool = True) -> AsyncGenerator[OwnCertificate, None]:
        """The own unit's certificates, then each one as it is issued or revoked, each once.

        Args:
            follow: False ends it when all that there are have been shown.
        """
        async with aclosing(watch_own(self.session, follow=follow)) as changes:
            async for own in changes:
                yield own
