"""Brings a ledger's schema up to date, or prints the SQL that would."""

from __future__ import annotations

import io
from importlib import resources

from alembic import command
from alembic.config import Config


def _config(dsn: str, output: io.StringIO | None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option(
        "script_location", str(resources.files("exchange_server.storage") / "migrations")
    )
    config.attributes["dsn"] = dsn
    return config


def migrate(dsn: str, revision: str = "head") -> None:
    """Upgrade to a revision, by default the newest.

    ``dsn`` is that of the schema's owner. Safe to repeat: what is there already is left alone.
    Runs an event loop of its own, so call it outside one.

    Raises:
        Unavailable: the ledger can't be reached with it.
    """
    command.upgrade(_config(dsn, None), revision)


def migration_sql() -> str:
    """The whole schema as one SQL script, for those who let nobody else migrate."""
    output = io.StringIO()
    command.upgrade(_config("postgresql://", output), "head", sql=True)
    return output.getvalue()
