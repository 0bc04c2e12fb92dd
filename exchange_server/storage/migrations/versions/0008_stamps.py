"""Time-stamps: batches of the centre's signatures, and their tokens."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    execute_file("0008_stamps.sql")
