"""The ledger says of the file's units what the file says, and every change is an event."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from document_exchange import event
from document_exchange.entries import (
    GroupEntry,
    QuotaEntry,
    RouteEntry,
    StaffEntry,
    SystemEntry,
    UnitEntry,
)
from document_exchange.errors import ConfigurationError
from exchange_server import registry_file, unit_import
from exchange_server.embedded import EmbeddedPostgres
from exchange_server.registry_file import ActsFor, RegistryFile
from exchange_server.storage.migrate import migrate

CODES = {"office": "900000014", "council": "900000022", "court": "900000030", "bank": "900000049"}
OFFICE_FOR_COUNCIL = ActsFor(unit="office", issuer="council")
COURT_FOR_COUNCIL = ActsFor(unit="court", issuer="council")


def unit(unit_id: str, *, name_en: str = "Name", status: str = "ACTIVE") -> UnitEntry:
    return UnitEntry(
        unit_id=unit_id,
        name_zh="名称",
        name_en=name_en,
        short_zh="称",
        kind="OFFICE",
        organisation_code=CODES[unit_id],
        groups=("all",),
        status=status,
    )


OFFICE, COUNCIL, COURT = unit("office"), unit("council"), unit("court")
CITY = RegistryFile(unit=[OFFICE, COUNCIL, COURT], acts_for=[OFFICE_FOR_COUNCIL, COURT_FOR_COUNCIL])


@pytest.fixture(scope="module")
def dsn(postgres: EmbeddedPostgres, database: str) -> str:
    found = postgres.dsn("owner", database)
    migrate(found)
    return found


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """The ledger as its owner, after the import of the city."""
    connection = await asyncpg.connect(dsn)
    for table in ("routes", "quotas", "groups", "staff", "systems", "acts_for"):
        await connection.execute(f"delete from exchange.{table}")
    await connection.execute("delete from exchange.units")
    await unit_import.import_file(dsn, CITY)
    await connection.execute("delete from exchange.events")
    yield connection
    await connection.close()


async def delegations(ledger: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await ledger.fetch("select unit_id, issuer from exchange.acts_for order by 1, 2")
    return [(row["unit_id"], row["issuer"]) for row in rows]


async def recorded(ledger: asyncpg.Connection) -> list[tuple[str, dict[str, str] | None]]:
    rows = await ledger.fetch("select event from exchange.events order by event_no")
    return [(made.type, made.detail) for made in (event.decode(row["event"]) for row in rows)]


async def changed(ledger: asyncpg.Connection) -> list[dict[str, str] | None]:
    return [detail for type_, detail in await recorded(ledger) if type_ == "REGISTRY_CHANGED"]


async def test_a_delegation_that_is_gone_from_the_file_is_withdrawn(
    dsn: str, ledger: asyncpg.Connection
) -> None:
    """Only that of a unit that the file has: the court's stays."""
    await unit_import.import_file(dsn, RegistryFile(unit=[OFFICE, COUNCIL]))
    assert await delegations(ledger) == [("court", "council")]
    assert await changed(ledger) == [
        {
            "kind": "unit",
            "key": "office",
            "acts_for_before": "council",
            "acts_for_after": "",
        }
    ]


async def test_a_delegation_may_go_to_another(dsn: str, ledger: asyncpg.Connection) -> None:
    office_for_court = ActsFor(unit="office", issuer="court")
    found = RegistryFile(unit=CITY.unit, acts_for=[office_for_court, COURT_FOR_COUNCIL])
    await unit_import.import_file(dsn, found)
    assert await delegations(ledger) == [("court", "council"), ("office", "court")]


async def test_groups_and_marks_that_are_gone_from_the_file_are_gone(
    dsn: str, ledger: asyncpg.Connection
) -> None:
    for groups, marks in ((["city"], ["市"]), ([], [])):
        bank = msgspec.structs.replace(
            unit("bank"), groups=tuple(groups), issuer_marks=tuple(marks)
        )
        await unit_import.import_file(dsn, RegistryFile(unit=[bank]))
        row = await ledger.fetchrow(
            "select groups, issuer_marks from exchange.units where unit_id = 'bank'"
        )
        assert row is not None
        assert (row["groups"], row["issuer_marks"]) == (groups, marks)


async def test_each_unit_that_changes_is_an_event(dsn: str, ledger: asyncpg.Connection) -> None:
    found = RegistryFile(
        unit=[
            OFFICE,
            unit("council", name_en="Other", status="SUSPENDED"),
            unit("bank"),
        ],
        acts_for=[OFFICE_FOR_COUNCIL, ActsFor(unit="bank", issuer="council")],
    )
    await unit_import.import_file(dsn, found)
    bank, council, summary = await recorded(ledger)
    assert council == (
        "REGISTRY_CHANGED",
        {
            "kind": "unit",
            "key": "council",
            "name_en_before": "Name",
            "name_en_after": "Other",
            "status_before": "ACTIVE",
            "status_after": "SUSPENDED",
        },
    )
    assert bank == (
        "REGISTRY_CHANGED",
        {
            "kind": "unit",
            "key": "bank",
            "unit_id_after": "bank",
            "name_zh_after": "名称",
            "name_en_after": "Name",
            "short_zh_after": "称",
            "kind_after": "OFFICE",
            "organisation_code_after": CODES["bank"],
            "groups_after": "all",
            "acts_for_after": "council",
            "status_after": "ACTIVE",
        },
    )
    assert summary == ("UNITS_IMPORTED", {"changed": "2", "unit": "3"})


async def test_an_import_that_changes_nothing_disturbs_nobody(
    dsn: str, ledger: asyncpg.Connection
) -> None:
    version = await ledger.fetchval("select version from exchange.registry_version")
    assert await unit_import.import_file(dsn, CITY) == []
    assert [type_ for type_, _ in await recorded(ledger)] == ["UNITS_IMPORTED"]
    assert await ledger.fetchval("select version from exchange.registry_version") == version


async def test_the_state_before_is_the_one_that_was_replaced(
    dsn: str, ledger: asyncpg.Connection
) -> None:
    """Somebody suspends the unit while the import runs: the import waits, and tells of it."""
    observer = await asyncpg.connect(dsn)
    change = ledger.transaction()
    await change.start()
    await ledger.execute("update exchange.units set status = 'SUSPENDED' where unit_id = 'council'")
    running = asyncio.create_task(unit_import.import_file(dsn, CITY))
    async with asyncio.timeout(10):
        while not await observer.fetchval(
            """select count(*) from pg_locks join pg_stat_activity using (pid)
                where not granted and datname = current_database()"""
        ):
            assert not running.done()
    await change.commit()
    await running
    await observer.close()
    assert await changed(ledger) == [
        {
            "kind": "unit",
            "key": "council",
            "status_before": "SUSPENDED",
            "status_after": "ACTIVE",
        }
    ]


async def test_the_command_says_what_changes_and_a_dry_run_changes_nothing(
    dsn: str, ledger: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "units.toml"
    file.write_text(
        "".join(
            f'[[unit]]\nunit_id = "{unit_id}"\nname_zh = "名称"\nname_en = "{name_en}"\n'
            f'short_zh = "称"\nkind = "OFFICE"\norganisation_code = "{CODES[unit_id]}"\n'
            f'groups = ["all"]\nstatus = "{status}"\n'
            for unit_id, name_en, status in (
                ("office", "Name", "ACTIVE"),
                ("council", "Other", "CLOSED"),
                ("bank", "Name", "ACTIVE"),
            )
        ),
        encoding="utf-8",
    )
    assert len(registry_file.read_file(file).unit) == 3

    def run(*options: str) -> list[str]:
        command = [sys.executable, "-m", "exchange_server", "import-units", str(file), *options]
        environment = os.environ | {"EXCHANGE_SERVER_OWNER_DSN": dsn}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    lines = [
        "unit bank: new",
        "unit council: name_en Name -> Other, status ACTIVE -> CLOSED",
        "unit office: acts_for council -> none",
    ]
    assert run("--dry-run") == [*lines, "3 units: 3 would change"]
    assert await recorded(ledger) == []
    assert await ledger.fetchval("select count(*) from exchange.units") == 3
    assert run() == [*lines, "3 units: 3 changed; imported"]
    assert run() == ["3 units: 0 changed; imported"]
    assert (
        await ledger.fetchval("select status from exchange.units where unit_id = 'council'")
        == "CLOSED"
    )


async def test_a_file_brings_the_whole_registry(dsn: str, ledger: asyncpg.Connection) -> None:
    found = RegistryFile(
        unit=[unit("bank")],
        system=[SystemEntry(unit_id="bank", name="oa", contact="张")],
        staff=[
            StaffEntry(name="li", person="S-1", full_name="李", role="operator"),
            StaffEntry(name="wang", person="S-2", full_name="王", role="security"),
        ],
        group=[GroupEntry(group_id="all", name_zh="全体", name_en="All")],
        route=[RouteEntry(route_id="open", effect="ALLOW", sender="group:all", recipient="*")],
        quota=[QuotaEntry(unit_id="bank", calls_per_minute=60)],
    )
    changed_entries = await unit_import.import_file(dsn, found)
    assert [str(each).partition(":")[0] for each in changed_entries] == [
        "unit bank",
        "system bank/oa",
        "staff li",
        "staff wang",
        "group all",
        "route open",
        "quota bank",
    ]
    assert await unit_import.import_file(dsn, found) == []
    counts = {
        table: await ledger.fetchval(f"select count(*) from exchange.{table}")
        for table in ("systems", "staff", "groups", "routes", "quotas")
    }
    assert counts == {"systems": 1, "staff": 2, "groups": 1, "routes": 1, "quotas": 1}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (RegistryFile(unit=[msgspec.structs.replace(COUNCIL, status="ACTIVE")]), "closed"),
        (
            RegistryFile(
                staff=[StaffEntry(name="li", person="S-1", full_name="李", role="security")]
            ),
            "never becomes security",
        ),
        (
            RegistryFile(
                staff=[StaffEntry(name="li2", person="s-1", full_name="李", role="security")]
            ),
            "nobody has two names",
        ),
        (
            RegistryFile(
                staff=[
                    StaffEntry(
                        name="wang", person="S-2", full_name="王", role="security", status="CLOSED"
                    )
                ]
            ),
            "last active member of security staff",
        ),
        (RegistryFile(unit=[msgspec.structs.replace(COURT, region="370200")]), "370200"),
        (RegistryFile(quota=[QuotaEntry(unit_id="nobody")]), "nobody"),
    ],
)
async def test_the_owner_is_bound_by_the_rules_of_entries(
    dsn: str, ledger: asyncpg.Connection, entries: RegistryFile, named: str
) -> None:
    """And a file of which one entry is refused changes nothing at all."""
    closed = RegistryFile(
        unit=[unit("council", status="CLOSED")],
        staff=[
            StaffEntry(name="li", person="S-1", full_name="李", role="operator"),
            StaffEntry(name="wang", person="S-2", full_name="王", role="security"),
        ],
    )
    await unit_import.import_file(dsn, closed)
    events_before = await recorded(ledger)
    with pytest.raises(ConfigurationError, match=named):
        await unit_import.import_file(dsn, entries)
    assert await recorded(ledger) == events_before


async def test_a_status_that_the_file_does_not_name_stays(
    dsn: str, ledger: asyncpg.Connection
) -> None:
    """So that a file that is imported again undoes no suspension."""
    await unit_import.import_file(dsn, RegistryFile(unit=[unit("court", status="SUSPENDED")]))
    await unit_import.import_file(dsn, RegistryFile(unit=[unit("court", name_en="New", status="")]))
    row = await ledger.fetchrow(
        "select name_en, status from exchange.units where unit_id = 'court'"
    )
    assert tuple(row or ()) == ("New", "SUSPENDED")
