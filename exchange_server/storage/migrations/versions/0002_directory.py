"""The directory: systems, staff, groups, successors, and proposals."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_file("0002_directory.sql")
