"""The entries of the registry and the proposals about them, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg
import msgspec

from document_exchange import entries, entry_rules
from document_exchange.entries import Entry
from document_exchange.errors import Refused
from exchange_runtime.database import Database
from exchange_runtime.values import PreparedEvent
from exchange_server.changes import Changed, Entries
from exchange_server.second_person import Proposal

_QUERIES: Mapping[str, type[Entry]] = {
    "regions": entries.RegionEntry,
    "all_businesses": entries.BusinessEntry,
    "units": entries.UnitEntry,
    "systems": entries.SystemEntry,
    "staff": entries.StaffEntry,
    "groups": entries.GroupEntry,
    "routes": entries.RouteEntry,
    "quotas": entries.QuotaEntry,
}


class EntriesOnPostgres:
    """Implements the port of ``admin``. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def load_entries(self) -> Entries:
        version, rules, held, *found = await self._db.transaction(
            ["registry_version", "administration", "held", *_QUERIES]
        )
        made = [
            _entry(cls, row)
            for cls, rows in zip(_QUERIES.values(), found, strict=True)
            for row in rows
        ]
        return Entries(
            version[0]["entries"],
            {(each.family, each.key): each for each in made},
            frozenset((row["kind"], row["key"]) for row in held),
            rules[0]["second_person"],
        )

    async def write_entries(
        self, version: int, changed: Sequence[Changed], prepared: Sequence[PreparedEvent]
    ) -> str:
        """As ``change_entries``, for the ledger's owner, who has no role."""
        with _refusals():
            outcome = await self._db.value(
                "write_entries", version, *_written(changed), *_recorded(prepared)
            )
        return str(outcome)

    async def change_entries(
        self,
        version: int,
        caller: bytes,
        changed: Sequence[Changed],
        prepared: Sequence[PreparedEvent],
        proposal: tuple[str, str] | None = None,
    ) -> str:
        """Write what changed and its events (at least one), if the entries are still as read.

        Raises:
            Refused: two entries would exchange what must not be twice (their codes).
            Unavailable: the outcome is unknown.
        """
        with _refusals():
            outcome = await self._db.value(
                "change_entries",
                version,
                caller,
                *_written(changed),
                *(proposal or (None, None)),
                *_recorded(prepared),
            )
        return str(outcome)

    async def require_second_person(self, required: bool, prepared: PreparedEvent) -> bool:
        """Whether changes of rights need one from now on; as the owner. False: it was so before."""
        return bool(
            await self._db.value(
                "require_second_person",
                required,
                prepared.at,
                prepared.event.event_id,
                prepared.salt,
                prepared.content,
            )
        )

    async def propose(
        self,
        version: int,
        caller: bytes,
        proposal: Proposal,
        prepared: PreparedEvent,
        most_open: tuple[int, int],
    ) -> tuple[str, str]:
        row = await self._db.row(
            "propose",
            version,
            proposal.proposal_id,
            caller,
            proposal.content,
            proposal.reason,
            proposal.proposed_at,
            prepared.event.event_id,
            prepared.salt,
            prepared.content,
            *most_open,
        )
        return (row["outcome"], row["proposal"] or "") if row is not None else ("NO_ANSWER", "")

    async def reject_proposal(
        self, version: int, caller: bytes, proposal_id: str, reason: str, prepared: PreparedEvent
    ) -> str:
        return str(
            await self._db.value(
                "reject_proposal",
                version,
                proposal_id,
                caller,
                reason,
                prepared.at,
                prepared.event.event_id,
                prepared.salt,
                prepared.content,
            )
        )

    async def find_proposal(self, proposal_id: str) -> Proposal | None:
        row = await self._db.row("find_proposal", proposal_id)
        return None if row is None else _proposal(row)

    async def list_proposals(self, standing: str, before: str, limit: int) -> list[Proposal]:
        rows = await self._db.rows("list_proposals", standing, before, limit)
        return [_proposal(row) for row in rows]


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        # Checked before, so what is left is what PostgreSQL checks row by row.
        raise Refused(f"the ledger refuses the changes: {error}; make fewer at once") from error


def _written(changed: Sequence[Changed]) -> tuple[str, str]:
    """What to put and what to remove, as JSON."""
    puts = [
        {**msgspec.to_builtins(each.after), "held_by": "security" if each.held_after else ""}
        for each in changed
        if each.after is not None
    ]
    removals = [(each.entry.family, each.entry.key) for each in changed if each.after is None]
    return msgspec.json.encode(puts).decode(), msgspec.json.encode(removals).decode()


def _recorded(prepared: Sequence[PreparedEvent]) -> tuple[object, ...]:
    """The time of the events, their ids, salts and contents."""
    return (
        prepared[0].at,
        [each.event.event_id for each in prepared],
        [each.salt for each in prepared],
        [each.content for each in prepared],
    )


def _entry(cls: type[Entry], row: asyncpg.Record) -> Entry:
    """As it stands there, unchecked: what is wrong must be readable to be put right."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return entry_rules.arranged(cls(**values))


def _proposal(row: asyncpg.Record) -> Proposal:
    return Proposal(
        proposal_id=row["proposal_id"],
        content=row["changes"],
        standing=row["standing"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        reason=row["reason"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        decision_reason=row["decision_reason"],
    )
