"""Random histories of many actors at the real centre, beside a model of the table of steps.

The model is written out here once more, from the documentation and not from the code. After each
step the answer, the history as tracked, and what awaits each side's attention are compared.
``LIFE_STEPS`` is how many steps are taken at least, ``LIFE_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import hypothesis
import pytest
from exchange_client.testing import LocalCentre, local_centre_fixture
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from document_exchange import receipt
from document_exchange.errors import ExchangeError, LimitExceeded, NotFound, StateConflict
from document_exchange.receipt import ReasonCode, ReceiptType
from document_exchange.v1 import envelope_pb2, exchange_pb2
from document_exchange.verification import Signed
from tests.life_for_tests import Paper, Parties, answered, signed
from tests.real_centre import CentreInside, admitted, document

STEPS = int(os.environ.get("LIFE_STEPS", "1000"))
SEED = int(os.environ.get("LIFE_SEED", "20091127"))
STEPS_OF_ONE_RUN = 60

FINANCE, OFFICE, EDUCATION = "qd-caizheng", "qd-zhengfuban", "qd-jiaoyu"
SECOND = "second system of education"
ENVELOPES: Mapping[str, tuple[str, ...]] = {
    FINANCE: (EDUCATION, "qd-tongji", FINANCE),  # one that writes to itself, too
    OFFICE: (EDUCATION, "qd-tongji", "qd-zhengfu"),
}
UNITS = (FINANCE, OFFICE, EDUCATION, "qd-tongji", "qd-zhengfu")

local_centre = local_centre_fixture(
    scope="module", registry=Path(__file__).parent / "small_city.toml"
)

T = TypeVar("T")

# ------------------------------------------------------------------------------ the model
BY_RECIPIENT = ("SIGNED_FOR", "REFUSED", "RETURNED", "PROGRESS", "COMPLETED",
                "WITHDRAWAL_GRANTED", "WITHDRAWAL_DECLINED")  # fmt: skip
BY_SENDER = ("WITHDRAWN", "WITHDRAWAL_REQUESTED", "URGED", "OFFERED_AGAIN")
KINDS = ("DELIVERED", *BY_RECIPIENT, *BY_SENDER)
TABLE = {
    ("PENDING", "DELIVERED"): "DELIVERED",
    ("PENDING", "REFUSED"): "REFUSED",  # if it can't be verified
    ("PENDING", "WITHDRAWN"): "WITHDRAWN",
    ("PENDING", "URGED"): "PENDING",
    ("DELIVERED", "REFUSED"): "REFUSED",
    ("DELIVERED", "SIGNED_FOR"): "SIGNED_FOR",
    ("DELIVERED", "WITHDRAWN"): "WITHDRAWN",
    ("DELIVERED", "URGED"): "DELIVERED",
    ("SIGNED_FOR", "PROGRESS"): "SIGNED_FOR",
    ("SIGNED_FOR", "URGED"): "SIGNED_FOR",
    ("SIGNED_FOR", "COMPLETED"): "COMPLETED",
    ("SIGNED_FOR", "RETURNED"): "RETURNED",
    ("SIGNED_FOR", "WITHDRAWAL_REQUESTED"): "SIGNED_FOR",  # if none is open
    ("SIGNED_FOR", "WITHDRAWAL_GRANTED"): "WITHDRAWN",  # if one is open
    ("SIGNED_FOR", "WITHDRAWAL_DECLINED"): "SIGNED_FOR",  # if one is open
    ("REFUSED", "OFFERED_AGAIN"): "PENDING",
}
AT_MOST_50 = ("PROGRESS", "URGED", "WITHDRAWAL_REQUESTED", "OFFERED_AGAIN")
STILL_TO_ACT = ("PENDING", "DELIVERED")
LEADING_ON = ("DELIVERED", "SIGNED_FOR", "WITHDRAWAL_REQUESTED", "OFFERED_AGAIN")
REASONS = st.sampled_from([ReasonCode.BAD_SIGNATURE, ReasonCode.DUPLICATE])


@dataclass
class Row:
    """What awaits one side's attention."""

    seq: int
    confirmed: int = -1


@dataclass
class Model:
    """One delivery as it ought to be."""

    paper: Paper
    recipient: str
    state: str = "PENDING"
    requested: bool = False
    history: list[str] = field(default_factory=list)
    recorded: list[tuple[str, Signed, envelope_pb2.Statement]] = field(default_factory=list)
    """Caller, receipt and answer of what parties handed in."""
    decided: envelope_pb2.Statement | None = None
    confirmed: envelope_pb2.Statement | None = None
    """DELIVERED since it was last offered."""
    rows: dict[str, Row] = field(default_factory=lambda: {"R": Row(0)})

    @property
    def sender(self) -> str:
        return self.paper.about.sender

    def party(self, kind: str) -> str:
        return self.sender if kind in BY_SENDER else self.recipient

    def takes(self, kind: str, reason: ReasonCode) -> bool:
        if (self.state, kind) not in TABLE:
            return False
        if kind == "REFUSED" and self.state == "PENDING":
            return reason in (ReasonCode.BAD_SIGNATURE, ReasonCode.DIGEST_MISMATCH)
        if kind == "WITHDRAWAL_REQUESTED":
            return not self.requested
        return self.requested or kind not in ("WITHDRAWAL_GRANTED", "WITHDRAWAL_DECLINED")

    def is_too_often(self, kind: str) -> bool:
        return kind in AT_MOST_50 and self.history.count(kind) >= 50

    def step(self, kind: str, statement: envelope_pb2.Statement) -> None:
        after = TABLE[self.state, kind]
        if after != self.state or kind in ("WITHDRAWAL_REQUESTED", "WITHDRAWAL_DECLINED"):
            self.decided = statement
        if kind == "DELIVERED":
            self.confirmed = statement
        if kind == "OFFERED_AGAIN":
            self.confirmed = None
        if kind.startswith("WITHDRAWAL_") or after != "SIGNED_FOR":
            self.requested = kind == "WITHDRAWAL_REQUESTED"
        self.state = after
        self.history.append(kind)
        seq = len(self.history)
        if kind in BY_SENDER:
            self.rows.setdefault("R", Row(seq)).seq = seq
            return
        self.rows.setdefault("S", Row(seq)).seq = seq
        own = self.rows.get("R")
        if own is not None and after not in STILL_TO_ACT and not self._is_news(own):
            del self.rows["R"]

    def _is_news(self, row: Row) -> bool:
        """Whether the sender said something that the recipient has neither seen nor answered."""
        return any(
            kind in ("URGED", "OFFERED_AGAIN")
            or (kind == "WITHDRAWAL_REQUESTED" and self.requested)
            for kind in self.history[max(row.confirmed, 0) : row.seq]
        )

    def seen(self, side: str, seq: int) -> None:
        row = self.rows.get(side)
        if row is None:
            return
        row.confirmed = max(row.confirmed, min(seq, row.seq))
        if row.confirmed >= row.seq and (side == "S" or self.state not in STILL_TO_ACT):
            del self.rows[side]


# ------------------------------------------------------------------------------ both, step by step
@dataclass
class Bench:
    """The real centre, and how far the comparison has come."""

    parties: Parties
    loop: asyncio.AbstractEventLoop
    steps: int = 0
    differences: int = 0
    taken: set[tuple[str, bool, str]] = field(default_factory=set)
    """Steps that were recorded: from where, whether a withdrawal was asked for, which."""

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)


class Life(RuleBasedStateMachine):
    """Two documents of two senders on their way; each rule is one step."""

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.models = [
            Model(paper, recipient)
            for paper in self.bench.wait(self._sent())
            for recipient in ENVELOPES[paper.about.sender]
        ]

    async def _sent(self) -> list[Paper]:
        send = self.bench.parties.send
        return [await send(to, by, document=document([by])) for by, to in ENVELOPES.items()]

    def teardown(self) -> None:
        """What is left awaits nobody, so that watches stay as short as these two documents."""
        self.bench.wait(self._forgotten())

    async def _forgotten(self) -> None:
        async with self.bench.parties.inside.ledger() as ledger:
            await ledger.execute(
                "delete from exchange.attention where envelope_id = any ($1::uuid[])",
                list({model.paper.envelope_id for model in self.models}),
            )

    def _compared(self, step: Coroutine[Any, Any, None]) -> None:
        self.bench.steps += 1
        try:
            self.bench.wait(step)
        except BaseException:
            self.bench.differences += 1
            raise

    @rule(data=st.data(), which=st.integers(0, 5), steps=st.integers(1, 5))
    def go_on(self, data: st.DataObject, which: int, steps: int) -> None:
        """Possible steps of one delivery, more often those after which others can follow."""
        model = self.models[which]
        for _ in range(steps):
            reason = data.draw(REASONS)
            possible = [kind for kind in KINDS if model.takes(kind, reason)]
            likely = [kind for kind in possible for _ in range(3 if kind in LEADING_ON else 1)]
            if not likely:
                return
            self._say_by_somebody(data, model, data.draw(st.sampled_from(likely)), reason)

    @rule(data=st.data(), which=st.integers(0, 5), kind=st.sampled_from(KINDS), reason=REASONS)
    def say(self, data: st.DataObject, which: int, kind: str, reason: ReasonCode) -> None:
        """Anything, whether it is possible or not."""
        self._say_by_somebody(data, self.models[which], kind, reason)

    def _say_by_somebody(
        self, data: st.DataObject, model: Model, kind: str, reason: ReasonCode
    ) -> None:
        second = model.party(kind) == EDUCATION and data.draw(st.booleans())
        self._compared(self._say(model, kind, reason, SECOND if second else model.party(kind)))

    async def _say(self, model: Model, kind: str, reason: ReasonCode, caller: str) -> None:
        type_ = ReceiptType(kind)
        made = None
        if kind != "DELIVERED":
            code = reason if kind in ("REFUSED", "RETURNED") else None
            made = self.bench.parties.receipt(model.paper, model.recipient, type_, reason_code=code)
        got = await self._outcome(model, caller, made)
        if kind == "DELIVERED" and model.confirmed is not None and model.state != "PENDING":
            assert got == model.confirmed, f"another answer to the same confirmation: {got!r}"
        elif not model.takes(kind, reason):
            assert isinstance(got, StateConflict), f"{kind} in {model.state}: {got!r}"
            assert got.attributes["state"] == model.state
            assert got.winning == winning(model.decided)
        elif model.is_too_often(kind):
            assert isinstance(got, LimitExceeded), repr(got)
        else:
            assert isinstance(got, envelope_pb2.Statement), f"{kind} in {model.state}: {got!r}"
            self.bench.taken.add((model.state, model.requested, kind))
            model.step(kind, got)
            if made is not None:
                assert signed(got.receipt) == made
                model.recorded.append((caller, made, got))
        await self._compare_history(model)
        await self._compare_attention(model.recipient, "R")
        await self._compare_attention(model.sender, "S")

    async def _outcome(
        self, model: Model, caller: str, made: Signed | None
    ) -> envelope_pb2.Statement | ExchangeError:
        parties = self.bench.parties
        try:
            if made is None:
                return await parties.confirm(model.paper, caller)
            return await parties.hand_in(caller, made)
        except ExchangeError as error:
            return error

    @rule(data=st.data(), which=st.integers(0, 5))
    def repeat(self, data: st.DataObject, which: int) -> None:
        """A receipt of before, or one that another unit may say; the history stays as it is."""
        model = self.models[which]
        again = data.draw(st.booleans())
        if model.recorded and again:
            self._compared(self._repeat(model, *data.draw(st.sampled_from(model.recorded))))
        else:
            kind = data.draw(st.sampled_from(BY_RECIPIENT + BY_SENDER))
            others = [unit for unit in UNITS if unit != model.party(kind)]
            self._compared(self._intrude(model, kind, data.draw(st.sampled_from(others))))

    async def _repeat(
        self, model: Model, caller: str, made: Signed, first: envelope_pb2.Statement
    ) -> None:
        assert await self._outcome(model, caller, made) == first
        await self._compare_history(model)

    async def _intrude(self, model: Model, kind: str, intruder: str) -> None:
        made = self.bench.parties.receipt(model.paper, model.recipient, ReceiptType(kind))
        assert isinstance(await self._outcome(model, intruder, made), NotFound)
        await self._compare_history(model)

    @rule(which=st.integers(0, 5), side=st.sampled_from("RS"), beyond=st.integers(-3, 1))
    def seen(self, which: int, side: str, beyond: int) -> None:
        model = self.models[which]
        self._compared(self._seen(model, side, max(0, len(model.history) + beyond)))

    async def _seen(self, model: Model, side: str, seq: int) -> None:
        unit = model.recipient if side == "R" else model.sender
        party = exchange_pb2.PARTY_RECIPIENT if side == "R" else exchange_pb2.PARTY_SENDER
        request = exchange_pb2.ConfirmSeenRequest(
            envelope_id=model.paper.envelope_id, recipient=model.recipient, seq=seq, party=party
        )
        await answered((await self.bench.parties.stub(unit)).ConfirmSeen(request, timeout=30))
        model.seen(side, seq)
        await self._compare_attention(unit, side)

    # What is compared

    async def _compare_history(self, model: Model) -> None:
        """As one of the two parties tracks it."""
        caller = model.sender if len(model.history) % 2 else model.recipient
        deliveries, _ = await self.bench.parties.track(model.paper, caller)
        own = [unit for unit in ENVELOPES[model.sender] if caller in (model.sender, unit)]
        assert sorted(deliveries) == sorted(own)
        shown = deliveries[model.recipient]
        types = [receipt.decode_receipt(each.receipt.content).type for each in shown.statements]
        assert [each.value for each in types] == model.history
        assert as_shown(shown.status) == expected(model)

    async def _compare_attention(self, unit: str, side: str) -> None:
        """A watch that begins now brings what waits for this unit, and nothing else."""
        async with self.bench.parties.watching(unit, side) as watch:
            found = {key: as_shown(seen) for key, seen in watch.shown.items()}
        waiting = {
            (model.paper.envelope_id, model.recipient): expected(model)
            for model in self.models
            if unit == (model.recipient if side == "R" else model.sender) and side in model.rows
        }
        assert found == waiting


def winning(decided: envelope_pb2.Statement | None) -> tuple[bytes, ...] | None:
    if decided is None:
        return None
    return (
        decided.receipt.content,
        decided.receipt.signature,
        decided.admission.content,
        decided.admission.signature,
    )


def as_shown(status: Any) -> tuple[str, int, str, bool]:
    state = envelope_pb2.DeliveryState.Name(status.state).removeprefix("DELIVERY_STATE_")
    return state, status.seq, status.last_type, status.withdrawal_requested


def expected(model: Model) -> tuple[str, int, str, bool]:
    last = model.history[-1] if model.history else "ACCEPTED"
    return model.state, len(model.history), last, model.requested


@pytest.fixture
async def parties(local_centre: LocalCentre) -> AsyncIterator[Parties]:
    inside = CentreInside(local_centre)
    second = inside.issue("system", EDUCATION, f"s{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, second)
    async with Parties(inside, systems={SECOND: second}) as opened:
        yield opened


def run(bench: Bench) -> None:
    """So many runs that the steps suffice; each with a seed of its own, derived from the one."""
    Life.bench = bench
    rounds = 0
    while bench.steps < STEPS:
        runs = math.ceil((STEPS - bench.steps) / STEPS_OF_ONE_RUN)
        run_state_machine_as_test(
            hypothesis.seed(SEED + rounds)(Life),
            settings=settings(
                max_examples=runs,
                stateful_step_count=STEPS_OF_ONE_RUN,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        rounds += 1


@pytest.mark.timeout(300 + STEPS)
async def test_random_histories_go_as_the_table_says(
    parties: Parties, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(parties, asyncio.get_running_loop())
    try:
        await asyncio.to_thread(run, bench)
    finally:
        with capsys.disabled():
            print(  # noqa: T201 - what `make acceptance` is asked for
                f"\nLIFE_SEED={SEED} steps: {bench.steps}, differences: {bench.differences}"
            )
    assert bench.steps >= STEPS
    # No differences, and not because hardly anything was done.
    untaken = possible_steps() - bench.taken
    assert bench.taken <= possible_steps()
    assert STEPS < 1000 or len(untaken) <= (0 if STEPS >= 10_000 else 5), untaken


def possible_steps() -> set[tuple[str, bool, str]]:
    found = set()
    for state, kind in TABLE:
        for requested in (False, True) if state == "SIGNED_FOR" else (False,):
            if not kind.startswith("WITHDRAWAL_") or requested is (kind != "WITHDRAWAL_REQUESTED"):
                found.add((state, requested, kind))
    return found
