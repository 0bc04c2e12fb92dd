"""The ground: registry, events, documents, deliveries, statements, and the rights to them."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute_file("0001_ground.sql")
