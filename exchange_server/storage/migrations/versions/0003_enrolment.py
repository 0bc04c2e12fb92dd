"""Enrolment: one-use tokens and seals that await approval."""

from exchange_server.storage.migrations.statements import execute_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    execute_file("0003_enrolment.sql")
