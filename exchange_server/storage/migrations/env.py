"""Runs the revisions, either over asyncpg or (``--sql``) as a script for a database administrator."""

import asyncio

import asyncpg
import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

VERSION_TABLE = {"version_table": "ledger_revision", "version_table_schema": "public"}


def _run(connection: sa.Connection) -> None:
    context.configure(connection=connection, **VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    dsn = context.config.attributes["dsn"]
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(dsn),
        poolclass=sa.pool.NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, **VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_online())
