"""What all administrative acts have in common: who may, where they write, and doing it over.

A change is decided upon one reading of all entries and written only while that reading holds (the
ledger compares under a lock), else it is decided anew: two administrators at once never lose an
update, and the events tell of the state that was really replaced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from document_exchange import fields
from document_exchange.entries import StaffEntry, UnitEntry
from document_exchange.entry_changes import Difference, Verb
from document_exchange.errors import (
    CertificateExpired,
    CertificateRevoked,
    NotPermitted,
    StaffNotActive,
    Unavailable,
)
from document_exchange.identity import Kind
from exchange_runtime import events
from exchange_runtime.clock import Clock
from exchange_runtime.requests import check_shape
from exchange_runtime.values import Caller, PreparedEvent, Principal
from exchange_server.changes import Change, Changed, Entries
from exchange_server.comparison import compare

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
        caller: bytes,
        changed: Sequence[Changed],
        prepared: Sequence[PreparedEvent],
        proposal: tuple[str, str] | None = None,
    ) -> str:
        """Write what changed and its events, if the entries are still of this version.

        ``caller``: fingerprint of the certificate. ``proposal``: what is applied by this, and why
        it was approved.
        """
        ...


def check_keeper(role: str, change: Change, number: int) -> None:
    """三员分立: operators keep the units, security staff keep staff and routes, auditors nothing.

    What of an entry changes, ``check_kept`` looks at.

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
    if change.kind == "unit" or change.verb in (Verb.SUSPEND, Verb.RESUME, Verb.CLOSE):
        return frozenset({"operator", "security"})
    return frozenset({"operator"})


def check_kept(role: str, changed: Sequence[Changed]) -> None:
    """Of units, for whom one acts is security's to change, everything else the operators'.

    And what security staff suspended is for them to resume.

    Raises:
        NotPermitted
    """
    for each in changed:
        entry = each.entry
        if role != "security":
            if acting_changes(each):
                raise NotPermitted(
                    f"{role} staff may not change for whom unit {entry.key} acts: security staff "
                    "do, two persons together",
                    field="unit.acts_for",
                )
            # Nor is it taken off by resuming and suspending in one act; closing it is for ever.
            if (
                each.held_before
                and not each.held_after
                and getattr(entry, "status", "") != "CLOSED"
            ):
                raise NotPermitted(
                    f"security staff suspended {entry.family} {entry.key}, and they resume it",
                    field=f"{entry.family}.status",
                )
        elif isinstance(entry, UnitEntry):
            fields = {difference.field for difference in each.differences()}
            by_verbs = (
                {"status", "held_by", "successor"} if fields & {"status", "held_by"} else set()
            )
            if each.before is None or fields - by_verbs - {"acts_for"}:
                raise NotPermitted(
                    f"security staff may not change what operators keep of unit {entry.key}",
                    field="unit",
                )


def acting_changes(changed: Changed) -> bool:
    """Whether it changes in whose name a unit may send."""
    before, after = changed.before, changed.after
    was = before.acts_for if isinstance(before, UnitEntry) else ()
    return isinstance(after, UnitEntry) and set(after.acts_for) != set(was)


class Comparer:
    """Compares in a thread, one after the other: thousands of changes take a second."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "comparer")

    async def compare(
        self, entries: Entries, changes: Sequence[Change], role: str
    ) -> tuple[list[Changed], tuple[Difference, ...]]:
        """What would change, which ``role`` may do, and each field that differs then.

        Raises:
            NotPermitted: see ``check_kept``; for the others ``comparison.compare``.
        """

        def work() -> tuple[list[Changed], tuple[Difference, ...]]:
            changed = compare(entries, changes, role)
            check_kept(role, changed)
            return changed, all_differences(changed)

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def active_staff(entries: Entries, principal: Principal) -> StaffEntry:
    staff = entries.find(StaffEntry, principal.identity.name)
    if staff is None or principal.identity.kind is not Kind.STAFF or staff.status != "ACTIVE":
        raise StaffNotActive(identity=str(principal.identity))
    return staff


def check_caller(outcome: str) -> None:
    """The caller still is who called.

    Raises:
        CertificateRevoked, CertificateExpired, StaffNotActive
    """
    for error in (CertificateRevoked, CertificateExpired, StaffNotActive):
        if outcome == error.code:
            raise error


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
