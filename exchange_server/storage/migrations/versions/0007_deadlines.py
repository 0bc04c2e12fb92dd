"""Deadlines: which are due, one process at a time."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    execute_file("0007_deadlines.sql")
