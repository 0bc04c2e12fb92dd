"""The entries of the registry and the proposals about them, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        version, *found = await self._db.transaction(["registry_version", *_QUERIES])
        made = [
            _entry(cls, row)
            for cls, rows in zip(_QUERIES.values(), found, strict=True)
            for row in rows
        ]
        return Entries(version[0]["entries"], {(each.family, each.key): each for each in made})

    async def change_entries(
        self,
        version: int,
        caller: bytes | None,
        changed: Sequence[Changed],
        prepared: Sequence[PreparedEvent],
        proposal: tuple[str, str] | None = None,
    ) -> str:
        """Write what changed and its events (at least one), if the entries are still as read.

        Raises:
            Refused: two entries would exchange what must not be twice (their codes).
            Unavailable: the outcome is unknown.
        """
        puts = [each.after for each in changed if each.after is not None]
        removals = [(each.entry.family, each.entry.key) for each in changed if each.after is None]
        proposal_id, decision_reason = proposal or (None, None)
        try:
            outcome = await self._db.value(
                "change_entries",
                version,
                caller,
                msgspec.json.encode(puts).decode(),
                msgspec.json.encode(removals).decode(),
                proposal_id,
                decision_reason,
                prepared[0].at,
                prepared[0].event.actor,
                [each.event.type for each in prepared],
                [each.event.event_id for each in prepared],
                [each.salt for each in prepared],
                [each.content for each in prepared],
            )
        except asyncpg.IntegrityConstraintViolationError as error:
            # Checked before, so what is left is what PostgreSQL checks row by row.
            raise Refused(f"the ledger refuses the changes: {error}; make fewer at once") from error
        return str(outcome)

    async def propose(
        self, caller: bytes, proposal: Proposal, prepared: PreparedEvent, most_open: int
    ) -> tuple[str, str]:
        row = await self._db.row(
            "propose",
            proposal.proposal_id,
            caller,
            proposal.content,
            proposal.reason,
            proposal.proposed_at,
            proposal.proposed_by,
            prepared.event.event_id,
            prepared.salt,
            prepared.content,
            most_open,
        )
        return (row["outcome"], row["proposal"] or "") if row is not None else ("NO_ANSWER", "")

    async def reject_proposal(
        self, caller: bytes, proposal_id: str, reason: str, prepared: PreparedEvent
    ) -> str:
        return str(
            await self._db.value(
                "reject_proposal",
                proposal_id,
                caller,
                reason,
                prepared.at,
                prepared.event.actor,
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
