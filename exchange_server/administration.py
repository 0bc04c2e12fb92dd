"""What all administrative acts have in common: who may, where they write, and doing it over.

A change is decided upon one reading of all entries and written only while that reading holds (the
ledger compares under a lock), else it is decided anew: two administrators at once never lose an
update, and the events tell of the state that was really replaced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from document_exchange import fields
from document_exchange.entries import StaffEntry
from document_exchange.entry_changes import Difference, Verb
from document_exchange.errors import (
    CertificateRevoked,
    NotPermitted,
    StaffNotActive,
    Unavailable,
)
from document_exchange.identity import Kind
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.values import Caller, PreparedEvent, Principal
from exchange_server.changes import Change, Changed, Entries
from exchange_server.requests import check_shape

_TRIES = 20
_LONGEST_PAUSE_S = 0.5

SHIELDED = frozenset({"staff", "route"})
"""The kinds of entries that security staff keep, two persons at a time."""

Result = TypeVar("Result")


class EntriesLedger(Protocol):
    """Where entries are kept. The outcome is that of the ledger's function."""

    async def load_entries(self) -> Entries: ...

    async def change_entries(
        self,
        version: int,
        caller: bytes | None,
        changed: Sequence[Changed],
        prepared: Sequence[PreparedEvent],
        proposal: tuple[str, str] | None = None,
    ) -> str:
        """Write what changed and its events, if the entries are still of this version.

        ``caller``: fingerprint of the certificate, None for the owner. ``proposal``: what is
        applied by this, and why it was approved.
        """
        ...


def check_keeper(role: str, change: Change, number: int) -> None:
    """三员分立: operators keep the units, security staff keep staff and routes, auditors nothing.

    Raises:
        NotPermitted
    """
    if role not in _keepers(change):
        raise NotPermitted(
            f"{role} staff may not {change}", field=f"changes[{number}]", change=str(number)
        )


def _keepers(change: Change) -> frozenset[str]:
    if change.kind in SHIELDED:
        return frozenset({"security"})
    if change.verb in (Verb.SUSPEND, Verb.RESUME, Verb.CLOSE):
        return frozenset({"operator", "security"})
    return frozenset({"operator"})


def active_staff(entries: Entries, principal: Principal) -> StaffEntry:
    staff = entries.find(StaffEntry, principal.identity.name)
    if staff is None or principal.identity.kind is not Kind.STAFF or staff.status != "ACTIVE":
        raise StaffNotActive(identity=str(principal.identity))
    return staff


def check_caller(outcome: str) -> None:
    if outcome == "CERTIFICATE_REVOKED":
        raise CertificateRevoked


def check_reason(reason: str) -> None:
    if reason:
        check_shape(reason, fields.Text, "reason")


def registry_changed(
    caller: Caller, clock: Clock, changed: Sequence[Changed], further: dict[str, str]
) -> list[PreparedEvent]:
    """The event of each entry that changed; ``further`` says in which connection."""
    now = clock()
    return [
        events.prepare("REGISTRY_CHANGED", now, caller, detail=each.detail() | further)
        for each in changed
    ]


def because(detail: dict[str, str], reason: str) -> dict[str, str]:
    return {**detail, "reason": reason} if reason else detail


def all_differences(changed: Sequence[Changed]) -> tuple[Difference, ...]:
    return tuple(difference for each in changed for difference in each.differences())


async def until_unchanged(once: Callable[[], Awaitable[Result | None]]) -> Result:
    """Decide and write again for as long as others write in between."""
    for tries in range(_TRIES):
        done = await once()
        if done is not None:
            return done
        # One of those who met has written; the others come back one after the other.
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S) * min(tries + 1, 10) / 10)
    raise Unavailable("others change the registry all the while; try again")
