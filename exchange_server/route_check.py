"""CheckRoute: "why can't A reach B?", answered step by step as a submission would be decided now.

The caller's own side is told in full; of the recipient a unit learns only whether it can be
addressed, which the directory tells everybody anyway. Staff may ask for any sender and see both
sides. Nothing is promised: what holds now may be withdrawn before the document comes.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from document_exchange import fields, identity
from document_exchange.errors import InvalidRequest, NotFound, NotPermitted
from document_exchange.identity import Kind
from document_exchange.manifest import DOCUMENT_BUSINESS, Direction, Genre
from exchange_runtime.clock import Clock
from exchange_runtime.requests import check_shape
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.quotas import Standing
from exchange_server.registry import Certificate, Registry, RegistryFollower, Unit

_FOR_SUBMITTING = frozenset(
    {"calls_per_minute", "submissions_per_minute", "bytes_per_minute", "bytes_in_flight"}
)
"""The quotas without which nothing can be submitted."""

_MOST_SHOWN = 5

_Choice = TypeVar("_Choice", bound=enum.StrEnum)


@dataclass(frozen=True, slots=True)
class Question:
    """May such a document go from ``sender`` to ``recipient``? Empty fields have defaults."""

    recipient: str
    business: str = ""
    genre: str = ""
    direction: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to hold."""

    name: str
    """sender, certificates, quota, business, recipient or rule."""
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Every step, in the order in which a submission would meet them."""

    steps: tuple[Step, ...]
    route_id: str
    """The rule that decides; empty if none fits."""

    @property
    def allowed(self) -> bool:
        """Whether the document would be accepted now."""
        return all(step.passed for step in self.steps)

    @property
    def reason(self) -> str:
        """The first step that fails, else the rule that allows it."""
        failed = (step.detail for step in self.steps if not step.passed)
        return next(failed, self.steps[-1].detail)


@dataclass(frozen=True, slots=True)
class RouteChecker:
    """Answers from the registry in memory, by the same rules that decide about submissions."""

    registry: RegistryFollower
    clock: Clock
    standing: Callable[[str], Awaitable[Sequence[Standing]]]
    """What a unit may use and what is left of it."""

    async def check(self, principal: Principal, question: Question) -> Answer:
        """The answer.

        Raises:
            InvalidRequest: a field has a wrong form, or staff named no sender.
            NotPermitted: a unit named another sender than itself.
            NotFound: staff named a sender that does not exist.
        """
        registry, now = self.registry.current(), self.clock()
        by_staff = principal.identity.kind is Kind.STAFF
        sender = _sender(registry, principal, question.sender)
        check_shape(question.recipient, fields.UnitId, "recipient")
        business = question.business or DOCUMENT_BUSINESS
        check_shape(business, fields.BusinessCode, "business")
        genre = _chosen(Genre, question.genre or Genre.NONE, "genre")
        direction = _chosen(Direction, question.direction or Direction.PARALLEL, "direction")
        rule, route_id = _rule(registry, sender, question.recipient, business, genre, direction)
        return Answer(
            (
                _sending(registry, sender, None if by_staff else principal.identity.name),
                _certificates(registry, sender, now),
                _quota(await self.standing(sender.unit_id)),
                _business(registry, business),
                _recipient(registry, question.recipient, now if by_staff else None),
                rule,
            ),
            route_id,
        )


def _sender(registry: Registry, principal: Principal, named: str) -> Unit:
    if principal.identity.kind is not Kind.STAFF:
        if named not in ("", principal.unit):
            raise NotPermitted(
                f"{principal.unit} may ask for itself alone, not for another sender", field="sender"
            )
        return registry.units[principal.unit]
    check_shape(named, fields.UnitId, "sender")
    if named not in registry.units:
        raise NotFound(f"there is no unit {named!r}", unit=named)
    return registry.units[named]


def _chosen(choices: type[_Choice], value: str, field: str) -> _Choice:
    try:
        return choices(value)
    except ValueError:
        raise InvalidRequest(f"{field} is not one of {', '.join(choices)}", field=field) from None


def _sending(registry: Registry, sender: Unit, system: str | None) -> Step:
    """Whether the unit takes part, and the system that asks; where staff ask, all are told."""
    shut_out = _shut_out(registry, sender, system)
    detail = "; ".join([f"{sender.unit_id} is {sender.status.lower()}", *shut_out])
    return Step("sender", sender.status == "ACTIVE" and (system is None or not shut_out), detail)


def _shut_out(registry: Registry, unit: Unit, system: str | None = None) -> list[str]:
    """Which systems of the unit may not call; only ``system`` if it is named."""
    return _shown(
        [
            f"system {name} is {found.status.lower()}"
            for (unit_id, name), found in sorted(registry.systems.items())
            if unit_id == unit.unit_id and found.status != "ACTIVE" and system in (None, name)
        ]
    )


def _certificates(registry: Registry, unit: Unit, now: datetime) -> Step:
    """A document needs a system that may call, and a seal that is valid."""
    systems, seals = _valid(registry, unit, now)
    return Step("certificates", bool(systems and seals), _held(systems, seals))


def _quota(standing: Sequence[Standing]) -> Step:
    used_up = [
        each
        for each in standing
        if each.resource in _FOR_SUBMITTING and each.limit and not each.left
    ]
    told = [f"{each.left} of {each.limit} {each.resource} left" for each in used_up or standing]
    return Step("quota", not used_up, "; ".join(told) or "there are no limits")


def _business(registry: Registry, business: str) -> Step:
    known = business in registry.businesses
    return Step("business", known, f"{business} is {'' if known else 'not '}in the registry")


def _recipient(registry: Registry, recipient: str, now: datetime | None) -> Step:
    """Whether it can be addressed; with ``now``, for staff, also how it stands."""
    fault = policy.address_fault(registry, recipient)
    detail = (
        f"{recipient} can't be addressed: {fault}" if fault else f"{recipient} can be addressed"
    )
    unit = registry.units.get(recipient)
    if unit is not None and now is not None:
        waits = ", so what is sent waits" if unit.status == "SUSPENDED" else ""
        more = [f"it is {unit.status.lower()}{waits}", *_shut_out(registry, unit)]
        detail = "; ".join([detail, *more, _held(*_valid(registry, unit, now))])
    return Step("recipient", not fault, detail)


def _rule(
    registry: Registry, sender: Unit, recipient: str, business: str, genre: str, direction: str
) -> tuple[Step, str]:
    unit = registry.units.get(recipient)
    if unit is None or policy.address_fault(registry, recipient):
        return Step("rule", False, "no rule lets anything go to whom nothing can be addressed"), ""
    decision = registry.route_table.decide(sender.party, unit.party, business, genre, direction)
    detail = decision.reason
    if not decision.allowed:
        others = registry.route_table.between(sender.party, unit.party)
        told = _shown([f"{route.route_id} ({route})" for route in others])
        about = "; ".join(told) if told else "none"
        detail += f". Rules between the two: {about}"
    return Step("rule", decision.allowed, detail), decision.route_id


_Held = tuple[str, Certificate]
"""Name and certificate."""


def _valid(registry: Registry, unit: Unit, now: datetime) -> tuple[list[_Held], list[_Held]]:
    """The unit's certificates with which its systems may call and its seals count now."""
    systems, seals = [], []
    for kind, name, certificate in _of_unit(registry.certificates.values(), unit.unit_id):
        if certificate.revoked or not certificate.not_before <= now < certificate.not_after:
            continue
        if kind is Kind.SEAL:
            seals.append((name, certificate))
        elif kind is Kind.SYSTEM:
            system = registry.systems.get((unit.unit_id, name))
            if system is None or system.status == "ACTIVE":
                systems.append((name, certificate))
    return systems, seals


def _of_unit(
    certificates: Iterable[Certificate], unit_id: str
) -> Iterator[tuple[Kind, str, Certificate]]:
    within = f"/unit/{unit_id}/"
    for certificate in certificates:
        if within in certificate.identity:
            holder = identity.parse(certificate.identity)
            yield holder.kind, holder.name, certificate


def _held(systems: Sequence[_Held], seals: Sequence[_Held]) -> str:
    return "; ".join(
        f"valid {kind}: {', '.join(_until(held)) or 'none'}"
        for kind, held in (("system certificates", systems), ("seals", seals))
    )


def _until(held: Sequence[_Held]) -> list[str]:
    longest: dict[str, datetime] = {}
    for name, certificate in held:
        longest[name] = max(certificate.not_after, longest.get(name, certificate.not_after))
    return _shown(
        [f"{name} until {end:%Y-%m-%d %H:%M} UTC" for name, end in sorted(longest.items())]
    )


def _shown(told: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    rest = len(told) - _MOST_SHOWN
    return [*told[:_MOST_SHOWN], f"and {rest} more"] if rest > 0 else list(told)
