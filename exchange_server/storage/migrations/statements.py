"""Executes a revision's SQL file, statement by statement."""

from __future__ import annotations

import re
from importlib import resources

import sqlalchemy as sa
from alembic import op


def execute_file(name: str) -> None:
    """Run ``versions/<name>``, whose statements are separated by lines that begin with ``--;``."""
    text = (resources.files(__package__) / "versions" / name).read_text(encoding="utf-8")
    for statement in re.split(r"^--;.*$", text, flags=re.MULTILINE):
        if statement.strip():
            # Colons in SQL are no parameters of ours.
            op.execute(sa.text(re.sub(r"(?<!:):(?=\w)", r"\\:", statement.strip())))
