"""Routes: who may send what to whom, and accepting upon the directory that was checked."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    execute_file("0004_routes.sql")
