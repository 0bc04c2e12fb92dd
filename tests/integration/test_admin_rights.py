"""What no member of staff does alone, or undoes by accident: statuses, versions, acting, holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from document_exchange import codes
from document_exchange.errors import (
    EntriesChanged,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    Refused,
)
from document_exchange.v1 import admin_pb2, directory_pb2
from document_exchange.v1.admin_pb2 import VERB_CLOSE, VERB_RESUME, VERB_SUSPEND
from exchange_server.proposals import MOST_OPEN_OF_ONE, MOST_PROPOSED
from tests.admin_desk import (
    Desk,
    a_route,
    a_unit,
    answer,
    denied,
    desk,
    of_system,
    of_unit,
    put,
    recorded,
    with_,
)
from tests.real_centre import CentreInside, now


@pytest.fixture
async def operator(inside: CentreInside) -> AsyncIterator[Desk]:
    async with desk(inside, "operator") as found:
        yield found


@pytest.fixture
async def security(inside: CentreInside) -> AsyncIterator[Desk]:
    async with desk(inside, "security") as found:
        yield found


@pytest.fixture
async def second(inside: CentreInside) -> AsyncIterator[Desk]:
    async with desk(inside, "security") as found:
        yield found


async def unit_of(at: Desk, unit: directory_pb2.Unit) -> directory_pb2.Unit:
    (found,) = (await at.entries("UNIT", unit_id=unit.unit_id)).entries
    return found.unit


# ---------------------------------------------------------------- read, change, write


async def test_what_was_read_before_a_suspension_does_not_lift_it(operator: Desk) -> None:
    unit = a_unit()
    await operator.apply(put(unit=unit))
    read = await unit_of(operator, unit)
    await operator.apply(of_unit(VERB_SUSPEND, unit.unit_id))
    for status in (directory_pb2.UNIT_STATUS_ACTIVE, directory_pb2.UNIT_STATUS_CLOSED):
        with pytest.raises(Refused, match="a put does not change that"):
            await operator.apply(put(unit=with_(read, contact="李", status=status)))
    await operator.apply(put(unit=with_(read, contact="李", status=0)))
    found = await unit_of(operator, unit)
    assert (found.status, found.contact) == (directory_pb2.UNIT_STATUS_SUSPENDED, "李")


async def test_what_was_decided_upon_an_older_version_is_refused(operator: Desk) -> None:
    unit = a_unit()
    listing = await operator.entries("UNIT", unit_id=unit.unit_id)
    await operator.apply(put(unit=unit), version=listing.version)
    # The answer may have been lost: the same call again is the same.
    assert (await operator.apply(put(unit=unit), version=listing.version)).applied
    for dry_run in (False, True):
        with pytest.raises(EntriesChanged):
            await operator.apply(
                put(unit=with_(unit, contact="李")), version=listing.version, dry_run=dry_run
            )
    current = await operator.entries("UNIT", unit_id=unit.unit_id)
    assert current.version > listing.version
    await operator.apply(put(unit=with_(unit, contact="李")), version=current.version)


# ---------------------------------------------------------------- who keeps what of a unit


async def test_in_whose_name_a_unit_may_send_is_decided_by_two_of_security(
    inside: CentreInside, operator: Desk, security: Desk, second: Desk
) -> None:
    unit = a_unit()
    await operator.apply(put(unit=unit))
    acting = with_(unit)
    acting.acts_for.append("qd-zhengfu")
    for each in (acting, a_unit(acts_for=["qd-zhengfu"])):
        with pytest.raises(NotPermitted, match="security"):
            await operator.apply(put(unit=each), dry_run=True)
    with pytest.raises(NotPermitted, match="what operators keep"):
        await security.apply(put(unit=with_(acting, contact="李")))
    with pytest.raises(NotPermitted, match="what operators keep"):
        await security.apply(put(unit=a_unit(acts_for=["qd-zhengfu"])))
    assert len(await denied(inside, operator.holder, "NOT_PERMITTED")) == 1

    for wanted in (acting, unit):  # giving it, and taking it away again
        before = list((await unit_of(operator, unit)).acts_for)
        proposed = await security.apply(put(unit=wanted))
        assert not proposed.applied
        assert list((await unit_of(operator, unit)).acts_for) == before
        await second.decide(proposed.proposal_id, approve=True)
        assert list((await unit_of(operator, unit)).acts_for) == list(wanted.acts_for)
    # What the operator puts without touching it passes.
    await operator.apply(put(unit=with_(unit, contact="李")))


@pytest.mark.parametrize("what", ["unit", "system"])
@pytest.mark.parametrize("first", ["nobody", "operator"])
async def test_what_security_suspended_security_resumes(
    inside: CentreInside, operator: Desk, security: Desk, what: str, first: str
) -> None:
    unit = a_unit()
    await operator.apply(put(unit=unit))

    def made(verb: admin_pb2.Verb.ValueType) -> admin_pb2.Change:
        if what == "unit":
            return of_unit(verb, unit.unit_id)
        return of_system(verb, unit.unit_id, "oa")

    if first == "operator":
        await operator.apply(made(VERB_SUSPEND))
    told = await security.apply(made(VERB_SUSPEND))
    assert ("held_by", "security") in {(d.field, d.after) for d in told.differences}
    for dry_run in (True, False):
        with pytest.raises(NotPermitted, match="security staff suspended"):
            await operator.apply(made(VERB_RESUME), dry_run=dry_run)
        with pytest.raises(NotPermitted, match="security staff suspended"):
            await operator.apply(made(VERB_RESUME), made(VERB_SUSPEND), dry_run=dry_run)
    # Describing it anew changes nothing of that.
    if what == "unit":
        await operator.apply(put(unit=with_(unit, contact="李")))
    else:
        await operator.apply(
            put(system=admin_pb2.SystemEntry(unit_id=unit.unit_id, name="oa", contact="李"))
        )
    with pytest.raises(NotPermitted):
        await operator.apply(made(VERB_RESUME))
    await security.apply(made(VERB_RESUME))
    await operator.apply(made(VERB_SUSPEND))
    assert (await operator.apply(made(VERB_RESUME))).applied
    await security.apply(made(VERB_SUSPEND))
    assert (await operator.apply(made(VERB_CLOSE))).applied
    key = unit.unit_id if what == "unit" else f"{unit.unit_id}/oa"
    held = [(each.detail or {}).get("held_by_after") for each in await recorded(inside, key)]
    assert held.count("security") == 2


# ---------------------------------------------------------------- proposals


async def test_one_person_fills_neither_the_list_of_proposals_nor_a_page_of_it(
    security: Desk, second: Desk
) -> None:
    """Each is as large as one can be: all of them together are more than one message may hold."""
    largest = [put(route=a_route(note="说" * 200)) for _ in range(MOST_PROPOSED)]
    made = []
    for number in range(MOST_OPEN_OF_ONE):
        largest[0] = put(route=a_route(note=f"{number}"))
        made.append((await security.apply(*largest)).proposal_id)
    assert len(set(made)) == MOST_OPEN_OF_ONE
    with pytest.raises(LimitExceeded, match="of yours"):
        await security.apply(put(route=a_route()))
    made.append((await second.apply(put(route=a_route()))).proposal_id)

    listed: list[str] = []
    request = admin_pb2.ListProposalsRequest(
        standing=admin_pb2.PROPOSAL_STANDING_OPEN, page_size=1000
    )
    while True:
        page: Any = await answer(second.stub.ListProposals(request, timeout=10))
        assert 0 < len(page.proposals) <= 20
        assert page.ByteSize() < 4 * 1024 * 1024
        listed += [each.proposal_id for each in page.proposals]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert listed == sorted(set(listed), reverse=True)
    assert set(made) <= set(listed)
    for each in made:
        await security.decide(each, approve=False)


async def test_a_proposal_is_had_by_its_id(operator: Desk, security: Desk, second: Desk) -> None:
    route = a_route()
    proposed = await security.apply(put(route=route))
    found = await operator.proposal(proposed.proposal_id)
    assert found.changes[0].entry.route.route_id == route.route_id
    assert found.standing == admin_pb2.PROPOSAL_STANDING_OPEN
    await second.decide(proposed.proposal_id, approve=False)
    rejected = await operator.proposal(proposed.proposal_id)
    assert rejected.standing == admin_pb2.PROPOSAL_STANDING_REJECTED
    with pytest.raises(NotFound):
        await operator.proposal(codes.new_id(now()))
    with pytest.raises(InvalidRequest):
        await operator.proposal("x")
