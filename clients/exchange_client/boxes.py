"""What came to the own unit and what it sent: listed page by page, and watched."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from document_exchange.errors import NotFound
from document_exchange.receipt import State
from document_exchange.v1 import envelope_pb2, exchange_pb2
from exchange_client import receive, watch
from exchange_client.choices import chosen, one_or_more
from exchange_client.delivery import AsyncDelivery
from exchange_client.model import DeliverySummary, SubmissionSummary, number_of
from exchange_client.session import Session

States = State | str | Iterable[State | str] | None
"""One or several states; None: all."""

_PAGE_SIZE = 200


async def delivery(session: Session, envelope_id: str) -> AsyncDelivery:
    """The delivery of one envelope to the own unit.

    Raises:
        NotFound: there is none.
    """
    response = await receive.request(session, envelope_id, enclosed=True)
    if not response.HasField("delivery"):
        raise NotFound(
            f"envelope {envelope_id} was sent by {session.unit}, not to it",
            envelope_id=envelope_id,
        )
    return AsyncDelivery(session, DeliverySummary.of(response.delivery), response)


async def inbox(session: Session, states: States) -> AsyncGenerator[AsyncDelivery, None]:
    """Deliveries to the own unit in these states, newest first; pages are turned as needed."""
    connection = session.connection
    request = exchange_pb2.ListDeliveriesRequest(
        states=_state_numbers(states), page_size=_PAGE_SIZE
    )
    while True:
        page = await connection.call(connection.exchange.ListDeliveries, request)
        for message in page.deliveries:
            yield AsyncDelivery(session, DeliverySummary.of(message))
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def submissions(session: Session, states: States) -> AsyncGenerator[SubmissionSummary, None]:
    """Envelopes that the own unit sent, with a delivery in one of these states, newest first."""
    connection = session.connection
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


async def watch_deliveries(
    session: Session, *, follow: bool
) -> AsyncGenerator[AsyncDelivery, None]:
    """What awaits the own unit, then what comes and changes; see ``AsyncClient.watch``."""

    def open_stream() -> AsyncGenerator[exchange_pb2.WatchDeliveriesResponse, None]:
        return session.connection.stream(
            session.connection.exchange.WatchDeliveries,
            exchange_pb2.WatchDeliveriesRequest(),
            deadline_s=None,
        )

    def read(message: exchange_pb2.WatchDeliveriesResponse) -> watch.Change[AsyncDelivery] | None:
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


async def watch_submissions(
    session: Session, states: States, *, follow: bool
) -> AsyncGenerator[SubmissionSummary, None]:
    """Deliveries of the own envelopes as they change; see ``AsyncClient.watch_submissions``."""
    wanted = _states(states)

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
            if not wanted or summary.deliveries[0].state in wanted:
                yield summary


def _states(states: States) -> tuple[State, ...]:
    given: tuple[State | str, ...] = one_or_more(states or (), (str,), "states")
    return tuple(chosen(State, state, "states") for state in given)


def _state_numbers(states: States) -> list[envelope_pb2.DeliveryState.ValueType]:
    return [number_of(state) for state in _states(states)]
