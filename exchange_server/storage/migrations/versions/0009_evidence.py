"""Evidence: the indexes that the centre has sealed."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    execute_file("0009_evidence.sql")
