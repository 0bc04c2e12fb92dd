"""Client: the SDK for programs without an event loop, a thin face of AsyncClient."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self, TypeVar

from exchange_client.admin import AsyncAdminClient
from exchange_client.alerts import AlertHook
from exchange_client.blocking import LOOP, blocking, blocking_iterator
from exchange_client.client import AsyncClient
from exchange_client.delivery import AsyncDelivery
from exchange_client.delivery_view import DeliveryView
from exchange_client.evidence import Envelope
from exchange_client.joint_issue import AsyncJointIssue
from exchange_client.model import DeliverySummary
from exchange_client.profile import Profile
from exchange_client.sent import AsyncSent, SentView
from exchange_client.timing import Timing


class Delivery(DeliveryView):
    """A delivery as lists and watches give it; everything beyond the summary is verified."""

    def __init__(self, inner: AsyncDelivery) -> None:
        self._inner = inner

    @property
    def summary(self) -> DeliverySummary:
        """All of it, as last heard from the centre."""
        return self._inner.summary

    fetch = blocking(AsyncDelivery.fetch)
    download = blocking(AsyncDelivery.download)
    read = blocking(AsyncDelivery.read)
    sign_for = blocking(AsyncDelivery.sign_for)
    refuse = blocking(AsyncDelivery.refuse)
    progress = blocking(AsyncDelivery.progress)
    complete = blocking(AsyncDelivery.complete)
    send_back = blocking(AsyncDelivery.send_back)
    grant_withdrawal = blocking(AsyncDelivery.grant_withdrawal)
    decline_withdrawal = blocking(AsyncDelivery.decline_withdrawal)
    confirm_seen = blocking(AsyncDelivery.confirm_seen)
    track = blocking(AsyncDelivery.track)


class Sent(SentView):
    """An envelope of the own unit, whenever and by whichever process it was sent."""

    def __init__(self, inner: AsyncSent) -> None:
        self._inner = inner

    @property
    def envelope(self) -> Envelope:
        """The sealed manifest as the centre accepted it, verified."""
        return self._inner.envelope

    withdraw = blocking(AsyncSent.withdraw)
    withdraw_from = blocking(AsyncSent.withdraw_from)
    request_withdrawal = blocking(AsyncSent.request_withdrawal)
    standing_at = blocking(AsyncSent.standing_at)
    urge = blocking(AsyncSent.urge)
    offer_again = blocking(AsyncSent.offer_again)
    confirm_seen = blocking(AsyncSent.confirm_seen)
    track = blocking(AsyncSent.track)


T = TypeVar("T")


def _same(item: T) -> T:
    return item


class AdminClient:
    """The registry, as staff see it; ``Client.admin`` gives it."""

    def __init__(self, inner: AsyncAdminClient) -> None:
        self._inner = inner

    role = blocking(AsyncAdminClient.role)
    entries = blocking(AsyncAdminClient.entries)
    listing = blocking(AsyncAdminClient.listing)
    listing_around = blocking(AsyncAdminClient.listing_around)
    entry = blocking(AsyncAdminClient.entry)
    find = blocking(AsyncAdminClient.find)
    apply = blocking(AsyncAdminClient.apply)
    proposals = blocking_iterator(AsyncAdminClient.proposals, _same)
    proposal = blocking(AsyncAdminClient.proposal)
    decide = blocking(AsyncAdminClient.decide)


class JointIssue:
    """Documents that several units seal before they are sent; ``Client.joint`` gives it."""

    def __init__(self, inner: AsyncJointIssue) -> None:
        self._inner = inner

    draft = blocking(AsyncJointIssue.draft)
    open = blocking(AsyncJointIssue.open)
    request = blocking(AsyncJointIssue.request)
    collect = blocking(AsyncJointIssue.collect)
    standing = blocking(AsyncJointIssue.standing)
    send = blocking(AsyncJointIssue.send)
    seal = blocking(AsyncJointIssue.seal)
    received = blocking(AsyncJointIssue.received)
    answered = blocking(AsyncJointIssue.answered)
    countersign = blocking(AsyncJointIssue.countersign)


class Client:
    """The exchange centre, as one unit's system sees it. A context manager.

    May be used from several threads. Every method is that of ``AsyncClient``, made to wait.
    """

    def __init__(
        self,
        profile: Profile,
        timing: Timing | None = None,
        alerts: AlertHook | None = None,
    ) -> None:
        """As ``AsyncClient``; ``alerts`` is called in the thread of the blocking clients' loop."""
        self._inner = AsyncClient(profile, timing, alerts)

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        config_dir: str | os.PathLike[str] | None = None,
        timing: Timing | None = None,
        alerts: AlertHook | None = None,
    ) -> Self:
        """A client for a profile on this machine; see ``AsyncClient.from_profile``."""
        return cls(AsyncClient.from_profile(name, config_dir).profile, timing, alerts)

    def __enter__(self) -> Self:
        LOOP.run(self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        LOOP.run(self._inner.__aexit__(kind, error, traceback))

    @property
    def profile(self) -> Profile:
        """The profile that it speaks for."""
        return self._inner.profile

    @property
    def unit_id(self) -> str:
        """The own unit."""
        return self._inner.unit_id

    @property
    def joint(self) -> JointIssue:
        """Documents that several units seal 联合行文; see ``AsyncClient.joint``."""
        return JointIssue(self._inner.joint)

    @property
    def admin(self) -> AdminClient:
        """The registry, for staff; see ``AsyncClient.admin``."""
        return AdminClient(self._inner.admin)

    def delivery(self, envelope_id: str) -> Delivery:
        """The delivery of one envelope to the own unit; see ``AsyncClient.delivery``."""
        return Delivery(LOOP.run(self._inner.delivery(envelope_id)))

    def sent(self, envelope_id: str) -> Sent:
        """An envelope that the own unit sent; see ``AsyncClient.sent``."""
        return Sent(LOOP.run(self._inner.sent(envelope_id)))

    send = blocking(AsyncClient.send)
    send_manifest = blocking(AsyncClient.send_manifest)
    new_doc_id = blocking(AsyncClient.new_doc_id)
    inbox = blocking_iterator(AsyncClient.inbox, Delivery)
    watch = blocking_iterator(AsyncClient.watch, Delivery)
    track = blocking(AsyncClient.track)
    evidence = blocking(AsyncClient.evidence)
    thread = blocking(AsyncClient.thread)
    circulation = blocking(AsyncClient.circulation)
    submissions = blocking_iterator(AsyncClient.submissions, _same)
    watch_submissions = blocking_iterator(AsyncClient.watch_submissions, _same)
    confirm_seen = blocking(AsyncClient.confirm_seen)
    units = blocking(AsyncClient.units)
    unit = blocking(AsyncClient.unit)
    groups = blocking(AsyncClient.groups)
    certificates = blocking_iterator(AsyncClient.certificates, _same)
    check_route = blocking(AsyncClient.check_route)
