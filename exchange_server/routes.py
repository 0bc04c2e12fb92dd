"""Who may send what to whom: a table of rules, of which the most specific that fits decides.

Specificity is compared field by field, in this order: sender, recipient (a unit before a group,
a group before ``*``), line of business, genre, direction (named before ``*``). Of rules that are
equal in all of it DENY wins, then the lower route_id; so the order in which rules were written
never matters. Where no rule fits, the answer is no.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

ALLOW, DENY = "ALLOW", "DENY"
ANYTHING = "*"
SELF = "self"
"""The built-in rule: a unit may always write to itself. No rule of the table has this name."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rule about who may send what to whom; ``*`` stands for everything."""

    route_id: str
    effect: str
    """ALLOW or DENY."""
    sender: str
    """unit:ID, group:ID or *."""
    recipient: str
    business: str
    genre: str
    direction: str
    note: str

    def __str__(self) -> str:
        kinds = zip(
            ("any business", "any genre", "any direction"),
            (self.business, self.genre, self.direction),
            strict=True,
        )
        what = ", ".join(each if name == ANYTHING else name for each, name in kinds)
        words = f"{self.effect} {self.sender} to {self.recipient}: {what}"
        return f"{words} ({self.note})" if self.note else words


@dataclass(frozen=True, slots=True)
class Party:
    """A sender or recipient, as rules see it."""

    unit_id: str
    groups: tuple[str, ...]

    def patterns(self) -> tuple[tuple[str, ...], ...]:
        """The patterns that name it, the most specific kind first."""
        groups = tuple(f"group:{group}" for group in self.groups)
        return (f"unit:{self.unit_id}",), groups, (ANYTHING,)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to "may this go from here to there?"."""

    allowed: bool
    route_id: str
    """The rule that decided; empty if none fits."""
    reason: str
    """Names the rule, or what no rule allows."""


class RouteTable:
    """The rules, arranged so that a question costs the same however many there are."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._rules: dict[tuple[str, str], dict[tuple[str, str, str], Route]] = {}
        for route in routes:
            rules = self._rules.setdefault((route.sender, route.recipient), {})
            kind = (route.business, route.genre, route.direction)
            if kind not in rules or _precedence(route) < _precedence(rules[kind]):
                rules[kind] = route

    def decide(
        self, sender: Party, recipient: Party, business: str, genre: str, direction: str
    ) -> Decision:
        """Whether a document of this kind may go from ``sender`` to ``recipient``, and why."""
        if sender.unit_id == recipient.unit_id:
            return Decision(True, SELF, f"rule {SELF}: a unit may always write to itself")
        route = next(self._fitting(sender, recipient, (business, genre, direction)), None)
        if route is None:
            return Decision(
                False,
                "",
                f"no rule lets {sender.unit_id} send {business} {genre} {direction} "
                f"to {recipient.unit_id}",
            )
        verb = "allows" if route.effect == ALLOW else "denies"
        note = f": {route.note}" if route.note else ""
        return Decision(
            route.effect == ALLOW,
            route.route_id,
            f"rule {route.route_id} {verb} {route.sender} to {route.recipient}{note}",
        )

    def between(self, sender: Party, recipient: Party) -> list[Route]:
        """Every rule about these two, whatever the kind of document, the most specific first.

        Of rules that are equal but for their names, the one that counts.
        """
        return [
            route
            for equal in self._pairs(sender, recipient)
            for route in sorted(
                (route for rules in equal for route in rules.values()),
                key=lambda route: (
                    route.business == ANYTHING,
                    route.genre == ANYTHING,
                    route.direction == ANYTHING,
                    _precedence(route),
                ),
            )
        ]

    def _fitting(
        self, sender: Party, recipient: Party, kind: tuple[str, str, str]
    ) -> Iterator[Route]:
        """The rules that count for this kind of document, the most specific first."""
        kinds = tuple(product(*((each, ANYTHING) for each in kind)))
        for equal in self._pairs(sender, recipient):
            for named in kinds:
                if found := [rules[named] for rules in equal if named in rules]:
                    yield min(found, key=_precedence)

    def _pairs(
        self, sender: Party, recipient: Party
    ) -> Iterator[list[dict[tuple[str, str, str], Route]]]:
        """The rules about these two, in lists that are equally specific so far."""
        for senders, recipients in product(sender.patterns(), recipient.patterns()):
            pairs = product(senders, recipients)
            if equal := [self._rules[pair] for pair in pairs if pair in self._rules]:
                yield equal


def _precedence(route: Route) -> tuple[bool, str]:
    """Among equally specific rules the lowest counts."""
    return route.effect != DENY, route.route_id
