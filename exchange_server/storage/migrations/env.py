"""Runs the revisions, either over asyncpg or (``--sql``) as a script to read or run by hand."""

from __future__ import annotations

import asyncio

import asyncpg
import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

from document_exchange.errors import Unavailable

VERSION_TABLE = "ledger_revision"


def _run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection, version_table=VERSION_TABLE, version_table_schema="public"
    )
    with context.begin_transaction():
        context.run_migrations()


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the ledger can't be reached with this DSN: {error}") from error


async def _online() -> None:
    dsn = context.config.attributes["dsn"]
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: _connect(dsn),
        poolclass=sa.pool.NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        version_table=VERSION_TABLE,
        version_table_schema="public",
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_online())
