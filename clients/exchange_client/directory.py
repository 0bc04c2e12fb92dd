"""What the directory answers: units, groups, and who may send what to whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from document_exchange.errors import InvalidRequest
from document_exchange.manifest import Recipient, RecipientKind
from document_exchange.v1 import directory_pb2
from exchange_client.model import Unit
from exchange_client.session import Session

GROUP_PREFIX = "group:"
"""Marks a recipient that is a group; no unit_id has a colon."""

_PAGE_SIZE = 1000
CLOSED = "CLOSED"
"""The status of a unit that takes no part any more."""


@dataclass(frozen=True, slots=True)
class Group:
    """A named list of units 通讯组."""

    group_id: str
    name_zh: str
    name_en: str
    members: tuple[str, ...]
    """Unit ids in order, closed units left out."""

    @classmethod
    def of(cls, message: directory_pb2.Group) -> Group:
        """From the message on the wire."""
        return cls(message.group_id, message.name_zh, message.name_en, tuple(message.members))


@dataclass(frozen=True, slots=True)
class RouteStep:
    """One step of the answer to "may this go there?"."""

    name: str
    """sender, certificates, quota, business, rule or recipient."""
    passed: bool
    detail: str
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """Whether a document of some kind would be accepted for a recipient now, and why."""

    allowed: bool
    reason: str
    """The first step that fails, in words, or the rule that allows it."""
    route_id: str
    """The rule that decided; empty if none fits."""
    steps: tuple[RouteStep, ...]

    @classmethod
    def of(cls, message: directory_pb2.CheckRouteResponse) -> RouteAnswer:
        """From the message on the wire."""
        return cls(
            allowed=message.allowed,
            reason=message.reason,
            route_id=message.route_id,
            steps=tuple(RouteStep(each.name, each.passed, each.detail) for each in message.steps),
        )


async def units(session: Session, group: str | None = None) -> list[Unit]:
    """Every unit that takes part, or the members of a group, by unit_id."""
    connection = session.connection
    request = directory_pb2.ListUnitsRequest(group=group or "", page_size=_PAGE_SIZE)
    found: list[Unit] = []
    while True:
        page = await connection.call(connection.directory.ListUnits, request)
        found.extend(Unit.of(message) for message in page.units)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def unit(session: Session, unit_id: str) -> Unit:
    """One unit.

    Raises:
        NotFound: there is none of this id.
    """
    connection = session.connection
    request = directory_pb2.GetUnitRequest(unit_id=unit_id)
    return Unit.of((await connection.call(connection.directory.GetUnit, request)).unit)


async def groups(session: Session) -> list[Group]:
    """Every group, by group_id."""
    connection = session.connection
    request = directory_pb2.ListGroupsRequest(page_size=_PAGE_SIZE)
    found: list[Group] = []
    while True:
        page = await connection.call(connection.directory.ListGroups, request)
        found.extend(Group.of(message) for message in page.groups)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def members(session: Session, group: str) -> list[Unit]:
    """The members of a group; there is none without any.

    Raises:
        InvalidRequest: there is no such group; the message has those that there are.
    """
    found = await units(session, group) if group else []  # without a name it would be everybody
    if not found:
        known = sorted({name for unit in await units(session) for name in unit.groups})
        listed = f"the groups are {', '.join(known)}" if known else "no unit is in any group"
        raise InvalidRequest(f"there is no group {group}; {listed}", field="group", value=group)
    return found


async def expanded(session: Session, given: Iterable[Recipient]) -> tuple[Recipient, ...]:
    """Recipients with each ``group:ID`` replaced by its members, so that the seal covers them all.

    Left out are closed units and the own one; suspended units stay, since what is sent to them
    waits. Beside a group every unit is listed once: as TO rather than CC, then as it was named
    itself. Without a group everything stays as it is given.

    Raises:
        InvalidRequest: there is no such group, or nobody is left of it.
    """
    listed = tuple(given)
    if not any(each.unit.startswith(GROUP_PREFIX) for each in listed):
        return listed
    chosen: dict[str, tuple[tuple[bool, bool], Recipient]] = {}
    for each in listed:
        is_group = each.unit.startswith(GROUP_PREFIX)
        rank = (each.kind is RecipientKind.TO, not is_group)
        for unit in await _members_to_address(session, each.unit) if is_group else [each.unit]:
            if unit not in chosen or chosen[unit][0] < rank:
                chosen[unit] = rank, msgspec.structs.replace(each, unit=unit)
    return tuple(recipient for _, recipient in chosen.values())


async def _members_to_address(session: Session, name: str) -> list[str]:
    group = name.removeprefix(GROUP_PREFIX)
    found = [
        unit.unit_id
        for unit in await members(session, group)
        if unit.status != CLOSED and unit.unit_id != session.unit
    ]
    if not found:
        raise InvalidRequest(f"the group {group} has no other members", field="group", value=group)
    return found


async def check_route(
    session: Session, recipient: str, business: str, genre: str, direction: str, sender: str
) -> RouteAnswer:
    """Whether a document of this kind may go to ``recipient``, step by step; "" for the usual."""
    connection = session.connection
    request = directory_pb2.CheckRouteRequest(
        recipient=recipient, business=business, genre=genre, direction=direction, sender=sender
    )
    return RouteAnswer.of(await connection.call(connection.directory.CheckRoute, request))
