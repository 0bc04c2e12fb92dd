"""Quotas: limits of each unit, and what servers have leased of them."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute_file("0005_quotas.sql")
