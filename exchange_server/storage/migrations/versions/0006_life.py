"""The whole life of a delivery: all transitions, withdrawal requests, deadlines, links."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    execute_file("0006_life.sql")
