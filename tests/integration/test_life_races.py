"""Two steps at once of which one can be: one is admitted, the other is shown which.

Both are decided and signed before either is written: a transaction of the test holds the
delivery until both wait for it, in an order that is the test's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from exchange_client.testing import LocalCentre

from document_exchange import receipt
from document_exchange.errors import LimitExceeded, StateConflict, VerificationFailed
from document_exchange.receipt import SIGNED_BY_RECIPIENT, Receipt, ReceiptType
from document_exchange.v1 import envelope_pb2
from document_exchange.verification import Signed, verify_recorded
from exchange_server.storage.ledger import MOST_REPEATED
from tests.clerk_for_tests import steps
from tests.life_for_tests import (
    HISTORIES,
    Paper,
    Parties,
    party_of,
    signed,
    trust_of,
    verified,
)
from tests.real_centre import RECIPIENT, SENDER, CentreInside, admitted
from tests.rivals import Rival, rival

PACKAGE = "exchange_server.storage"
R = ReceiptType
SECOND = "second system"
_WAITING = "select count(distinct pid) from pg_locks where not granted"


@pytest.fixture
async def parties(local_centre: LocalCentre) -> AsyncIterator[Parties]:
    inside = CentreInside(local_centre)
    second = inside.issue("system", RECIPIENT, f"s{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, second)
    async with Parties(inside, systems={SECOND: second}) as opened:
        yield opened


class Race:
    """Receipts that are all decided upon the same position; ``start`` lines one up."""

    def __init__(self, parties: Parties, held: Rival) -> None:
        self._parties = parties
        self._held = held
        self._running: list[asyncio.Task[envelope_pb2.Statement | StateConflict]] = []

    async def start(self, caller: str, made: Signed) -> None:
        """Hand it in, and wait until it waits behind those before."""
        self._running.append(asyncio.create_task(self._handed_in(caller, made)))
        async with self._parties.inside.ledger() as ledger, asyncio.timeout(20):
            while await ledger.fetchval(_WAITING) < len(self._running):
                assert not any(each.done() for each in self._running)

    async def run(self) -> list[envelope_pb2.Statement | StateConflict]:
        await self._held.commit()
        return await asyncio.gather(*self._running)

    async def _handed_in(self, caller: str, made: Signed) -> envelope_pb2.Statement | StateConflict:
        try:
            return await self._parties.hand_in(caller, made)
        except StateConflict as conflict:
            return conflict


async def raced(
    parties: Parties, paper: Paper, runners: list[tuple[str, Signed]]
) -> list[envelope_pb2.Statement | StateConflict]:
    """What each got, of whom the first was first in the ledger."""
    dsn = parties.inside.description["ledger"]["dsn_owner"]
    async with rival(dsn, PACKAGE) as held:
        await held.execute(
            "select from exchange.deliveries"
            f" where envelope_id = '{paper.envelope_id}' and recipient = '{RECIPIENT}' for update"
        )
        race = Race(parties, held)
        for caller, made in runners:
            await race.start(caller, made)
        return await race.run()


RACES = {
    "sign for it, withdraw it": ("DELIVERED", R.SIGNED_FOR, R.WITHDRAWN),
    "withdraw it, sign for it": ("DELIVERED", R.WITHDRAWN, R.SIGNED_FOR),
    "sign for it twice": ("DELIVERED", R.SIGNED_FOR, R.SIGNED_FOR),
    "refuse it, withdraw it": ("DELIVERED", R.REFUSED, R.WITHDRAWN),
    "grant, decline": ("SIGNED_FOR, withdrawal requested", R.WITHDRAWAL_GRANTED,
                       R.WITHDRAWAL_DECLINED),
    "decline, grant": ("SIGNED_FOR, withdrawal requested", R.WITHDRAWAL_DECLINED,
                       R.WITHDRAWAL_GRANTED),
    "complete it, ask to withdraw it": ("SIGNED_FOR", R.COMPLETED, R.WITHDRAWAL_REQUESTED),
    "complete it, return it": ("SIGNED_FOR", R.COMPLETED, R.RETURNED),
    "ask to withdraw it twice": ("SIGNED_FOR", R.WITHDRAWAL_REQUESTED, R.WITHDRAWAL_REQUESTED),
    "offer it again twice": ("REFUSED", R.OFFERED_AGAIN, R.OFFERED_AGAIN),
}  # fmt: skip


@pytest.mark.parametrize("race", RACES)
async def test_one_is_admitted_and_the_other_is_shown_which(parties: Parties, race: str) -> None:
    place, first, second = RACES[race]
    paper = await parties.send()
    for kind in HISTORIES[place]:
        await parties.say(paper, kind)
    runners = []
    for caller, kind in ((RECIPIENT, first), (SECOND, second)):
        who = caller if kind in SIGNED_BY_RECIPIENT else SENDER
        runners.append((who, parties.receipt(paper, RECIPIENT, kind)))
    won, lost = await raced(parties, paper, runners)
    assert isinstance(won, envelope_pb2.Statement), won
    assert signed(won.receipt) == runners[0][1]
    trust = trust_of(parties.inside)
    found = verified(trust, paper, won)
    assert await steps(parties.inside, paper) == [
        *(kind.value for kind in HISTORIES[place]),
        first.value,
    ]
    # The loser is shown the winner's receipt and admission, and they verify.
    assert isinstance(lost, StateConflict), lost
    assert lost.winning is not None
    receipt_, signature, admission, admission_signature = lost.winning
    shown = Signed(receipt_, signature), Signed(admission, admission_signature)
    assert shown == (signed(won.receipt), signed(won.admission))
    again = verify_recorded(
        *shown, paper.about, trust, crls=None, expected_by=party_of(paper, found.receipt)
    )
    assert (again.receipt.type, again.admission) == (first, found.admission)
    await convinces_nobody(parties, paper, runners[1][1])


async def convinces_nobody(parties: Parties, paper: Paper, losing: Signed) -> None:
    """The losing receipt proves nothing, alone or with any admission that there is."""
    trust = trust_of(parties.inside)
    said: Receipt = receipt.decode_receipt(losing.content)
    expected_by = party_of(paper, said)
    history, _ = await parties.track(paper, SENDER)
    statements = history[RECIPIENT].statements
    admissions = [signed(each.admission) for each in statements if each.HasField("admission")]
    assert admissions
    for admission in (None, *admissions, *(signed(each.receipt) for each in statements)):
        with pytest.raises(VerificationFailed):
            verify_recorded(
                losing, admission, paper.about, trust, crls=None, expected_by=expected_by
            )
    # The receipt alone is genuine, so it is the admission that it lacks.
    genuine = signed(statements[-1].receipt)
    verify_recorded(
        genuine,
        admissions[-1],
        paper.about,
        trust,
        crls=None,
        expected_by=party_of(paper, receipt.decode_receipt(genuine.content)),
    )


async def test_a_request_for_withdrawal_is_answered_by_completing(parties: Parties) -> None:
    """Both were decided upon the same position, and both have a place, one after the other."""
    paper = await parties.send()
    for kind in HISTORIES["SIGNED_FOR"]:
        await parties.say(paper, kind)
    runners = [
        (SENDER, parties.receipt(paper, RECIPIENT, R.WITHDRAWAL_REQUESTED)),
        (RECIPIENT, parties.receipt(paper, RECIPIENT, R.COMPLETED)),
    ]
    asked, completed = await raced(parties, paper, runners)
    for made in (asked, completed):
        assert isinstance(made, envelope_pb2.Statement)
        verified(trust_of(parties.inside), paper, made)
    assert await steps(parties.inside, paper) == [
        *("DELIVERED", "SIGNED_FOR", "WITHDRAWAL_REQUESTED", "COMPLETED")
    ]
    deliveries, _ = await parties.track(paper, SENDER)
    assert not deliveries[RECIPIENT].status.withdrawal_requested


async def test_the_same_receipt_by_two_systems_at_once_is_one_statement(parties: Parties) -> None:
    paper = await parties.send()
    await parties.confirm(paper, RECIPIENT)
    made = parties.receipt(paper, RECIPIENT, R.SIGNED_FOR)
    first, second = await raced(parties, paper, [(RECIPIENT, made), (SECOND, made)])
    assert first == second
    assert await steps(parties.inside, paper) == ["DELIVERED", "SIGNED_FOR"]


async def test_a_remark_that_came_first_makes_nobody_lose(parties: Parties) -> None:
    paper = await parties.send()
    await parties.confirm(paper, RECIPIENT)
    runners = [
        (SENDER, parties.receipt(paper, RECIPIENT, R.URGED)),
        (RECIPIENT, parties.receipt(paper, RECIPIENT, R.SIGNED_FOR)),
    ]
    urged, signed_for = await raced(parties, paper, runners)
    assert isinstance(urged, envelope_pb2.Statement)
    assert isinstance(signed_for, envelope_pb2.Statement)
    assert await steps(parties.inside, paper) == ["DELIVERED", "URGED", "SIGNED_FOR"]


async def test_the_limit_holds_for_those_who_come_at_once(parties: Parties) -> None:
    """The last one that may be said, said twice at once."""
    paper = await parties.send()
    for _ in range(MOST_REPEATED - 1):
        await parties.say(paper, R.URGED)
    made = [parties.receipt(paper, RECIPIENT, R.URGED) for _ in range(2)]
    found = await asyncio.gather(
        *(parties.hand_in(SENDER, each) for each in made), return_exceptions=True
    )
    assert [type(each) for each in found].count(LimitExceeded) == 1
    assert await steps(parties.inside, paper) == ["URGED"] * MOST_REPEATED
