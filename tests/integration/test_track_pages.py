"""Histories of any length come page by page, each of bounded size, and whole when joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from exchange_client.testing import LocalCentre

from document_exchange import identity, receipt
from document_exchange.errors import InvalidRequest
from document_exchange.receipt import ReceiptType
from document_exchange.v1 import exchange_pb2
from exchange_runtime.values import Principal
from exchange_server import track
from exchange_server.storage.ledger import Ledger
from exchange_server.track import Tracker
from tests.clerk_for_tests import clerk
from tests.life_for_tests import Paper, Parties, answered
from tests.real_centre import RECIPIENT, SENDER, CentreInside

R = ReceiptType
TO = ("qd-jiaoyu", "qd-tongji", "qd-zhengfu", "qd-zhengfuban")
MIB = 1024 * 1024
ROOM_FOR_THE_ENVELOPE = 64 * 1024
"""Status, tags and lengths besides."""


@pytest.fixture
async def parties(local_centre: LocalCentre) -> AsyncIterator[Parties]:
    async with Parties(CentreInside(local_centre)) as opened:
        yield opened


def principal(inside: CentreInside, unit: str) -> Principal:
    certificate = inside.unit(unit).certificate
    return Principal(
        identity=identity.of_certificate(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        address="",
    )


async def with_histories(parties: Parties, lengths: dict[str, int]) -> Paper:
    """So many remarks for each recipient."""
    paper = await parties.send(TO)
    for recipient, length in lengths.items():
        for _ in range(length):
            await parties.say(paper, R.URGED, recipient)
    return paper


LENGTHS = {"qd-jiaoyu": 3, "qd-tongji": 0, "qd-zhengfu": 4, "qd-zhengfuban": 1}


async def pages_of(
    tracker: Tracker, caller: Principal, paper: Paper, page_size: int
) -> list[tuple[track.Tracked, str]]:
    pages = [await tracker.track(caller, paper.envelope_id, page_size, "")]
    while pages[-1][1]:
        assert len(pages) < 30
        pages.append(await tracker.track(caller, paper.envelope_id, page_size, pages[-1][1]))
    return pages


@pytest.mark.parametrize("page_size", [0, 1, 2, 4])
@pytest.mark.parametrize("room", [1, 9_000, 20_000, 40_000, 10 * MIB])
async def test_pages_of_any_size_make_up_the_same_histories(
    parties: Parties, monkeypatch: pytest.MonkeyPatch, page_size: int, room: int
) -> None:
    monkeypatch.setattr(track, "MOST_PAGE_BYTES", room)
    inside = parties.inside
    paper = await with_histories(parties, LENGTHS)
    async with clerk(inside) as recorder:
        assert isinstance(recorder.ledger, Ledger)
        tracker = Tracker(recorder.ledger)
        for unit, lengths in ((SENDER, LENGTHS), ("qd-zhengfu", {"qd-zhengfu": 4})):
            pages = await pages_of(tracker, principal(inside, unit), paper, page_size)
            joined: dict[str, list[Any]] = {}
            for page, _ in pages:
                assert page.deliveries or page is pages[-1][0]
                for status, statements in page.deliveries:
                    assert status.seq == lengths[status.recipient]
                    joined.setdefault(status.recipient, []).extend(statements)
                    size = sum(len(b"".join(vars_of(each))) for each in statements)
                    assert size <= room or len(statements) == 1
                    assert bool(page.crls) >= bool(statements)
            assert list(joined) == sorted(lengths)
            assert {each: len(found) for each, found in joined.items()} == lengths
            said = [receipt.decode_receipt(s.receipt) for each in joined.values() for s in each]
            assert len({each.receipt_id for each in said}) == sum(lengths.values())
        if room == 10 * MIB and page_size == 0:
            assert len(pages) == 1
        if room == 1:
            assert len(pages) >= 4


def vars_of(record: Any) -> list[bytes]:
    return [getattr(record, name) for name in record.__slots__]


async def test_a_delivery_that_moves_on_between_two_pages(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes as it stands by then; its statements go on without a gap."""
    monkeypatch.setattr(track, "MOST_PAGE_STATEMENTS", 2)
    inside = parties.inside
    paper = await with_histories(parties, {"qd-jiaoyu": 3})
    async with clerk(inside) as recorder:
        assert isinstance(recorder.ledger, Ledger)
        tracker, caller = Tracker(recorder.ledger), principal(inside, SENDER)
        first, token = await tracker.track(caller, paper.envelope_id, 0, "")
        assert token == "qd-jiaoyu/2"
        await parties.say(paper, R.WITHDRAWN, "qd-jiaoyu")
        second, token = await tracker.track(caller, paper.envelope_id, 0, token)
    ((before, some),) = first.deliveries
    (after, more), *_ = second.deliveries
    assert (before.state.value, before.seq, len(some)) == ("PENDING", 3, 2)
    assert (after.state.value, after.seq, len(more)) == ("WITHDRAWN", 4, 2)


@pytest.mark.parametrize(
    "token", ["/", "/1", "qd-jiaoyu/", "qd-jiaoyu/0", "qd-jiaoyu/-1", "qd-jiaoyu/1/2", "QD", "a/١",
              "qd-jiaoyu/" + "9" * 16],
)  # fmt: skip
async def test_a_token_that_is_not_ours(parties: Parties, token: str) -> None:
    paper = await parties.send()
    stub = await parties.stub(SENDER)
    request = exchange_pb2.TrackEnvelopeRequest(envelope_id=paper.envelope_id, page_token=token)
    with pytest.raises(InvalidRequest) as caught:
        await answered(stub.TrackEnvelope(request, timeout=10))
    assert caught.value.attributes["field"] == "page_token"


async def test_very_long_histories_fit_into_messages_and_are_joined(
    local_centre: LocalCentre, parties: Parties
) -> None:
    """As much as parties can have recorded: long texts, as often as they may be said."""
    paper = await parties.send(TO)
    text = "进" * 2000

    async def reported(recipient: str) -> None:
        for kind in (R.DELIVERED, R.SIGNED_FOR):
            await parties.say(paper, kind, recipient)
        for kind in (R.PROGRESS, R.URGED):
            for _ in range(50):
                await parties.say(paper, kind, recipient, reason=text)

    await asyncio.gather(*(reported(each) for each in TO))
    stub = await parties.stub(SENDER)
    request = exchange_pb2.TrackEnvelopeRequest(envelope_id=paper.envelope_id)
    sizes = []
    while True:
        page = await answered(stub.TrackEnvelope(request, timeout=30))
        sizes.append(page.ByteSize())
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(sizes) > 1
    assert max(sizes) <= 2 * MIB + ROOM_FOR_THE_ENVELOPE
    assert sum(sizes) > 3 * MIB
    async with local_centre.async_client(SENDER) as client:
        tracking = await client.track(paper.envelope_id)
    assert [len(each.statements) for each in tracking.deliveries] == [102] * len(TO)
    async with local_centre.async_client(RECIPIENT) as client:
        (own,) = (await client.track(paper.envelope_id)).deliveries
    assert len(own.statements) == 102
