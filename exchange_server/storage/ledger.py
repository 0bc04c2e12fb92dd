"""The ledger on PostgreSQL: what each step asks of it, as one round trip each."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg

from document_exchange.manifest import Manifest
from document_exchange.receipt import ReceiptType, State
from exchange_runtime.database import Database, named_queries
from exchange_server.attention import Key
from exchange_server.quota_leases import Ask, Grant
from exchange_server.registry import (
    Certificate,
    Crl,
    Group,
    Quota,
    Registry,
    Route,
    Staff,
    System,
    Unit,
)
from exchange_server.track import Place, Range
from exchange_server.values import (
    NOT_GIVEN_OUT,
    Acceptance,
    AcceptedEnvelope,
    Block,
    DeliveryPosition,
    DeliveryStatus,
    DeliverySummary,
    Dues,
    NewStatement,
    Outcome,
    StatementRecord,
    StoredPart,
    SubmissionSummary,
)
from exchange_server.watch import Waiting

MOST_REPEATED = 50
"""How often a party may say the same of one delivery, of what may be said again and again."""
FIRST_KEY: Key = ("00000000-0000-0000-0000-000000000000", "")
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def ledger_database(dsn: str, *, connections: int, timeout_s: float) -> Database:
    """A pool that knows the queries of ``sql/``; ``open`` it before use."""
    return Database(
        dsn,
        queries=named_queries(__package__),
        name="exchange-server",
        connections=connections,
        timeout_s=timeout_s,
    )


class Ledger:
    """Implements the ports of the steps. Errors: see ``Database``."""

    def __init__(
        self, database: Database, *, longest_upload: timedelta, stamp: bool = False
    ) -> None:
        """``stamp``: queue the centre's signatures for their time-stamp."""
        self._db = database
        self._longest_upload = longest_upload
        self._stamp = stamp

    # ---------------------------------------------------------------- the registry

    async def registry_version(self) -> tuple[int, datetime]:
        (row,) = await self._db.rows("registry_version")
        return row["version"], row["ledger_time"]

    async def clock(self) -> datetime:
        """Now, by the clock of the ledger."""
        now: datetime = await self._db.value("clock")
        return now

    async def load_registry(self) -> Registry:
        names = ["registry_version", "units", "certificates", "businesses", "newest_crls"]
        more = ["systems", "staff", "groups", "routes", "quotas"]
        found = dict(zip(names + more, await self._db.transaction(names + more), strict=True))
        lists: dict[str, list[Crl]] = defaultdict(list)
        for row in found["newest_crls"]:
            lists[row["issuer"]].append(
                Crl(row["number"], row["this_update"], row["next_update"], row["der"])
            )
        return Registry(
            version=found["registry_version"][0]["version"],
            units={row["unit_id"]: _unit(row) for row in found["units"]},
            certificates={
                row["fingerprint"]: Certificate(
                    row["identity"],
                    row["profile"],
                    row["not_before"],
                    row["not_after"],
                    row["revoked"],
                    row["role"],
                )
                for row in found["certificates"]
            },
            businesses=frozenset(row["code"] for row in found["businesses"]),
            root_crls=tuple(lists["root"]),
            seal_crls=tuple(lists["seal-ca"]),
            directory=found["registry_version"][0]["directory"],
            systems={(row["unit_id"], row["name"]): System(**row) for row in found["systems"]},
            staff={row["name"]: Staff(**row) for row in found["staff"]},
            groups={row["group_id"]: Group(**row) for row in found["groups"]},
            routes=tuple(Route(**row) for row in found["routes"]),
            quotas={row["unit_id"]: Quota(**row) for row in found["quotas"]},
        )

    async def open_deliveries(self) -> list[tuple[str, int]]:
        """How many deliveries await their recipient, by state."""
        return [(row["state"], row["count"]) for row in await self._db.rows("open_deliveries")]

    async def ensure_partitions(self) -> int:
        """Make the partitions of the coming months; returns how many were made."""
        return int(await self._db.value("ensure_partitions"))

    # ---------------------------------------------------------------- submit

    async def find_envelope(self, envelope_id: str) -> AcceptedEnvelope | None:
        return _envelope(await self._db.row("find_envelope", envelope_id))

    async def find_fault(self, submitted: Manifest) -> str:
        earlier = {submitted.supersedes, submitted.refers_to} - {None}
        fault: str = await self._db.value(
            "find_fault",
            submitted.sender,
            submitted.document.doc_id,
            list(earlier),
            submitted.envelope_id,
            submitted.voids,
            submitted.document.reply_to,
            list(submitted.document.issuers),
        )
        return fault

    async def accept(self, acceptance: Acceptance, accepted: Manifest) -> Outcome:
        """Write an envelope with all that belongs to it, or nothing.

        Raises:
            Unavailable: the outcome is unknown.
        """
        document = accepted.document
        event = acceptance.event
        blocks = acceptance.blocks
        row = await self._db.row(
            "accept_envelope",
            accepted.envelope_id,
            accepted.sender,
            accepted.sender_system,
            acceptance.principal.fingerprint,
            document.doc_id,
            document.business,
            document.genre.value,
            document.urgency.value,
            document.title,
            document.number or "",
            accepted.supersedes,
            accepted.refers_to,
            accepted.voids,
            document.reply_to,
            list(document.issuers),
            acceptance.manifest,
            bytes.fromhex(event.event.manifest_sha256 or ""),
            list(acceptance.signatures),
            list(acceptance.seals),
            acceptance.centre_seal,
            acceptance.directory,
            acceptance.root_crl,
            acceptance.seal_crl,
            [part.part_id for part in accepted.parts],
            [part.size for part in accepted.parts],
            [bytes.fromhex(part.sha256) for part in accepted.parts],
            [block.part for block in blocks],
            [block.number for block in blocks],
            [block.key for block in blocks],
            [block.size_bytes for block in blocks],
            [block.sha256 for block in blocks],
            [recipient.unit for recipient in accepted.recipients],
            [recipient.kind.value for recipient in accepted.recipients],
            acceptance.accepted_at,
            acceptance.oldest_block_at,
            self._longest_upload,
            acceptance.receipt,
            acceptance.receipt_signature,
            event.event.event_id,
            event.event.actor,
            event.salt,
            event.content,
            *_dues(acceptance.dues),
            self._stamp,
        )
        return _outcome(row)

    async def named_objects(self, envelope_ids: Sequence[str]) -> set[str]:
        """The keys of all objects that belong to these envelopes."""
        rows = await self._db.rows("named_objects", list(envelope_ids))
        return {row["object_key"] for row in rows}

    # ---------------------------------------------------------------- quotas

    async def lease_quota(
        self, unit: str, process: uuid.UUID, lease_s: float, asks: Mapping[str, Ask]
    ) -> dict[str, Grant]:
        back = [each for ask in asks.values() for each in ask.back.items()]
        rows = await self._db.rows(
            "lease_quota",
            unit,
            process,
            timedelta(seconds=lease_s),
            list(asks),
            [ask.entry for ask in asks.values()],
            [ask.used for ask in asks.values()],
            [ask.wanted for ask in asks.values()],
            [entry for entry, _ in back],
            [amount for _, amount in back],
        )
        return {row["resource"]: Grant(row["granted"], row["retry_s"]) for row in rows}

    async def return_quota(self, process: uuid.UUID) -> None:
        await self._db.value("return_quota", process)

    async def quota_used(self, unit: str) -> dict[str, int]:
        return {row["resource"]: row["used"] for row in await self._db.rows("quota_used", unit)}

    # ---------------------------------------------------------------- deliver

    async def list_deliveries(
        self, unit: str, states: Sequence[State], before: str | None, limit: int
    ) -> list[DeliverySummary]:
        rows = await self._db.rows(
            "list_deliveries", unit, [state.value for state in states], before or _LAST_ID, limit
        )
        return [_delivery(row) for row in rows]

    async def find_envelope_for(self, unit: str, envelope_id: str) -> AcceptedEnvelope | None:
        return _envelope(await self._db.row("find_envelope_for", unit, envelope_id))

    async def find_envelope_and_delivery(
        self, unit: str, envelope_id: str
    ) -> tuple[AcceptedEnvelope, DeliverySummary | None] | None:
        row = await self._db.row("find_envelope_for", unit, envelope_id)
        envelope = _envelope(row)
        if row is None or envelope is None:
            return None
        return envelope, _delivery(row) if row["recipient"] is not None else None

    async def find_part_for(self, unit: str, envelope_id: str, part_id: str) -> StoredPart | None:
        withdrawn = [state.value for state in NOT_GIVEN_OUT]
        rows = await self._db.rows("find_part_for", unit, envelope_id, part_id, withdrawn)
        if not rows:
            return None
        blocks = [
            Block(row["part"], row["block"], row["object_key"], row["size_bytes"], row["sha256"])
            for row in rows
            if row["object_key"] is not None  # an empty part has no block
        ]
        return StoredPart(rows[0]["part_size"], blocks, withdrawn=rows[0]["withdrawn"])

    # ---------------------------------------------------------------- watch

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[DeliverySummary]]:
        rows = await self._waiting("waiting_deliveries", unit, keys, after, limit)
        return [
            Waiting((row["envelope_id"], row["recipient"]), row["waiting_seq"], _delivery(row))
            for row in rows
        ]

    async def waiting_submissions(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[SubmissionSummary]]:
        rows = await self._waiting("waiting_submissions", unit, keys, after, limit)
        return [
            Waiting(
                (row["envelope_id"], row["recipient"]),
                row["waiting_seq"],
                _submission(row, (status_of(row),)),
            )
            for row in rows
        ]

    async def _waiting(
        self, query: str, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[asyncpg.Record]:
        if keys is None:
            return await self._db.rows(query, unit, *(after or FIRST_KEY), limit)
        return await self._db.rows(query + "_of", unit, [k[0] for k in keys], [k[1] for k in keys])

    async def waiting_seqs(
        self, unit: str, side: str, after: Key | None, limit: int
    ) -> list[tuple[Key, int]]:
        rows = await self._db.rows("waiting_seqs", unit, side, *(after or FIRST_KEY), limit)
        return [((row["envelope_id"], row["recipient"]), row["seq"]) for row in rows]

    async def notify(self, payload: str) -> None:
        await self._db.value("notify", payload)

    # ---------------------------------------------------------------- acknowledge

    async def find_position(
        self, envelope_id: str, recipient: str, receipt_id: str | None = None
    ) -> DeliveryPosition | None:
        row = await self._db.row("find_position", envelope_id, recipient, receipt_id)
        return position_of(row) if row else None

    async def find_statement(
        self, envelope_id: str, recipient: str, receipt_id: str
    ) -> StatementRecord | None:
        return _statement(await self._db.row("find_statement", envelope_id, recipient, receipt_id))

    async def find_statement_at(
        self, envelope_id: str, recipient: str, seq: int
    ) -> StatementRecord | None:
        return _statement(await self._db.row("find_statement_at", envelope_id, recipient, seq))

    async def find_delivered(self, envelope_id: str, recipient: str) -> StatementRecord | None:
        return _statement(await self._db.row("find_delivered", envelope_id, recipient))

    async def record(self, statement: NewStatement) -> Outcome:
        """Write a statement with its effect, if the delivery still stands where it was read.

        Raises:
            Unavailable: the outcome is unknown.
        """
        position = statement.position
        principal = statement.principal
        event = statement.event
        row = await self._db.row(
            "record_statement",
            position.envelope_id,
            position.recipient,
            position.seq,
            position.state.value,
            statement.state_after.value,
            statement.type.value,
            statement.reason_code.value if statement.reason_code else None,
            statement.deadline.value if statement.deadline else None,
            statement.by_side,
            principal.unit if principal else None,
            principal.identity.name if principal else None,
            principal.fingerprint if principal else None,
            statement.seal,
            statement.centre_seal,
            statement.receipt_id,
            statement.record.receipt,
            statement.record.receipt_signature,
            statement.record.admission or None,
            statement.record.admission_signature or None,
            statement.root_crl,
            statement.seal_crl,
            event.at,
            event.event.event_id,
            event.event.actor,
            event.salt,
            event.content,
            *_dues(statement.dues),
            MOST_REPEATED,
            self._stamp,
        )
        return _outcome(row)

    async def confirm_seen(
        self, unit: str, side: str, envelope_id: str, recipient: str, seq: int
    ) -> None:
        await self._db.value("confirm_seen", unit, side, envelope_id, recipient, seq)

    # ---------------------------------------------------------------- track

    async def list_statuses(
        self, envelope_id: str, recipient: str | None, after: Place, limit: int
    ) -> list[DeliveryStatus]:
        rows = await self._db.rows("list_statuses", envelope_id, recipient, *after, limit)
        return [status_of(row) for row in rows]

    async def list_statements(
        self, envelope_id: str, wanted: Sequence[Range], most_bytes: int
    ) -> tuple[Mapping[str, list[StatementRecord]], list[bytes]]:
        rows = await self._db.rows(
            "list_statements",
            envelope_id,
            [each.recipient for each in wanted],
            [each.after for each in wanted],
            [each.up_to for each in wanted],
            most_bytes,
        )
        found: dict[str, list[StatementRecord]] = defaultdict(list)
        for row in rows:
            statement = _statement(row)
            if statement is not None:
                found[row["recipient"]].append(statement)
        lists = await self._db.rows(
            "crls_by_number",
            list({row["root_crl"] for row in rows}),
            list({row["seal_crl"] for row in rows}),
        )
        return found, [each["der"] for each in lists]

    async def list_submissions(
        self, unit: str, states: Sequence[State], before: str | None, limit: int
    ) -> list[SubmissionSummary]:
        rows = await self._db.rows(
            "list_submissions", unit, [state.value for state in states], before or _LAST_ID, limit
        )
        statuses: dict[str, list[DeliveryStatus]] = defaultdict(list)
        for row in await self._db.rows("statuses_of", [row["envelope_id"] for row in rows]):
            statuses[row["envelope_id"]].append(status_of(row))
        return [_submission(row, tuple(statuses[row["envelope_id"]])) for row in rows]


def _unit(row: asyncpg.Record) -> Unit:
    return Unit(
        unit_id=row["unit_id"],
        name_zh=row["name_zh"],
        name_en=row["name_en"],
        short_zh=row["short_zh"],
        kind=row["kind"],
        organisation_code=row["organisation_code"],
        credit_code=row["credit_code"],
        region=row["region"],
        issuer_marks=tuple(row["issuer_marks"]),
        groups=tuple(row["groups"]),
        acts_for=tuple(row["acts_for"]),
        status=row["status"],
        contact=row["contact"],
        successor=row["successor"],
    )


def _envelope(row: asyncpg.Record | None) -> AcceptedEnvelope | None:
    if row is None:
        return None
    return AcceptedEnvelope(
        envelope_id=row["envelope_id"],
        sender=row["sender"],
        manifest=row["manifest"],
        manifest_sha256=row["manifest_sha256"],
        signatures=tuple(row["signatures"]),
        accepted=StatementRecord(
            row["receipt"], row["receipt_signature"], b"", b"", row["event"], row["event_salt"]
        ),
        accepted_at=row["accepted_at"],
        root_crl=row["root_crl"],
        seal_crl=row["seal_crl"],
    )


def position_of(row: asyncpg.Record) -> DeliveryPosition:
    """What a decision is made upon, of a row with the columns of ``find_position``."""
    return DeliveryPosition(
        row["envelope_id"],
        row["recipient"],
        row["sender"],
        State(row["state"]),
        row["seq"],
        row["manifest_sha256"],
        row["updated_at"],
        row["withdrawal_requested"],
        row["recorded"],
        row["decided_seq"],
    )


def _statement(row: asyncpg.Record | None) -> StatementRecord | None:
    if row is None:
        return None
    return StatementRecord(
        row["receipt"],
        row["receipt_signature"],
        row["admission"],
        row["admission_signature"],
        row["event"],
        row["event_salt"],
    )


def _delivery(row: asyncpg.Record) -> DeliverySummary:
    return DeliverySummary(
        envelope_id=row["envelope_id"],
        recipient=row["recipient"],
        sender=row["sender"],
        state=State(row["state"]),
        seq=row["seq"],
        title=row["title"],
        doc_id=row["doc_id"],
        number=row["number"],
        business=row["business"],
        genre=row["genre"],
        urgency=row["urgency"],
        kind=row["kind"],
        part_count=row["part_count"],
        size_bytes=row["size_bytes"],
        accepted_at=row["accepted_at"],
        updated_at=row["updated_at"],
        last_type=ReceiptType(row["last_type"]),
        withdrawal_requested=row["withdrawal_requested"],
        sign_due=row["sign_due"],
        reply_due=row["reply_due"],
        overdue=row["overdue"],
        replaced_by=row["replaced_by"] or "",
    )


def status_of(row: asyncpg.Record) -> DeliveryStatus:
    """Where a delivery stands, of a row with the columns of ``list_statuses``."""
    return DeliveryStatus(
        recipient=row["recipient"],
        state=State(row["state"]),
        seq=row["seq"],
        updated_at=row["updated_at"],
        last_type=ReceiptType(row["last_type"]),
        withdrawal_requested=row["withdrawal_requested"],
        sign_due=row["sign_due"],
        reply_due=row["reply_due"],
        overdue=row["overdue"],
        replaced_by=row["replaced_by"] or "",
    )


def _dues(dues: Dues | None) -> tuple[datetime | None, ...]:
    """When to remind of and when to have signed, and likewise of the reply."""
    made = (dues.sign, dues.reply) if dues else (None, None)
    return tuple(
        at for due in made for at in ((due.remind_at, due.due_at) if due else (None, None))
    )


def _submission(row: asyncpg.Record, statuses: tuple[DeliveryStatus, ...]) -> SubmissionSummary:
    return SubmissionSummary(
        envelope_id=row["envelope_id"],
        title=row["title"],
        doc_id=row["doc_id"],
        number=row["number"],
        accepted_at=row["accepted_at"],
        deliveries=statuses,
    )


def _outcome(row: asyncpg.Record | None) -> Outcome:
    if row is None:
        return Outcome("NO_ANSWER")
    return Outcome(row["outcome"], row["detail"] or "")
