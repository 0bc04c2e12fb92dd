"""Routes at a running centre: allowed, denied by name, withdrawn meanwhile, and explained."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import msgspec
import pytest

from document_exchange import event, identity, manifest
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    NotFound,
    NotPermitted,
    RecipientsRefused,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.manifest import Genre, Manifest
from document_exchange.v1 import directory_pb2, directory_pb2_grpc, exchange_pb2
from tests.pki_for_tests import Holder
from tests.real_centre import (
    SENDER,
    CentreInside,
    Upload,
    admitted,
    document,
    envelope,
    part,
    recipients,
    sealed,
    typed,
)

BODY = b"%PDF-1.7"
QUIET, OTHER = "qd-tongji", "qd-jiaoyu"
"""A unit that a rule of the small city lets send no minutes, and one that it may write to."""


def upload(
    inside: CentreInside, *to: str, sender: str = SENDER, genre: Genre = Genre.LETTER, **more: Any
) -> tuple[Manifest, Upload]:
    made = envelope(
        [part(BODY)],
        sender=sender,
        document=msgspec.structs.replace(document([sender]), genre=genre),
        recipients=recipients(to),
        **more,
    )
    content = manifest.encode(made)
    return made, Upload(content, sealed(content, inside.unit(sender, "seal")), (("part-1", BODY),))


async def outcome(call: Any) -> Any:
    """The response, or the typed error."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return typed(error)


async def submitted(inside: CentreInside, *to: str, **more: Any) -> Any:
    made, sent = upload(inside, *to, **more)
    async with inside.stub(inside.unit(made.sender)) as stub:
        return await outcome(stub.Submit(sent.messages(), timeout=30))


async def is_accepted(inside: CentreInside, envelope_id: str) -> bool:
    async with inside.ledger() as ledger:
        found = "select exists (select from exchange.envelopes where envelope_id = $1::uuid)"
        return bool(await ledger.fetchval(found, envelope_id))


async def denials(inside: CentreInside, actor: str) -> list[dict[str, str]]:
    """What DENIED events say of what this caller tried."""
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select event from exchange.events where type = 'DENIED' and actor = $1", actor
        )
    return [event.decode(row["event"]).detail or {} for row in rows]


async def test_a_rule_denies_and_is_named(inside: CentreInside) -> None:
    error = await submitted(inside, OTHER, SENDER, sender=QUIET, genre=Genre.MINUTES)
    assert isinstance(error, RecipientsRefused)
    said = (
        "rule no-minutes-of-tongji denies unit:qd-tongji to *: 统计局 keeps its minutes to itself"
    )
    assert error.attributes == {OTHER: said, SENDER: said}
    made = await denials(inside, f"spiffe://exchange.example/unit/{QUIET}/system/oa")
    assert {"code": "RECIPIENTS_REFUSED", "recipients": f"{OTHER} {SENDER}"}.items() <= {
        name: text for each in made for name, text in each.items()
    }.items()


async def test_other_kinds_and_the_unit_itself_are_not_meant(inside: CentreInside) -> None:
    assert not isinstance(await submitted(inside, OTHER, sender=QUIET), ExchangeError)
    to_itself = await submitted(inside, QUIET, sender=QUIET, genre=Genre.MINUTES)
    assert not isinstance(to_itself, ExchangeError)


# -- what changes between the decision and the transaction


@asynccontextmanager
async def undone(inside: CentreInside, undo: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        async with inside.ledger() as ledger:
            await ledger.execute(undo)


async def while_decided(
    inside: CentreInside, call: Callable[[], Awaitable[Any]], change: str
) -> Any:
    """The outcome of a call that is decided upon just before ``change`` is committed.

    The change holds the lock of the registry, uncommitted, so nobody knows of it; the call has
    been decided when its transaction waits for that lock.
    """
    waiting = """select exists (select from pg_locks where locktype = 'advisory' and not granted
                                   and classid = 7001 and mode = 'ShareLock')"""
    async with inside.ledger() as ledger:
        transaction = ledger.transaction()
        await transaction.start()
        await ledger.execute(change)
        answer = asyncio.ensure_future(outcome(call()))
        async with asyncio.timeout(20):
            while not await ledger.fetchval(waiting):
                assert not answer.done(), answer.result()
        await transaction.commit()
    return await answer


DENY = f"""insert into exchange.routes (route_id, effect, sender, recipient)
           values ('now-denied', 'DENY', 'unit:{SENDER}', 'unit:{OTHER}')"""
GROUPED = f"""insert into exchange.routes (route_id, effect, sender, recipient)
              values ('now-denied', 'DENY', 'group:in-quarantine', '*');
              update exchange.units set groups = groups || array['in-quarantine']
               where unit_id = '{SENDER}'"""
SYSTEM_SUSPENDED = f"""insert into exchange.systems (unit_id, name, status)
                       values ('{SENDER}', 'oa', 'SUSPENDED')"""
UNDO = f"""delete from exchange.routes where route_id = 'now-denied';
           delete from exchange.systems where unit_id in ('{SENDER}', '{OTHER}') and name = 'oa';
           update exchange.units set status = 'ACTIVE', contact = '',
                  groups = array_remove(groups, 'in-quarantine')
            where unit_id in ('{SENDER}', '{OTHER}')"""


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (DENY, RecipientsRefused),
        (GROUPED, RecipientsRefused),
        (SYSTEM_SUSPENDED, SystemNotActive),
        (
            f"update exchange.units set status = 'SUSPENDED' where unit_id = '{SENDER}'",
            UnitNotActive,
        ),
        (
            f"update exchange.units set status = 'CLOSED' where unit_id = '{OTHER}'",
            RecipientsRefused,
        ),
    ],
    ids=["route", "group", "system", "unit", "recipient"],
)
async def test_nothing_is_accepted_upon_what_was_withdrawn_meanwhile(
    inside: CentreInside, change: str, refusal: type[ExchangeError]
) -> None:
    made, sent = upload(inside, OTHER)
    async with undone(inside, UNDO), inside.stub(inside.unit(SENDER)) as stub:
        error = await while_decided(
            inside, lambda: stub.Submit(sent.messages(), timeout=30), change
        )
        assert type(error) is refusal
        if change in (DENY, GROUPED):
            assert error.attributes[OTHER].startswith("rule now-denied denies")
        assert not await is_accepted(inside, made.envelope_id)
    await admitted(inside, inside.unit(SENDER))


async def test_a_change_that_withdraws_nothing_delays_and_refuses_nothing(
    inside: CentreInside,
) -> None:
    made, sent = upload(inside, OTHER)
    change = f"update exchange.units set contact = '1' where unit_id = '{OTHER}'"
    async with undone(inside, UNDO), inside.stub(inside.unit(SENDER)) as stub:
        answer = await while_decided(
            inside, lambda: stub.Submit(sent.messages(), timeout=30), change
        )
        assert not isinstance(answer, ExchangeError)
    assert await is_accepted(inside, made.envelope_id)


async def test_a_suspended_system_records_nothing(inside: CentreInside) -> None:
    """Nor one that is suspended between the decision and the transaction."""
    made, sent = upload(inside, OTHER)
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(sent.messages(), timeout=30)
    request = exchange_pb2.ConfirmDeliveryRequest(
        envelope_id=made.envelope_id,
        manifest_sha256=manifest.sha256_hex(manifest.encode(made)),
    )
    change = SYSTEM_SUSPENDED.replace(SENDER, OTHER)
    async with undone(inside, UNDO), inside.stub(inside.unit(OTHER)) as stub:
        error = await while_decided(
            inside, lambda: stub.ConfirmDelivery(request, timeout=30), change
        )
        assert isinstance(error, SystemNotActive)
        async with inside.ledger() as ledger:
            state = await ledger.fetchval(
                "select state from exchange.deliveries where envelope_id = $1::uuid",
                made.envelope_id,
            )
        assert state == "PENDING"
    await admitted(inside, inside.unit(OTHER))


@pytest.mark.parametrize(
    ("sender", "business", "route_id"),
    [
        ("unit:qd-nowhere", "*", "r"),
        ("*", "NOTHING", "r"),
        ("*", "*", "self"),
        ("group:", "*", "r"),
    ],
)
async def test_the_ledger_takes_no_rule_that_could_never_count(
    inside: CentreInside, sender: str, business: str, route_id: str
) -> None:
    async with inside.ledger() as ledger:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await ledger.execute(
                """insert into exchange.routes (route_id, effect, sender, recipient, business)
                   values ($1, 'DENY', $2, '*', $3)""",
                route_id,
                sender,
                business,
            )


# -- CheckRoute


async def checked(inside: CentreInside, caller: Holder, recipient: str, **more: str) -> Any:
    async with inside.channel(caller) as channel:
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        request = directory_pb2.CheckRouteRequest(recipient=recipient, **more)
        return await outcome(stub.CheckRoute(request, timeout=10))


STEPS = ["sender", "certificates", "quota", "business", "recipient", "rule"]


async def test_a_unit_is_told_what_a_submission_would_be(inside: CentreInside) -> None:
    caller = inside.unit(QUIET)
    for genre, allowed, rule in (
        (Genre.LETTER, True, "anything"),
        (Genre.MINUTES, False, "no-minutes-of-tongji"),
    ):
        answer = await checked(inside, caller, OTHER, genre=genre.value)
        assert (answer.allowed, answer.route_id) == (allowed, rule)
        assert [step.name for step in answer.steps] == STEPS
        assert [step.passed for step in answer.steps] == [True] * 5 + [allowed]
        assert answer.reason.startswith(f"rule {rule} ")
        found = await submitted(inside, OTHER, sender=QUIET, genre=genre)
        assert isinstance(found, ExchangeError) is not allowed
        if not allowed:
            assert answer.reason.startswith(found.attributes[OTHER])
    certificates = answer.steps[1].detail
    assert "valid system certificates: " in certificates
    assert "valid seals: " in certificates
    assert "none" not in certificates


async def test_a_unit_learns_of_others_no_more_than_the_directory_says(
    inside: CentreInside,
) -> None:
    caller = inside.unit(SENDER)
    answer = await checked(inside, caller, OTHER)
    assert answer.steps[4].detail == f"{OTHER} can be addressed"
    unknown = await checked(inside, caller, "qd-nowhere")
    assert not unknown.allowed
    assert unknown.reason == "qd-nowhere can't be addressed: there is no such unit"
    for foreign in (OTHER, "qd-nowhere"):
        error = await checked(inside, caller, OTHER, sender=foreign)
        assert type(error) is NotPermitted
        assert foreign not in error.message
    actor = str(identity.of_certificate(caller.certificate))
    methods = {each.get("method", "").rpartition("/")[2] for each in await denials(inside, actor)}
    assert "CheckRoute" in methods
    assert isinstance(await checked(inside, caller, "QD'; --"), InvalidRequest)


@pytest.mark.parametrize("role", ["operator", "security", "auditor"])
async def test_staff_ask_for_any_sender_and_see_both_sides(inside: CentreInside, role: str) -> None:
    name = f"{role}-{secrets.token_hex(4)}"
    async with inside.ledger() as ledger:
        await ledger.execute(
            """insert into exchange.staff (name, person, full_name, role)
               values ($1, $1, '王', $2)""",
            name,
            role,
        )
    staff = inside.issue("staff", None, name, role)
    await inside.publish()
    await admitted(inside, staff)
    answer = await checked(inside, staff, OTHER, sender=QUIET, genre="MINUTES")
    assert (answer.allowed, answer.route_id) == (False, "no-minutes-of-tongji")
    assert answer.steps[0].detail.startswith(f"{QUIET} is active")
    assert f"{OTHER} can be addressed; it is active" in answer.steps[4].detail
    assert "valid system certificates: " in answer.steps[4].detail
    assert isinstance(await checked(inside, staff, OTHER), InvalidRequest)
    assert isinstance(await checked(inside, staff, OTHER, sender="qd-nowhere"), NotFound)
