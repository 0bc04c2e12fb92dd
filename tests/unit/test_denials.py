"""Refusals as events: each kind once at once, repeats counted, and nobody erases a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from document_exchange import codes, event, identity
from document_exchange.errors import (
    BY_CODE,
    ConfigurationError,
    ExchangeError,
    InternalError,
    InvalidRequest,
    ManifestRefused,
    NotFound,
    NotPermitted,
    PartOutOfOrder,
    PartSizeMismatch,
    QuotaExceeded,
    RecipientsRefused,
    TooManyCalls,
    Unavailable,
    VerificationFailed,
)
from exchange_runtime.denials import DENIALS, Denials
from exchange_runtime.values import Actor, PreparedEvent, Principal

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
SUBMIT = "/document_exchange.v1.ExchangeService/Submit"
TRACK = "/document_exchange.v1.ExchangeService/TrackEnvelope"


class Books:
    """An EventLedger in memory: what a real one would hold, decoded again from its bytes."""

    def __init__(self) -> None:
        self.events: list[event.Event] = []
        self.reachable = True
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self._grown = asyncio.Condition()

    async def record_event(self, prepared: PreparedEvent) -> None:
        self.asked.set()
        await self.open.wait()
        if not self.reachable:
            raise Unavailable
        assert event.leaf(prepared.salt, prepared.content) == prepared.leaf
        async with self._grown:
            self.events.append(event.decode(prepared.content))
            self._grown.notify_all()

    async def hold(self, count: int) -> None:
        """Wait until there are this many events."""
        async with asyncio.timeout(10), self._grown:
            await self._grown.wait_for(lambda: len(self.events) >= count)

    @property
    def details(self) -> list[Mapping[str, str]]:
        return [each.detail or {} for each in self.events]


def caller(name: str = "oa", unit: str = "qd-caizheng") -> Principal:
    return Principal(
        identity=identity.parse(f"spiffe://exchange.example/unit/{unit}/system/{name}"),
        fingerprint=bytes(32),
        not_before=NOW,
        not_after=NOW,
        address="10.0.0.7",
    )


def new_id() -> str:
    return codes.new_id(NOW)


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def denials(books: Books) -> Denials:
    return Denials(books, lambda: NOW)


def test_every_no_is_an_event_and_nothing_else() -> None:
    """Whatever is the caller's own doing; new errors have to be put on one side."""
    others = (ConfigurationError, VerificationFailed, Unavailable, InternalError)
    for cls in BY_CODE.values():
        if cls not in (ExchangeError, TooManyCalls, QuotaExceeded):
            assert issubclass(cls, DENIALS) is not issubclass(cls, others), cls
    again = [cls for cls in BY_CODE.values() if issubclass(cls, DENIALS) and cls.retryable]
    assert again == [TooManyCalls, QuotaExceeded]


async def test_the_first_of_a_kind_is_there_at_once(denials: Denials, books: Books) -> None:
    envelope_id = new_id()
    error = InvalidRequest("a chunk has at most 7 bytes", field="chunk.data")
    await denials.record(caller(), SUBMIT, error, envelope_id)
    (made,) = books.events
    assert (made.type, made.actor) == ("DENIED", str(caller().identity))
    assert (made.address, made.envelope_id) == ("10.0.0.7", envelope_id)
    assert made.at == "2026-11-20T08:30:00.000Z"
    assert made.detail == {
        "method": SUBMIT,
        "code": "INVALID_REQUEST",
        "field": "chunk.data",
    }


async def test_repeats_are_counted_and_written_by_the_flush(denials: Denials, books: Books) -> None:
    ids = [new_id() for _ in range(30)]
    for envelope_id in ids:
        await denials.record(caller(), SUBMIT, PartSizeMismatch(), envelope_id)
    assert [each.envelope_id for each in books.events] == ids[:1]
    await denials.flush()
    assert len(books.events) == 2
    assert books.events[1].actor == str(caller().identity)
    assert books.events[1].envelope_id is None
    assert books.details[1] == {
        "method": SUBMIT,
        "code": "PART_SIZE_MISMATCH",
        "repeats": "29",
        "envelope_ids": " ".join(ids[1:21]),
    }
    await denials.flush()
    assert len(books.events) == 2, "a kind that did not repeat is not written again"
    await denials.record(caller(), SUBMIT, PartSizeMismatch(), ids[0])
    assert books.events[2].envelope_id == ids[0], "after a flush a kind begins anew"


async def test_another_caller_method_or_code_is_another_kind(
    denials: Denials, books: Books
) -> None:
    await denials.record(caller(), SUBMIT, PartSizeMismatch(), None)
    await denials.record(caller("archive"), SUBMIT, PartSizeMismatch(), None)
    await denials.record(caller(), TRACK, PartSizeMismatch(), None)
    await denials.record(caller(), SUBMIT, InvalidRequest(), None)
    assert len(books.events) == 4
    await denials.flush()
    assert len(books.events) == 4


async def test_who_asks_for_what_is_anothers_is_recorded_with_it(
    denials: Denials, books: Books
) -> None:
    """The call itself knows no envelope then; the error names it."""
    envelope_id = new_id()
    await denials.record(caller(), TRACK, NotFound("…", envelope_id=envelope_id), None)
    assert books.events[0].envelope_id == envelope_id
    await denials.record(caller("b"), TRACK, NotFound("…", envelope_id="x' or true --"), None)
    assert books.events[1].envelope_id is None


async def test_too_many_kinds_are_counted_over_all_callers(books: Books) -> None:
    denials = Denials(books, lambda: NOW, most_kinds=3)
    for number in range(10):
        await denials.record(caller(f"s{number}"), SUBMIT, InvalidRequest(), new_id())
    await denials.record(caller("s0"), SUBMIT, InvalidRequest(), None)
    assert [each.actor for each in books.events] == [
        str(caller(f"s{n}").identity) for n in range(3)
    ]
    await denials.flush()
    counted = {each.get("callers", "one"): each["repeats"] for each in books.details[3:]}
    assert counted == {"one": "1", "several": "7"}
    await denials.record(caller("s9"), SUBMIT, InvalidRequest(), None)
    assert books.events[-1].actor == str(caller("s9").identity)


async def test_whoever_has_an_ipv6_network_is_one_caller(denials: Denials, books: Books) -> None:
    """Each of its 2^64 addresses costs nothing, so none is a kind of its own."""
    for number in range(1, 5):
        await denials.record(Actor("enrolment", f"2001:db8:0:7::{number}"), SUBMIT, NotFound())
    for other in ("2001:db8:0:8::1", "10.0.0.7", "10.0.0.8"):
        await denials.record(Actor("enrolment", other), SUBMIT, NotFound())
    assert [each.address for each in books.events] == [
        "2001:db8:0:7::1",
        "2001:db8:0:8::1",
        "10.0.0.7",
        "10.0.0.8",
    ]
    await denials.flush()
    assert [each["repeats"] for each in books.details[4:]] == ["3"]


async def test_a_caller_that_hangs_up_leaves_its_trace(denials: Denials, books: Books) -> None:
    books.open.clear()
    call = asyncio.create_task(denials.record(caller(), SUBMIT, InvalidRequest(), None))
    await books.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert books.events == []
    books.open.set()
    await denials.stop()
    assert books.details == [{"method": SUBMIT, "code": "INVALID_REQUEST"}]


async def test_what_the_ledger_did_not_take_is_counted_and_tried_again(
    denials: Denials, books: Books
) -> None:
    books.reachable = False
    ids = [new_id(), new_id()]
    for envelope_id in ids:
        await denials.record(caller(), SUBMIT, InvalidRequest(), envelope_id)
    await denials.flush()
    assert books.events == []
    books.reachable = True
    await denials.flush()
    (detail,) = books.details
    assert detail["repeats"] == "2"
    assert set(detail["envelope_ids"].split()) == set(ids)


async def test_the_interval_flushes_and_so_does_the_end(books: Books) -> None:
    denials = Denials(books, lambda: NOW, interval_s=0.01)
    await denials.start()
    for _ in range(2):
        await denials.record(caller(), SUBMIT, InvalidRequest(), None)
    await books.hold(2)
    await denials.stop()

    patient = Denials(books, lambda: NOW)
    await patient.start()
    for _ in range(3):
        await patient.record(caller("b"), SUBMIT, InvalidRequest(), None)
    assert len(books.events) == 3
    await patient.stop()
    assert books.details[3]["repeats"] == "2"


MATTER = "关于某军事设施的秘密"


@pytest.mark.parametrize(
    ("error", "written"),
    [
        (
            ManifestRefused(
                f"document.remark is '{MATTER}': expected a text of at most 2000 characters",
                field="document.remark",
                value=MATTER,
                found=MATTER,
                size="4000",
            ),
            {"field": "document.remark"},
        ),
        (ManifestRefused(f"{MATTER} is no field", field=f"document.{MATTER}"), {}),
        (PartOutOfOrder(f"no part {MATTER!r}", part_id=MATTER), {}),
        (PartOutOfOrder("no part 'part-9'", part_id="part-9"), {"part_id": "part-9"}),
        (
            RecipientsRefused("2 refused", **{"qd-a": "there is no such unit", "qd-b": "closed"}),
            {"recipients": "qd-a qd-b"},
        ),
        (NotPermitted(MATTER, method=TRACK, code=MATTER), {}),
        (InvalidRequest("x" * 10_000, field="f" * 10_000), {}),
    ],
)
async def test_nothing_that_was_sent_is_written_down(
    denials: Denials, books: Books, error: ExchangeError, written: dict[str, str]
) -> None:
    """Places and identifiers are; messages and values may quote the very secret."""
    await denials.record(caller(), SUBMIT, error, "not an id")
    assert books.details == [{"method": SUBMIT, "code": error.code, **written}]
    assert books.events[0].envelope_id is None
    assert MATTER not in event.encode(books.events[0]).decode()


async def test_of_very_many_recipients_some_are_named(denials: Denials, books: Books) -> None:
    faults = {f"unit-{number:034}": "there is no such unit" for number in range(500)}
    await denials.record(caller(), SUBMIT, RecipientsRefused("500 refused", **faults), None)
    assert books.details[0]["recipients"].split() == list(faults)[:50]
