"""AsyncClient: what a unit's office system does at the exchange."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from document_exchange import codes
from document_exchange import manifest as manifests
from document_exchange.errors import ConfigurationError, NotFound
from document_exchange.manifest import Manifest, Recipient
from document_exchange.receipt import State
from document_exchange.signature import Signer
from document_exchange.v1 import directory_pb2, envelope_pb2, exchange_pb2
from exchange_client import acknowledge, parts, receive, submit, tracking, watch
from exchange_client.choices import chosen, one_or_more
from exchange_client.compose import Draft, Metadata, compose, recipients_of, seal
from exchange_client.delivery import AsyncDelivery
from exchange_client.model import DeliverySummary, SubmissionSummary, Unit, number_of
from exchange_client.parts import Source
from exchange_client.profile import Profile
from exchange_client.serials import Serials
from exchange_client.session import Session, open_session
from exchange_client.submit import Submission
from exchange_client.timing import Timing
from exchange_client.tracking import Tracking

AWAITING = (State.PENDING, State.DELIVERED)
"""The states in which a delivery waits for its recipient."""

_PAGE_SIZE = 200


class AsyncClient:
    """The exchange centre, as one unit's system sees it.

    An asynchronous context manager. All clients of a process must live in one event loop
    (grpc.aio has one poller); so do the blocking ``Client``'s, in a loop of their own thread.
    """

    def __init__(self, profile: Profile, timing: Timing | None = None) -> None:
        self._profile = profile
        self._timing = timing or Timing()
        self._opened: Session | None = None
        self._serials = Serials()

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        config_dir: str | os.PathLike[str] | None = None,
        timing: Timing | None = None,
    ) -> Self:
        """A client for a profile on this machine.

        Args:
            name: default: EXCHANGE_PROFILE, or the only profile that there is.
            config_dir: default: EXCHANGE_CONFIG, or ~/.config/document-exchange.
            timing: deadlines and the retry budget.

        Raises:
            ConfigurationError: there is no such profile, or something in it is wrong.
        """
        return cls(Profile.load(name, Path(config_dir) if config_dir else None), timing)

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise ConfigurationError("this client is open already")
        self._opened = open_session(self._profile, self._timing)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.connection.close()

    @property
    def profile(self) -> Profile:
        """The profile that it speaks for."""
        return self._profile

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

    # Sending

    async def send(
        self,
        *,
        title: str,
        recipients: str | Recipient | Iterable[str | Recipient],
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
            files: one or several; the first is the body, the others are attachments;
                ``PartSource`` says more.
            cc: unit ids that receive a copy (CC).
            doc_id: document identifier; by default made from the leading issuer's code, the year
                and a serial from the clock.
            signers: seals of other issuers, for a joint issue or on behalf of another unit.
            **metadata: see ``Metadata``.

        Raises:
            InvalidRequest: a file can't be read, or a value is none of its choices.
            ManifestRefused, RecipientsRefused, SignatureRefused, ...: as the centre says.
            Unavailable: no answer within the budget; the outcome is unknown, and sending the
                same document anew may make a second one. Where that matters, keep what
                ``compose`` and ``seal`` made and use ``send_manifest``.
        """
        session = self.session
        now = session.now()
        outgoing = await parts.prepare(files)
        issuers: tuple[str, ...] = one_or_more(
            metadata.get("issuers", (session.unit,)), (str,), "issuers"
        )
        metadata["issuers"] = issuers
        draft = Draft(
            envelope_id=codes.new_id(now),
            at=now,
            sender=session.profile.system,
            title=title,
            doc_id=doc_id or await self.new_doc_id(issuers[0] if issuers else session.unit),
            recipients=recipients_of(recipients, cc),
            parts=tuple(each.part for each in outgoing),
        )
        manifest, content = compose(draft, metadata)
        signatures = seal(content, issuers, session.profile.seal, signers, now)
        return await submit.submit(session, manifest, content, signatures, outgoing)

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
        outgoing = parts.match(decoded.parts, await parts.prepare(files))
        return await submit.submit(self.session, decoded, content, signatures, outgoing)

    async def new_doc_id(self, unit_id: str | None = None) -> str:
        """A document identifier for a unit: its code, this year, and a serial from the clock.

        The serial counts milliseconds since 1970, so that it needs no memory; units that number
        their documents themselves give ``doc_id``.
        """
        unit_id = unit_id or self.unit_id
        code = self._serials.code_of(unit_id)
        if code is None:
            unit = await self.unit(unit_id)
            code = self._serials.learn(unit_id, unit.organisation_code or unit.credit_code)
        return self._serials.next(code, self.session.now())

    # Receiving

    async def inbox(
        self, states: State | str | Iterable[State | str] | None = AWAITING
    ) -> AsyncGenerator[AsyncDelivery, None]:
        """Deliveries to the own unit, newest first; pages are turned as needed.

        Args:
            states: by default those that wait for the unit (PENDING, DELIVERED); None: all.
        """
        session = self.session
        request = exchange_pb2.ListDeliveriesRequest(
            states=_state_numbers(states), page_size=_PAGE_SIZE
        )
        while True:
            page = await session.connection.call(
                session.connection.exchange.ListDeliveries, request
            )
            for message in page.deliveries:
                yield AsyncDelivery(session, DeliverySummary.of(message))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delivery(self, envelope_id: str) -> AsyncDelivery:
        """The delivery of one envelope to the own unit.

        Raises:
            NotFound: there is none.
        """
        response = await receive.request(self.session, envelope_id, enclosed=True)
        if not response.HasField("delivery"):
            raise NotFound(
                f"envelope {envelope_id} was sent by {self.unit_id}, not to it",
                envelope_id=envelope_id,
            )
        return AsyncDelivery(self.session, DeliverySummary.of(response.delivery), response)

    async def watch(self, *, follow: bool = True) -> AsyncGenerator[AsyncDelivery, None]:
        """What awaits the own unit, then what comes and changes, each change once.

        Broken streams are opened again for ever. Nothing is skipped: what was not acted upon, nor
        confirmed with ``confirm_seen``, comes again with the next watch.

        Args:
            follow: False ends the watch when all that was waiting has been shown.

        Raises:
            Unauthenticated: the certificate no longer opens the door.
        """
        session = self.session

        def open_stream() -> AsyncGenerator[exchange_pb2.WatchDeliveriesResponse, None]:
            return session.connection.stream(
                session.connection.exchange.WatchDeliveries,
                exchange_pb2.WatchDeliveriesRequest(),
                deadline_s=None,
            )

        def read(
            message: exchange_pb2.WatchDeliveriesResponse,
        ) -> watch.Change[AsyncDelivery] | None:
            if not message.HasField("delivery"):
                return None
            summary = DeliverySummary.of(message.delivery)
            key = (summary.envelope_id, summary.recipient)
            return watch.Change(key, summary.seq, AsyncDelivery(session, summary))

        pause_max_s = session.timing.watch_pause_max_s
        changes = watch.unbroken(open_stream, read, follow=follow, pause_max_s=pause_max_s)
        async with aclosing(changes):
            async for delivery in changes:
                yield delivery

    # What became of what was sent

    async def track(self, envelope_id: str) -> Tracking:
        """Everything recorded about an envelope, every statement verified.

        Raises:
            NotFound: there is none that the own unit may see.
            VerificationFailed: something does not verify, is missing or contradictory.
        """
        return await tracking.track(self.session, envelope_id)

    async def submissions(
        self, states: State | str | Iterable[State | str] | None = None
    ) -> AsyncGenerator[SubmissionSummary, None]:
        """Envelopes that the own unit sent, newest first; pages are turned as needed.

        Args:
            states: only those with a delivery in one of these states; None: all.
        """
        connection = self.session.connection
        request = exchange_pb2.ListSubmissionsRequest(
            states=_state_numbers(states), page_size=_PAGE_SIZE
        )
        while True:
            page = await connection.call(connection.exchange.ListSubmissions, request)
            for message in page.submissions:
                yield SubmissionSummary.of(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch_submissions(
        self, *, follow: bool = True
    ) -> AsyncGenerator[SubmissionSummary, None]:
        """Deliveries of the own envelopes with something new, then each one as it changes.

        As ``watch``; what was not confirmed with ``confirm_seen`` comes again with the next one.
        """
        session = self.session

        def open_stream() -> AsyncGenerator[exchange_pb2.WatchSubmissionsResponse, None]:
            return session.connection.stream(
                session.connection.exchange.WatchSubmissions,
                exchange_pb2.WatchSubmissionsRequest(),
                deadline_s=None,
            )

        def read(
            message: exchange_pb2.WatchSubmissionsResponse,
        ) -> watch.Change[SubmissionSummary] | None:
            if not message.HasField("submission"):
                return None
            summary = SubmissionSummary.of(message.submission)
            changed = summary.deliveries[0]
            return watch.Change((summary.envelope_id, changed.recipient), changed.seq, summary)

        pause_max_s = session.timing.watch_pause_max_s
        changes = watch.unbroken(open_stream, read, follow=follow, pause_max_s=pause_max_s)
        async with aclosing(changes):
            async for summary in changes:
                yield summary

    async def confirm_seen(self, envelope_id: str, recipient: str, seq: int) -> None:
        """As the sender: all about one delivery up to ``seq`` was noted; watches leave it out."""
        await acknowledge.confirm_seen(
            self.session, envelope_id, recipient, seq, exchange_pb2.Party.PARTY_SENDER
        )

    # The directory

    async def units(self, group: str | None = None) -> list[Unit]:
        """Every unit that takes part, or the members of a group, by unit_id."""
        connection = self.session.connection
        request = directory_pb2.ListUnitsRequest(group=group or "", page_size=1000)
        found: list[Unit] = []
        while True:
            page = await connection.call(connection.directory.ListUnits, request)
            found.extend(Unit.of(message) for message in page.units)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def unit(self, unit_id: str) -> Unit:
        """One unit.

        Raises:
            NotFound: there is none of this id.
        """
        connection = self.session.connection
        request = directory_pb2.GetUnitRequest(unit_id=unit_id)
        return Unit.of((await connection.call(connection.directory.GetUnit, request)).unit)


def _state_numbers(
    states: State | str | Iterable[State | str] | None,
) -> list[envelope_pb2.DeliveryState.ValueType]:
    given: tuple[State | str, ...] = one_or_more(states or (), (str,), "states")
    return [number_of(chosen(State, state, "states")) for state in given]
