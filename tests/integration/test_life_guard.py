"""The ledger's own guard: what a server that skipped every check of its own could not write."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives import hashes
from exchange_client.testing import LocalCentre

from document_exchange import codes, identity
from document_exchange.receipt import (
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    DeadlineKind,
    ReasonCode,
    ReceiptType,
    State,
)
from document_exchange.transitions import TRANSITIONS
from exchange_runtime import events
from exchange_runtime.values import Principal
from exchange_server.storage.ledger import Ledger
from exchange_server.values import NewStatement, StatementRecord
from tests.clerk_for_tests import clerk, position_of, standing
from tests.life_for_tests import HISTORIES, Paper, Parties
from tests.real_centre import RECIPIENT, SENDER, CentreInside, now

R = ReceiptType
FINGERPRINT = hashes.SHA256()


@pytest.fixture
async def parties(local_centre: LocalCentre) -> AsyncIterator[Parties]:
    async with Parties(CentreInside(local_centre)) as opened:
        yield opened


async def test_whose_step_it_is_stands_in_the_table_of_the_ledger(parties: Parties) -> None:
    sides = {
        **dict.fromkeys(SIGNED_BY_RECIPIENT, "R"),
        **dict.fromkeys(SIGNED_BY_SENDER, "S"),
        R.DELIVERED: "R",  # the recipient's system causes it
        **dict.fromkeys((R.REMINDED, R.OVERDUE, R.EXPIRED), "C"),
    }
    async with parties.inside.ledger() as ledger:
        rows = await ledger.fetch("select state_before, type, by_side from exchange.transitions")
    assert {(before, kind): side for before, kind, side in rows} == {
        (before.value, kind.value): sides[kind] for before, kind in TRANSITIONS if before
    }


def by(inside: CentreInside, unit: str) -> Principal:
    certificate = inside.unit(unit).certificate
    return Principal(
        identity=identity.of_certificate(certificate),
        fingerprint=certificate.fingerprint(FINGERPRINT),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        address="",
    )


async def written(
    parties: Parties, paper: Paper, kind: ReceiptType, side: str, unit: str, **changes: Any
) -> str:
    """The outcome of a statement that nobody has checked."""
    inside, moment = parties.inside, now()
    principal = by(inside, unit) if side != "C" else None
    seal = parties.seal(unit).certificate.fingerprint(FINGERPRINT)
    of_centre = kind in (R.DELIVERED, R.REMINDED, R.OVERDUE, R.EXPIRED)
    async with clerk(inside) as recorder:
        at = await position_of(recorder, paper)
        event = events.prepare(kind.value, moment, by(inside, unit), envelope_id=at.envelope_id)
        statement = NewStatement(
            position=at,
            type=kind,
            state_after=TRANSITIONS[at.state, kind].state_after,
            by_side=side,
            principal=principal,
            seal=None if of_centre else seal,
            centre_seal=inside.centre_seal().fingerprint(FINGERPRINT),
            receipt_id=codes.new_id(moment),
            record=StatementRecord(b"{}", b"s", b"{}", b"s", event.content, event.salt),
            root_crl=1,
            seal_crl=1,
            event=event,
        )
        assert isinstance(recorder.ledger, Ledger)
        outcome = await recorder.ledger.record(dataclasses.replace(statement, **changes))
    return outcome.code


REFUSED: dict[str, tuple[str, ReceiptType, str, str, dict[str, Any]]] = {
    "the sender signs for it": ("DELIVERED", R.SIGNED_FOR, "R", SENDER, {}),
    "the sender signs for it as the sender": ("DELIVERED", R.SIGNED_FOR, "S", SENDER, {}),
    "the recipient withdraws it": ("DELIVERED", R.WITHDRAWN, "S", RECIPIENT, {}),
    "the recipient withdraws it as the recipient": ("DELIVERED", R.WITHDRAWN, "R", RECIPIENT, {}),
    "a third unit signs for it": ("DELIVERED", R.SIGNED_FOR, "R", "qd-tongji", {}),
    "a third unit withdraws it": ("DELIVERED", R.WITHDRAWN, "S", "qd-tongji", {}),
    "the centre signs for it": ("DELIVERED", R.SIGNED_FOR, "C", RECIPIENT, {}),
    "the centre delivers it by itself": ("PENDING", R.DELIVERED, "C", RECIPIENT, {}),
    "the recipient says that it is overdue": (
        *("PENDING", R.OVERDUE, "R", RECIPIENT), {"deadline": DeadlineKind.SIGN_FOR}),
    "it is overdue, nobody knows with what": ("PENDING", R.OVERDUE, "C", RECIPIENT, {}),
    "it is signed for without a seal": ("DELIVERED", R.SIGNED_FOR, "R", RECIPIENT, {"seal": None}),
    "granted, though nobody asked": ("SIGNED_FOR", R.WITHDRAWAL_GRANTED, "R", RECIPIENT, {}),
    "declined, though nobody asked": ("SIGNED_FOR", R.WITHDRAWAL_DECLINED, "R", RECIPIENT, {}),
    "asked for twice": (
        "SIGNED_FOR, withdrawal requested", R.WITHDRAWAL_REQUESTED, "S", SENDER, {}),
    "refused unread for a reason of its content": (
        *("PENDING", R.REFUSED, "R", RECIPIENT), {"reason_code": ReasonCode.NOT_OUR_REMIT}),
    "refused unread for no reason": ("PENDING", R.REFUSED, "R", RECIPIENT, {}),
    "to where it does not lead": (
        *("DELIVERED", R.SIGNED_FOR, "R", RECIPIENT), {"state_after": State.COMPLETED}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_not_in_the_table_is_not_written(parties: Parties, case: str) -> None:
    place, kind, side, unit, changes = REFUSED[case]
    paper = await parties.send()
    for each in HISTORIES[place]:
        await parties.say(paper, each)
    before = await standing(parties.inside, paper)
    with pytest.raises(asyncpg.CheckViolationError, match="illegal transition"):
        await written(parties, paper, kind, side, unit, **changes)
    assert await standing(parties.inside, paper) == before
